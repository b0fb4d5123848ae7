"""Makes a request fit a vendor: what it cannot take is refused by the client's name of it, or dropped where wanted."""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import Ask, Json, Parameter, Refused
from services.providers.domain.dialect import Range

INERT: Final = frozenset(
    {Parameter.USER, Parameter.METADATA, Parameter.STORE, Parameter.SERVICE_TIER, Parameter.CACHE_KEY}
)
"""They change nothing about an answer: left out where they cannot be said, and named as dropped."""

_SAID: Final[Mapping[Parameter, Callable[[Ask], bool]]] = {
    Parameter.TOOLS: lambda ask: bool(ask.tools),
    Parameter.TOOL_CHOICE: lambda ask: ask.tool_choice is not None and ask.tool_choice.mode != "auto",
    Parameter.PARALLEL_TOOL_CALLS: lambda ask: ask.parallel_tool_calls is False,
    Parameter.FORMAT_JSON: lambda ask: ask.format is not None and ask.format.kind == "json",
    Parameter.FORMAT_SCHEMA: lambda ask: ask.format is not None and ask.format.kind == "schema",
    Parameter.REASONING: lambda ask: (
        ask.reasoning is not None and (ask.reasoning.adaptive or ask.reasoning.effort != "none")
    ),
    Parameter.STOP: lambda ask: bool(ask.stop),
    Parameter.PRESENCE_PENALTY: lambda ask: bool(ask.presence_penalty),
    Parameter.FREQUENCY_PENALTY: lambda ask: bool(ask.frequency_penalty),
    Parameter.LOGIT_BIAS: lambda ask: bool(ask.logit_bias),
    Parameter.LOGPROBS: lambda ask: bool(ask.logprobs),
    Parameter.TOP_LOGPROBS: lambda ask: bool(ask.top_logprobs),
    Parameter.N: lambda ask: ask.n not in (None, 1),
    Parameter.MODALITIES: lambda ask: bool(set(ask.modalities) - {"text"}),
    Parameter.VERBOSITY: lambda ask: ask.verbosity not in (None, "medium"),
    Parameter.METADATA: lambda ask: bool(ask.metadata),
    Parameter.SERVICE_TIER: lambda ask: ask.service_tier not in (None, "auto", "default"),
}
"""Whether a parameter asks for anything; the others do when they are not None."""
_FIELD: Final[Mapping[Parameter, str]] = {Parameter.FORMAT_JSON: "format", Parameter.FORMAT_SCHEMA: "format"}
_EMPTY: Final[Mapping[str, Any]] = {"tools": (), "stop": (), "modalities": ()}
_ANY: Final[Mapping[Parameter, frozenset[str]]] = {}


def fitted(
    ask: Ask,
    *,
    names: Mapping[Parameter, tuple[str, ...]],
    takes: frozenset[Parameter],
    ranges: Mapping[Parameter, Range],
    whose: str,
    drop: bool,
    words: Mapping[Parameter, frozenset[str]] = _ANY,
) -> tuple[Ask, tuple[str, ...]]:
    """Return the request as the vendor can take it, and the client's names of what was dropped or changed.

    ``names``: the client's names; ``whose``: the vendor, for messages; ``words``: the values it knows, where not all.
    Raises Refused unless ``drop``. A number outside its range is set to the nearer end where ``drop`` is; words of a
    conversation are never dropped.
    """
    changes: dict[str, Any] = {}
    dropped: list[str] = []
    if ask.tool_choice is not None and ask.tool_choice.mode == "none" and Parameter.TOOL_CHOICE not in takes:
        ask = msgspec.structs.replace(ask, tools=(), tool_choice=None)  # without tools none is called
    for parameter in Parameter:
        field = _FIELD.get(parameter, parameter.value)
        if not _says(ask, parameter):
            continue
        name, *others = names.get(parameter, (parameter.value,))
        if parameter not in takes or getattr(ask, field) not in words.get(parameter, (getattr(ask, field),)):
            if not drop and parameter not in INERT:
                raise Refused(name, f"{whose} does not take '{name}'")
            changes[field] = _EMPTY.get(field)
            dropped += [name, *others]
        elif parameter in ranges:
            value, least, most = getattr(ask, field), ranges[parameter].least, ranges[parameter].most
            near = _within(value, least, most)
            if near != value:
                if not drop:
                    raise Refused(name, f"{whose} takes {_words(name, value, least, most)}")
                changes[field] = near
                dropped.append(name)
    for name in ask.extra:
        if not drop:
            raise Refused(name, f"{whose} does not take '{name}'")
        dropped.append(name)
    if ask.extra:
        changes["extra"] = {}
    return (msgspec.structs.replace(ask, **changes) if changes else ask), tuple(dict.fromkeys(dropped))


def without(
    body: Json, ask: Ask, names: Mapping[Parameter, tuple[str, ...]], lacks: frozenset[Parameter]
) -> tuple[Json, tuple[str, ...]]:
    """Return a client's own body without what the vendor lacks, and the names of what went: for one that passes
    through. ``ask``: the same request; a name with dots is a place inside."""
    dropped: list[str] = []
    for parameter in Parameter:
        if parameter not in lacks or not _says(ask, parameter):
            continue
        for name in names.get(parameter, ()):
            left = _without(body, name.split("."))
            if left is not None:
                body = left
                dropped.append(name)
    return body, tuple(dropped)


def _without(body: Json, path: list[str]) -> Json | None:
    """Return a copy without what lies at a path; None: nothing lies there."""
    first, *rest = path
    if first not in body:
        return None
    if not rest:
        return {name: value for name, value in body.items() if name != first}
    inner = body[first]
    left = _without(cast("Json", inner), rest) if isinstance(inner, dict) else None
    return None if left is None else {**body, first: left}


def _words(name: str, value: Any, least: float, most: float) -> str:
    return f"at most {most:g} of '{name}'" if isinstance(value, tuple) else f"'{name}' from {least:g} to {most:g}"


def _says(ask: Ask, parameter: Parameter) -> bool:
    said = _SAID.get(parameter)
    return said(ask) if said is not None else getattr(ask, parameter.value) is not None


def _within(value: Any, least: float, most: float) -> Any:
    """Return the nearest value that is allowed; of a list, as many items as are."""
    if isinstance(value, tuple):
        return cast("tuple[object, ...]", value)[: int(most)]
    near = min(max(value, least), most)
    return int(near) if isinstance(value, int) else near
