"""Writes and compares the goldens of translations: ``python -m tests.support.translation_goldens`` writes them.

A case is a folder with one input in the canonical form, ``case.json``: what is asked, what is answered. Beside it lies
what it becomes: ``request.<dialect>.json`` for vendors of a dialect, ``request.<vendor>.json`` for a vendor that wants
it otherwise than its dialect, ``answer.<client>`` and ``stream.<client>`` for each client's dialect.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from services.providers.domain.canonical import Answer, Ask, Refused
from services.providers.domain.dialect import Asked, Speech, Wire
from services.providers.domain.fit import fitted
from services.providers.domain.registry import CLIENTS, SPEECHES, VENDORS
from services.providers.domain.vendor import Vendor
from tests.support.canonical import deltas_of

FOLDER = Path(__file__).parents[1] / "golden" / "services" / "providers" / "translations"
_MODELS = {"gemini": "gemini-2.5-flash", "anthropic_messages": "claude-sonnet-4-5"}
"""Models that think, where a dialect knows that by the name."""
_ID = "0123456789abcdef0123456789abcdef"


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """The input of a case."""

    about: str
    ask: Ask | None = None
    answer: Answer | None = None


def cases() -> list[Path]:
    """Return the folders of the cases."""
    return sorted(path.parent for path in FOLDER.glob("*/case.json"))


def expected(folder: Path) -> dict[str, bytes]:
    """Return the files of a case, by name, as the code of today writes them."""
    case = msgspec.json.decode((folder / "case.json").read_bytes(), type=Case)
    files: dict[str, bytes] = {}
    if case.ask is not None:
        files |= {f"request.{name}.json": body for name, body in _requests(case.ask)}
    if case.answer is not None:
        files |= dict(_answers(case.answer))
    return files


def _requests(ask: Ask) -> Iterator[tuple[str, bytes]]:
    for speech in SPEECHES.values():
        yield speech.name, _pretty(_request(ask, speech, None))
    for vendor in VENDORS.values():
        speech = SPEECHES[vendor.speech]
        body = _pretty(_request(ask, speech, vendor))
        if body != _pretty(_request(ask, speech, None)):
            yield vendor.slug, body


def _request(ask: Ask, speech: Speech, vendor: Vendor | None) -> Any:
    native_id = _MODELS.get(speech.name, "model-1")
    wire = Wire(native_id=native_id, max_output=8_192, thinks=True, quirks=vendor.quirks if vendor else frozenset())
    try:
        fit, dropped = fitted(
            ask,
            names={},
            takes=speech.takes - vendor.lacks if vendor else speech.takes,
            ranges={**speech.ranges, **(vendor.ranges if vendor else {})},
            whose=vendor.name if vendor else "the vendor",
            drop=True,
            words=speech.words,
        )
        body = speech.encode_request(fit, wire)
    except Refused as refused:
        return {"refused": refused.param, "message": str(refused)}
    return {"dropped": dropped, "body": body} if dropped else {"body": body}


def _answers(answer: Answer) -> Iterator[tuple[str, bytes]]:
    ask = Ask(messages=())
    asked = Asked(id=_ID, model="acme/model-1", created=1_700_000_000, ask=ask, include_usage=True)
    for client in CLIENTS.values():
        yield f"answer.{client.name}.json", _pretty(msgspec.json.decode(client.encode_answer(answer, asked)))
        encoder = client.stream_encoder(asked)
        sent = b"".join(encoder.encode(delta) for delta in deltas_of(answer, 12))
        last, closing = encoder.end(answer.tokens)
        yield f"stream.{client.name}.txt", sent + last + closing


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def stale() -> dict[Path, bytes | None]:
    """Return the files that are not what the code writes, each with what it should hold; None: it should not be."""
    found: dict[Path, bytes | None] = {}
    for folder in cases():
        files = {folder / name: body for name, body in expected(folder).items()}
        found |= {path: body for path, body in files.items() if not path.exists() or path.read_bytes() != body}
        found |= {path: None for path in folder.iterdir() if path.name != "case.json" and path not in files}
    return found


def main() -> None:
    """Write what is stale."""
    for path, body in stale().items():
        if body is None:
            path.unlink()
        else:
            path.write_bytes(body)
        print(path.relative_to(FOLDER))


if __name__ == "__main__":
    main()
