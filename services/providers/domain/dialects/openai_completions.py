"""OpenAI's older completions: passed through to vendors that have them, else asked of chat as one user message.

https://platform.openai.com/docs/api-reference/completions/create
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import msgspec

from services.providers.domain.dialect import Outgoing, Reader, unsupported
from services.providers.domain.sse import encode_event, event_data, split_events
from shared.contracts.frames import Completion, Data, Fail, Frame
from shared.contracts.usage import Tokens

_ENCODE: Final = msgspec.json.Encoder().encode
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "echo": (False,),
    "best_of": (1,),
    "suffix": ("",),
    "logprobs": (),
}
"""What a chat cannot do, with the values that ask for nothing."""


def as_chat(request: Completion) -> tuple[Completion, tuple[str, ...]] | Fail:
    """Return the same request as a chat, and what had to be dropped; or why it cannot be one."""
    body = dict(request.body)
    prompt = _one_text(body.pop("prompt", None))
    if prompt is None:
        return unsupported("prompt", "this model takes chats alone: prompt must be one text")
    dropped: list[str] = []
    for name, neutral in _NEUTRAL.items():
        value = body.pop(name, None)
        if value is None or value in neutral:
            continue
        if not request.drop_params:
            return unsupported(name, f"this model takes chats alone, which know no {name}")
        dropped.append(name)
    body["messages"] = [{"role": "user", "content": prompt}]
    chat = msgspec.structs.replace(request, dialect="openai_chat", body=body)
    return chat, tuple(dropped)


def _one_text(prompt: object) -> str | None:
    if isinstance(prompt, list):
        prompts = cast("list[object]", prompt)
        prompt = prompts[0] if len(prompts) == 1 else None
    return prompt if isinstance(prompt, str) else None


def over_chat(chat: Outgoing, dropped: tuple[str, ...]) -> Outgoing:
    """Return the outgoing chat with its answer read back as completions."""
    return Outgoing(
        path=chat.path,
        body=chat.body,
        reader=lambda: _CompletionsReader(chat.reader()),
        whole=partial(_read_whole, chat.whole),
        dropped=(*dropped, *chat.dropped),
    )


class _CompletionsReader:
    """Reads the stream of a chat as one of completions."""

    def __init__(self, chat: Reader) -> None:
        self._chat = chat

    @property
    def alive(self) -> bool:
        return self._chat.alive

    def feed(self, data: bytes) -> list[Frame]:
        return _frames(self._chat.feed(data))

    def finish(self) -> list[Frame]:
        return _frames(self._chat.finish())

    def tokens(self) -> Tokens:
        return self._chat.tokens()


def _frames(frames: list[Frame]) -> list[Frame]:
    return [_chunks(frame) if isinstance(frame, Data) else frame for frame in frames]


def _chunks(frame: Data) -> Data:
    events = [
        event if data is None else encode_event(_ENCODE(completion_of(msgspec.json.decode(data), "delta")))
        for event in split_events(frame.payload)
        for data in (event_data(event),)
    ]
    return Data(b"".join(events), content=frame.content)


def _read_whole(chat: Callable[[bytes], list[Frame]], body: bytes) -> list[Frame]:
    frames = chat(body)
    return [
        Data(_ENCODE(completion_of(msgspec.json.decode(frame.payload), "message")), content=frame.content)
        if isinstance(frame, Data)
        else frame
        for frame in frames
    ]


def completion_of(chat: dict[str, Any], part: str) -> dict[str, Any]:
    """Return a parsed chat answer, or a chunk of one, as a text completion; ``part``: ``message`` or ``delta``."""
    choices: list[dict[str, Any]] = [
        {
            "text": (choice.get(part) or {}).get("content") or "",
            "index": choice.get("index", 0),
            "logprobs": None,
            "finish_reason": choice.get("finish_reason"),
        }
        for choice in cast("list[dict[str, Any]]", chat.get("choices") or [])
    ]
    answer = {name: chat[name] for name in ("id", "created", "model", "system_fingerprint", "usage") if name in chat}
    answer["id"] = str(answer.get("id", "")).replace("chatcmpl-", "cmpl-")
    return {**answer, "object": "text_completion", "choices": choices}
