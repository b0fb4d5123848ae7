"""The canonical form for tests: strategies of what may be asked and answered, and an answer cut into a stream."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from services.providers.domain.canonical import (
    Answer,
    Ask,
    Begin,
    CallDelta,
    Choice,
    Citation,
    CitationDelta,
    Counted,
    Delta,
    Finish,
    Finished,
    Format,
    Media,
    MediaDelta,
    Message,
    Opaque,
    OpaqueDelta,
    Part,
    Reasoning,
    RefusalDelta,
    RefusalText,
    Signature,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from shared.contracts.usage import Tokens

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
IDS = st.from_regex(r"[A-Za-z0-9]{9}", fullmatch=True)
BASE64 = st.sampled_from(["AAAA", "iVBORw0KGgo=", "JVBERi0xLjQK"])
ARGUMENTS = st.sampled_from(["{}", '{"city":"Paris"}', '{"a":[1,2,{"b":null}],"c":"\\"é\\n"}'])
SCHEMAS = st.sampled_from(
    [
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        {"type": "object", "properties": {}, "additionalProperties": False},
    ]
)


def thoughts(origin: str) -> st.SearchStrategy[Thinking]:
    """Reasoning of a vendor that speaks ``origin``, with and without words and proof."""
    signature = st.builds(Signature, st.just(origin), st.sampled_from(["c2ln", "Eq.QB+/="]))
    return st.one_of(
        st.builds(Thinking, text=WORDS, signature=st.none() | signature),
        st.builds(Thinking, signature=signature, redacted=st.just(True)),
    )


CITATIONS = st.builds(
    Citation,
    url=st.sampled_from(["https://a.example/x", "https://b.example/"]),
    title=st.none() | st.just("A page"),
    quote=st.none() | st.just("as it says"),
)
TEXTS = st.builds(Text, text=WORDS)
CITED = st.builds(Text, text=WORDS, citations=st.lists(CITATIONS, max_size=2).map(tuple))
IMAGES = st.builds(Media, kind=st.just("image"), media_type=st.just("image/png"), data=BASE64) | st.builds(
    Media, kind=st.just("image"), url=st.just("https://a.example/i.png")
)


@st.composite
def tokens(draw: st.DrawFn) -> Tokens:
    """A vendor's count, its classes disjoint."""
    some = st.integers(0, 100_000)
    output = draw(some)
    return Tokens(
        input=draw(some),
        cached=draw(some),
        cache_write=draw(some),
        output=output,
        reasoning=draw(st.integers(0, output)),
        source="provider",
    )


@st.composite
def calls(draw: st.DrawFn, most: int = 3) -> tuple[ToolCall, ...]:
    """Calls at once, each with an id of its own."""
    ids = draw(st.lists(IDS, unique=True, max_size=most))
    return tuple(ToolCall(id=identity, name=draw(NAMES), arguments=draw(ARGUMENTS)) for identity in ids)


@st.composite
def answers(draw: st.DrawFn, origin: str, *, cited: bool = False) -> Answer:
    """An answer as most dialects can say it: thoughts, then a text, or a refusal, or calls, after each other."""
    parts: list[Part] = draw(st.lists(thoughts(origin), max_size=2))
    refused = draw(st.integers(0, 9)) == 0
    called: tuple[ToolCall, ...] = ()
    if refused:
        parts.append(RefusalText(text=draw(WORDS)))
    else:
        called = draw(calls())
        if not called or draw(st.booleans()):
            parts.append(draw(CITED if cited else TEXTS))
        parts += called
    if called:
        finish = Finish.TOOL_CALLS
    else:
        finish = Finish.REFUSAL if refused else draw(st.sampled_from([Finish.STOP, Finish.LENGTH]))
    return Answer(choices=(Choice(parts=tuple(parts), finish=finish),), tokens=draw(tokens()))


@st.composite
def asks(draw: st.DrawFn, origin: str) -> Ask:
    """A conversation with its parameters, as most dialects can say it."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(role="system", parts=(draw(TEXTS),)))
    for _ in range(draw(st.integers(0, 2))):
        messages.append(Message(role="user", parts=_said(draw)))
        made = draw(calls())
        text = (draw(TEXTS),) if not made or draw(st.booleans()) else ()
        messages.append(Message(role="assistant", parts=(*draw(st.lists(thoughts(origin), max_size=1)), *text, *made)))
        if made:
            results = tuple(
                ToolResult(id=call.id, name=call.name, content=(draw(TEXTS),)) for call in made
            )  # every call gets its result, as vendors demand
            messages.append(Message(role="user", parts=results))
    messages.append(Message(role="user", parts=_said(draw)))
    tools = tuple(
        Tool(name=name, description=draw(st.none() | WORDS), schema=draw(SCHEMAS))
        for name in draw(st.lists(NAMES, unique=True, max_size=2))
    )
    named = [ToolChoice(mode="named", name=tool.name) for tool in tools]
    choices = [ToolChoice(mode="auto"), ToolChoice(mode="required"), *named]
    return Ask(
        messages=tuple(messages),
        stream=draw(st.booleans()),
        tools=tools,
        tool_choice=draw(st.none() | st.sampled_from(choices)) if tools else None,
        format=draw(st.none() | st.builds(Format, kind=st.just("schema"), name=NAMES, schema=SCHEMAS)),
        reasoning=draw(st.none() | st.builds(Reasoning, effort=st.sampled_from(["low", "medium", "high"]))),
        max_output=draw(st.none() | st.integers(1, 4_096)),
        temperature=draw(st.none() | st.sampled_from([0.0, 0.5, 1.0])),
        top_p=draw(st.none() | st.sampled_from([0.1, 1.0])),
        stop=draw(st.lists(WORDS, max_size=2).map(tuple)),
    )


def _said(draw: st.DrawFn) -> tuple[Part, ...]:
    return (draw(TEXTS), *draw(st.lists(IMAGES, max_size=1)))


def deltas_of(answer: Answer, size: int = 7) -> Iterator[Delta]:
    """Yield an answer as a vendor streams it, in pieces of ``size`` characters."""
    yield Begin(id=answer.id, model=answer.model, service_tier=answer.service_tier)
    for index, choice in enumerate(answer.choices):
        for number, part in enumerate(choice.parts):
            yield from _pieces(part, number, index, size)
        yield Finished(choice.finish, index, choice.stop_sequence)
    yield Counted(answer.tokens)


def _pieces(part: Part, number: int, index: int, size: int) -> Iterator[Delta]:
    match part:
        case Text():
            yield from (TextDelta(number, piece, index) for piece in _cut(part.text, size))
            yield from (CitationDelta(number, citation, index) for citation in part.citations)
            if part.signature is not None:
                yield TextDelta(number, "", index, None, part.signature)
        case Thinking():
            for piece in _cut(part.text, size):
                yield ThinkingDelta(number, piece, index, summary=part.summary, id=part.id)
            if part.signature is not None:
                yield ThinkingDelta(number, "", index, part.signature, part.redacted, part.summary, part.id)
        case ToolCall():
            yield CallDelta(number, "", part.id, part.name, index, part.signature)
            yield from (CallDelta(number, piece, choice=index) for piece in _cut(part.arguments, size))
        case RefusalText():
            yield from (RefusalDelta(number, piece, index) for piece in _cut(part.text, size))
        case Media():
            yield MediaDelta(number, part, index)
        case Opaque():
            yield OpaqueDelta(number, part, index)
        case ToolResult():
            raise AssertionError("a vendor answers no results of the client's tools")


def _cut(text: str, size: int) -> list[Any]:
    return [text[at : at + size] for at in range(0, len(text), size)]
