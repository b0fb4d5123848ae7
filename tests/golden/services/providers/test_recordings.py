"""What real vendors answered, read as it would be today; skipped where the recordings do not lie beside the project."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.providers.domain.errors import failed
from services.providers.domain.registry import VENDORS
from services.providers.domain.translate import translated
from services.providers.domain.usage import openai_usage
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Tail

FOLDER = Path(__file__).parents[4].parent / "shared" / "recordings"
COMPATIBLE = ("openai", "groq", "mistral", "deepseek", "openrouter", "azure", "xai", "together", "cerebras", "alibaba")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def recordings() -> list[dict[str, Any]]:
    return [
        {**msgspec.json.decode(path.read_bytes()), "file": path.name}
        for provider in (*COMPATIBLE, "ollama")
        for kind in ("chat", "stream", "error")
        for path in sorted((FOLDER / provider / kind).glob("*.json"))
    ]


def of(kind: str, api: str) -> Iterator[dict[str, Any]]:
    found = [case for case in recordings() if case["kind"] == kind and case["api"] == api]
    if not found:
        pytest.skip(f"0 recordings of {api} {kind}: {FOLDER} is not there")
    return iter(found)


def asked(case: dict[str, Any], *, stream: bool, dialect: str = "openai_chat") -> Completion:
    body = case["request"].get("body")
    return Completion(
        attempt_id="01900000-0000-7000-8000-000000000001",
        request_id="r",
        provider_id="p",
        native_id="m",
        model="p/m",
        dialect=dialect,
        body=body if isinstance(body, dict) else {"messages": []},
        stream=stream,
        include_usage=True,
    )


def read(request: Completion, vendor: str, raw: bytes, *, step: int = 0) -> list[Any]:
    out = translated(request, VENDORS[vendor], 0)
    assert not isinstance(out, Fail), out
    if not request.stream:
        return out.whole(raw)
    reader = out.reader()
    frames: list[Any] = []
    for chunk in [raw] if not step else [raw[at : at + step] for at in range(0, len(raw), step)]:
        frames += reader.feed(chunk)
        if frames and isinstance(frames[-1], Tail | Fail):
            return frames
    return frames + reader.finish()


def last_usage(raw: str) -> Any:
    found = None
    for line in raw.splitlines():
        if line.startswith("data:") and line[5:].strip() not in ("", "[DONE]"):
            event = msgspec.json.decode(line[5:].strip())
            found = event.get("usage") or (event.get("x_groq") or {}).get("usage") or found
    return found


def ended(raw: str) -> bool:
    return "[DONE]" in raw or '"finish_reason":"' in raw.replace(": ", ":")


@pytest.mark.parametrize("step", [0, 7, 1000])
def test_every_recorded_stream_passes_byte_equal_and_is_counted_as_it_says(step):
    passed = 0
    for case in of("stream", "openai-chat"):
        raw = case["response"].get("raw")
        if not raw or case["response"].get("status") != 200 or not raw.endswith(("\n\n", "[DONE]\n\n")):
            continue
        frames = read(asked(case, stream=True), "openai-compatible", raw.encode(), step=step)
        last = frames[-1]
        streamed = b"".join(frame.payload for frame in frames if isinstance(frame, Data))
        if isinstance(last, Fail):
            assert last.kind in (FailureKind.CUT, FailureKind.MALFORMED) or '"error"' in raw, (case["file"], last)
            assert not ended(raw) or "error" in raw or last.kind is FailureKind.MALFORMED, (case["file"], last)
            continue
        whole = streamed + (last.closing if "[DONE]" in raw else b"")
        assert whole.strip() == raw.encode().strip(), case["file"]
        usage = openai_usage(last_usage(raw))
        if usage is not None and usage.source == "provider":
            assert last.tokens == usage, case["file"]
        else:
            assert last.tokens.source == "estimated", case["file"]
        passed += 1
    assert passed >= 100


def test_every_recorded_answer_passes_untouched_and_is_counted_as_it_says():
    passed = 0
    for case in of("chat", "openai-chat"):
        body = case["response"].get("body")
        if case["response"].get("status") != 200 or not isinstance(body, dict) or "choices" not in body:
            continue
        raw = msgspec.json.encode(body)
        frames = read(asked(case, stream=False), "openai-compatible", raw)
        if len(frames) != 2:
            assert frames[0].kind is FailureKind.MALFORMED
            continue
        data, tail = frames
        assert data.payload == raw
        usage = openai_usage(body.get("usage"))
        if usage is not None and usage.source == "provider":
            block = body["usage"]
            counted = tail.tokens
            total = counted.input + counted.cached + counted.cache_write + counted.output
            if "total_tokens" in block:
                assert total == block["total_tokens"] or case["provider"] == "xai", case["file"]
        passed += 1
    assert passed >= 100


def test_every_recorded_chat_of_ollama_becomes_one_of_openai():
    passed = 0
    for case in of("chat", "ollama-chat"):
        body = case["response"].get("body")
        if case["response"].get("status") != 200 or not isinstance(body, dict) or "message" not in body:
            continue
        request = asked(case, stream=False)
        request.body = {"messages": [{"role": "user", "content": "hi"}]}
        frames = read(request, "ollama", msgspec.json.encode(body))
        if len(frames) == 1:
            assert frames[0].kind is FailureKind.MALFORMED, case["file"]
            assert not body["message"].get("content"), case["file"]
            continue
        data, tail = frames
        answer = msgspec.json.decode(data.payload)
        message = answer["choices"][0]["message"]
        assert (message["content"] or "") == body["message"].get("content", ""), case["file"]
        assert len(message.get("tool_calls", [])) == len(body["message"].get("tool_calls") or [])
        if body["message"].get("tool_calls"):
            assert tail.finish_reason == "tool_calls"
        if "eval_count" in body and "prompt_eval_count" in body:
            assert (tail.tokens.input, tail.tokens.output) == (body["prompt_eval_count"], body["eval_count"])
        passed += 1
    assert passed >= 10


@pytest.mark.parametrize("step", [0, 7])
def test_every_recorded_stream_of_ollama_becomes_one_of_openai(step):
    passed = 0
    for case in of("stream", "ollama-chat"):
        raw = case["response"]["raw"]
        request = asked(case, stream=True)
        request.body = {"messages": [{"role": "user", "content": "hi"}]}
        frames = read(request, "ollama", raw.encode(), step=step)
        lines = [msgspec.json.decode(line) for line in raw.splitlines() if line.strip()]
        last = frames[-1]
        if isinstance(last, Fail):
            assert last.kind in (FailureKind.CUT, FailureKind.MALFORMED), case["file"]
            assert not lines[-1].get("done") or not any(line["message"].get("content") for line in lines[:-1])
            continue
        events = [
            msgspec.json.decode(event[6:])
            for frame in frames
            if isinstance(frame, Data)
            for event in frame.payload.decode().split("\n\n")
            if event
        ]
        deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
        assert deltas[0] == {"role": "assistant", "content": ""}
        text = "".join(delta.get("content", "") for delta in deltas)
        assert text == "".join((line.get("message") or {}).get("content") or "" for line in lines)
        called = any((line.get("message") or {}).get("tool_calls") for line in lines)
        assert (last.finish_reason == "tool_calls") == called
        assert len({event["id"] for event in events}) == 1
        passed += 1
    assert passed >= 4


def test_every_recorded_error_is_of_a_sensible_kind():
    sensible = {
        400: {FailureKind.INVALID_REQUEST, FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_POLICY,
              FailureKind.UNSUPPORTED, FailureKind.MODEL_NOT_FOUND, FailureKind.QUOTA},
        401: {FailureKind.AUTHENTICATION},
        402: {FailureKind.QUOTA},
        403: {FailureKind.AUTHENTICATION, FailureKind.CONTENT_POLICY, FailureKind.QUOTA},
        404: {FailureKind.MODEL_NOT_FOUND},
        413: {FailureKind.CONTEXT_LENGTH, FailureKind.RATE_LIMITED},
        422: {FailureKind.INVALID_REQUEST, FailureKind.UNSUPPORTED, FailureKind.CONTEXT_LENGTH},
        429: {FailureKind.RATE_LIMITED, FailureKind.QUOTA, FailureKind.OVERLOADED},
        500: {FailureKind.SERVER_ERROR},
        502: {FailureKind.SERVER_ERROR},
        503: {FailureKind.OVERLOADED},
    }  # fmt: skip
    seen = 0
    for case in of("error", "openai-chat"):
        status = case["response"].get("status")
        body = case["response"].get("body") or case["response"].get("raw") or ""
        raw = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        if not isinstance(status, int) or status < 400:
            continue
        headers = {name.lower(): value for name, value in (case["response"].get("headers") or {}).items()}
        failure = failed(status, raw, headers, now=NOW)
        assert failure.kind in sensible[status], (case["file"], failure)
        assert failure.message
        seen += 1
    assert seen >= 10


def test_every_recorded_text_completion_passes_untouched():
    passed = 0
    for case in [*of("stream", "openai-completions"), *of("chat", "openai-completions")]:
        stream = case["kind"] == "stream"
        body = case["response"].get("raw") if stream else case["response"].get("body")
        if case["response"].get("status") != 200 or not body:
            continue
        raw = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        frames = read(asked(case, stream=stream, dialect="openai_completions"), "openai-compatible", raw)
        last = frames[-1]
        if isinstance(last, Fail):
            assert case.get("note"), (case["file"], last)
            continue
        shown = b"".join(frame.payload for frame in frames if isinstance(frame, Data))
        assert (shown + last.closing).strip() == raw.strip(), case["file"]
        passed += 1
    assert passed >= 8
