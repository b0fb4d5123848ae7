"""Every official SDK, unchanged, through the gateway to vendors of every family."""

import uuid
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest

from shared.testing import upstream_behaviour as does
from tests.support.clients import CLIENTS, Anthropic, Client, Ollama, OpenAIChat, OpenAIResponses
from tests.support.system import System, Wall, until

CHAT, VECTORS = "gemini-2.5-flash", "text-embedding-small"
FAMILIES = ["openai", "compatible", "anthropic", "gemini", "ollama"]
SAID = "What are one and two?"
CALLS = (
    does.ToolCall(name="add", arguments='{"a": 1, "b": 2}', id="call_1"),
    does.ToolCall(name="add", arguments='{"a": 3, "b": 4}', id="call_2"),
)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

pytestmark = pytest.mark.usefixtures("replay")


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def name() -> str:
    return f"sdks-{uuid.uuid4()}"


@pytest.fixture(scope="session")
def key(system: System, providers: dict[str, str], name: str) -> str:
    return system.key(target={"model": f"{providers['openai']}/{CHAT}"}, allowed=["*"], name=name)


@pytest.fixture(scope="session")
def clients(system: System, key: str) -> Iterator[dict[type, Client]]:
    """One of each SDK; only the system is a parameter of the session, so that each is started once."""
    made: dict[type, Client] = {kind: kind(system.url, key) for kind in CLIENTS}
    yield made
    for client in made.values():
        client.close()


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest, clients: dict[type, Client]) -> Client:
    return clients[request.param]


@pytest.fixture
def model(providers: dict[str, str], family: str) -> str:
    return f"{providers[family]}/{CHAT}"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_words(client: Client, model: str, replay: Wall, stream: bool) -> None:
    replay.script(does.answer("Three, of course: 1 + 2 = “3”.\nÇa va?"))
    said = client.ask(model, SAID, stream=stream)
    assert (said.text, said.finish, said.calls, said.thinking) == (
        "Three, of course: 1 + 2 = “3”.\nÇa va?",
        "stop",
        [],
        "",
    )
    assert (said.input, said.output) == (7, 10), "the words of prompt and answer, as the vendor counts them"
    [attempt] = replay.attempts()
    assert attempt["model"] == CHAT


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools_in_a_loop(client: Client, model: str, replay: Wall, stream: bool) -> None:
    replay.script(does.answer("", tool_calls=CALLS))
    said = client.ask(model, SAID, stream=stream, tools=True)
    assert said.calls == [("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})]
    assert said.finish == "tool_calls"
    done = client.ask(model, SAID, stream=stream, tools=True, turn=client.result(said, "42 is it"))
    assert "42 is it" in done.text, "the vendor was told what the tools gave, and echoes it"
    assert done.finish == "stop"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_thinking(client: Client, model: str, replay: Wall, stream: bool) -> None:
    more: dict[type, dict[str, Any]] = {
        OpenAIChat: {"reasoning_effort": "low"},
        OpenAIResponses: {"reasoning": {"effort": "low", "summary": "auto"}},
        Anthropic: {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        Ollama: {"think": True},
    }
    replay.script(does.answer("Three.", reasoning="one and two make three"))
    said = client.ask(model, SAID, stream=stream, **more[type(client)])
    assert (said.text, said.finish) == ("Three.", "stop")
    assert said.thinking == "one and two make three"


def test_a_schema(client: Client, model: str, replay: Wall) -> None:
    replay.script(does.answer('{"total": 3, "words": ["one", "two"]}'))
    got = client.parse(model, SAID)
    assert got is not None
    assert (got.total, got.words) == (3, ["one", "two"])


def test_an_image(client: Client, model: str, replay: Wall) -> None:
    replay.script(does.answer("A dot."))
    assert client.image(model, PNG).text == "A dot."
    [attempt] = replay.attempts()
    assert PNG in str(attempt["body"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_that_was_too_long(client: Client, model: str, replay: Wall, stream: bool) -> None:
    replay.script(does.answer("One two", finish_reason="length"))
    limit = {OpenAIResponses: {"max_output_tokens": 20}, Ollama: {"options": {"num_predict": 20}}}
    said = client.ask(model, SAID, stream=stream, **limit.get(type(client), {"max_tokens": 20}))
    assert (said.text, said.finish) == ("One two", "length")


ERRORS: dict[type, tuple[type[Exception], type[Exception]]] = {
    OpenAIChat: (openai.BadRequestError, openai.RateLimitError),
    OpenAIResponses: (openai.BadRequestError, openai.RateLimitError),
    Anthropic: (anthropic.BadRequestError, anthropic.RateLimitError),
    Ollama: (ollama.ResponseError, ollama.ResponseError),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_errors(client: Client, model: str, replay: Wall, stream: bool) -> None:
    wrong, limited = ERRORS[type(client)]
    replay.script(does.failure(400, "that is no number", type="invalid_request_error"))
    with pytest.raises(wrong, match="that is no number"):
        client.ask(model, SAID, stream=stream)
    replay.script(does.rate_limited(None), repeat=True)
    with pytest.raises(limited, match="Rate limit reached"):
        client.ask(model, SAID, stream=stream)


def test_a_stream_that_breaks_is_an_error_in_every_sdk(client: Client, model: str, replay: Wall) -> None:
    client.ask(model, SAID, stream=True)  # so that breaks are never three in a row, which opens the breaker
    replay.script(does.cut(3))
    with pytest.raises((openai.APIError, anthropic.APIError, ollama.ResponseError, AssertionError)) as broken:
        client.ask(model, SAID, stream=True)
    if not isinstance(client, OpenAIResponses):
        assert not isinstance(broken.value, AssertionError)
        assert "attempt failed" in str(broken.value)


def test_completions(system: System, key: str, model: str, replay: Wall) -> None:
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0) as gpt:
        replay.script(does.answer("upon a time"), does.answer("upon a time"))
        whole = gpt.completions.create(model=model, prompt="Once")
        assert (whole.choices[0].text, whole.choices[0].finish_reason) == ("upon a time", "stop")
        streamed = list(gpt.completions.create(model=model, prompt="Once", stream=True))
        assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == "upon a time"


def test_generate(system: System, key: str, model: str, replay: Wall) -> None:
    with ollama.Client(system.url, headers={"authorization": f"Bearer {key}"}) as llama:
        replay.script(does.answer("upon a time"), does.answer("upon a time"))
        whole = llama.generate(model, prompt="Once", system="Be brief.")
        assert (whole.response, whole.done, whole.done_reason) == ("upon a time", True, "stop")
        *streamed, last = llama.generate(model, prompt="Once", system="Be brief.", stream=True)
        assert "".join(chunk.response for chunk in (*streamed, last)) == "upon a time"
        assert (last.prompt_eval_count, last.eval_count) == (whole.prompt_eval_count, whole.eval_count) == (3, 3)


@pytest.mark.parametrize("family", ["openai", "gemini", "ollama"])
def test_vectors(system: System, key: str, providers: dict[str, str], family: str) -> None:
    model = f"{providers[family]}/{VECTORS}"
    texts = ["one", "two words"]
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0) as gpt:
        packed = gpt.embeddings.create(model=model, input=texts)
        plain = gpt.embeddings.create(model=model, input=texts, encoding_format="float")
        short = gpt.embeddings.create(model=model, input="one", dimensions=4)
    with ollama.Client(system.url, headers={"authorization": f"Bearer {key}"}) as llama:
        embedded = llama.embed(model, input=texts)
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]
    assert [list(vector) for vector in embedded.embeddings] == [item.embedding for item in plain.data]
    assert [item.index for item in plain.data] == [0, 1]
    assert len(short.data[0].embedding) == 4
    assert packed.usage.prompt_tokens > 0


def test_a_vendor_without_vectors_says_so(system: System, key: str, model: str, family: str) -> None:
    if family != "anthropic":
        pytest.skip(f"{family} has vectors")
    with (
        openai.OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0) as gpt,
        pytest.raises(openai.BadRequestError, match="embeddings"),
    ):
        gpt.embeddings.create(model=model, input="one")


def test_counting_tokens(system: System, key: str, model: str, family: str) -> None:
    with anthropic.Anthropic(base_url=system.url, api_key=key, max_retries=0) as claude:
        counted = claude.messages.count_tokens(
            model=model, messages=[{"role": "user", "content": SAID}], system="Be brief."
        )
    assert counted.input_tokens == 7 if family == "anthropic" else counted.input_tokens > 0


def test_models_in_every_sdks_own_list(system: System, key: str, model: str) -> None:
    with (
        openai.OpenAI(base_url=f"{system.url}/v1", api_key=key) as gpt,
        anthropic.Anthropic(base_url=system.url, api_key=key) as claude,
        ollama.Client(system.url, headers={"authorization": f"Bearer {key}"}) as llama,
    ):
        names = [item.id for item in gpt.models.list()]
        assert model in names
        assert [item.id for item in claude.models.list()] == names
        assert claude.models.retrieve(model).id == model
        assert [item.model for item in llama.list().models] == names
        shown = llama.show(model)
        assert "completion" in (shown.capabilities or [])
        assert shown.details is not None
        assert shown.details.family


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}),
        ("/api/chat", {"messages": [{"role": "user", "content": "Hello"}], "stream": True}),
    ],
)
def test_headers_say_who_answered(system: System, key: str, model: str, path: str, body: dict[str, Any]) -> None:
    got = httpx.post(system.url + path, json={"model": model, **body}, headers={"authorization": f"Bearer {key}"})
    assert got.status_code == 200, got.text
    assert got.headers["x-localrouter-model"] == model
    assert got.headers["x-request-id"]


def test_a_response_goes_on_at_the_vendor_that_keeps_it(
    system: System, key: str, providers: dict[str, str], replay: Wall
) -> None:
    model = f"{providers['openai']}/{CHAT}"
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0) as gpt:
        first = gpt.responses.create(model=model, input="Count to three.")
        with gpt.responses.stream(model=model, input="And on?", previous_response_id=first.id) as events:
            second = events.get_final_response()
        gpt.responses.create(model=model, input="And on?", previous_response_id=second.id)
        assert first.id != second.id
        attempts = replay.attempts()
        named = [attempt["body"].get("previous_response_id") for attempt in attempts]
        kept = [f"resp_wall-{attempt['index']}" for attempt in attempts]
        assert named == [None, *kept[:2]], "the vendor is asked by its own names"
        for elsewhere in ("compatible", "ollama"):
            with pytest.raises(openai.BadRequestError, match="previous_response_id"):
                gpt.responses.create(
                    model=f"{providers[elsewhere]}/{CHAT}", input="And on?", previous_response_id=first.id
                )
        translated = gpt.responses.create(model=f"{providers['ollama']}/{CHAT}", input="Count to three.")
        with pytest.raises(openai.BadRequestError, match="keeps none"):
            gpt.responses.create(model=translated.model, input="And on?", previous_response_id=translated.id)


def test_anthropics_own_headers_reach_a_vendor_of_its_dialect(
    system: System, key: str, providers: dict[str, str], replay: Wall
) -> None:
    with anthropic.Anthropic(base_url=system.url, api_key=key, max_retries=0) as claude:
        for family in ("anthropic", "openai"):
            claude.messages.create(
                model=f"{providers[family]}/{CHAT}",
                max_tokens=10,
                messages=[{"role": "user", "content": SAID}],
                extra_headers={"anthropic-beta": "context-1m-2025-08-07"},
            )
    there, elsewhere = (dict(attempt["headers"]) for attempt in replay.attempts())
    assert there["anthropic-beta"] == "context-1m-2025-08-07"
    assert there["x-api-key"] == "vendor-secret"
    assert "anthropic-beta" not in elsewhere
    assert key not in str(there) + str(elsewhere)


def test_what_a_vendor_cannot_say_is_refused_by_name_or_dropped_by_name(
    system: System, key: str, providers: dict[str, str], replay: Wall
) -> None:
    model = f"{providers['gemini']}/{CHAT}"
    target = {"model": model}
    lenient = system.key(target=target, policies={"drop_params": True}, name=f"lenient-{uuid.uuid4()}")
    asked: Any = {"model": model, "messages": [{"role": "user", "content": SAID}], "logit_bias": {"1": 5}}
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0) as gpt:
        with pytest.raises(openai.BadRequestError, match="logit_bias") as refused:
            gpt.chat.completions.create(**asked)
        assert refused.value.param == "logit_bias"
        got = gpt.with_options(api_key=lenient).chat.completions.with_raw_response.create(**asked)
    assert got.headers["x-localrouter-dropped-params"] == "logit_bias"
    assert len(replay.attempts()) == 1


def test_the_ledger_equals_what_every_sdk_saw_to_the_token(system: System, providers: dict[str, str]) -> None:
    name = f"counted-{uuid.uuid4()}"
    key = system.key(target={"model": f"{providers['openai']}/{CHAT}"}, allowed=["*"], name=name)
    seen = {"input": 0, "output": 0}
    asked = 0
    for kind in CLIENTS:
        client = kind(system.url, key)
        for family in FAMILIES:
            for stream in (False, True):
                said = client.ask(f"{providers[family]}/{CHAT}", "How many words? " * (asked + 1), stream=stream)
                seen["input"] += said.input
                seen["output"] += said.output
                asked += 1
        client.close()
    with anthropic.Anthropic(base_url=system.url, api_key=key) as claude:
        for family in FAMILIES:
            model = f"{providers[family]}/{CHAT}"
            claude.messages.count_tokens(model=model, messages=[{"role": "user", "content": SAID}])
            asked += 1

    def counted() -> dict[str, Any] | None:
        totals = system.command("usage", "--key", name)["totals"]
        return totals if totals["requests"] >= asked else None

    totals = until(counted, f"{asked} requests in the ledger")
    assert totals["requests"] == asked
    assert {kind: totals["tokens"][kind] for kind in seen} == seen
