"""The admin API's sign-ins: ``providers/{name}/oauth``. Imported at its first request."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, Protocol

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from services.providers.api.schemas import Body
from services.providers.domain.oauth import AuthServer, DeviceCode, Session
from services.providers.domain.oauth_presets import PRESETS
from services.providers.domain.provider import OAUTH_PREFIX, SetCredential, secret_context
from services.providers.projections.providers import ProviderView
from shared.kernel.clock import Clock
from shared.kernel.errors import Refusal
from shared.kernel.ids import NewId
from shared.kernel.secrets import Secret
from shared.runtime.admin import PREFIX, Actor, Problem, refused

_PATH: Final = f"{PREFIX}/providers/{{name}}/oauth"
_Url = Annotated[str, Field(max_length=2048)]


class SignIn(Protocol):
    """One sign-in on its way."""

    @property
    def state(self) -> str:
        """Names it."""
        ...

    @property
    def name(self) -> str:
        """The credential's name."""
        ...

    @property
    def link(self) -> str:
        """Where a person signs in; empty: by a device code."""
        ...

    @property
    def device(self) -> DeviceCode | None:
        """What a person types in."""
        ...

    @property
    def interval_s(self) -> float:
        """How often a device's token may be asked for."""
        ...

    @property
    def until(self) -> float:
        """When it is forgotten, on the monotonic clock."""
        ...


class SignInDesk(Protocol):
    """Begins and ends sign-ins."""

    async def begin(
        self, provider_id: str, name: str, server: AuthServer, *, flow: Literal["code", "device"], redirect_uri: str
    ) -> Any:
        """Begin one; returns a ``SignIn`` or a ``Refusal``."""
        ...

    def find(self, provider_id: str, state: str) -> Any:
        """Return one that is on its way, or None."""
        ...

    async def finish(self, signin: Any, *, code: str, issuer: str) -> Session | Refusal | None:
        """Return the session, None while the person is not done, or why there is none."""
        ...


class SessionDesk(Protocol):
    """Keeps what sign-ins brought."""

    async def save(self, secret_id: str, session: Session, *, context: str) -> None:
        """Store a new one."""
        ...

    async def revoke(self, secret_id: str, *, context: str) -> bool:
        """Have one's tokens revoked."""
        ...


class Change(Protocol):
    """Decides a command on a provider, and waits until it is seen; raises Problem."""

    async def __call__(self, view: ProviderView, command: SetCredential, actor: str) -> None:
        """Do it."""
        ...


@dataclass(frozen=True, slots=True)
class OAuthDesk:
    """Everything behind the routes."""

    signins: SignInDesk
    sessions: SessionDesk
    clock: Clock
    new_id: NewId


class StartIn(Body):
    """Where to sign in: at a preset's server, or at any whose issuer, or addresses, are given."""

    flow: Literal["code", "device"] = "code"
    preset: str | None = Field(None, max_length=64)
    unofficial: bool = Field(False, description="Use a preset whose vendor has not documented it for other products")
    issuer: _Url = ""
    authorize_url: _Url = ""
    token_url: _Url = ""
    device_url: _Url = ""
    revoke_url: _Url = ""
    client_id: str = Field("", max_length=512)
    client_secret: str = Field("", max_length=1024, description="Of a client that has one; stored sealed")
    scopes: list[Annotated[str, Field(max_length=256)]] = Field([], max_length=100)
    redirect_uri: _Url = Field("", description="Of the code flow: http:// on loopback, where the code is waited for")
    name: str = Field("", max_length=64, description="Tells several credentials of one provider apart")

    def server(self, *, local: bool) -> AuthServer:
        """Return the server that is asked for; raises Problem."""
        given = {name: getattr(self, name) for name in _ADDRESSES if getattr(self, name)}
        scopes = tuple(self.scopes)
        if self.preset is not None:
            preset = PRESETS.get(self.preset)
            if preset is None:
                raise Problem(422, "unknown_preset", f"no preset {self.preset!r}; known: {', '.join(PRESETS)}")
            if preset.unofficial and not self.unofficial:
                raise Problem(422, "preset_is_off", f"{preset.label} is off: {preset.unofficial}")
            own = {name: getattr(preset, name, "") for name in _ADDRESSES}
            given, scopes = own | given, scopes or preset.scopes
        if not self.client_id:
            raise Problem(422, "invalid_oauth", "client_id is needed: register LocalRouter with the server")
        return AuthServer(
            client_id=self.client_id, client_secret=self.client_secret, scopes=scopes, local=local, **given
        )


_ADDRESSES: Final = ("issuer", "authorize_url", "token_url", "device_url", "revoke_url")


class StartOut(BaseModel):
    """What a person needs."""

    state: str
    authorize_url: str | None = Field(None, description="To be opened in a browser")
    user_code: str | None = None
    verification_uri: str | None = None
    verification_uri_complete: str | None = None
    interval_s: float | None = Field(None, description="How long to wait between two calls of finish")
    expires_at: datetime


class FinishIn(Body):
    """What came back to the loopback address; of a device code nothing but ``state``."""

    state: str = Field(max_length=256)
    code: str = Field("", max_length=8192)
    iss: _Url = Field("", description="The server that says it is (RFC 9207)")


class FinishOut(BaseModel):
    """How far the sign-in is."""

    status: Literal["pending", "done"]
    interval_s: float | None = None
    credential_id: str | None = None
    fingerprint: str | None = None
    name: str = ""


def add_oauth(app: FastAPI, desk: Callable[[], OAuthDesk], find: Callable[[str], ProviderView], change: Change) -> None:
    """Add the routes; ``desk`` is asked for at each request, ``find`` returns a provider by name, or raises Problem."""

    @app.post(f"{_PATH}/start", summary="Begin to sign in at a provider's authorization server")
    async def start(name: str, body: StartIn, actor: Actor) -> StartOut:
        view = find(name)
        server = body.server(local=view.spec.local)
        begun = await desk().signins.begin(view.id, body.name, server, flow=body.flow, redirect_uri=body.redirect_uri)
        if isinstance(begun, Refusal):
            raise refused(begun)
        return _started(begun, desk().clock)

    @app.get(_PATH, summary="Say whether a sign-in is still on its way")
    async def show(name: str, state: Annotated[str, Query(max_length=256)]) -> StartOut:
        return _started(_found(desk(), find(name), state), desk().clock)

    @app.post(f"{_PATH}/finish", summary="End a sign-in: its tokens are the provider's credential from then on")
    async def finish(name: str, body: FinishIn, actor: Actor) -> FinishOut:
        view = find(name)
        signin = _found(desk(), view, body.state)
        session = await desk().signins.finish(signin, code=body.code, issuer=body.iss)
        if session is None:
            return FinishOut(status="pending", interval_s=signin.interval_s)
        if isinstance(session, Refusal):
            raise refused(session)
        credential_id, secret_id = desk().new_id(), OAUTH_PREFIX + desk().new_id()
        context = secret_context(view.id, credential_id)
        fingerprint = Secret(session.refresh_token or session.access_token).fingerprint()
        await desk().sessions.save(secret_id, session, context=context)
        command = SetCredential(view.id, credential_id, secret_id, fingerprint, signin.name)
        try:
            await change(view, command, actor)
        except Problem:
            await desk().sessions.revoke(secret_id, context=context)
            raise
        return FinishOut(status="done", credential_id=credential_id, fingerprint=fingerprint, name=signin.name)


def _found(desk: OAuthDesk, view: ProviderView, state: str) -> SignIn:
    signin: SignIn | None = desk.signins.find(view.id, state)
    if signin is None:
        raise Problem(404, "sign_in_not_found", "there is no such sign-in on its way: begin again")
    return signin


def _started(signin: SignIn, clock: Clock) -> StartOut:
    left = timedelta(seconds=signin.until - clock.monotonic())
    device = signin.device
    return StartOut(
        state=signin.state,
        authorize_url=signin.link or None,
        user_code=device.user_code if device else None,
        verification_uri=device.verification_uri if device else None,
        verification_uri_complete=(device.verification_uri_complete or None) if device else None,
        interval_s=signin.interval_s or None,
        expires_at=clock.now() + left,
    )
