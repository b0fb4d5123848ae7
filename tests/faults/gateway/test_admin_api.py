"""The admin API walked by its own document: whatever is sent, it answers as documented and never breaks."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import services.gateway.api
from tests.support.raw_http import Answer, ask, head, post
from tests.support.system import System

DOCUMENT = json.loads((Path(services.gateway.api.__file__).parent / "openapi.json").read_text())
ROUTES = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
NAMES = [f"{method} {path}" for method, path, _ in ROUTES]
WITH_BODY = [route for route in ROUTES if "requestBody" in route[2]]
PROBLEM = "application/problem+json"

MALFORMED = [
    b"", b"{", b"null", b"[]", b'"x"', b"7", b"\xff\xfe", b"\x00", b'{"a":NaN}', b'{"\\ud800":1}',
    b'{"name":"\\ud800"}', b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b'{"name":' + b"9" * 10_000 + b"}",
    b"{}{}", b'{"__proto__":{}}', b'{"name":"a\\u0000b"}',
]  # fmt: skip
ODD: list[Any] = [
    None, True, -1, 0, 2**63, 10**30, 1.5, 1e308, "", " ", "\x00", "\ud7ff\ue000", "a" * 100_000, "é/..%", [],
    [None], {}, {"": None}, [[]], "2020-01-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00",
]  # fmt: skip
QUERIES = ["", "x", "-1", "0", "9" * 20, "%00", "%ff", "1e999", "nan", "a" * 3_000, "'--", "2020-13-01", "0001-01-01"]
SEGMENTS = ["x", "%00", "%2e%2e", "%ff", "..%2f..", "a" * 5_000, "%20", "*", "%3E", "%0d%0aX-Forged:%201", "'--"]


def admin(system: System) -> str:
    return f"Authorization: {system.http.headers['authorization']}"


def filled(path: str, segment: str = "nobody") -> str:
    """Return a path with every parameter replaced."""
    return "/".join(segment if part.startswith("{") else part for part in path.split("/"))


def sound(got: Answer, where: str) -> None:
    """The answer is a success or a problem document, never a fault of the server's own."""
    assert got.status < 500 or got.status == 503, f"{where}: {got}"
    assert got.header("x-forged") is None
    if got.status >= 400:
        assert got.header("content-type") == PROBLEM, f"{where}: {got}"
        problem = got.json()
        assert problem["status"] == got.status
        assert problem["code"]
        assert problem["detail"]
        assert "Traceback" not in problem["detail"]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def odd_bodies(schema: dict[str, Any]) -> Iterator[Any]:
    """Yield bodies with one odd value in each field, the fields of inner objects and unknown ones included."""
    properties = resolved(schema).get("properties", {})
    for name, value in itertools.product([*properties, "unknown"], ODD):
        yield {name: value}
        for other in ("name", "slug", "vendor"):
            if other in properties and other != name:
                yield {other: "odd", name: value}
    for name, inner in properties.items():
        for choice in [inner, *inner.get("anyOf", []), *inner.get("oneOf", [])]:
            yield from ({name: body} for body in odd_bodies(choice) if resolved(choice).get("properties"))


@pytest.mark.parametrize(("method", "path", "operation"), ROUTES, ids=NAMES)
def test_nothing_is_there_without_the_token(
    system: System, auth: str, method: str, path: str, operation: dict[str, Any]
) -> None:
    wrong = [[], [auth], ["Authorization: Bearer "], ["X-LocalRouter-Actor: admin"], [admin(system) + "x"]]
    for lines in wrong:
        for request in (head(method, filled(path), *lines), post(filled(path), {}, *lines)):
            got = ask(system.url, request)
            assert (got.status, got.json()["code"]) == (401, "unauthorized")
            assert got.header("content-type") == PROBLEM


@pytest.mark.parametrize(("method", "path", "operation"), WITH_BODY, ids=[f"{m} {p}" for m, p, _ in WITH_BODY])
def test_a_malformed_body_is_a_problem(system: System, method: str, path: str, operation: dict[str, Any]) -> None:
    for body in MALFORMED:
        for content_type in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
            lines = [admin(system), f"Content-Type: {content_type}"]
            request = post(filled(path), body, *lines).replace(b"POST", method.encode(), 1)
            got = ask(system.url, request)
            sound(got, f"{content_type} {body[:60]!r}")
            assert got.status >= 400 or body == b""


@pytest.mark.parametrize(("method", "path", "operation"), WITH_BODY, ids=[f"{m} {p}" for m, p, _ in WITH_BODY])
def test_an_odd_value_in_any_field_is_judged_and_breaks_nothing(
    system: System, method: str, path: str, operation: dict[str, Any]
) -> None:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    made = {"/admin/v1/keys/{key_id}": "odd-key", "/admin/v1/routers/{name}": "minimum-cost"}
    if path.startswith("/admin/v1/keys/"):
        system.http.post("/keys", json={"name": "odd-key"})
        found = [item["id"] for item in system.items("keys") if item["name"] == "odd-key"]
        made[path] = found[0] if found else "nobody"
    where = filled(path, made.get(path, "nobody"))
    lines = [admin(system), "Content-Type: application/json"]
    with_settings = system.http.get("/settings").json()
    for body in odd_bodies(schema):
        raw = json.dumps(body).encode()
        got = ask(system.url, post(where, raw, *lines).replace(b"POST", method.encode(), 1))
        sound(got, str(body)[:200])
    assert system.http.get("/health").status_code == 200
    assert system.http.get("/settings").json().keys() == with_settings.keys()


@pytest.mark.parametrize(("method", "path", "operation"), ROUTES, ids=NAMES)
def test_odd_names_and_queries_are_problems_or_empty_lists(
    system: System, method: str, path: str, operation: dict[str, Any]
) -> None:
    parameters = [item["name"] for item in operation.get("parameters", []) if item["in"] == "query"]
    queries = [f"{name}={value}" for name in [*parameters, "unknown"] for value in QUERIES]
    segments = SEGMENTS if "{" in path else ["x"]
    requests = [f"{filled(path, segment)}" for segment in segments] + [f"{filled(path)}?{query}" for query in queries]
    for target in requests:
        if method in ("GET", "DELETE") or "{" in path:
            sound(ask(system.url, head(method, target, admin(system))), target[:200])


@pytest.mark.parametrize("value", ['"' + "9" * 5_000 + '"', "x", "", "*", "W/", '"1", "2"', "\xff", '"-1"', "²"])
def test_an_odd_if_match_is_a_problem(system: System, value: str) -> None:
    key = system.create("keys")["id"]
    lines = [admin(system), f"If-Match: {value}", "Content-Type: application/json"]
    for method, body in (("PATCH", b"{}"), ("DELETE", b"")):
        request = post(f"/admin/v1/keys/{key}", body, *lines).replace(b"POST", method.encode(), 1)
        sound(ask(system.url, request), f"{method} {value[:40]}")


@pytest.mark.parametrize("method", ["PUT", "TRACE", "OPTIONS", "HEAD", "POST", "PATCH", "DELETE"])
def test_a_method_that_a_route_does_not_know_is_405(system: System, method: str) -> None:
    got = ask(system.url, head(method, "/admin/v1/health", admin(system)), method)
    assert got.status == 405
    assert method == "HEAD" or got.header("content-type") == PROBLEM


def test_the_document_itself_needs_the_token_too(system: System) -> None:
    assert ask(system.url, head("GET", "/admin/v1/openapi.json")).status == 401
    assert ask(system.url, head("GET", "/admin/v1/openapi.json", admin(system))).json() == DOCUMENT
