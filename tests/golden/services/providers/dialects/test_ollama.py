"""Ollama's recorded answers, streams and requests: through the canonical form and back, and past it untouched."""

from typing import Any

import msgspec
import ollama
import pytest

from services.providers.domain.canonical import Answer, Ask, Counted, Delta, Message, Refused, Text
from services.providers.domain.dialect import Asked, Client
from services.providers.domain.dialects.ollama import dialect
from services.providers.domain.dialects.ollama.native import StreamReader, read_whole
from services.providers.domain.gathering import gathered
from shared.contracts.frames import Completion, Data, Fail, Tail
from shared.contracts.usage import NO_TOKENS
from tests.support.recordings import answers, recorded, streams

APIS: dict[str, tuple[Client, type[Any]]] = {
    "ollama-chat": (dialect.CHAT_CLIENT, ollama.ChatResponse),
    "ollama-generate": (dialect.GENERATE_CLIENT, ollama.GenerateResponse),
}
ASKED = Asked(
    id="ab", model="p/m", created=1_700_000_000, ask=Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
)
NOTHING_ASKED = {"api-18", "api-19", "api-7", "api-8"}
"""Of the documentation: requests that load or unload a model."""
NOT_LINES = {"api-3"}
"""Of the documentation: the text of the answer, shown again after it."""


def among(file: str, names: set[str]) -> bool:
    return any(f".{name}-" in file for name in names)


def request(name: str, *, stream: bool) -> Completion:
    return Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect=name,
        body={"messages": [{"role": "user", "content": "hi"}]}, stream=stream,
    )  # fmt: skip


def decoded(raw: bytes) -> list[Delta]:
    decoder = dialect.SPEECH.stream_decoder()
    return [delta for line in raw.splitlines() if line.strip() for delta in decoder.feed("", line)]


def said(answer: Answer) -> Any:
    """What both sides of a round can say."""
    return answer.choices, answer.tokens if answer.tokens.source == "provider" else None


@pytest.mark.parametrize("api", APIS)
def test_every_recorded_answer_is_the_same_after_a_round(api):
    client, response = APIS[api]
    passed = 0
    for file, raw in answers(api, "chat"):
        answer = dialect.SPEECH.decode_answer(msgspec.json.decode(raw))
        again = client.encode_answer(answer, ASKED)
        assert said(dialect.SPEECH.decode_answer(msgspec.json.decode(again)))[0] == answer.choices, file
        read = response.model_validate_json(again)
        assert (read.done, read.model) == (True, "p/m")
        if answer.tokens.source == "provider":
            assert (read.prompt_eval_count, read.eval_count) == (answer.tokens.input, answer.tokens.output), file
        passed += 1
    assert passed >= (25 if api == "ollama-chat" else 9)


@pytest.mark.parametrize("api", APIS)
def test_every_recorded_stream_is_the_same_after_a_round(api):
    client, response = APIS[api]
    passed = 0
    for file, raw in streams(api):
        if among(file, NOT_LINES):
            continue
        deltas = decoded(raw)
        encoder = client.stream_encoder(ASKED)
        counted = [delta.tokens for delta in deltas if isinstance(delta, Counted)]
        lines = b"".join(encoder.encode(delta) for delta in deltas[:-1])
        lines += b"".join(encoder.end(counted[-1] if counted else NO_TOKENS))
        assert gathered(decoded(lines)).choices == gathered(deltas).choices, file
        read = [response.model_validate_json(line) for line in lines.splitlines()]
        assert [part.done for part in read] == [False] * (len(read) - 1) + [True], file
        passed += 1
    assert passed >= (10 if api == "ollama-chat" else 3)


@pytest.mark.parametrize("api", APIS)
def test_every_recorded_request_is_understood(api):
    client, _ = APIS[api]
    passed = 0
    for case in [*recorded(api, "chat"), *recorded(api, "stream")]:
        body = case["request"].get("body")
        if not isinstance(body, dict):
            continue
        if among(case["file"], NOTHING_ASKED):
            with pytest.raises(Refused):
                client.decode_request(body)
            continue
        ask = client.decode_request(body)
        assert ask.stream == (body.get("stream") is not False)
        assert ask.messages
        passed += 1
    assert passed >= (10 if api == "ollama-chat" else 8)


@pytest.mark.parametrize("step", [1, 7, 10_000_000])
@pytest.mark.parametrize("api", APIS)
def test_every_recorded_stream_passes_byte_equal_at_any_split(api, step):
    passed = 0
    for file, raw in streams(api):
        if among(file, NOT_LINES):
            continue
        reader = StreamReader(request(api.replace("-", "_"), stream=True))
        frames = [frame for at in range(0, len(raw), step) for frame in reader.feed(raw[at : at + step])]
        if not isinstance(frames[-1], Tail):
            frames += reader.finish()
        tail = frames[-1]
        assert isinstance(tail, Tail), file
        shown = b"".join(frame.payload for frame in frames if isinstance(frame, Data)) + tail.closing
        assert shown.strip() == raw.strip(), file
        passed += 1
    assert passed >= (10 if api == "ollama-chat" else 3)


@pytest.mark.parametrize("api", APIS)
def test_every_recorded_answer_passes_untouched(api):
    for file, raw in answers(api, "chat"):
        frames = read_whole(request(api.replace("-", "_"), stream=False), raw)
        if isinstance(frames[0], Fail):
            assert "api-7" in file, file  # says neither why it is empty nor anything else
            continue
        assert frames[0] == Data(raw, content=True), file


def test_every_recorded_vector_is_the_same_after_a_round():
    passed = 0
    for file, raw in answers("ollama-embed", "embeddings"):
        body = msgspec.json.decode(raw)
        if "embedding" in body:
            continue  # of the older /api/embeddings, which vendors are not asked for
        found = dialect.EMBED_SPEECH.decode_answer(body)
        again = dialect.EMBED_CLIENT.encode_answer(found, "p/m")
        assert list(found.vectors) == body["embeddings"], file
        assert ollama.EmbedResponse.model_validate_json(again).embeddings == body["embeddings"]
        passed += 1
    assert passed >= 4
