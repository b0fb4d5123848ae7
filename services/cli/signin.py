"""A person's side of a sign-in: the browser, the loopback address that waits for the code, the device's code."""

import threading
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import typer

from services.cli.client import Admin
from services.cli.errors import CommandFailed, Exit
from services.cli.output import harmless

WAIT_S: Final = 300.0
_PATH: Final = "/callback"
_PAGE: Final = b"<!doctype html><title>LocalRouter</title><p>Done here: go back to your terminal.</p>"


def tell(sentence: str) -> None:
    """Say to the person what to do, beside what the command prints."""
    typer.echo(harmless(sentence), err=True)


class Loopback:
    """Waits on 127.0.0.1 for a browser that comes back with a code (RFC 8252, section 7.3)."""

    def __init__(self, port: int = 0) -> None:
        """``port`` 0: any that is free."""
        came: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path != _PATH:
                    self.send_error(404)
                    return
                came.append({name: values[0] for name, values in parse_qs(parts.query).items()})
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(_PAGE)))
                self.end_headers()
                self.wfile.write(_PAGE)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
                """Say nothing: the path holds the code."""

        self._came = came
        try:
            self._server = HTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise CommandFailed(Exit.FAILED, f"port {port} of 127.0.0.1 is not free: {error.strerror}") from error

    @property
    def uri(self) -> str:
        """Where it waits."""
        return f"http://127.0.0.1:{self._server.server_port}{_PATH}"

    def wait(self, state: str, limit_s: float = WAIT_S) -> dict[str, str]:
        """Return what came back for ``state``; raises CommandFailed after ``limit_s``."""
        until = time.monotonic() + limit_s
        with self._server:
            while time.monotonic() < until:
                self._server.timeout = max(0.0, until - time.monotonic())
                self._server.handle_request()
                for query in self._came:
                    if query.get("state") == state:
                        return query
                self._came.clear()
        raise CommandFailed(Exit.FAILED, "nobody came back from the sign-in in time: try again")


def by_code(admin: Admin, path: str, body: dict[str, Any], *, port: int = 0) -> dict[str, Any]:
    """Sign in by a browser on this machine, and return the last answer of the API; raises CommandFailed."""
    loopback = Loopback(port)
    begun = admin.post(f"{path}/oauth/start", body | {"flow": "code", "redirect_uri": loopback.uri}).data
    tell(f"Sign in here: {harmless(begun['authorize_url'])}")
    threading.Thread(
        target=webbrowser.open, args=(begun["authorize_url"],), daemon=True
    ).start()  # one in a terminal blocks
    came = loopback.wait(begun["state"])
    if "error" in came:
        raise CommandFailed(Exit.REFUSED, f"the server refused the sign-in: {harmless(came['error'])}")
    finish = {"state": begun["state"], "code": came.get("code", ""), "iss": came.get("iss", "")}
    return dict(admin.post(f"{path}/oauth/finish", finish).data)


def by_device(admin: Admin, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Sign in on any other device, and return the last answer of the API; raises CommandFailed."""
    begun = admin.post(f"{path}/oauth/start", body | {"flow": "device"}).data
    tell(f"Go to {harmless(begun['verification_uri'])} and type in {harmless(begun['user_code'])}")
    if begun.get("verification_uri_complete"):
        tell(f"or go to {harmless(begun['verification_uri_complete'])}")
    interval_s: float = begun["interval_s"]
    while True:
        time.sleep(interval_s)
        said = dict(admin.post(f"{path}/oauth/finish", {"state": begun["state"]}).data)
        if said["status"] == "done":
            return said
        interval_s = said.get("interval_s") or interval_s
