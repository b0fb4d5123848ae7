"""What a vendor cannot take is refused by the client's name of it, or dropped and named where that is wanted."""

import pytest

from services.providers.domain.canonical import Ask, Format, Message, Parameter, Reasoning, Refused, Text, Tool
from services.providers.domain.dialect import Range
from services.providers.domain.fit import fitted, without

HI = (Message(role="user", parts=(Text(text="hi"),)),)
NAMES = {
    Parameter.FORMAT_SCHEMA: ("response_format",),
    Parameter.REASONING: ("output.effort",),
    Parameter.SEED: ("seed",),
}


def fit(ask, *, drop=False, lacks=(), ranges=None, words=None):
    takes = frozenset(Parameter) - frozenset(lacks)
    return fitted(ask, names=NAMES, takes=takes, ranges=ranges or {}, whose="Acme", drop=drop, words=words or {})


def test_what_a_vendor_takes_is_left_alone():
    ask = Ask(messages=HI, seed=1, stop=("a",))
    assert fit(ask) == (ask, ())


def test_what_it_lacks_is_refused_by_the_clients_name():
    with pytest.raises(Refused, match="Acme does not take 'output\\.effort'") as refused:
        fit(Ask(messages=HI, reasoning=Reasoning(effort="low")), lacks=[Parameter.REASONING])
    assert refused.value.param == "output.effort"


def test_what_it_lacks_is_dropped_and_named_where_that_is_wanted():
    ask = Ask(messages=HI, seed=1, format=Format(kind="schema", schema={}), tools=(Tool(name="f"),))
    lacks = [Parameter.SEED, Parameter.FORMAT_SCHEMA, Parameter.TOOLS]
    assert fit(ask, drop=True, lacks=lacks) == (Ask(messages=HI), ("tools", "response_format", "seed"))


@pytest.mark.parametrize("field", ["user", "store", "metadata", "service_tier", "cache_key"])
def test_what_changes_no_answer_is_dropped_unasked(field):
    value = {"a": "b"} if field == "metadata" else True if field == "store" else "flex"
    assert fit(Ask(messages=HI, **{field: value}), lacks=[Parameter(field)]) == (Ask(messages=HI), (field,))


@pytest.mark.parametrize(
    "ask",
    [
        Ask(messages=HI, n=1),
        Ask(messages=HI, presence_penalty=0.0),
        Ask(messages=HI, logprobs=False),
        Ask(messages=HI, parallel_tool_calls=True),
        Ask(messages=HI, modalities=("text",)),
        Ask(messages=HI, reasoning=Reasoning(effort="none")),
        Ask(messages=HI, verbosity="medium"),
    ],
)
def test_what_asks_for_nothing_is_not_refused(ask):
    assert fit(ask, lacks=list(Parameter))[0].messages == HI


def test_a_number_out_of_range_is_refused_or_set_to_the_nearer_end():
    ask, ranges = Ask(messages=HI, temperature=1.7), {Parameter.TEMPERATURE: Range(0, 1)}
    with pytest.raises(Refused, match="Acme takes 'temperature' from 0 to 1"):
        fit(ask, ranges=ranges)
    assert fit(ask, ranges=ranges, drop=True) == (Ask(messages=HI, temperature=1), ("temperature",))


def test_a_list_that_is_too_long_is_refused_or_cut():
    ask, ranges = Ask(messages=HI, stop=("a", "b", "c")), {Parameter.STOP: Range(0, 2)}
    with pytest.raises(Refused, match="Acme takes at most 2 of 'stop'"):
        fit(ask, ranges=ranges)
    assert fit(ask, ranges=ranges, drop=True) == (Ask(messages=HI, stop=("a", "b")), ("stop",))


def test_what_only_the_clients_dialect_knows_is_refused_or_dropped():
    ask = Ask(messages=HI, extra={"echo": True})
    with pytest.raises(Refused, match="Acme does not take 'echo'"):
        fit(ask)
    assert fit(ask, drop=True) == (Ask(messages=HI), ("echo",))


def test_a_body_that_passes_through_loses_what_the_vendor_lacks_and_nothing_else():
    body = {"seed": 1, "output": {"effort": "low", "kept": 1}, "new": True}
    ask = Ask(messages=HI, seed=1, reasoning=Reasoning(effort="low"), user="u")
    lacks = frozenset({Parameter.SEED, Parameter.REASONING, Parameter.USER})
    left, dropped = without(body, ask, NAMES, lacks)
    assert left == {"output": {"kept": 1}, "new": True}
    assert sorted(dropped) == ["output.effort", "seed"]
    assert body["output"] == {"effort": "low", "kept": 1}, "the client's body is not ours to change"
