"""Asks authorization servers, under the same guard as every other way out."""

import asyncio
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from services.providers.adapters.upstream import Upstream, endpoint, read_capped
from services.providers.domain.errors import UNREADABLE
from services.providers.domain.oauth import (
    AuthServer,
    Denied,
    DeviceCode,
    Granted,
    Session,
    client_form,
    metadata_urls,
    read_device,
    read_grant,
    refresh_form,
    refused_server,
    with_metadata,
)
from shared.kernel.errors import Refusal

LIMIT_S: Final = 10.0
_MOST: Final = 1024 * 1024
_JSON: Final = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "LocalRouter"}
_FORM: Final = _JSON | {"content-type": "application/x-www-form-urlencoded"}


class OAuthHttp:
    """Speaks with authorization servers; what is doubtful comes back as ``Denied`` and not ``final``."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def discover(self, server: AuthServer) -> AuthServer | Refusal:
        """Return ``server`` with what its issuer's metadata says, every address of it judged."""
        refused = refused_server(server)
        if refused is not None or not server.issuer or server.token_url:
            return refused or server
        for url in metadata_urls(server.issuer):
            status, body = await self._send("GET", url, None, local=server.local)
            if status != 200:
                continue
            try:
                found = with_metadata(server, msgspec.json.decode(body))
            except UNREADABLE:
                continue
            return found if isinstance(found, Refusal) else refused_server(found) or found
        return Refusal("invalid_oauth", f"{server.issuer} answers no metadata: give its addresses yourself", 422)

    async def grant(self, server: AuthServer, form: dict[str, str]) -> Granted | Denied:
        """Ask the token endpoint."""
        return read_grant(*await self._send("POST", server.token_url, form, local=server.local))

    async def refresh(self, session: Session) -> Granted | Denied:
        """Ask the token endpoint for other tokens."""
        return await self.grant(session.server, refresh_form(session))

    async def device(self, server: AuthServer) -> DeviceCode | Denied:
        """Ask the device endpoint."""
        form = client_form(server) | ({"scope": " ".join(server.scopes)} if server.scopes else {})
        return read_device(*await self._send("POST", server.device_url, form, local=server.local))

    async def revoke(self, session: Session) -> bool:
        """Have the tokens revoked (RFC 7009); False: the server has no such endpoint, or did not say it did."""
        server = session.server
        if not server.revoke_url:
            return False
        given = (("refresh_token", session.refresh_token), ("access_token", session.access_token))
        done = [
            (await self._send("POST", server.revoke_url, form | client_form(server), local=server.local))[0] == 200
            for form in ({"token": token, "token_type_hint": hint} for hint, token in given if token)
        ]
        return all(done)

    async def _send(self, method: str, url: str, form: dict[str, str] | None, *, local: bool) -> tuple[int, bytes]:
        """Return status and body; 0 where nothing, or too much, came back."""
        parts = urlsplit(url)
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await self._upstream.send(
                    method,
                    endpoint(f"{parts.scheme}://{parts.netloc}", parts.path or "/"),
                    _JSON if form is None else _FORM,
                    None if form is None else urlencode(form).encode(),
                    local=local,
                    connect_s=LIMIT_S,
                )
                try:
                    body = await read_capped(answer, _MOST)
                finally:
                    answer.close()
        except (TimeoutError, OSError):
            return 0, b""
        return (answer.status, body) if body is not None else (0, b"")
