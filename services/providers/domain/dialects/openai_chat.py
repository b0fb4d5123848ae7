"""OpenAI's chat completions towards a vendor that speaks them: the request as it came, but for the model's name.

https://platform.openai.com/docs/api-reference/chat/create
"""

from functools import partial
from typing import Any, Final, cast

from services.providers.domain.dialect import Outgoing
from services.providers.domain.passthrough import StreamReader, read_whole
from services.providers.domain.vendor import Vendor
from shared.contracts.frames import Completion

_OURS: Final = ("models",)


def outgoing(request: Completion, vendor: Vendor) -> Outgoing:
    """Return the request to send."""
    return Outgoing(
        path=vendor.chat_path,
        body=request_body(request, vendor),
        reader=partial(StreamReader, request),
        whole=partial(read_whole, request),
    )


def request_body(request: Completion, vendor: Vendor) -> dict[str, Any]:
    """Return the client's body with the vendor's model, usage asked for in streams, LocalRouter's own fields gone."""
    body = dict(request.body)
    body["model"] = request.native_id
    for name in _OURS:
        body.pop(name, None)
    usage = body.get("usage")
    if isinstance(usage, dict) and "include" in usage:
        del body["usage"]
    if not request.stream:
        body.pop("stream_options", None)
    elif vendor.stream_usage:
        options = body.get("stream_options")
        given = cast("dict[str, Any]", options) if isinstance(options, dict) else {}
        body["stream_options"] = {**given, "include_usage": True}
    else:
        body.pop("stream_options", None)
    if request.stream:
        body["stream"] = True
    return body
