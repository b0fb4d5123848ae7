"""What Ollama's answers are made of: a whole one and every line of a stream have the same shape.

https://github.com/ollama/ollama/blob/main/docs/api.md, https://github.com/ollama/ollama/blob/main/api/types.go
"""

from typing import Any, Final

import msgspec

from services.providers.domain.canonical import Finish


class Function(msgspec.Struct, gc=False):
    """What is called."""

    name: str
    arguments: Any = None


class Call(msgspec.Struct, gc=False):
    """A call, always whole; newer servers give it an id."""

    function: Function
    id: str | None = None


class Said(msgspec.Struct, gc=False):
    """What the model says."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None
    images: list[str] | None = None


class Line(msgspec.Struct, gc=False):
    """An answer of chat (``message``) or of generate (``response``, ``thinking``), or a line of one."""

    message: Said | None = None
    response: str | None = None
    thinking: str | None = None
    model: str | None = None
    created_at: Any = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    logprobs: Any = None
    error: Any = None

    def said(self) -> Said | None:
        """Return what is said, in whichever of the two forms."""
        if self.message is None and (self.response is not None or self.thinking is not None):
            return Said(content=self.response, thinking=self.thinking)
        return self.message


LINE: Final = msgspec.json.Decoder(Line)
LINES: Final = msgspec.json.Decoder(list[Line])
ENCODE: Final = msgspec.json.Encoder().encode

STREAM_TYPE: Final = "application/x-ndjson"
NOTHING_ASKED: Final = ("load", "unload")
"""Reasons with which an answer is empty because nothing was asked: the model was loaded, or unloaded."""

_FINISH: Final = {
    "length": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
    "refusal": Finish.REFUSAL,
    "pause": Finish.PAUSE,
}


def finish_of(done_reason: str | None, *, called: bool) -> Finish:
    """Return why an answer ended: Ollama says ``stop`` of calls too, and nothing at all in its older versions."""
    if called:
        return Finish.TOOL_CALLS
    return _FINISH.get(done_reason or "", Finish.STOP)


def done_reason_of(finish: Finish) -> str:
    """Return Ollama's word; where it has none, the word of the form in the middle."""
    return "stop" if finish is Finish.TOOL_CALLS else finish.value
