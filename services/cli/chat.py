"""`localrouter chat`: one request, streamed, with what it cost and where it went."""

import secrets
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
import typer

from services.cli.client import Admin, not_reachable, open_http, refusal, segment
from services.cli.errors import CommandFailed, Exit
from services.cli.output import Json, harmless, print_json, say, usd
from services.cli.requests import tokens_text

_KEY_LIFE: Final = timedelta(minutes=15)
"""A key that a killed command left behind opens nothing after this."""
_RECORD_WITHIN_S: Final = 3.0
"""The ledger follows the gateway within a second; longer means that it lags, and the line goes without."""
_RECORD_EVERY_S: Final = 0.05


def chat(
    words: Annotated[
        list[str], typer.Argument(metavar='[MODEL] "TEXT"', help="The text, - for stdin; before it a model.")
    ],
    json: Json = False,
) -> None:
    """Send one request and print the answer as it comes, then where it went and what it cost.

    Calls with LOCALROUTER_API_KEY; without one the admin token makes a key named `cli`, which is deleted afterwards.
    """
    if len(words) > 2:
        raise typer.BadParameter('give a model and one text in quotes: localrouter chat auto "Hello"')
    text = sys.stdin.read() if words[-1] == "-" else words[-1]
    body = {"model": words[0] if len(words) == 2 else "auto", "messages": [{"role": "user", "content": text}]}
    admin = Admin()
    with _key(admin) as key:
        if json:
            _whole(admin.url, key, body)
        else:
            _stream(admin, key, body)


@contextmanager
def _key(admin: Admin) -> Generator[str]:
    """Lend a key: the environment's, or a short-lived one."""
    own = admin.environ.get("LOCALROUTER_API_KEY")
    if own:
        yield own
        return
    body = {"name": "cli", "allowed": ["*"], "expires_at": (datetime.now(UTC) + _KEY_LIFE).isoformat()}
    try:
        made = admin.post("keys", body).data
    except CommandFailed as error:
        if error.status != 409:
            raise
        made = admin.post("keys", {**body, "name": f"cli-{secrets.token_hex(3)}"}).data  # another chat is running
    try:
        yield made["key"]
    finally:
        admin.delete(f"keys/{segment(made['id'])}")


def _whole(url: str, key: str, body: dict[str, Any]) -> None:
    import httpx

    with open_http(url) as http:
        try:
            answer = http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
        except httpx.TransportError as error:
            raise not_reachable(url, error) from error
    if not answer.is_success:
        raise refusal(answer.status_code, answer.text, url)
    print_json(answer.text)


@dataclass(slots=True)
class _Heard:
    """What a stream said besides its text."""

    request_id: str = ""
    provider: str = ""
    model: str = ""
    usage: dict[str, Any] = field(default_factory=dict[str, Any])


def _stream(admin: Admin, key: str, body: dict[str, Any]) -> None:
    import httpx

    heard = _Heard()
    started = time.monotonic()
    request = {**body, "stream": True, "stream_options": {"include_usage": True}}
    with open_http(admin.url) as http:
        try:
            with http.stream(
                "POST", "/v1/chat/completions", json=request, headers={"authorization": f"Bearer {key}"}
            ) as answer:
                if not answer.is_success:
                    raise refusal(answer.status_code, answer.read().decode(errors="replace"), admin.url)
                heard.request_id = answer.headers.get("x-request-id", "")
                heard.provider = answer.headers.get("x-localrouter-provider", "")
                heard.model = answer.headers.get("x-localrouter-model", "")
                _print_stream(answer, heard)
        except httpx.ConnectError as error:
            raise not_reachable(admin.url, error) from error
        except httpx.TransportError as error:
            raise CommandFailed(Exit.FAILED, f"the answer was cut off: {error or type(error).__name__}") from error
    took_s = time.monotonic() - started
    say(_summary(heard, _record(admin, heard.request_id), took_s), style="dim")


def _print_stream(answer: Any, heard: _Heard) -> None:
    whole = False
    for line in answer.iter_lines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            whole = True
            break
        event = msgspec.json.decode(data)
        if event.get("error"):
            sys.stdout.write("\n")
            raise CommandFailed(Exit.FAILED, str(event["error"].get("message")), data)
        heard.usage = event.get("usage") or heard.usage
        for choice in event.get("choices", []):
            sys.stdout.write(harmless(choice.get("delta", {}).get("content") or ""))
            sys.stdout.flush()
    sys.stdout.write("\n")
    if not whole:
        raise CommandFailed(Exit.FAILED, "the answer was cut off")


def _record(admin: Admin, request_id: str) -> dict[str, Any] | None:
    """Return the request's record; the ledger is a moment behind, so ask again for a while."""
    if not request_id or admin.token is None:
        return None
    deadline = time.monotonic() + _RECORD_WITHIN_S
    while True:
        answer = admin.request("GET", f"/admin/v1/requests/{segment(request_id)}")
        if answer.is_success:
            return answer.json()
        if answer.status_code != 404 or time.monotonic() > deadline:
            return None
        time.sleep(_RECORD_EVERY_S)


def _summary(heard: _Heard, record: dict[str, Any] | None, took_s: float) -> str:
    if record is not None:
        model, provider = record.get("model") or heard.model, record.get("provider") or heard.provider
        parts = [model, provider, tokens_text(record["tokens"]), usd(record["cost_usd"])]
    else:
        usage = heard.usage
        tokens = f"{usage['prompt_tokens']} in, {usage['completion_tokens']} out" if usage else ""
        parts = [heard.model, heard.provider, tokens]
    return " · ".join([part for part in parts if part] + [f"{took_s:.1f} s"])
