"""The admin API as a command sees it: where it is, what opens it, and what its refusals mean in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from services.cli.errors import CommandFailed, Exit
from shared.kernel.errors import SettingsInvalid

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

ADMIN: Final = "/admin/v1"
_CONNECT_S: Final = 5.0
_READ_S: Final = 120.0
_DOWNLOAD_S: Final = 3_600.0
"""A large one is made before its first byte comes."""
_PAGE: Final = 500
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said."""

    text: str
    """Exactly."""
    data: Any
    headers: Mapping[str, str]


def base_url(environ: Mapping[str, str]) -> str:
    """Return where the gateway is: ``LOCALROUTER_URL``, else where the settings of this machine put it."""
    chosen = environ.get("LOCALROUTER_URL")
    if chosen:
        return chosen.rstrip("/").removesuffix("/v1")
    from shared.runtime.settings_file import home, read_settings

    try:
        server = read_settings(home(environ), environ).server
    except SettingsInvalid as error:
        raise CommandFailed(Exit.FAILED, f"the settings hold mistakes:\n{error}") from error
    host = _ANYWHERE.get(server.host, server.host)
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


def is_local(url: str) -> bool:
    """Whether ``url`` is on this machine."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def admin_token(environ: Mapping[str, str]) -> str | None:
    """Return the admin token: ``LOCALROUTER_ADMIN_TOKEN``, ``…_FILE``, else the data folder's; None: there is none."""
    token = environ.get("LOCALROUTER_ADMIN_TOKEN")
    if token:
        return token
    try:
        return token_path(environ).read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        sentence = f"the admin token cannot be read: {token_path(environ)}: {error.strerror}"
        raise CommandFailed(Exit.FAILED, sentence) from error


def token_path(environ: Mapping[str, str]) -> Path:
    """Return the file that holds the admin token."""
    from pathlib import Path

    from shared.runtime.settings_file import home

    chosen = environ.get("LOCALROUTER_ADMIN_TOKEN_FILE")
    return Path(chosen) if chosen else home(environ) / "admin-token"


def open_http(url: str) -> httpx.Client:
    """Return a client for ``url``; a proxy of the environment's is not asked for what is on this machine."""
    import httpx

    try:
        return httpx.Client(
            base_url=url, timeout=httpx.Timeout(_READ_S, connect=_CONNECT_S), trust_env=not is_local(url)
        )
    except (httpx.InvalidURL, ValueError) as error:
        raise CommandFailed(Exit.USAGE, f"LOCALROUTER_URL is no URL: {url}") from error


class Admin:
    """A client of one gateway's admin API."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.environ = environ
        self.url = base_url(environ)
        self.token = admin_token(environ)
        self._http = open_http(self.url)

    def get(self, path: str, **params: Any) -> Answer:
        """Return ``GET /admin/v1/<path>``; a parameter that is None is left out. Raises CommandFailed."""
        return self.send("GET", path, params=params)

    def post(self, path: str, body: Any = None) -> Answer:
        """Return ``POST /admin/v1/<path>``. Raises CommandFailed."""
        return self.send("POST", path, body)

    def patch(self, path: str, body: Any) -> Answer:
        """Return ``PATCH /admin/v1/<path>``. Raises CommandFailed."""
        return self.send("PATCH", path, body)

    def delete(self, path: str, **params: Any) -> Answer:
        """Return ``DELETE /admin/v1/<path>``. Raises CommandFailed."""
        return self.send("DELETE", path, params=params)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Answer:
        """Send one request; ``version``: refused if the resource is past it. Raises CommandFailed."""
        response = self.request(method, f"{ADMIN}/{path}", body, params, version)
        if response.is_success:
            return Answer(response.text, _json(response), response.headers)
        raise self._refusal(response)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> httpx.Response:
        """Send one request and return whatever came back; raises CommandFailed where nothing did."""
        import httpx

        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        if version is not None:
            headers["if-match"] = f'"{version}"'
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["content-type"] = "application/json"
        kept = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            return self._http.request(method, path, content=content, headers=headers, params=kept)
        except httpx.TransportError as error:
            raise not_reachable(self.url, error) from error

    def download(self, method: str, path: str, target: IO[bytes]) -> int:
        """Write what ``/admin/v1/<path>`` answers to ``target`` as it comes, and return its bytes.

        Raises CommandFailed, also where it ended before its end; OSError.
        """
        import httpx

        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            patience = httpx.Timeout(_DOWNLOAD_S, connect=_CONNECT_S)
            with self._http.stream(method, f"{ADMIN}/{path}", headers=headers, timeout=patience) as response:
                if not response.is_success:
                    response.read()
                    raise self._refusal(response)
                for piece in response.iter_raw():
                    target.write(piece)
                return response.num_bytes_downloaded
        except httpx.TransportError as error:
            raise not_reachable(self.url, error) from error

    def pages(self, path: str, **params: Any) -> Answer:
        """Return a whole list in the API's shape, however many pages it has. Raises CommandFailed."""
        answer = self.get(path, limit=_PAGE, **params)
        if not answer.data.get("next_cursor"):
            return answer
        items: list[Any] = list(answer.data["items"])
        cursor = answer.data["next_cursor"]
        while cursor:
            page = self.get(path, limit=_PAGE, cursor=cursor, **params).data
            items += page["items"]
            cursor = page.get("next_cursor")
        whole = {**answer.data, "items": items, "next_cursor": None}
        return Answer(msgspec.json.encode(whole).decode(), whole, answer.headers)

    def find(self, kind: str, name: str, *by: str) -> dict[str, Any]:
        """Return the item of the list ``kind`` whose id, or one of the fields ``by``, is ``name``.

        Raises CommandFailed (refused) where none or more than one is.
        """
        items: list[dict[str, Any]] = self.pages(kind).data["items"]
        for field in ("id", *by):
            found = [item for item in items if item.get(field) == name]
            if len(found) > 1:
                ids = ", ".join(str(item["id"]) for item in found)
                raise CommandFailed(Exit.REFUSED, f"several {kind} have the {field} {name!r}, use an id: {ids}")
            if found:
                return found[0]
        known = ", ".join(_names(items, by)) or "none"
        raise CommandFailed(Exit.REFUSED, f"there is no {kind.removesuffix('s')} {name!r}; there are: {known}")

    def _refusal(self, response: httpx.Response) -> CommandFailed:
        if response.status_code == 401:
            where = f"{token_path(self.environ)} does not exist" if self.token is None else "the token was refused"
            sentence = (
                f"{self.url} asks for its admin token and {where}: set LOCALROUTER_ADMIN_TOKEN or LOCALROUTER_HOME"
            )
            return CommandFailed(Exit.REFUSED, sentence, response.text)
        return refusal(response.status_code, response.text, self.url)


def refusal(status: int, text: str, url: str) -> CommandFailed:
    """Return what an error answer means: refused below 500, failed above."""
    code = Exit.REFUSED if status < 500 else Exit.FAILED
    try:
        document = msgspec.json.decode(text, type=_ErrorDocument)
    except msgspec.DecodeError:
        sentence = f"{url} answered {status} and no document: is it a LocalRouter gateway?"
        return CommandFailed(code, sentence, status=status)
    sentence = (document.error.message if document.error else None) or document.detail or document.title
    return CommandFailed(code, sentence or f"{url} answered {status}", text, status)


class _ApiError(msgspec.Struct):
    message: str | None = None


class _ErrorDocument(msgspec.Struct):
    """A problem document of the admin API, or an error of the data plane."""

    detail: str | None = None
    title: str | None = None
    error: _ApiError | None = None


def not_reachable(url: str, error: Exception) -> CommandFailed:
    """Return the end of a command that found nobody."""
    why = str(error) or type(error).__name__
    hint = "start it with `localrouter up`, or set LOCALROUTER_URL"
    return CommandFailed(Exit.NOT_REACHABLE, f"no gateway answers at {url} ({why}): {hint}")


def segment(name: str) -> str:
    """Return a name as one segment of a path."""
    return quote(name, safe="")


def _json(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        return msgspec.json.decode(response.content)
    except msgspec.DecodeError as error:
        sentence = f"{response.url.copy_with(query=None)} did not answer JSON: is it a LocalRouter gateway?"
        raise CommandFailed(Exit.FAILED, sentence) from error


def _names(items: list[dict[str, Any]], by: tuple[str, ...]) -> Iterator[str]:
    for item in items[:20]:
        yield str(item.get(by[0] if by else "id", item["id"]))
    if len(items) > 20:
        yield "…"
