"""Ids of responses carry where the response lies, or say that it lies nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.response_id import (
    Place,
    decode_response_id,
    encode_response_id,
    translated_response_id,
    why_not_previous,
)

PLACE = Place("01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002", "resp_6867f1cae59481a0")


@given(st.text(max_size=60), st.none() | st.text(max_size=60), st.text(max_size=80))
def test_every_place_comes_back_as_it_was(provider_id, credential_id, vendor_id):
    place = Place(provider_id, credential_id, vendor_id)
    assert decode_response_id(encode_response_id(place)) == place


def test_an_id_is_plain_text_that_begins_as_clients_expect():
    found = encode_response_id(PLACE)
    assert found.startswith("resp_")
    assert found.isascii()
    assert found.replace("_", "").replace("-", "").isalnum()
    assert why_not_previous(found) is None


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "resp_6867f1cae594",
        "resp_lr1",
        "resp_lr1!!!!",
        "resp_lr1AAAA",
        "resp_lr1" + "A" * 4_000,
        "resp_lr1ü",
        "gen-1",
    ],
)
def test_an_id_made_elsewhere_lies_nowhere_here(foreign):
    assert decode_response_id(foreign) is None
    assert "not one that was answered here" in (why_not_previous(foreign) or "")


def test_a_translated_response_says_why_it_cannot_be_continued():
    found = translated_response_id("0190ab")
    assert found.startswith("resp_")
    assert decode_response_id(found) is None
    assert "keeps none" in (why_not_previous(found) or "")
