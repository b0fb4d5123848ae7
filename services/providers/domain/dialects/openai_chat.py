"""OpenAI's chat completions towards a vendor that speaks them: the request as it came, but for the model's name.

https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Any, Final, cast

from services.providers.domain.dialect import Native
from services.providers.domain.passthrough import StreamReader, read_whole
from shared.contracts.frames import Completion

_OURS: Final = ("models",)


def request_body(request: Completion, quirks: frozenset[str]) -> dict[str, Any]:
    """Return the client's body with the vendor's model, usage asked for in streams, LocalRouter's own fields gone.

    Quirks: ``no stream_options`` (the vendor counts unasked and refuses the field).
    """
    body = dict(request.body)
    body["model"] = request.native_id
    for name in _OURS:
        body.pop(name, None)
    usage = body.get("usage")
    if isinstance(usage, dict) and "include" in usage:
        del body["usage"]
    if not request.stream:
        body.pop("stream_options", None)
    elif "no stream_options" not in quirks:
        options = body.get("stream_options")
        given = cast("dict[str, Any]", options) if isinstance(options, dict) else {}
        body["stream_options"] = {**given, "include_usage": True}
    else:
        body.pop("stream_options", None)
    if request.stream:
        body["stream"] = True
    return body


NATIVE: Final = Native(
    name="openai_chat", path="/chat/completions", request_body=request_body, reader=StreamReader, whole=read_whole
)
COMPLETIONS_NATIVE: Final = Native(
    name="openai_completions", path="/completions", request_body=request_body, reader=StreamReader, whole=read_whole
)
