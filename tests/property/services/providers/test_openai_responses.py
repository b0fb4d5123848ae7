"""Items say what the canonical form holds: written and read again it is the same."""

import msgspec
from hypothesis import given

from services.providers.domain.canonical import Answer, Ask, Delta, Message, Part, Text, Thinking
from services.providers.domain.dialect import Asked, Wire
from services.providers.domain.dialects.openai_responses.dialect import CLIENT, SPEECH
from services.providers.domain.gathering import gathered
from services.providers.domain.sse import parse_event, split_events
from tests.support.canonical import answers, asks, deltas_of

HI = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=HI)
_WITH = msgspec.structs.replace


def read(raw: bytes) -> list[Delta]:
    decoder = SPEECH.stream_decoder()
    events = [parse_event(event) for event in split_events(raw)]
    return [delta for event in events if event is not None for delta in decoder.feed(event.event, event.data)]


def unnamed(answer: Answer) -> Answer:
    """Without the ids, the model's name and the tier, which LocalRouter puts in their places."""
    [choice] = answer.choices
    parts = tuple(_WITH(part, id=None) if isinstance(part, Thinking) else part for part in choice.parts)
    return _WITH(answer, id=None, model=None, service_tier=None, choices=(_WITH(choice, parts=parts),))


@given(answers("openai_responses"))
def test_an_answer_is_read_as_it_was_written(answer):
    again = SPEECH.decode_answer(msgspec.json.decode(CLIENT.encode_answer(answer, ASKED)))
    assert unnamed(again) == unnamed(answer)


@given(answers("openai_responses"))
def test_a_stream_is_read_as_it_was_written(answer):
    encoder = CLIENT.stream_encoder(ASKED)
    sent = b"".join(encoder.encode(delta) for delta in deltas_of(answer))
    last, closing = encoder.end(answer.tokens)
    assert unnamed(gathered(read(sent + last + closing))) == unnamed(answer)


@given(answers("anthropic_messages"))
def test_a_stream_ends_with_the_response_that_a_whole_answer_is(answer):
    encoder = CLIENT.stream_encoder(ASKED)
    for delta in deltas_of(answer):
        encoder.encode(delta)
    _, closing = encoder.end(answer.tokens)
    last = parse_event(closing)
    assert last is not None
    whole = msgspec.json.decode(CLIENT.encode_answer(answer, ASKED))
    assert msgspec.json.decode(last.data)["response"] == whole


@given(answers("anthropic_messages"))
def test_the_proof_of_another_vendors_thoughts_comes_back_byte_exact(answer):
    output = msgspec.json.decode(CLIENT.encode_answer(answer, ASKED))["output"]
    [message] = CLIENT.decode_request({"input": output}).messages
    assert message.parts == answer.choices[0].parts


def as_said(ask: Ask) -> Ask:
    """What of a request the dialect can say: no stop, no thoughts without proof; silence made explicit."""
    kept = (_WITH(message, parts=tuple(p for p in message.parts if not _unproved(p))) for message in ask.messages)
    tools = tuple(_WITH(tool, strict=False) for tool in ask.tools)
    return _WITH(ask, messages=tuple(kept), tools=tools, stop=(), store=False)


def _unproved(part: Part) -> bool:
    return isinstance(part, Thinking) and part.signature is None


@given(asks("openai_responses"))
def test_a_request_is_read_as_it_was_written(ask):
    assert CLIENT.decode_request(SPEECH.encode_request(ask, Wire(native_id="m"))) == as_said(ask)
