"""OpenAI's chat on both sides: the request as it came, but for the model's name and what is not this vendor's.

https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Any, cast

from services.providers.domain.canonical import SEAL, Json
from services.providers.domain.passthrough import openai_body
from shared.contracts.frames import Completion


def request_body(request: Completion, quirks: frozenset[str]) -> Json:
    """Return the client's body for the vendor; proofs of other vendors' reasoning, which it could not read, are gone.

    Quirks: ``no stream_options`` (the vendor counts unasked and refuses the field).
    """
    body = openai_body(request, quirks)
    messages = body.get("messages")
    if isinstance(messages, list):
        found = cast("list[Any]", messages)
        for message in found:
            if isinstance(message, dict) and ("tool_calls" in message or "reasoning_details" in message):
                body["messages"] = [_own(each) for each in found]
                break
    return body


def _own(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    fields = cast("Json", message)
    details, calls = fields.get("reasoning_details"), fields.get("tool_calls")
    changed: Json = {}
    if isinstance(details, list):
        kept = [entry for entry in cast("list[Any]", details) if not _foreign(entry)]
        if len(kept) < len(cast("list[Any]", details)):
            changed["reasoning_details"] = kept
    if isinstance(calls, list):
        kept = [_call(call) for call in cast("list[Any]", calls)]
        if any(one is not other for one, other in zip(kept, cast("list[Any]", calls), strict=True)):
            changed["tool_calls"] = kept
    if not changed:
        return fields
    own = {**fields, **changed}
    if own.get("reasoning_details") == []:
        del own["reasoning_details"]
    return own


def _foreign(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    fields = cast("Json", entry)
    return any(str(fields.get(name, "")).startswith(SEAL) for name in ("signature", "data"))


def _call(call: Any) -> Any:
    match call:
        case {"extra_content": {"google": {"thought_signature": str(value)}}} if value.startswith(SEAL):
            return {name: item for name, item in cast("Json", call).items() if name != "extra_content"}
        case _:
            return call
