"""Vendors that answer what nobody expects: the client gets an answer or one clean error, the ledger a sound record."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.raw_http import CHAT, Answer, ask, post
from tests.support.system import System, Wall, until

COUNT = itertools.count()
TEXT = "one two three"
Ask = Callable[..., Answer]


@pytest.fixture
def strange(system: System, vendor: Wall) -> Ask:
    """Asks a provider that nobody has asked yet."""
    slug = f"strange-{next(COUNT)}"
    system.provider(vendor.url, slug, ["small"])
    auth = f"Authorization: Bearer {system.key(target={'model': f'{slug}/small'})}"
    vendor.reset()

    def of(*, stream: bool) -> Answer:
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
        return ask(system.url, post(CHAT, body, auth))

    return of


def record_of(system: System, got: Answer) -> dict[str, Any]:
    """Return the record of an answer, whole."""
    path = f"/requests/{got.header('x-request-id')}"
    return until(lambda: (found := system.http.get(path)).status_code == 200 and found.json(), "the record is there")


@pytest.mark.parametrize(
    "usage",
    [
        {}, [], "many", 0, None,
        {"prompt_tokens": -5, "completion_tokens": -1, "total_tokens": -6},
        {"prompt_tokens": 10**30, "completion_tokens": 10**30},
        {"prompt_tokens": 2**63, "completion_tokens": 2**63},
        {"prompt_tokens": 1e300, "completion_tokens": 1.5},
        {"prompt_tokens": "12", "completion_tokens": None},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 10**12}},
        {"prompt_tokens": 5, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 900}},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": [], "completion_tokens_details": "x"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_usage_that_is_a_lie_never_spoils_answer_or_ledger(
    system: System, vendor: Wall, strange: Ask, usage: Any, stream: bool
) -> None:
    vendor.script({"text": TEXT, "usage": usage})
    got = strange(stream=stream)
    assert got.status == 200
    assert not stream or got.body.endswith(b"data: [DONE]\n\n")
    record = record_of(system, got)
    assert record["status"] == "succeeded"
    tokens = record["tokens"]
    counts = [value for value in tokens.values() if isinstance(value, int)]
    assert all(0 <= count < 2**53 for count in counts), tokens
    assert tokens["reasoning"] <= tokens["output"]
    assert system.http.get("/usage").status_code == 200


@pytest.mark.parametrize(
    "retry_after",
    [
        "9" * 30,
        "-5",
        "nan",
        "inf",
        "1e400",
        "soon",
        "",
        "Wed, 21 Oct 9999 07:28:00 GMT",
        "Wed, 99 Oct 2099 07:28:00 GMT",
    ],
)
def test_a_retry_after_that_is_none_harms_nobody(system: System, vendor: Wall, strange: Ask, retry_after: str) -> None:
    limited = {"status": 429, "error": {"message": "slow down"}, "headers": {"retry-after": retry_after}}
    vendor.script(limited, repeat=True)
    got = strange(stream=False)
    assert got.status == 429
    said = got.header("retry-after")
    assert said is None or 1 <= int(said) <= 10**7
    assert record_of(system, got)["status"] == "failed"
    assert strange(stream=False).status in (429, 503)


@pytest.mark.parametrize(
    "body",
    [
        '{"error":"text"}', '{"error":null}', '{"error":[]}',
        '{"error":{"message":{"a":1},"code":7,"param":[],"type":{}}}',
        '{"error":{"message":"a\\r\\nX-Forged: 1","code":"b\\r\\nX-Forged: 1"}}', '{"message":"only"}', "[]", "null",
        '{"error":{"message":"\\ud800"}}', "\x00\x01\x02", "x" * 3_000_000, "[" * 200_000, '{"detail":[{"msg":"no"}]}',
    ],
    ids=lambda body: body[:24],
)  # fmt: skip
@pytest.mark.parametrize("status", [200, 400, *(pytest.param(more, marks=pytest.mark.faults) for more in (422, 500))])
def test_an_error_of_any_form_is_one_clean_error(
    system: System, vendor: Wall, strange: Ask, body: str, status: int
) -> None:
    vendor.script({"status": status, "body": body, "content_type": "application/json"}, repeat=True)
    for stream in (False, True):
        got = strange(stream=stream)
        assert 400 <= got.status < 600
        error = got.json()["error"]
        assert isinstance(error["message"], str)
        assert len(error["message"]) < 5_000
        assert isinstance(error["code"], str)
        assert isinstance(error["type"], str)
        assert error["param"] is None or isinstance(error["param"], str)
        assert got.header("x-forged") is None
        assert record_of(system, got)["status"] == "failed"


@pytest.mark.parametrize("status", [201, 204, 206, 299, 304, 307, 418, 451, 499, 511, 599, 999])
def test_a_status_that_nobody_expects_is_an_error(system: System, vendor: Wall, strange: Ask, status: int) -> None:
    vendor.script({"status": status, "body": "", "headers": {"location": "http://127.0.0.1:1/"}}, repeat=True)
    got = strange(stream=True)
    assert 400 <= got.status < 600
    assert record_of(system, got)["status"] == "failed"


@pytest.mark.parametrize(
    "body",
    [
        '{"choices":[]}', '{"choices":null}', '{"choices":[{}]}', '{"choices":[{"message":null}]}', "{}", "[]", '"x"',
        '{"choices":[{"message":{"content":null}}]}', '{"choices":"x"}', '{"choices":[{"message":{"content":7}}]}',
    ],
)  # fmt: skip
def test_a_200_without_an_answer_is_an_error(system: System, vendor: Wall, strange: Ask, body: str) -> None:
    vendor.script({"body": body, "content_type": "application/json"}, repeat=True)
    got = strange(stream=False)
    assert got.status == 502
    assert record_of(system, got)["status"] == "failed"


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_a_stream_in_the_smallest_pieces_is_the_same_stream(
    system: System, vendor: Wall, strange: Ask, pieces: int
) -> None:
    vendor.script({"text": "é🙂 " * 5, "chunk_bytes": pieces}, {"text": "é🙂 " * 5})
    small, plain = strange(stream=True), strange(stream=True)
    assert small.body.count(b"data: ") == plain.body.count(b"data: ")
    assert small.body.endswith(b"data: [DONE]\n\n")
