"""Requests that are not what they should be: refused with the right status, never taken and never breaking anything."""

import json
from typing import Any

import pytest

from tests.support.raw_http import CHAT, Raw, ask, head, post
from tests.support.system import System, Wall

HELLO: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
RAW_HELLO = json.dumps(HELLO).encode()


@pytest.mark.parametrize(
    "credentials",
    [
        [],
        ["Authorization: Bearer "],
        ["Authorization: Bearer lr-' OR '1'='1' --"],
        ["Authorization: Bearer lr-\udcc3\udca9\u00e9"],
        ["Authorization: Bearer " + "a" * 64_000],
        ["Authorization: Bearer lr-*"],
        ["Authorization: Basic {key}"],
        ["Authorization: {key}"],
        ["Authorization: Bearer {key}", "Authorization: Bearer lr-another"],
        ["Authorization: Bearer lr-another", "Authorization: Bearer {key}"],
        ["Authorization: Bearer {key}", "Authorization: Bearer {key}"],
        ["Authorization: Bearer {key}, Bearer {key}"],
        ["X-Api-Key: {key}x"],
    ],
)
def test_a_wrong_credential_is_401_in_every_spelling(system: System, key: str, credentials: list[str]) -> None:
    lines = [line.replace("{key}", key).encode("utf-8", "surrogateescape") for line in credentials]
    for request in (head("GET", "/v1/models", *lines), post(CHAT, HELLO, *lines)):
        got = ask(system.url, request)
        assert (got.status, got.code) == (401, "invalid_api_key")
    token = str(system.http.headers["authorization"]).removeprefix("Bearer ")
    lines = [line.replace("{key}", token).encode("utf-8", "surrogateescape") for line in credentials]
    got = ask(system.url, head("GET", "/admin/v1/keys", *lines))
    assert (got.status, got.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    "line",
    [b"X-A: \x00", b"X-A: a\x00b", b"X\x00A: b", b"X A: b", b"X-A : b", b": b", b"X-A", b" folded: x"],
)  # fmt: skip
def test_a_broken_header_is_400(system: System, auth: str, line: bytes) -> None:
    with Raw(system.url) as raw:
        assert raw.send(head("GET", "/v1/models", auth, line)).answer().status == 400
        assert raw.closed()


def test_header_values_that_are_not_utf_8_are_only_bytes(system: System, auth: str, vendor: Wall) -> None:
    tags = b"x-localrouter-tags: team=\xff\xfe\xc3"
    assert ask(system.url, post(CHAT, HELLO, auth, tags, b"X-Request-Id: \xff")).status == 200
    assert len(vendor.attempts()) == 1


@pytest.mark.parametrize(
    "framing",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5, 5"],
        ["Content-Length: -1"],
        ["Content-Length: 0x5"],
        ["Content-Length: 99999999999999999999999"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: cow"],
    ],
)
def test_a_request_of_two_lengths_or_none_is_refused_and_its_connection_closed(
    system: System, auth: str, vendor: Wall, framing: list[str]
) -> None:
    smuggled = head("GET", "/v1/models", auth)
    with Raw(system.url) as raw:
        raw.send(head("POST", CHAT, auth, *framing) + b"0\r\n\r\n" + smuggled)
        assert raw.answer().status == 400
        assert raw.closed()
    assert vendor.attempts() == []


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n{}\r\n", b"-1\r\n", b"5\r\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n", b"fffffffffffffffff\r\n{}"]
)
def test_a_broken_chunk_is_400_and_the_connection_closed(
    system: System, auth: str, vendor: Wall, chunks: bytes
) -> None:
    with Raw(system.url) as raw:
        raw.send(head("POST", CHAT, auth, "Transfer-Encoding: chunked") + chunks)
        assert raw.answer().status == 400
        assert raw.closed()
    assert vendor.attempts() == []


def test_proper_chunks_are_taken(system: System, auth: str, vendor: Wall) -> None:
    pieces = b"".join(b"%x;note=1\r\n%c\r\n" % (1, byte) for byte in RAW_HELLO)
    request = head("POST", CHAT, auth, "Transfer-Encoding: chunked") + pieces + b"0\r\nX-Trailer: 1\r\n\r\n"
    assert ask(system.url, request).status == 200
    assert len(vendor.attempts()) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin/v1/keys",
        "/v1/%2e%2e/admin/v1/keys",
        "/v1/%2E%2E%2Fadmin%2Fv1%2Fkeys",
        "/v1//models",
        "//v1/models",
        "/V1/models",
        "/v1/models%00",
        "/v1/models/%00",
        "/v1/models/%ff%fe",
        "/v1/models/..%2f..%2fadmin",
        "/v1/models;x=1",
        "/v1/chat%2Fcompletions/",
        "/v1\\models",
        "/%",
        "/%zz",
        "*",
    ],
)
def test_a_twisted_path_is_nobody_s(system: System, auth: str, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert ask(system.url, head(method, path, auth)).status in (400, 404, 405)


@pytest.mark.parametrize(
    "path", ["/admin/v1/../../v1/models", "/admin/v1/keys/%2e%2e/settings", "/admin/v1/providers/.."]
)
def test_no_path_leads_past_the_admin_door(system: System, auth: str, path: str) -> None:
    assert ask(system.url, head("GET", path, auth)).status == 401
    assert ask(system.url, head("GET", path, _admin(system))).status in (400, 404, 405)


@pytest.mark.parametrize("uri", ["http://evil.example/v1/models", "http://127.0.0.1/v1/models", "http://evil.example"])
def test_an_absolute_address_needs_host_and_key_like_any_other(system: System, auth: str, uri: str) -> None:
    assert ask(system.url, head("GET", uri, auth, host="evil.example")).status in (400, 421)
    assert ask(system.url, head("GET", uri)).status in (400, 401, 404)


def test_bytes_above_ascii_in_the_path_are_refused(system: System, auth: str) -> None:
    for path in (b"/v1/models/\xff\xfe", "/v1/models/é".encode()):
        with Raw(system.url) as raw:
            raw.send(b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + auth.encode() + b"\r\n\r\n")
            assert raw.answer().status in (400, 404)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "a/?x=", "127.0.0.1@evil.example", "evil.example:127.0.0.1", "127.0.0.1.evil.example", "",
     "localhost/..", "127.0.0.1#", "127.0.0.1?", "[::1", "127.0.0.1:port", "0.0.0.0", "127.1", "localhost."],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models", "/admin/v1/keys", "/metrics"])
def test_an_unknown_host_is_421_whatever_it_proves(system: System, auth: str, host: str, path: str) -> None:
    for line in (auth, _admin(system)):
        assert ask(system.url, head("GET", path, line, host=host)).status == 421


def test_two_hosts_or_none_are_421_or_400(system: System, auth: str) -> None:
    assert ask(system.url, head("GET", "/v1/models", auth, host=None)).status in (400, 421)
    assert ask(system.url, head("GET", "/v1/models", auth, "Host: evil.example")).status in (400, 421)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:9", "[::1]:3000"])
def test_every_spelling_of_loopback_is_this_gateway(system: System, auth: str, host: str) -> None:
    assert ask(system.url, head("GET", "/v1/models", auth, host=host)).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"text"', b"{}", b'{"model":"auto"}', b'{"messages":[{}]}',
        b'{"model":"auto","messages":[{}],"temperature":NaN}', b'{"model":"auto","messages":[{}],"x":Infinity}',
        b'{"model":"auto","messages":[{}],"x":1e999}', b'{"model":"auto","messages":[{}],"x":' + b"9" * 5000 + b"}",
        b'{"model":"auto","messages":[{"content":"\\ud800"}]}', b'{"model":"auto","messages":[{"content":"\xff"}]}',
        b"\xef\xbb\xbf" + RAW_HELLO, RAW_HELLO.decode().encode("utf-16"), RAW_HELLO + b"{}", b"\x00" * 100,
        b'{"model":"auto","messages":"Hello"}', b'{"model":"auto","messages":[]}', b'{"model":"auto","messages":null}',
        b'{"model":7,"messages":[{}]}', b'{"model":"","messages":[{}]}', b'{"model":null,"messages":[{}]}',
        b'{"model":["auto"],"messages":[{}]}', b'{"model":"a\\u0000b","messages":[{}]}',
        b'{"models":[],"messages":[{}]}', b'{"models":"auto","messages":[{}]}', b'{"models":[7],"messages":[{}]}',
        b'{"model":"auto","messages":[{}],"stream":"yes"}', b'{"model":"auto","messages":[{}],"stream":1}',
        b'{"model":"' + b"m" * 600 + b'","messages":[{}]}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_request_is_400_and_goes_nowhere(
    system: System, auth: str, vendor: Wall, body: bytes
) -> None:
    got = ask(system.url, post(CHAT, body, auth))
    assert got.status == 400
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert vendor.attempts() == []


@pytest.mark.parametrize("depth", [129, 500, 940, 960, 980, 990, 995, 1000, 2000, 100_000])
@pytest.mark.parametrize("pair", [b"[]", b"{}"], ids=["lists", "objects"])
def test_deep_json_is_400_at_every_depth(system: System, auth: str, vendor: Wall, depth: int, pair: bytes) -> None:
    opening, closing = (b"[", b"]") if pair == b"[]" else (b'{"a":', b"}")
    deep = opening * depth + b"1" + closing * depth
    for field in (b'"tools":', b'"x":'):
        body = b'{"model":"auto","messages":[{"content":"a"}],' + field + deep + b"}"
        got = ask(system.url, post(CHAT, body, auth))
        assert (got.status, got.code) == (400, "invalid_json")
    assert vendor.attempts() == []


def test_many_brackets_side_by_side_are_not_deep(system: System, auth: str, vendor: Wall) -> None:
    body = {**HELLO, "stop": [[]] * 5000, "metadata": {"text": "[{" * 1000}}
    assert ask(system.url, post(CHAT, body, auth)).status == 200
    assert vendor.attempts()[0]["body"]["stop"] == [[]] * 5000


@pytest.mark.parametrize(
    "odd",
    [
        {"messages": [1, None, [], "a", {"content": 7}, {"content": [None, 3, {"type": 5}, {"text": 1}]}]},
        {"messages": [{"content": {"a": 1}, "tool_calls": "x"}]},
        {"max_tokens": "many"}, {"max_tokens": -5}, {"max_tokens": 10**30}, {"max_completion_tokens": 1.5},
        {"tools": 1}, {"tools": {"a": []}}, {"response_format": "json"}, {"response_format": {"type": {}}},
        {"stream_options": 1}, {"stream_options": [True]}, {"stream": None}, {"n": []}, {"user": {}}, {"seed": 2**64},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_odd_fields_are_the_vendor_s_to_judge_and_break_nothing_here(
    system: System, auth: str, vendor: Wall, odd: dict[str, Any], stream: bool
) -> None:
    body = {**HELLO, **({"stream": True} if stream else {}), **odd}
    got = ask(system.url, post(CHAT, body, auth))
    assert got.status < 500
    assert len(vendor.attempts()) <= 1
    assert system.request(got.header("x-request-id"))["http_status"] == got.status


def test_a_text_of_10_mb_passes_without_stalling_others(system: System, auth: str, vendor: Wall) -> None:
    large = {"model": "auto", "messages": [{"role": "user", "content": "x" * 10_000_000}]}
    vendor.script({"text": "read"})
    assert ask(system.url, post(CHAT, large, auth)).status == 200
    assert len(vendor.attempts()[0]["body"]["messages"][0]["content"]) == 10_000_000


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_the_content_type_does_not_matter(system: System, auth: str, vendor: Wall, content_type: str | None) -> None:
    lines = [] if content_type is None else [f"Content-Type: {content_type}"]
    assert ask(system.url, post(CHAT, HELLO, auth, *lines)).status == 200
    assert vendor.attempts()[0]["body"]["messages"] == HELLO["messages"]


@pytest.fixture(scope="session")
def narrow(system: System) -> str:
    """A key that may use the small model alone."""
    return "Authorization: Bearer " + system.key(target={"model": "wall/small"}, allowed=["wall/small"])


class TestDuplicates:
    """What is decided about a request is decided about what the vendor gets."""

    @pytest.mark.parametrize("first", ["wall/small", "wall/large"])
    def test_a_model_said_twice_is_one_model_for_the_allow_list_and_for_the_vendor(
        self, system: System, narrow: str, vendor: Wall, first: str
    ) -> None:
        last = "wall/large" if first == "wall/small" else "wall/small"
        body = f'{{"model":"{first}","messages":[{{"content":"a"}}],"model":"{last}"}}'.encode()
        got = ask(system.url, post(CHAT, body, narrow))
        assert got.status == (200 if last == "wall/small" else 403)
        assert [item["body"]["model"] for item in vendor.attempts()] == (["small"] if got.status == 200 else [])

    @pytest.mark.parametrize(
        "fields",
        [
            {"model": "wall/small", "models": ["wall/large"]},
            {"models": ["wall/small", "wall/large"]},
            {"model": "wall/large", "models": None},
            {"model": "WALL/LARGE"},
            {"model": "wall/../wall/large"},
            {"model": "wall/large "},
            {"model": "router/../wall/large"},
        ],
        ids=str,
    )
    def test_no_spelling_names_a_model_past_the_allow_list(
        self, system: System, narrow: str, vendor: Wall, fields: dict[str, Any]
    ) -> None:
        got = ask(system.url, post(CHAT, {"messages": [{"content": "a"}], **fields}, narrow))
        assert got.status in (400, 403, 404)
        assert vendor.attempts() == []

    def test_what_names_models_or_routes_for_a_vendor_never_reaches_it(
        self, system: System, narrow: str, vendor: Wall
    ) -> None:
        body = {"messages": [{"content": "a"}], "models": ["wall/small"]}
        assert ask(system.url, post(CHAT, body, narrow)).status == 200
        sent = vendor.attempts()[0]["body"]
        assert sent["model"] == "small"
        assert "models" not in sent


class TestMethods:
    """HEAD, OPTIONS and what else there is."""

    def test_head_says_what_get_says_without_the_body(self, system: System, auth: str) -> None:
        for path in ("/v1/models", "/healthz", "/readyz"):
            with Raw(system.url) as raw:
                got = raw.send(head("HEAD", path, auth)).answer("HEAD")
                assert got.status == 200
                length = int(got.header("content-length") or 0)
                assert len(raw.send(head("GET", path, auth)).answer().body) == length > 0

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD"])
    def test_a_wrong_method_is_405_and_says_which_are_right(self, system: System, auth: str, method: str) -> None:
        got = ask(system.url, head(method, CHAT, auth), method)
        assert (got.status, got.header("allow")) == (405, "POST")

    @pytest.mark.parametrize("method", ["CONNECT", "NONSENSE", "get", "PRI"])
    def test_methods_that_do_not_exist_are_refused(self, system: System, method: str) -> None:
        with Raw(system.url) as raw:
            raw.send(head(method, "/v1/models"))
            first = raw.line()
        assert first == b"" or 400 <= int(first.split()[1]) < 500

    @pytest.mark.parametrize("wanted", ["h2c", "websocket"])
    def test_a_client_that_would_rather_upgrade_is_answered_as_it_asked(
        self, system: System, auth: str, vendor: Wall, wanted: str
    ) -> None:
        lines = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {wanted}", "HTTP2-Settings: AAMAAABkAAQAAP__"]
        assert ask(system.url, post(CHAT, HELLO, auth, *lines)).status == 200
        assert ask(system.url, head("GET", "/v1/models", auth, *lines)).status == 200
        assert len(vendor.attempts()) == 1

    def test_a_client_that_waits_for_100_continue_is_told_to_go_on(self, system: System, auth: str) -> None:
        with Raw(system.url) as raw:
            raw.send(head("POST", CHAT, auth, f"Content-Length: {len(RAW_HELLO)}", "Expect: 100-continue"))
            assert raw.until(b"\r\n") == b"HTTP/1.1 100 Continue\r\n"
            raw.line()
            assert raw.send(RAW_HELLO).answer().status == 200

    def test_nothing_upstream_is_asked_to_wait_for_100_continue_for_a_body_too_large(
        self, system: System, auth: str
    ) -> None:
        got = ask(system.url, head("POST", CHAT, auth, "Content-Length: 999999999", "Expect: 100-continue"))
        assert got.status == 413


class TestConnections:
    """Keep-alive and pipelining."""

    def test_pipelined_requests_are_answered_in_order(self, system: System, auth: str, vendor: Wall) -> None:
        vendor.script({"text": "first", "delay_ms": 300}, {"text": "second"})
        with Raw(system.url) as raw:
            raw.send(post(CHAT, HELLO, auth) + head("GET", "/healthz") + post(CHAT, HELLO, auth) + head("GET", "/nope"))
            assert raw.answer().json()["choices"][0]["message"]["content"] == "first"
            assert raw.answer().body == b'{"status":"alive"}'
            assert raw.answer().json()["choices"][0]["message"]["content"] == "second"
            assert raw.answer().status == 404

    def test_a_stream_is_followed_by_the_next_answer_of_its_connection(
        self, system: System, auth: str, vendor: Wall
    ) -> None:
        with Raw(system.url) as raw:
            raw.send(post(CHAT, {**HELLO, "stream": True}, auth))
            assert raw.answer().body.endswith(b"data: [DONE]\n\n")
            assert raw.send(head("GET", "/v1/models", auth)).answer().status == 200
        assert len(vendor.attempts()) == 1

    def test_garbage_behind_a_request_does_not_break_its_answer(self, system: System, auth: str, vendor: Wall) -> None:
        vendor.script({"text": "whole", "delay_ms": 200})
        with Raw(system.url) as raw:
            raw.send(post(CHAT, HELLO, auth) + b"\x16\x03\x01 this is not HTTP\r\n\r\n")
            assert raw.answer().json()["choices"][0]["message"]["content"] == "whole"
            assert raw.closed()

    def test_an_error_leaves_the_connection_usable(self, system: System, auth: str) -> None:
        with Raw(system.url) as raw:
            for _ in range(3):
                assert raw.send(post(CHAT, b"{", auth)).answer().status == 400
                assert raw.send(head("GET", "/v1/models")).answer().status == 401
                assert raw.send(head("GET", "/v1/nope", auth)).answer().status == 404

    def test_http_1_0_gets_its_answer_and_the_end(self, system: System, auth: str) -> None:
        with Raw(system.url) as raw:
            raw.send(f"GET /v1/models HTTP/1.0\r\nHost: 127.0.0.1\r\n{auth}\r\n\r\n".encode())
            assert raw.answer().status == 200
            assert raw.closed()


def test_a_number_of_5000_digits_in_a_header_is_400(system: System, auth: str) -> None:
    for number in ("9" * 5000, "0", "-1", "1.5", "²", ""):
        got = ask(system.url, post(CHAT, HELLO, auth, f"x-localrouter-timeout-ms: {number}"))
        assert (got.status, got.code) == (400, "invalid_header")
    digits = {"if-match": '"' + "9" * 5000 + '"'}
    assert system.http.patch("/settings", json={}, headers=digits).status_code in (400, 412, 409)


def test_every_refusal_of_a_known_key_is_in_the_ledger(system: System, auth: str) -> None:
    got = ask(system.url, post(CHAT, {**HELLO, "model": "nope/none"}, auth))
    assert got.status == 404
    record = system.request(got.header("x-request-id"))
    assert (record["status"], record["error_code"]) == ("refused", "model_not_found")


def _admin(system: System) -> str:
    return f"Authorization: {system.http.headers['authorization']}"
