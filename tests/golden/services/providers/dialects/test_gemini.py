"""Every recorded answer of Gemini and Vertex, read and given back as a later turn would give it.

Skipped where the recordings do not lie beside the project.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import (
    Answer,
    Ask,
    Delta,
    Finish,
    Message,
    Opaque,
    Text,
    Thinking,
    ToolCall,
)
from services.providers.domain.catalog import read_list
from services.providers.domain.dialect import Wire
from services.providers.domain.dialects.gemini.dialect import COUNTING, EMBED_SPEECH, SPEECH
from services.providers.domain.gathering import gathered
from services.providers.domain.sse import Framer, parse_event, split_events

FOLDER = Path(__file__).parents[5].parent / "shared" / "recordings"
PROVIDERS = ("gemini", "vertex")
EXCEPTIONS = {
    "prism.stream-basic-text-1-0-018522": "written by hand: no blank lines between events",
    "pydantic-ai.TestGoogle-test-vertex-query-0-4c3298": "Vertex's predict, which is not spoken here",
}
FINISH = {"MAX_TOKENS": Finish.LENGTH, 2: Finish.LENGTH, "SAFETY": Finish.CONTENT_FILTER}
WIRE = Wire(native_id="gemini-2.5-flash")


def of(*kinds: str, api: str) -> Iterator[dict[str, Any]]:
    found = [
        {**case, "file": path.stem}
        for provider in PROVIDERS
        for kind in kinds
        for path in sorted((FOLDER / provider / kind).glob("*.json"))
        if (case := msgspec.json.decode(path.read_bytes()))["api"] == api and path.stem not in EXCEPTIONS
    ]
    if not found:
        pytest.skip(f"0 recordings of {api} {kinds}: {FOLDER} is not there")
    return iter(found)


def pieces(case: dict[str, Any]) -> list[dict[str, Any]]:
    """What was recorded, as it was sent: one answer, or the pieces of a stream."""
    if "raw" not in case["response"]:
        return [case["response"]["body"]]
    return [msgspec.json.decode(line[5:]) for line in case["response"]["raw"].splitlines() if line.startswith("data:")]


def read(case: dict[str, Any]) -> Answer:
    if "raw" not in case["response"]:
        return SPEECH.decode_answer(case["response"]["body"])
    return gathered(deltas_of(case["response"]["raw"].encode()))


def deltas_of(raw: bytes, cuts: tuple[int, ...] = ()) -> list[Delta]:
    framer, decoder = Framer(), SPEECH.stream_decoder()
    found: list[Delta] = []
    bounds = (0, *cuts, len(raw))
    wholes = [framer.feed(raw[start:end]) for start, end in itertools.pairwise(bounds)]
    for whole in (*wholes, framer.rest().strip() + b"\n\n"):
        for event in map(parse_event, split_events(whole)):
            if event is not None and event.data:
                found += decoder.feed(event.event, event.data)
    return found


def parts_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        part
        for piece in pieces(case)
        for candidate in piece.get("candidates") or []
        for part in candidate.get("content", {}).get("parts") or []
    ]


def words(parts: list[dict[str, Any]], *, thought: bool) -> str:
    return "".join(part.get("text", "") for part in parts if bool(part.get("thought")) is thought)


def test_every_recorded_answer_and_stream_is_read_with_nothing_lost():
    counts = {"chat": 0, "stream": 0}
    for case in of("chat", "stream", api="gemini-generateContent"):
        answer, parts = read(case), parts_of(case)
        (choice,) = answer.choices
        assert "".join(p.text for p in choice.parts if isinstance(p, Text)) == words(parts, thought=False), case["file"]
        assert "".join(p.text for p in choice.parts if isinstance(p, Thinking)) == words(parts, thought=True)
        called = [part["functionCall"] for part in parts if "functionCall" in part]
        calls = [part for part in choice.parts if isinstance(part, ToolCall)]
        assert [(c.name, msgspec.json.decode(c.arguments)) for c in calls] == [(c["name"], c["args"]) for c in called]
        assert [c.id for c in calls] == [said.get("id", made.id) for said, made in zip(called, calls, strict=True)]
        assert len({c.id for c in calls}) == len(calls)
        others = [p for p in parts if not {"text", "functionCall", "inlineData"} & p.keys()]
        assert [p.raw for p in choice.parts if isinstance(p, Opaque)] == others
        assert signatures(choice.parts) == [p["thoughtSignature"] for p in parts if "thoughtSignature" in p]
        last = pieces(case)[-1]
        assert (answer.model, answer.id) == (pieces(case)[0]["modelVersion"], pieces(case)[0].get("responseId"))
        reason = (last.get("candidates") or [{}])[0].get("finishReason", "SAFETY")
        wanted = FINISH.get(reason, Finish.STOP)
        assert choice.finish is (Finish.TOOL_CALLS if calls and wanted is Finish.STOP else wanted), case["file"]
        usage = last["usageMetadata"]
        if "promptTokenCount" in usage:
            tokens = answer.tokens
            assert tokens.source == "provider", case["file"]
            assert tokens.reasoning == usage.get("thoughtsTokenCount", 0)
            assert tokens.cached == usage.get("cachedContentTokenCount", 0)
            if "media-detection" not in case["file"]:  # its total was made up: less than its prompt
                assert tokens.input + tokens.cached + tokens.output == usage["totalTokenCount"], case["file"]
        counts[case["kind"]] += 1
    print(counts)
    assert counts["chat"] >= 110
    assert counts["stream"] >= 61


def signatures(parts: tuple[Any, ...]) -> list[str]:
    found: list[str] = []
    for part in parts:
        if isinstance(part, Opaque):
            found += [part.raw["thoughtSignature"]] if "thoughtSignature" in part.raw else []
        elif getattr(part, "signature", None) is not None:
            found.append(part.signature.value)
    return found


def test_every_recorded_answer_goes_back_as_it_came():
    given = 0
    for case in of("chat", api="gemini-generateContent"):
        (choice,) = read(case).choices
        made = {call.name: call.id for call in choice.parts if isinstance(call, ToolCall)}
        ask = Ask(messages=(Message(role="assistant", parts=choice.parts),))
        contents = SPEECH.encode_request(ask, WIRE)["contents"]
        wanted = [
            {**part, "functionCall": {"id": made[part["functionCall"]["name"]], **part["functionCall"]}}
            if "functionCall" in part
            else part
            for part in parts_of(case)
            if not part.get("thought") and (part.keys() != {"text"} or part["text"])
        ]
        if len(made) == len([part for part in choice.parts if isinstance(part, ToolCall)]):
            assert (contents[0]["parts"] if contents else []) == wanted, case["file"]
            given += 1
    assert given >= 105


@pytest.mark.parametrize("every", [97, pytest.param(1, marks=pytest.mark.faults)])
def test_a_recorded_stream_is_the_same_however_it_is_split(every):
    short = 0
    for case in of("stream", api="gemini-generateContent"):
        raw = case["response"]["raw"].encode()
        step = 1 if len(raw) < 900 else every
        wanted = deltas_of(raw)
        for cut in range(1, len(raw), step):
            assert deltas_of(raw, (cut,)) == wanted, (case["file"], cut)
        short += step == 1
    assert short >= 3


def test_a_stream_and_a_whole_answer_of_the_same_pieces_say_the_same():
    for case in of("chat", api="gemini-generateContent"):
        raw = b"data: " + msgspec.json.encode(case["response"]["body"]) + b"\r\n\r\n"
        assert gathered(deltas_of(raw)) == read(case), case["file"]


def test_every_recorded_vector_is_read():
    counted = 0
    for case in of("embeddings", api="gemini-embeddings"):
        body = case["response"]["body"]
        rows = body.get("embeddings") or [body["embedding"]]
        assert list(EMBED_SPEECH.decode_answer(body).vectors) == [row["values"] for row in rows]
        counted += 1
    assert counted == 7


def test_every_recorded_count_is_read():
    counted = 0
    for case in of("count_tokens", api="count_tokens"):
        assert COUNTING.decode_answer(case["response"]["body"]) == case["response"]["body"]["totalTokens"]
        counted += 1
    assert counted == 6


def test_the_recorded_lists_of_models_are_read():
    listed = [model for case in of("models", api="models") for model in read_list(case["response"]["body"])]
    serving = {model.native_id: model for model in listed if model.capabilities}
    assert {"gemini-2.5-pro", "gemini-3-pro-preview", "gemini-embedding-001"} <= serving.keys()
    assert not [name for name in serving if name.startswith(("imagen", "veo", "aqa")) or "tts" in name]
    assert (serving["gemini-2.5-pro"].context_window, serving["gemini-2.5-pro"].max_output) == (1_048_576, 65_536)
