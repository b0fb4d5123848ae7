import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.catalog import Capability
from shared.contracts.envelope import chain_hash, decode_event, encode_event, registered
from shared.contracts.frames import Data, Fail, FailureKind, Frame, FrameDecoder, Head, Tail, encode_frame
from shared.contracts.plan import Candidate, Plan, decode_plan, encode_plan, plan_hash
from shared.contracts.usage import Tokens
from shared.kernel.errors import ContractBroken
from shared.testing.golden_events import example_event

KINDS = sorted(registered())

COUNTS = st.integers(0, 10**12)
TOKENS = st.builds(Tokens, input=COUNTS, cached=COUNTS, output=COUNTS, source=st.sampled_from(["provider", "none"]))
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Head, status=st.integers(100, 599), content_type=st.text(max_size=20)),
    st.builds(Data, payload=st.binary(max_size=300), content=st.booleans()),
    st.builds(Tail, tokens=TOKENS, answered=st.none() | st.text(max_size=9), closing=st.binary(max_size=40)),
    st.builds(Fail, kind=st.sampled_from(FailureKind), message=st.text(max_size=40), tokens=TOKENS),
)


@given(st.sampled_from(KINDS), st.data())
def test_no_changed_envelope_is_read_as_something_else_than_an_event_or_broken(kind: str, data: st.DataObject) -> None:
    version, cls = registered()[kind]
    raw = encode_event(example_event(kind, version, cls))
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + data.draw(st.binary(max_size=4)) + raw[at + data.draw(st.integers(0, 9)) :]
    try:
        item = decode_event(changed)
    except ContractBroken:
        return
    assert decode_event(encode_event(item)) == item


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_broken(raw: bytes) -> None:
    with pytest.raises(ContractBroken):
        decode_event(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(KINDS), JSON, st.integers(-3, 5))
def test_any_data_is_of_its_type_or_broken(kind: str, content: Any, version: int) -> None:
    known, cls = registered()[kind]
    whole = msgspec.json.decode(encode_event(example_event(kind, known, cls)))
    try:
        item = decode_event(msgspec.json.encode({**whole, "version": version, "data": content}))
    except ContractBroken:
        return
    assert isinstance(item.data, cls)


@pytest.mark.parametrize("depth", [10, 100_000])
def test_data_that_nests_without_end_is_broken_and_no_crash(depth: int) -> None:
    whole = encode_event(example_event("key.enabled", 1, registered()["key.enabled"][1]))
    deep = b"[" * depth + b"]" * depth
    for raw in (whole.replace(b'"data":{', b'"data":{"x":' + deep + b","), deep):
        try:
            decode_event(raw)
        except ContractBroken:
            continue
        assert raw is not deep


@given(st.binary(), st.binary())
def test_the_chain_tells_every_two_envelopes_apart(one: bytes, other: bytes) -> None:
    assert (chain_hash(one) == chain_hash(other)) is (one == other)


@given(st.lists(FRAMES, max_size=8), st.data())
def test_frames_come_out_as_they_went_in_however_the_bytes_were_split(frames: list[Frame], data: st.DataObject) -> None:
    wire = b"".join(map(encode_frame, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    decoder = FrameDecoder()
    got: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        got += decoder.feed(wire[start:end])
    assert got == frames


@given(st.lists(FRAMES, min_size=1, max_size=3))
def test_frames_come_out_byte_by_byte_as_soon_as_they_are_whole(frames: list[Frame]) -> None:
    decoder = FrameDecoder()
    for frame in frames:
        wire = encode_frame(frame)
        assert [list(decoder.feed(wire[at : at + 1])) for at in range(len(wire) - 1)] == [[]] * (len(wire) - 1)
        assert list(decoder.feed(wire[-1:])) == [frame]


@given(st.binary(max_size=60))
def test_any_bytes_are_frames_or_broken(raw: bytes) -> None:
    with contextlib.suppress(ContractBroken):
        list(FrameDecoder().feed(raw))


@pytest.mark.parametrize(
    "raw", [b"\x09\x00\x00\x00\x00", b"\x03\x00\x00\x00\x02{}", b"\x03\x00\x00\x00\x01\xff", b"\x01\xff\xff\xff\xff"]
)
def test_what_is_no_frame_is_broken(raw: bytes) -> None:
    with pytest.raises(ContractBroken):
        list(FrameDecoder().feed(raw))


CANDIDATES = st.builds(
    Candidate,
    provider_id=st.text(max_size=5),
    provider=st.text(max_size=5),
    model=st.text(max_size=5),
    native_id=st.text(max_size=5),
    capabilities=st.lists(st.sampled_from(Capability), max_size=3).map(tuple),
    parameters_b=st.none() | st.floats(0, 1e4),
)
PLANS = st.builds(
    Plan,
    router_id=st.text(max_size=5),
    slug=st.text(max_size=5),
    candidates=st.lists(CANDIDATES, max_size=4).map(tuple),
    inputs=st.dictionaries(st.sampled_from(["LR_CONFIG", "lr_catalog"]), st.integers(0, 99)),
)


@given(PLANS, st.dictionaries(st.text(max_size=4), st.integers(0, 9)))
def test_equal_decisions_have_equal_hashes_whatever_they_were_made_from(plan: Plan, inputs: dict[str, int]) -> None:
    again = decode_plan(encode_plan(plan))
    assert again == plan
    assert plan_hash(again) == plan_hash(plan)
    assert plan_hash(msgspec.structs.replace(plan, inputs=inputs, hash="x")) == plan_hash(plan)


@given(PLANS, PLANS)
def test_different_decisions_have_different_hashes(one: Plan, other: Plan) -> None:
    bare = [msgspec.structs.replace(plan, inputs={}) for plan in (one, other)]
    assert (plan_hash(one) == plan_hash(other)) is (encode_plan(bare[0]) == encode_plan(bare[1]))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_plan_or_broken(raw: bytes) -> None:
    with pytest.raises(ContractBroken):
        decode_plan(raw)
