"""Answers in OpenAI's completions, whole and streamed, written from the canonical form: its texts alone.

https://platform.openai.com/docs/api-reference/completions/object
"""

from typing import Any, Final, cast

import msgspec

from services.providers.domain.canonical import (
    Answer,
    Choice,
    Delta,
    Finish,
    Finished,
    Json,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
)
from services.providers.domain.dialect import Asked
from services.providers.domain.sse import DONE, encode_event
from services.providers.domain.usage import openai_usage_block
from shared.contracts.usage import Tokens

_ENCODE: Final = msgspec.json.Encoder().encode
_REASONS: Final = {
    Finish.LENGTH: "length",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.REFUSAL: "content_filter",
}


def encode_answer(answer: Answer, asked: Asked) -> bytes:
    """Write an answer."""
    return _ENCODE(
        {
            **_head(asked),
            "choices": [_choice(choice, index) for index, choice in enumerate(answer.choices)],
            "usage": openai_usage_block(answer.tokens),
        }
    )


def _head(asked: Asked) -> Json:
    return {"id": "cmpl-" + asked.id, "object": "text_completion", "created": asked.created, "model": asked.model}


def _choice(choice: Choice, index: int) -> Json:
    return {
        "text": "".join(part.text for part in choice.parts if isinstance(part, Text | RefusalText)),
        "index": index,
        "logprobs": _logprobs(choice.logprobs, 0),
        "finish_reason": _REASONS.get(choice.finish, "stop"),
    }


def _logprobs(said: Any, offset: int) -> Json | None:
    """Return chances as this dialect gives them; ``offset``: characters of the text before these tokens."""
    content = cast("Json", said).get("content") if isinstance(said, dict) else None
    if not isinstance(content, list):
        return None
    tokens: list[str] = []
    chances: list[Any] = []
    tops: list[dict[str, Any]] = []
    offsets: list[int] = []
    for raw in cast("list[Any]", content):
        entry = cast("Json", raw) if isinstance(raw, dict) else {}
        tokens.append(str(entry.get("token", "")))
        chances.append(entry.get("logprob"))
        others = entry.get("top_logprobs")
        near = (
            [cast("Json", top) for top in cast("list[Any]", others) if isinstance(top, dict)]
            if isinstance(others, list)
            else []
        )
        tops.append({str(top.get("token", "")): top.get("logprob") for top in near})
        offsets.append(offset)
        offset += len(tokens[-1])
    return {"tokens": tokens, "token_logprobs": chances, "top_logprobs": tops, "text_offset": offsets}


class Encoder:
    """Writes one stream; see ``StreamEncoder``."""

    __slots__ = ("_asked", "_head", "_sizes")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._head = encode_event(_ENCODE(_head(asked)))[:-3] + b',"choices":['
        self._sizes: dict[int, int] = {}

    def encode(self, delta: Delta) -> bytes:
        """Return the chunk that a delta of text or its end is; other deltas have no place here."""
        match delta:
            case TextDelta():
                offset = self._sizes.get(delta.choice, 0)
                self._sizes[delta.choice] = offset + len(delta.text)
                return self._chunk(delta.choice, delta.text, _logprobs(delta.logprobs, offset), None)
            case RefusalDelta():
                return self._chunk(delta.choice, delta.text, None, None)
            case Finished():
                return self._chunk(delta.choice, "", None, _REASONS.get(delta.reason, "stop"))
            case _:
                return b""

    def end(self, tokens: Tokens) -> tuple[bytes, bytes]:
        """Return the chunk of usage where the client asked for it, and the end mark."""
        if not self._asked.include_usage:
            return b"", DONE
        return self._head + b'],"usage":' + _ENCODE(openai_usage_block(tokens)) + b"}\n\n", DONE

    def _chunk(self, index: int, text: str, logprobs: Json | None, finish: str | None) -> bytes:
        choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}
        return self._head + _ENCODE(choice) + b"]}\n\n"
