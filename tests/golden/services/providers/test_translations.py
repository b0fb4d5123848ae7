"""Every recorded answer of every family, through every client's dialect, read by that dialect's official SDK.

``pytest -s`` shows the counts of each family and client.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import (
    Answer,
    Ask,
    Failed,
    Media,
    Message,
    RefusalText,
    Text,
    Thinking,
    ToolCall,
)
from services.providers.domain.dialect import Asked, Malformed, Speech, VendorFailed
from services.providers.domain.errors import UNREADABLE
from services.providers.domain.gathering import gathered
from services.providers.domain.ndjson import Lines
from services.providers.domain.registry import CLIENTS, SPEECHES
from services.providers.domain.sse import Framer, parse_event, split_events
from services.providers.domain.translating import TranslatedStream, read_translated
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Tail
from tests.support.recordings import answers, streams
from tests.support.sdk_objects import SDKS, Seen, arguments

FAMILIES = {
    "openai_chat": ("openai-chat", "chat"),
    "anthropic_messages": ("anthropic-messages", "messages"),
    "gemini": ("gemini-generateContent", "chat"),
    "ollama_chat": ("ollama-chat", "chat"),
    "openai_responses": ("openai-responses", "responses"),
    "cohere_chat": ("cohere-chat", "chat"),
}
BODY: dict[str, Any] = {"model": "p/m", "messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "input": "hi"}
ASK = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0123456789abcdef" * 2, model="p/m", created=1_700_000_000, ask=ASK, include_usage=True, body=BODY)

_PASSED_ON = "goes on to clients of the same dialect as its vendor wrote it, which the SDK's types do not know"
EXCEPTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("openrouter/chat/pydantic-ai.test-openrouter-file-annotation-0", "openai_chat"): (
        "ValidationError: 2 validation errors for ChatCompletion\nchoices.0.message.annotations.0.type",
        f"a file annotation {_PASSED_ON}",
    ),
    ("anthropic/messages/pydantic-ai.test-anthropic-advisor-tool-0", "anthropic_messages"): (
        "ValidationError: 91 validation errors for Message\ncontent.2.",
        f"'advisor' {_PASSED_ON}",
    ),
    ("anthropic/stream/pydantic-ai.test-anthropic-advisor-tool-stream-0", "anthropic_messages"): (
        "'advisor'",
        f"'advisor' {_PASSED_ON}",
    ),
    ("xai/responses/ai.xai-web-search-tool-1-0", "openai_responses"): (
        "ValidationError: 216 validation errors for Response\noutput.0.",
        f"xAI's web_search_call {_PASSED_ON}",
    ),
    ("xai/stream/ai.xai-web-search-tool-1-chunks-0", "openai_responses"): (
        "ValidationError: 274 validation errors for union[",
        f"xAI's web_search_call {_PASSED_ON}",
    ),
    ("openai/responses/openai-openapi.openapi-11", "openai_responses"): (
        "'web_search_call",
        f"a search without its action {_PASSED_ON}",
    ),
    ("openai/stream/pydantic-ai.test-openai-responses-model-web-search-tool-stream-0", "openai_responses"): (
        "ValidationError: 376 validation errors for union[",
        f"a search without its action {_PASSED_ON}",
    ),
    (
        "vertex/chat/pydantic-ai.test-google-vertexai-image-generation-with-output-format-0",
        "anthropic_messages",
    ): (
        "text: '![image](data:image/jpeg;base64,",
        "an answer of Anthropic's holds no image: it is shown as Markdown, among the words",
    ),
    ("vertex/chat/pydantic-ai.test-google-vertexai-image-generation-with-output-format-0", "ollama_chat"): (
        "ValidationError: 1 validation error for ChatResponse\nmessage.images.0",
        "the SDK's type of an image is for sending: it reads none back, also not from Ollama",
    ),
}
"""Start of a file's name and client → what alone differs, and why it cannot be otherwise."""
FAILURES: dict[str, tuple[FailureKind, str]] = {
    "azure/chat/openllmetry.test-prompt-content-filtering-0": (
        FailureKind.CONTENT_POLICY,
        "the vendor's safety refused the prompt",
    ),
    "groq/stream/pydantic-ai.test-tool-use-failed-error-streaming-with-text-0": (
        FailureKind.UNSUPPORTED,
        "the vendor ends with an error: no call where one was forced",
    ),
    "openrouter/stream/pydantic-ai.test-openrouter-stream-error-0": (
        FailureKind.INVALID_REQUEST,
        "the vendor ends with an error: its limit of tokens",
    ),
    "openai/stream/prism.stream-rate-limited-1-0": (FailureKind.RATE_LIMITED, "the vendor ends with an error"),
    "openai/stream/prism.stream-unknown-error-responses-1-0": (
        FailureKind.SERVER_ERROR,
        "the vendor ends with an error",
    ),
    "openrouter/chat/prism.structured-empty-content-1-0": (
        FailureKind.MALFORMED,
        "no content though the model says it was done: the next model is asked",
    ),
    "ollama/chat/ollama.api-18": (FailureKind.MALFORMED, "a model was loaded, nothing was asked"),
    "ollama/chat/ollama.api-19": (FailureKind.MALFORMED, "a model was unloaded, nothing was asked"),
    "gemini/stream/prism.stream-basic-text-1-0": (
        FailureKind.MALFORMED,
        "the recording has lost the blank lines between its events",
    ),
    "cohere/chat/dd-trace-py.completion-command-r-0": (FailureKind.MALFORMED, "of version 1 of the API"),
    "cohere/stream/openllmetry.test-cohere-chat-legacy-with-streaming-0": (
        FailureKind.MALFORMED,
        "of version 1 of the API",
    ),
    "cohere/stream/openllmetry.test-cohere-chat-legacy-with-streaming-async-0": (
        FailureKind.MALFORMED,
        "of version 1 of the API",
    ),
}
"""Start of a file's name → what every client is answered instead, and why."""


def request(client: str, *, stream: bool) -> Completion:
    return Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect=client, body=BODY,
        stream=stream, include_usage=True,
    )  # fmt: skip


def of_stream(speech: Speech, raw: bytes) -> Answer | None:
    """Return what a stream is in the canonical form; None: it failed, was cut or is not the dialect."""
    decoder = speech.stream_decoder()
    deltas: list[Any] = []
    try:
        if speech.framing == "ndjson":
            lines = Lines()
            events = [("", line) for line in [*lines.feed(raw), *lines.end()]]
        else:
            framer = Framer()
            parsed = [parse_event(event) for event in split_events(framer.feed(raw) + framer.rest() + b"\n\n")]
            events = [(event.event, event.data) for event in parsed if event is not None and event.data]
        for name, data in events:
            deltas += decoder.feed(name, data)
    except (Malformed, *UNREADABLE):
        return None
    if any(isinstance(delta, Failed) for delta in deltas):
        return None
    return gathered(deltas)


def of_whole(speech: Speech, body: bytes) -> Answer | None:
    try:
        return speech.decode_answer(msgspec.json.decode(body))
    except (Malformed, VendorFailed, *UNREADABLE):
        return None


def expected(answer: Answer, tail: Tail, client: str) -> Seen:
    choice = answer.choices[0]
    tokens = tail.tokens
    return Seen(
        text="".join(part.text for part in choice.parts if isinstance(part, Text))
        + "".join(part.text for part in choice.parts if isinstance(part, RefusalText)),
        finish=SDKS[client].finish[choice.finish.value],
        tokens=(tokens.input + tokens.cached + tokens.cache_write, tokens.output),
        calls=[(part.name, arguments(part.arguments)) for part in choice.parts if isinstance(part, ToolCall)]
        if SDKS[client].calls
        else [],
        thoughts="".join(part.text for part in choice.parts if isinstance(part, Thinking))
        if SDKS[client].thoughts
        else "",
        sources=[cited.url for part in choice.parts if isinstance(part, Text) for cited in part.citations if cited.url]
        if SDKS[client].sources
        else [],
    )


def excepted(file: str, client: str, faults: list[str]) -> bool:
    """Whether a file differs for a client in what it is known to differ in, and in nothing else."""
    known = [differs for (start, of), (differs, _) in EXCEPTIONS.items() if file.startswith(start) and of == client]
    return bool(known) and all(known[0] in fault for fault in faults)


def fails_as_known(file: str, failed: Fail) -> bool:
    return any(file.startswith(start) and failed.kind is kind for start, (kind, _) in FAILURES.items())


def compared(seen: Seen, answer: Answer, tail: Tail, client: str) -> list[str]:
    wanted = expected(answer, tail, client)
    spoken = "".join(part.transcript or "" for part in answer.choices[0].parts if isinstance(part, Media))
    if spoken and seen.text == wanted.text + spoken:
        seen = replace(seen, text=wanted.text)  # a dialect without sounds shows what they say
    wrong = [
        name
        for name in ("text", "calls", "tokens", "thoughts", "sources")
        if getattr(seen, name) != getattr(wanted, name)
    ]
    if seen.finish not in wanted.finish.split("|"):
        wrong.append("finish")
    return [f"{name}: {getattr(seen, name)!r} for {getattr(wanted, name)!r}"[:300] for name in wrong]


def through(speech: Speech, client: str, *, whole: bool) -> Iterator[tuple[str, list[str] | Fail]]:
    """Yield each file with what is wrong with it, or the failure that it is."""
    api, kind = FAMILIES[speech.name]
    for file, raw in answers(api, kind) if whole else streams(api):
        answer = of_whole(speech, raw) if whole else of_stream(speech, raw)
        asked = request(client, stream=not whole)
        if whole:
            frames = read_translated(asked, ASKED, speech, CLIENTS[client], raw)
        else:
            reader = TranslatedStream(asked, ASKED, speech, CLIENTS[client])
            frames = reader.feed(raw)
            if not frames or isinstance(frames[-1], Data):
                frames += reader.finish()
        last = frames[-1]
        if isinstance(last, Fail):
            yield file, last
            continue
        assert isinstance(last, Tail)
        assert answer is not None, file
        payload = b"".join(frame.payload for frame in frames if isinstance(frame, Data)) + last.closing
        try:
            seen = (SDKS[client].whole if whole else SDKS[client].streamed)(payload)
        except (ValueError, AssertionError, KeyError, TypeError, AttributeError, RuntimeError, IndexError) as error:
            yield file, [f"{type(error).__name__}: {error}"[:400]]
            continue
        yield file, compared(seen, answer, last, client)


@pytest.mark.parametrize("whole", [True, False], ids=["answers", "streams"])
@pytest.mark.parametrize("client", sorted(set(CLIENTS) & set(SDKS)))
@pytest.mark.parametrize("speech", [name for name in FAMILIES if name in SPEECHES])
def test_every_recorded_answer_is_the_same_to_every_clients_sdk(speech, client, whole):
    counts: Counter[str] = Counter()
    known: Counter[str] = Counter()
    wrong: list[tuple[str, list[str]]] = []
    for file, faults in through(SPEECHES[speech], client, whole=whole):
        known["excepted"] += any(file.startswith(start) and of == client for start, of in EXCEPTIONS)
        known["failures"] += any(file.startswith(start) for start in FAILURES)
        if isinstance(faults, Fail):
            counts["failures"] += 1
            if not fails_as_known(file, faults):
                wrong.append((file, [f"failed: {faults.kind} {faults.message}"]))
        elif not faults:
            counts["same"] += 1
        elif excepted(file, client, faults):
            counts["excepted"] += 1
        else:
            wrong.append((file, faults))
    print(f"\n{speech:20} → {client:20} {'answers' if whole else 'streams'}: {dict(counts)}, wrong: {len(wrong)}")
    assert not wrong
    assert (counts["excepted"], counts["failures"]) == (known["excepted"], known["failures"]), "what is named must be"
    assert counts["same"] > 0


def test_every_clients_dialect_has_an_sdk_here():
    assert set(CLIENTS) <= set(SDKS)
