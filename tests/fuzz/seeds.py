"""Bytes that a mutation begins with: something of every dialect, and the recorded traffic where it is there."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

RECORDINGS: Final = Path(__file__).parents[2].parent / "shared" / "recordings"
_MOST: Final = 8_192
_CHAT: Final[tuple[dict[str, Any], ...]] = (
    {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}]}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
)
_ANTHROPIC: Final[tuple[dict[str, Any], ...]] = (
    {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
_RESPONSES: Final[tuple[dict[str, Any], ...]] = (
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "a"},
    {"type": "response.completed", "response": {"output": [], "usage": {"input_tokens": 1, "output_tokens": 2}}},
)
_GEMINI: Final[tuple[dict[str, Any], ...]] = (
    {"candidates": [{"content": {"parts": [{"text": "a"}, {"functionCall": {"name": "f", "args": {}}}]}}]},
    {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2}},
)
_OLLAMA: Final[tuple[dict[str, Any], ...]] = (
    {"message": {"content": "a", "thinking": "b", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}},
    {"response": "a"},
    {"done": True, "done_reason": "stop", "prompt_eval_count": 1, "eval_count": 2},
)
_ENCODE: Final = msgspec.json.encode
_OWN: Final = (
    b"".join(b"data: " + _ENCODE(event) + b"\n\n" for event in _CHAT) + b"data: [DONE]\n\n",
    b"".join(b"event: " + event["type"].encode() + b"\ndata: " + _ENCODE(event) + b"\n\n" for event in _ANTHROPIC),
    b"".join(b"data: " + _ENCODE(event) + b"\n\n" for event in _RESPONSES),
    b"".join(b"data: " + _ENCODE(event) + b"\r\n\r\n" for event in _GEMINI),
    b"".join(_ENCODE(line) + b"\n" for line in _OLLAMA),
    _ENCODE({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}),
    _ENCODE({"type": "message", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}], "usage": {}}),
    _ENCODE(_GEMINI[0]),
    _ENCODE(_OLLAMA[0]),
    _ENCODE({"embeddings": [[0.5]], "data": [{"index": 0, "embedding": "AAAAPw=="}], "prompt_eval_count": 1}),
    _ENCODE({"error": {"message": "slow down", "type": "rate_limit_error", "code": 429, "metadata": {"raw": "x"}}}),
    b"\x01\x00\x00\x00\x02hi\x03\x00\x00\x00\x0f" + b'{"type":"tail"}',
)
_PLACES: Final = (
    b"null",
    b"-1",
    b"[]",
    b"{}",
    b'""',
    b"1e999",
    b"true",
    b'"\\ud800"',
    b"[[[[[[[[",
    b"\n\n",
    b"\r",
    b"data: ",
)


def seeds() -> list[bytes]:
    """Return the seeds, the longest cut."""
    return [*_OWN, *(raw[:_MOST] for raw in _recorded())]


def _recorded() -> Iterator[bytes]:
    for path in sorted(RECORDINGS.glob("*/*/*.json"))[::3]:
        answer: dict[str, Any] = msgspec.json.decode(path.read_bytes())["response"]
        raw = answer.get("raw")
        yield raw.encode() if isinstance(raw, str) else msgspec.json.encode(answer.get("body"))


def mutations(begin: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Yield mutated seeds without end: bytes turned, cut out, put in, doubled, and two seeds crossed."""
    while True:
        data = bytearray(chance.choice(begin))
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(6):
                case 0 if data:
                    data[at % len(data)] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randint(1, 64)]
                case 2:
                    data[at:at] = chance.choice(_PLACES)
                case 3:
                    data[at:at] = data[at : at + chance.randint(1, 256)]
                case 4:
                    data[at:] = chance.choice(begin)[at:]
                case _:
                    data[at : at + chance.randint(1, 12)] = chance.choice(_PLACES)
        yield bytes(data[: 2 * _MOST])
