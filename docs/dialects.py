"""The page of dialects and vendors: what each can say and takes, parameter by parameter, read off their values."""

from collections.abc import Iterable
from typing import Final

from services.providers.domain.canonical import Parameter
from services.providers.domain.dialect import Client, Range, Speech
from services.providers.domain.registry import CLIENTS, EMBED_CLIENTS, EMBED_SPEECHES, NATIVES, SPEECHES, VENDORS
from services.providers.domain.vendor import Vendor

_HEAD: Final = """\
A request goes on untouched where client and vendor speak the same dialect: then the vendor alone says what it takes.
Else it is translated, and what the vendor cannot do is a 400 that names the parameter, or with the key's policy
`drop_params` dropped and named in `x-localrouter-dropped-params`. Parameters that change nothing about an answer
(`user`, `metadata`, `store`, `service_tier`, `cache_key`) are dropped and named in any case."""
_TOLD: Final = """\
What one side can say and the other has no sign for is told in words, or in the other's own form:

* A tool's result that its client marks as failed (`is_error`): where the vendor has no such mark (all but Anthropic and
  Gemini), its text begins with `Error: `, unless it begins with that word already.
* `functions` and `function_call`, the older form of tools in OpenAI's chat, are tools to every vendor; their client is
  answered with `function_call`. A second call of the same turn, which that form has no words for, stays in
  `tool_calls`.
* A token's `bytes` that a vendor left out are those of its text, for clients of the Responses, where none may be null.
* An image in an answer is Markdown to clients of Anthropic's, whose answers hold none.
* A vector that comes as base64 of what is no number (NaN, infinity) is a broken answer to clients that asked for
  numbers: JSON has no word for it."""
_FIELDS: Final = sorted(parameter.value for parameter in Parameter)


def dialects_page(by: str) -> str:
    """Return the page; ``by``: the line that says what wrote it."""
    lines = ["# Dialects and vendors", "", by, "", _HEAD]
    lines += ["", "## What clients can ask", "", *_clients()]
    lines += ["", "## What vendors' dialects can be told", "", *_speeches()]
    lines += ["", "## What is told otherwise", "", _TOLD]
    lines += ["", "## Vectors", "", *_vectors()]
    lines += ["", "## Vendors", "", *_vendors()]
    lines += ["", "## What vendors do not take", "", *_lacks()]
    lines += ["", "## What vendors allow of numbers", "", *_ranges()]
    return "\n".join(lines) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    titles = list(head)
    return [_row(titles), _row(["---"] * len(titles)), *(_row(row) for row in rows)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _clients() -> list[str]:
    """Each client's own name of each parameter; empty: it has none."""
    rows = (
        [f"`{parameter.value}`", *(_named(client, parameter) for client in CLIENTS.values())] for parameter in Parameter
    )
    return _table(["parameter", *(f"`{name}`" for name in CLIENTS)], rows)


def _named(client: Client, parameter: Parameter) -> str:
    others = ", ".join(_code(name) for name in client.aliases.get(parameter, ()))
    return _code(client.names.get(parameter)) + (f", also {others}" if others else "")


def _code(text: str | None) -> str:
    return "" if text is None else f"`{text}`"


def _speeches() -> list[str]:
    rows = (
        [f"`{parameter.value}`", *(_taken(parameter, speech) for speech in SPEECHES.values())]
        for parameter in Parameter
    )
    return _table(["parameter", *(f"`{name}`" for name in SPEECHES)], rows)


def _taken(parameter: Parameter, speech: Speech) -> str:
    if parameter not in speech.takes:
        return "no"
    if parameter in speech.words:
        return "yes, " + ", ".join(f"`{word}`" for word in sorted(speech.words[parameter]))
    return f"yes, {_range(speech.ranges[parameter])}" if parameter in speech.ranges else "yes"


def _range(allowed: Range) -> str:
    return f"{allowed.least:g} to {allowed.most:g}"


def _vectors() -> list[str]:
    names = sorted({*EMBED_CLIENTS, *EMBED_SPEECHES})
    rows = (
        [
            f"`{name}`",
            _yes(name in EMBED_CLIENTS),
            _yes(name in EMBED_SPEECHES),
            ", ".join(sorted(EMBED_SPEECHES[name].takes)) if name in EMBED_SPEECHES else "",
        ]
        for name in names
    )
    return _table(["dialect", "clients", "vendors", "vendors can be told"], rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _vendors() -> list[str]:
    rows = (
        [
            f"[{vendor.name}]({vendor.docs})",
            f"`{vendor.slug}`",
            _code(vendor.base_url) or "each provider's own",
            ", ".join(f"`{name}`" if name in NATIVES else f"`{name}` (translated)" for name in vendor.speaks),
            _code(vendor.speech),
            _code(vendor.environment),
            _yes(vendor.abort_stops_billing or vendor.local),
            _yes(vendor.prefill),
        ]
        for vendor in _sorted()
    )
    head = ("vendor", "slug", "base URL", "speaks", "translations go by", "key in", "an abort ends billing", "prefill")
    return _table(head, rows)


def _sorted() -> list[Vendor]:
    return sorted(VENDORS.values(), key=lambda vendor: vendor.name.lower())


def _lacks() -> list[str]:
    lead = ["Of what the dialect of translations can be told; where a vendor is not named, all of it is sent.", ""]
    rows = (
        [vendor.name, ", ".join(f"`{name}`" for name in _FIELDS if name in vendor.lacks)]
        for vendor in _sorted()
        if vendor.lacks
    )
    return [*lead, *_table(["vendor", "is not sent"], rows)]


def _ranges() -> list[str]:
    lead = ["Where it differs from the dialect. Of `stop` the number of sequences is meant.", ""]
    rows = (
        [vendor.name, f"`{parameter.value}`", _range(allowed)]
        for vendor in _sorted()
        for parameter, allowed in vendor.ranges.items()
    )
    return [*lead, *_table(["vendor", "parameter", "allowed"], rows)]
