"""Sign-ins that a person is in the middle of: kept in memory for as long as their codes live, then forgotten."""

import base64
import os
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from services.providers.domain.oauth import (
    AuthServer,
    Denied,
    DeviceCode,
    Granted,
    Session,
    authorize_link,
    code_form,
    device_form,
    refused_redirect,
    refused_server,
)
from shared.kernel.clock import Clock
from shared.kernel.errors import Refusal

LIFE_S: Final = 600.0
_MOST: Final = 100
_SLOWER_S: Final = 5.0
"""What ``slow_down`` adds to the interval (RFC 8628, section 3.5)."""


class Server(Protocol):
    """What is asked of an authorization server."""

    async def discover(self, server: AuthServer) -> AuthServer | Refusal:
        """Return the server with what its metadata says."""
        ...

    async def grant(self, server: AuthServer, form: dict[str, str]) -> Granted | Denied:
        """Ask the token endpoint."""
        ...

    async def device(self, server: AuthServer) -> DeviceCode | Denied:
        """Ask the device endpoint."""
        ...


@dataclass(slots=True)
class SignIn:
    """One sign-in on its way."""

    state: str
    provider_id: str
    name: str
    server: AuthServer
    until: float
    """On the monotonic clock."""
    verifier: str = ""
    redirect_uri: str = ""
    link: str = ""
    device: DeviceCode | None = None
    interval_s: float = 0.0
    ask_at: float = 0.0
    """A device's token is not asked for before this."""
    busy: bool = False


class SignIns:
    """Begins and ends sign-ins."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._open: dict[str, SignIn] = {}

    async def begin(
        self, provider_id: str, name: str, server: AuthServer, *, flow: Literal["code", "device"], redirect_uri: str
    ) -> SignIn | Refusal:
        """Begin one: the caller shows a person the link, or the code and where to type it in."""
        found = await self._server.discover(server)
        refused = found if isinstance(found, Refusal) else refused_server(found)
        if isinstance(found, Refusal) or refused is not None:
            return refused or Refusal("invalid_oauth", "the server cannot be used", 422)
        self._drop_old()
        if len(self._open) >= _MOST:
            return Refusal("too_many_sign_ins", "too many sign-ins are on their way: finish one, or wait", 429)
        if not found.token_url:
            return Refusal("invalid_oauth", "token_url, or an issuer whose metadata names it, is needed", 422)
        now = self._clock.monotonic()
        signin = SignIn(_random(), provider_id, name, found, now + LIFE_S)
        refused = await (self._by_device(signin) if flow == "device" else self._by_code(signin, redirect_uri))
        if refused is None:
            self._open[signin.state] = signin
        return refused or signin

    def find(self, provider_id: str, state: str) -> SignIn | None:
        """Return one that is on its way."""
        self._drop_old()
        signin = self._open.get(state)
        return signin if signin is not None and signin.provider_id == provider_id else None

    async def finish(self, signin: SignIn, *, code: str, issuer: str) -> Session | Refusal | None:
        """Return the session, None while the person is not done, or why there is none."""
        if signin.busy:
            return None
        signin.busy = True
        try:
            outcome = await (self._ask_device(signin) if signin.device else self._ask_code(signin, code, issuer))
        finally:
            signin.busy = False
        if outcome is not None:
            self._open.pop(signin.state, None)
        return outcome

    async def _by_code(self, signin: SignIn, redirect_uri: str) -> Refusal | None:
        if not signin.server.authorize_url:
            return Refusal("invalid_oauth", "the server has no authorize_url: try the device flow", 422)
        signin.verifier, signin.redirect_uri = _random(), redirect_uri
        signin.link = authorize_link(
            signin.server, redirect_uri=redirect_uri, state=signin.state, verifier=signin.verifier
        )
        return refused_redirect(redirect_uri)

    async def _by_device(self, signin: SignIn) -> Refusal | None:
        if not signin.server.device_url:
            return Refusal("invalid_oauth", "the server has no device_url: try the code flow", 422)
        device = await self._server.device(signin.server)
        if isinstance(device, Denied):
            return Refusal("sign_in_failed", device.message, 502)
        now = self._clock.monotonic()
        signin.device, signin.interval_s = device, device.interval_s
        signin.until, signin.ask_at = now + min(device.expires_in_s, LIFE_S), now + device.interval_s
        return None

    async def _ask_code(self, signin: SignIn, code: str, issuer: str) -> Session | Refusal:
        if issuer and signin.server.issuer and issuer.rstrip("/") != signin.server.issuer.rstrip("/"):
            return Refusal("sign_in_failed", f"the code is from {issuer}, another server (RFC 9207)")
        if not code:
            return Refusal("sign_in_failed", "the server gave no code: the sign-in was refused or broken off")
        form = code_form(signin.server, code=code, redirect_uri=signin.redirect_uri, verifier=signin.verifier)
        return self._session(signin, await self._server.grant(signin.server, form))

    async def _ask_device(self, signin: SignIn) -> Session | Refusal | None:
        assert signin.device is not None
        if self._clock.monotonic() < signin.ask_at:
            return None
        answer = await self._server.grant(signin.server, device_form(signin.server, signin.device.device_code))
        if isinstance(answer, Denied) and not answer.final:
            if answer.code in ("access_denied", "expired_token"):
                return Refusal("sign_in_failed", f"the sign-in has ended: {answer.code}")
            if answer.code == "slow_down":
                signin.interval_s += _SLOWER_S
            signin.ask_at = self._clock.monotonic() + signin.interval_s
            return None
        return self._session(signin, answer)

    def _session(self, signin: SignIn, answer: Granted | Denied) -> Session | Refusal:
        if isinstance(answer, Denied):
            return Refusal("sign_in_failed", answer.message, 502)
        return answer.session(signin.server, self._clock.now().timestamp())

    def _drop_old(self) -> None:
        now = self._clock.monotonic()
        self._open = {state: signin for state, signin in self._open.items() if signin.until > now}


def _random() -> str:
    """Return 43 characters that nobody guesses: a state, or a PKCE verifier."""
    return base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
