"""Answers in OpenAI's completions, from vendors that chat."""

from typing import Any

import msgspec
import pytest

from services.providers.domain.canonical import Answer, Choice, Text
from services.providers.domain.dialect import Asked
from services.providers.domain.dialects.openai_completions.dialect import CLIENT

BODY: dict[str, Any] = {"prompt": "hi", "logprobs": 2}
TOKEN = {"token": "ö", "logprob": -0.5}


def logprobs(said: Any) -> Any:
    """The chances of an answer whose vendor said ``said`` of them."""
    asked = Asked(id="0" * 32, model="p/m", created=1, ask=CLIENT.decode_request(BODY), body=BODY)
    answer = Answer(choices=(Choice(parts=(Text(text="ö"),), logprobs=said),))
    return msgspec.json.decode(CLIENT.encode_answer(answer, asked))["choices"][0]["logprobs"]


def test_chances_have_the_older_form() -> None:
    others = [TOKEN, {"token": "o", "logprob": -1.5}]
    assert logprobs({"content": [{**TOKEN, "top_logprobs": others}, TOKEN]}) == {
        "tokens": ["ö", "ö"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"ö": -0.5, "o": -1.5}, {}],
        "text_offset": [0, 1],
    }


@pytest.mark.parametrize("others", [None, 7, "x", [None, 7, "x", []], {"token": "x"}])
def test_what_a_vendor_says_wrongly_of_other_tokens_is_left_out(others: Any) -> None:
    assert logprobs({"content": [{**TOKEN, "top_logprobs": others}]})["top_logprobs"] == [{}]
