"""A stream that broke and another model's answer spliced onto it: to the client one stream, in every dialect."""

import re
from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import (
    Ask,
    Begin,
    CallDelta,
    Delta,
    Finish,
    Finished,
    Message,
    Reasoning,
    Text,
    TextDelta,
    ThinkingDelta,
)
from services.providers.domain.dialect import Asked
from services.providers.domain.gathering import gathered
from services.providers.domain.registry import CLIENTS
from services.providers.domain.resuming import Shown, ask_on, deltas_of, going_on, partial_of
from shared.contracts.frames import Completion, Data, Fail, FailureKind, Partial
from shared.contracts.usage import Tokens

HELLO = Ask(messages=(Message(role="user", parts=(Text(text="Hello"),)),), stream=True, max_output=100)
TOKENS = Tokens(input=3, output=5, source="provider")
WORDS = ["One ", "two ", "three ", "four."]
FIRST = Asked(id="a" * 32 + "1", model="first/small", created=1_700_000_000, ask=HELLO)
SECOND = Asked(id="b" * 32 + "2", model="second/large", created=1_700_000_555, ask=HELLO)
STREAMS = sorted(CLIENTS)


def written(dialect: str, asked: Asked, *deltas: Delta) -> bytes:
    """What a client of a dialect gets of deltas, without an end."""
    encoder = CLIENTS[dialect].stream_encoder(asked)
    return b"".join(encoder.encode(delta) for delta in (Begin(), *deltas))


def gone_on(dialect: str, partial: Partial, *deltas: Delta) -> bytes:
    """What the client gets of the next model's answer."""
    encoder = going_on(CLIENTS[dialect], partial).stream_encoder(SECOND)
    payloads = [encoder.encode(delta) for delta in (Begin(model="large"), *deltas, Finished(Finish.STOP))]
    return b"".join((*payloads, *encoder.end(TOKENS)))


def names(stream: bytes, key: str) -> set[bytes]:
    return set(re.findall(rb'"%b": ?("[^"]*"|\d+)' % key.encode(), stream))


@pytest.mark.parametrize("thinks", [False, True], ids=["plain", "thinking"])
@pytest.mark.parametrize("cut", range(1, len(WORDS) + 1))
@pytest.mark.parametrize("dialect", STREAMS)
def test_two_models_make_one_stream(dialect: str, cut: int, thinks: bool) -> None:
    thoughts = [ThinkingDelta(0, "Hm."), ThinkingDelta(0, " Well.")] if thinks else []
    part = len(thoughts) and 1
    shown = written(dialect, FIRST, *thoughts, *(TextDelta(part, word) for word in WORDS[:cut]))
    partial = partial_of(shown, dialect)
    assert partial is not None
    assert (partial.text, partial.tool_calls) == ("".join(WORDS[:cut]), False)
    rest = gone_on(dialect, partial, ThinkingDelta(0, "Where was I?"), *(TextDelta(1, word) for word in WORDS[cut:]))
    whole = gathered(deltas_of(shown + rest, dialect)[0])
    assert [part.text for part in whole.choices[0].parts if isinstance(part, Text)] == ["One two three four."]
    assert b"Where was I" not in rest
    for key in ("id", "model", "created"):
        assert names(rest, key) <= names(shown, key), key
    assert b"second" not in rest
    assert SECOND.id.encode() not in rest
    numbers = [int(found) for found in re.findall(rb'"sequence_number":(\d+)', shown + rest)]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("dialect", STREAMS)
def test_a_stream_that_breaks_again_is_gone_on_with_again(dialect: str) -> None:
    shown = written(dialect, FIRST, TextDelta(0, "One "))
    once = partial_of(shown, dialect)
    assert once is not None
    encoder = going_on(CLIENTS[dialect], once).stream_encoder(SECOND)
    more = b"".join(encoder.encode(delta) for delta in (Begin(), TextDelta(0, "two "), TextDelta(0, "three ")))
    twice = partial_of(more, dialect, once)
    assert twice is not None
    assert twice.text == "One two three "
    rest = gone_on(dialect, twice, TextDelta(0, "four."))
    whole = gathered(deltas_of(shown + more + rest, dialect)[0])
    assert [part.text for part in whole.choices[0].parts if isinstance(part, Text)] == ["One two three four."]
    numbers = [int(found) for found in re.findall(rb'"sequence_number":(\d+)', shown + more + rest)]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize(
    ("shown", "answers", "whole"),
    [
        ("One ", ["two"], "One two"),
        ("One ", [" two"], "One two"),
        ("One ", [" ", "two"], "One two"),
        ("One", [" two"], "One two"),
        ("On", ["e two"], "One two"),
        ("One\n\n", ["two"], "One\n\ntwo"),
        ("One\n", ["\n\ntwo"], "One\n\ntwo"),
        ("One\n", [" two"], "One\ntwo"),
        (" ", [" One"], " One"),
        ("One. ", [], "One. "),
    ],
)
def test_white_space_at_the_seam_is_shown_once(shown: str, answers: list[str], whole: str) -> None:
    stream = written("openai_chat", FIRST, TextDelta(0, shown))
    partial = partial_of(stream, "openai_chat")
    assert partial is not None
    stream += gone_on("openai_chat", partial, *(TextDelta(0, text) for text in answers))
    found = gathered(deltas_of(stream, "openai_chat")[0]).choices[0].parts
    assert "".join(part.text for part in found if isinstance(part, Text)) == whole


@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses", "anthropic_messages"])
def test_what_is_more_than_words_is_never_spliced(dialect: str) -> None:
    shown = written(dialect, FIRST, TextDelta(0, "Let me see."), CallDelta(1, '{"a":1}', id="call_1", name="look"))
    partial = partial_of(shown, dialect)
    assert partial is not None
    assert partial.tool_calls


def test_several_answers_at_once_are_never_spliced() -> None:
    shown = written("openai_chat", FIRST, TextDelta(0, "One"), TextDelta(0, "Uno", choice=1))
    partial = partial_of(shown, "openai_chat")
    assert partial is not None
    assert partial.tool_calls


def test_a_call_of_the_next_model_is_a_part_of_its_own() -> None:
    shown = written("anthropic_messages", FIRST, TextDelta(0, "Let me see."))
    partial = partial_of(shown, "anthropic_messages")
    assert partial is not None
    stream = shown + gone_on("anthropic_messages", partial, CallDelta(0, "{}", id="toolu_1", name="look"))
    assert [type(part).__name__ for part in gathered(deltas_of(stream, "anthropic_messages")[0]).choices[0].parts] == [
        "Text",
        "ToolCall",
    ]


def test_the_next_model_is_asked_with_the_words_so_far_and_for_less() -> None:
    ask = ask_on(msgspec.structs.replace(HELLO, reasoning=Reasoning(effort="high")), Partial(text="One two. "))
    assert ask.messages[-1] == Message(role="assistant", parts=(Text(text="One two."),))
    assert ask.max_output == 97
    assert ask.reasoning is None


def test_the_client_s_own_prefill_is_gone_on_with_as_well() -> None:
    own = Message(role="assistant", parts=(Text(text="I say: "),))
    ask = ask_on(msgspec.structs.replace(HELLO, messages=(*HELLO.messages, own)), Partial(text="One"))
    assert ask.messages[1:] == (Message(role="assistant", parts=(Text(text="I say: "), Text(text="One"))),)


def test_of_white_space_alone_nothing_is_asked_to_be_gone_on_with() -> None:
    assert ask_on(HELLO, Partial(text=" \n")).messages == HELLO.messages


def shown_by(dialect: str, *payloads: bytes, content: bool = True) -> Partial | None:
    request = Completion(
        attempt_id="a", request_id="r", provider_id="p", native_id="m", model="p/m", dialect=dialect, body={}
    )
    shown = Shown(request)
    for payload in payloads:
        shown.seen(Data(payload, content=content))
    failed: Any = shown.seen(Fail(kind=FailureKind.CUT, message="cut"))
    return failed.partial


def test_a_failure_carries_what_was_shown() -> None:
    partial = shown_by("openai_chat", written("openai_chat", FIRST, TextDelta(0, "One")))
    assert partial is not None
    assert partial.text == "One"


def test_a_failure_before_content_or_of_a_stream_too_long_or_unreadable_carries_nothing() -> None:
    stream = written("openai_chat", FIRST, TextDelta(0, "One"))
    assert shown_by("openai_chat", stream, content=False) is None
    assert shown_by("openai_chat", stream, stream * 40_000) is None
    assert shown_by("openai_chat", b"data: {\n\n") is None
