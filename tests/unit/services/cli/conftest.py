"""A gateway's admin API as recorded, and the command line run against it in this process."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.cli.__main__ import main

TOKEN = "lra-test-token"
KEY = {
    "id": "0198f2b0-0000-7000-8000-000000000001",
    "name": "my-app-1",
    "description": "",
    "prefix": "lr-abc",
    "last4": "wxyz",
    "enabled": True,
    "expires_at": None,
    "target": {"router": "minimum-cost"},
    "allowed": [],
    "endpoints": [],
    "networks": [],
    "max_body_bytes": None,
    "limits": [],
    "policies": {"drop_params": False, "unpriced": "allow", "limits_unavailable": "closed"},
    "tags": {"team": "blue"},
    "created_at": "2026-01-01T00:00:00Z",
    "version": 1,
}
NEW_KEY = {**KEY, "key": "lr-secret-value-of-the-key"}
PROVIDER = {
    "id": "0198f2b0-0000-7000-8000-000000000002",
    "slug": "openai",
    "vendor": "openai",
    "base_url": "https://api.openai.com/v1",
    "enabled": True,
    "local": False,
    "subscription": False,
    "credentials": [{"id": "c1", "name": "", "fingerprint": "deadbeef", "source": "stored", "state": "in_use"}],
    "options": {"models": []},
    "health": "healthy",
    "breaker": "closed",
    "version": 3,
}
ROUTER = {
    "id": "0198f2b0-0000-7000-8000-000000000003",
    "slug": "minimum-cost",
    "name": "Minimum cost",
    "models": {"include": ["*"], "exclude": []},
    "order": {"mode": "automatic", "strategies": [{"name": "lowest_cost", "tolerance": 0.0}]},
    "filters": {"context": {"min": 8000, "max": None}, "price": {"min": None, "max": 2.5}, "capabilities": ["tools"]},
    "affinity": True,
    "on_cut": "buffer",
    "fallback": {"max_attempts": 6, "first_token_ms": 500},
    "default": True,
    "version": 2,
}
TOKENS = {"input": 12, "cached": 3, "cache_write": 0, "output": 34, "reasoning": 0, "source": "provider"}
ATTEMPT = {
    "id": "a1",
    "provider": "openai",
    "model": "openai/gpt-4o-mini",
    "outcome": "succeeded",
    "http_status": 200,
    "error_code": None,
    "duration_ms": 812.4,
    "tokens": TOKENS,
    "cost_usd": "0.00002",
    "shadow_cost_usd": "0.03",
}
REQUEST = {
    "id": "0198f2b0-0000-7000-8000-000000000004",
    "time": "2026-01-01T00:00:00.000Z",
    "key_name": "my-app-1",
    "router": "minimum-cost",
    "provider": "openai",
    "model": "openai/gpt-4o-mini",
    "requested_model": "auto",
    "status": "succeeded",
    "http_status": 200,
    "error_code": None,
    "tokens": TOKENS,
    "cost_usd": "0.00002",
    "shadow_cost_usd": "0.03",
    "ttft_ms": 100.0,
    "duration_ms": 812.4,
    "overhead_ms": 1.2,
    "excluded": [{"provider": "groq", "model": "groq/llama", "cause": "breaker_open", "value": "12 s"}],
    "attempts": [ATTEMPT],
    "tags": {},
}
SUMS = {
    "requests": 2,
    "succeeded": 2,
    "attempts": 2,
    "tokens": {"input": 24, "cached": 6, "cache_write": 0, "output": 68, "reasoning": 0, "total": 98},
    "cost_usd": "0.00004",
    "shadow_cost_usd": "0.06",
    "unpriced_requests": 1,
}
USAGE = {"items": [{"model": "openai/gpt-4o-mini", **SUMS}], "next_cursor": None, "totals": SUMS}
HEALTH = {
    "status": "ok",
    "services": [{"name": "router", "ready": True, "reasons": []}],
    "providers": [
        {"id": PROVIDER["id"], "provider": "openai", "health": "healthy", "breaker": "closed", "reason": None}
    ],
    "degraded": [],
}
MODEL = {
    "id": "openai/gpt-4o-mini",
    "provider": "openai",
    "context_window": 128000,
    "parameters_b": 8.0,
    "capabilities": ["chat", "tools"],
    "prices": {"input": "0.15", "output": "0.6"},
    "health": "healthy",
}
PLAN = {
    "slug": "minimum-cost",
    "hash": "x",
    "candidates": [
        {
            "place": 1,
            "model": "openai/gpt-4o-mini",
            "prices": {"input": "0.15", "output": "0.6"},
            "reasons": [{"strategy": "lowest_cost", "score": 0.3, "because": "cheapest"}],
        }
    ],
    "left_out": [{"cause": "disabled", "count": 2, "examples": ["groq/llama"]}],
}


def page(*items: dict[str, Any], cursor: str | None = None) -> dict[str, Any]:
    return {"items": list(items), "next_cursor": cursor}


def chunk(text: str = "", **more: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}}] if text else []
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


ADMIN = "/admin/v1"
STREAM = b"".join(
    [chunk("Hello "), chunk("world"), chunk(usage={"prompt_tokens": 15, "completion_tokens": 34}), b"data: [DONE]\n\n"]
)
ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/readyz"): {"status": "ready", "reasons": []},
    ("GET", f"{ADMIN}/keys"): page(KEY),
    ("POST", f"{ADMIN}/keys"): NEW_KEY,
    ("GET", f"{ADMIN}/keys/{KEY['id']}"): KEY,
    ("PATCH", f"{ADMIN}/keys/{KEY['id']}"): KEY,
    ("DELETE", f"{ADMIN}/keys/{KEY['id']}"): None,
    ("POST", f"{ADMIN}/keys/{KEY['id']}/rotate"): NEW_KEY,
    ("GET", f"{ADMIN}/providers"): page(PROVIDER),
    ("POST", f"{ADMIN}/providers"): PROVIDER,
    ("GET", f"{ADMIN}/providers/{PROVIDER['id']}"): PROVIDER,
    ("PATCH", f"{ADMIN}/providers/{PROVIDER['id']}"): PROVIDER,
    ("DELETE", f"{ADMIN}/providers/{PROVIDER['id']}"): None,
    ("POST", f"{ADMIN}/providers/{PROVIDER['id']}/test"): {
        "ok": True,
        "health": "healthy",
        "reason": "",
        "http_status": 200,
        "latency_ms": 80.1,
    },
    ("POST", f"{ADMIN}/providers/{PROVIDER['id']}/breaker-reset"): PROVIDER,
    ("POST", f"{ADMIN}/providers/test"): {
        "ok": False,
        "health": "unhealthy",
        "reason": "no answer in 5 s",
        "http_status": None,
        "latency_ms": 5000.0,
    },
    ("GET", f"{ADMIN}/providers/discover"): {
        "items": [
            {
                "vendor": "vllm",
                "name": "vLLM",
                "base_url": "http://localhost:8000/v1",
                "models": ["qwen"],
                "provider": None,
            }
        ]
    },
    ("PUT", f"{ADMIN}/providers/{PROVIDER['id']}/credentials"): {"id": "c1", "fingerprint": "deadbeef"},
    ("DELETE", f"{ADMIN}/providers/{PROVIDER['id']}/credentials"): None,
    ("GET", f"{ADMIN}/routers"): page(ROUTER),
    ("POST", f"{ADMIN}/routers"): ROUTER,
    ("GET", f"{ADMIN}/routers/minimum-cost"): ROUTER,
    ("PUT", f"{ADMIN}/routers/minimum-cost"): ROUTER,
    ("DELETE", f"{ADMIN}/routers/minimum-cost"): None,
    ("GET", f"{ADMIN}/routers/minimum-cost/preview"): PLAN,
    ("POST", f"{ADMIN}/routers/preview"): PLAN,
    ("GET", f"{ADMIN}/models"): page(MODEL),
    ("POST", f"{ADMIN}/models/refresh"): {"providers": 1, "models": 3},
    ("GET", f"{ADMIN}/usage"): USAGE,
    ("GET", f"{ADMIN}/requests"): page(REQUEST),
    ("GET", f"{ADMIN}/requests/{REQUEST['id']}"): REQUEST,
    ("GET", f"{ADMIN}/health"): HEALTH,
    ("POST", "/v1/chat/completions"): STREAM,
}


@dataclass
class Seen:
    """One request that the gateway got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Gateway:
    """What it answers, and what it was asked."""

    url: str
    answers: dict[tuple[str, str], Any] = field(default_factory=lambda: dict(ANSWERS))
    """A document (200), a pair of status and document, bytes (a stream), or a function of the request to one."""
    seen: list[Seen] = field(default_factory=list)

    def refuse(self, method: str, path: str, status: int, code: str, detail: str) -> None:
        document = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
        self.answers[(method, path)] = (status, document)

    def asked(self, method: str, path: str) -> Seen:
        """The one request of this kind."""
        (found,) = [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]
        return found


def handler(gateway: Callable[[], Gateway]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            url = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(self.command, url.path, query, headers, json.loads(raw) if raw else None)
            gateway().seen.append(seen)
            missing = (404, {"title": "not found", "status": 404, "code": "not_found", "detail": f"no {url.path}"})
            found = gateway().answers.get((self.command, url.path), missing)
            found = found(seen) if callable(found) else found
            if url.path.startswith(ADMIN) and headers.get("authorization") != f"Bearer {TOKEN}":
                found = (401, {"status": 401, "code": "unauthorized", "detail": "needs the admin token"})
            status, document = found if isinstance(found, tuple) else (204 if found is None else 200, found)
            body = (
                b"" if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
            )
            with contextlib.suppress(ConnectionError):  # a command that was interrupted has gone
                self.send_response(status)
                self.send_header("x-request-id", str(REQUEST["id"]))
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    served: list[Gateway] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(lambda: served[0]))
    served.append(Gateway(f"http://127.0.0.1:{server.server_port}"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name in ("LOCALROUTER_API_KEY", "LOCALROUTER_CONFIG", "LOCALROUTER_ADMIN_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCALROUTER_URL", served[0].url)
    monkeypatch.setenv("LOCALROUTER_ADMIN_TOKEN", TOKEN)
    monkeypatch.setenv("LOCALROUTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    yield served[0]
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def command(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        output = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0, output.out, output.err)

    return command
