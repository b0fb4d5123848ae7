"""OpenAI's chat says what the canonical form holds: written and read again it is the same."""

import msgspec
from hypothesis import given

from services.providers.domain.canonical import Ask, Delta, Message, Part, Text, Thinking
from services.providers.domain.dialect import Asked, Wire
from services.providers.domain.dialects.openai_chat.dialect import CLIENT, SPEECH
from services.providers.domain.gathering import gathered
from services.providers.domain.sse import parse_event, split_events
from tests.support.canonical import answers, asks, deltas_of

HI = Ask(messages=(Message(role="user", parts=(Text(text="hi"),)),))
ASKED = Asked(id="0" * 32, model="p/m", created=1, ask=HI, include_usage=True)
WIRE = Wire(native_id="m", quirks=frozenset({"reasoning_details"}))


def read(raw: bytes) -> list[Delta]:
    decoder = SPEECH.stream_decoder()
    events = [parse_event(event) for event in split_events(raw)]
    return [delta for event in events if event is not None for delta in decoder.feed(event.event, event.data)]


@given(answers("openai_chat", cited=True))
def test_an_answer_is_read_as_it_was_written(answer):
    again = SPEECH.decode_answer(msgspec.json.decode(CLIENT.encode_answer(answer, ASKED)))
    assert msgspec.structs.replace(again, id=None, model=None) == answer


@given(answers("openai_chat", cited=True))
def test_a_stream_is_read_as_it_was_written(answer):
    encoder = CLIENT.stream_encoder(ASKED)
    sent = b"".join(encoder.encode(delta) for delta in deltas_of(answer))
    last, closing = encoder.end(answer.tokens)
    again = gathered(read(sent + last + closing))
    assert msgspec.structs.replace(again, id=None, model=None) == answer


@given(answers("anthropic_messages"))
def test_the_proof_of_another_vendors_thoughts_comes_back_byte_exact(answer):
    message = msgspec.json.decode(CLIENT.encode_answer(answer, ASKED))["choices"][0]["message"]
    body = {"messages": [{"role": "user", "content": "hi"}, message]}
    assert CLIENT.decode_request(body).messages[1].parts == answer.choices[0].parts


def own_alone(ask: Ask) -> Ask:
    """Without the thoughts that have no proof, which no vendor takes back."""
    kept = (
        msgspec.structs.replace(message, parts=tuple(part for part in message.parts if not _unproved(part)))
        for message in ask.messages
    )
    return msgspec.structs.replace(ask, messages=tuple(kept))


def _unproved(part: Part) -> bool:
    return isinstance(part, Thinking) and part.signature is None


@given(asks("openai_chat"))
def test_a_request_is_read_as_it_was_written(ask):
    again = CLIENT.decode_request(SPEECH.encode_request(ask, WIRE))
    assert again == own_alone(ask)
