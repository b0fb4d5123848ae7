import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel import redaction
from shared.kernel.redaction import redact

PARTS = (
    st.sampled_from(
        [
            "sk-",
            "sk_",
            "pk-live-",
            "gsk_",
            "xai-",
            "key-",
            "AIza",
            "lr-",
            "lra_",
            "hf_",
            "Bearer ",
            "basic ",
            "api_key=",
        ]
    )
    | st.sampled_from(
        [
            "apikey: ",
            "x-api-key: ",
            "password='",
            '"secret":"',
            "access_token=",
            "refresh_token:",
            "authorization=Basic ",
        ]
    )
    | st.sampled_from(
        ["task-1", "abcdefgh0123456789", "zyxwvuts-_.~+/=", "model=gpt-4o", "id_", " ", '"', ",", "\n", "é"]
    )
)


@given(st.lists(PARTS, max_size=10))
def test_ruling_out_by_words_never_lets_through_what_the_pattern_would_mask(parts: list[str]):
    text = "".join(parts)
    everything = redaction._PATTERNS.sub(lambda match: match["prefix"] + redaction.MASK, text)
    assert redact(text) == everything


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefgh12345678",
        "Authorization: Bearer abcdefgh12345678",
        '{"api_key": "abcdefgh12345678"}',
        "AIzaabcdefgh12345678",
        "password=abcdefgh12345678",
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str):
    assert "abcdefgh12345678" not in redact(text)
    assert "***" in redact(text)
