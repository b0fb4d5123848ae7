"""What the gateway reads off a client's request, and no more: translating it is for those who send it on."""

from typing import Any, Final, cast

import msgspec

from services.gateway.domain.errors import bad_request
from services.gateway.domain.faces.face import Route
from shared.contracts.plan import Plan, plan_hash
from shared.contracts.response_id import decode_response_id, why_not_previous

_MAX_DEPTH: Final = 128
"""How deep a request may nest: whatever reads or writes it after the decoder recurses, on a deeper stack."""
_PREVIOUS: Final = "previous_response_id"
_DECODER: Final = msgspec.json.Decoder()


def parse(raw: bytes, route: Route) -> dict[str, Any]:
    """Return the body of a request at ``route``; raises ApiError (400)."""
    fields = parse_object(raw)
    route.check(fields)
    return fields


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return a body that is a JSON object; raises ApiError (400)."""
    try:
        body: object = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"The body is not JSON: {error}.", code="invalid_json") from error
    if not isinstance(body, dict):
        raise bad_request("The body must be a JSON object.", code="invalid_json")
    fields = cast("dict[str, Any]", body)
    if raw.count(b"{") + raw.count(b"[") > _MAX_DEPTH and _deeper_than(_MAX_DEPTH, fields):
        raise bad_request(f"The body nests deeper than {_MAX_DEPTH} levels.", code="invalid_json")
    return fields


def includes_usage(body: dict[str, Any]) -> bool:
    """Return whether the client asked for the usage chunk of a stream."""
    options = body.get("stream_options")
    return isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage") is True


def passed_on(headers: list[tuple[bytes, bytes]], names: frozenset[bytes]) -> dict[str, str]:
    """Return the headers of a request that are among ``names``; those sent twice are one list."""
    found: dict[str, str] = {}
    if names:
        for name, value in headers:
            if name in names and value.isascii():
                known, new = found.get(name.decode()), value.decode()
                found[name.decode()] = new if known is None else f"{known},{new}"
    return found


def continuing(plan: Plan, previous: object) -> Plan:
    """Return a plan that stays where the response ``previous`` lies; raises ApiError (400) where that cannot be."""
    if not isinstance(previous, str):
        raise bad_request("'previous_response_id' must be the id of a response.", param=_PREVIOUS)
    place = decode_response_id(previous)
    if place is None:
        raise bad_request(why_not_previous(previous) or "", param=_PREVIOUS)
    candidates = tuple(item for item in plan.candidates if item.provider_id == place.provider_id)
    if not candidates:
        message = "The provider that keeps the response of 'previous_response_id' is not one this request may go to."
        raise bad_request(message, param=_PREVIOUS)
    if len(candidates) == len(plan.candidates):
        return plan
    narrowed = msgspec.structs.replace(plan, candidates=candidates)
    return msgspec.structs.replace(narrowed, hash=plan_hash(narrowed))  # it is not the router's plan any more


def _deeper_than(levels: int, body: Any) -> bool:
    layer: list[Any] = [body]
    for _ in range(levels):
        inner: list[Any] = []
        for item in layer:
            inner.extend(cast("dict[str, Any]", item).values() if isinstance(item, dict) else item)
        layer = [item for item in inner if isinstance(item, dict | list)]
    return bool(layer)
