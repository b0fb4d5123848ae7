"""Sign-ins against authlib's authorization server, over HTTP."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta

import httpx
import msgspec
import pytest

from services.providers.adapters.oauth_http import OAuthHttp
from services.providers.adapters.oauth_sessions import OAuthSessions
from services.providers.adapters.oauth_signins import SignIn, SignIns
from services.providers.adapters.upstream import Upstream
from services.providers.domain.oauth import AuthServer, Session
from shared.kernel.errors import Refusal
from shared.log.memory import MemoryLog
from shared.log.port import LEASES, SECRETS
from shared.log.secrets import SecretStore, rewrap_all
from shared.runtime.clock import SYSTEM_CLOCK, new_id
from tests.support.oauth_server import CLIENT, OAuthServer, consent

BACK = "http://127.0.0.1:9/callback"


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with OAuthServer() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[OAuthHttp]:
    upstream = Upstream()
    await upstream.start()
    yield OAuthHttp(upstream)
    await upstream.stop()


def asked(server: OAuthServer, **more: str) -> AuthServer:
    return AuthServer(client_id=CLIENT, issuer=server.url, scopes=("models",), local=True, **more)


async def begun(signins: SignIns, server: OAuthServer, flow: str = "code") -> SignIn:
    signin = await signins.begin("p", "", asked(server), flow=flow, redirect_uri=BACK)  # type: ignore[arg-type]
    assert isinstance(signin, SignIn), signin
    return signin


async def signed_in(http: OAuthHttp, server: OAuthServer) -> Session:
    signins = SignIns(http, SYSTEM_CLOCK)
    signin = await begun(signins, server)
    came = await asyncio.to_thread(consent, signin.link)
    session = await signins.finish(signin, code=came["code"], issuer="")
    assert isinstance(session, Session), session
    return session


class LaterClock:
    """The system's clock, and more."""

    def __init__(self) -> None:
        self.later_s = 0.0

    def now(self) -> datetime:
        return SYSTEM_CLOCK.now() + timedelta(seconds=self.later_s)

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic() + self.later_s


class Place:
    """Where sessions are kept: any number of processes would share it."""

    def __init__(self, http: OAuthHttp) -> None:
        self.log = MemoryLog()
        self.http = http
        self.master = os.urandom(32)

    def sessions(self) -> OAuthSessions:
        secrets = SecretStore(self.log.bucket(SECRETS), self.master)
        return OAuthSessions(secrets, self.log.bucket(LEASES), self.http, clock=SYSTEM_CLOCK, new_id=new_id)


def takes(server: OAuthServer, token: str | None) -> bool:
    return httpx.get(f"{server.url}/v1/models", headers={"authorization": f"Bearer {token}"}).status_code == 200


async def test_a_code_with_pkce_brings_tokens_that_the_vendor_takes(server: OAuthServer, http: OAuthHttp) -> None:
    session = await signed_in(http, server)
    assert await asyncio.to_thread(takes, server, session.access_token)
    assert session.refresh_token
    assert session.fresh(SYSTEM_CLOCK.now().timestamp())
    assert session.access_token not in repr(session)


async def test_a_code_is_worth_nothing_without_its_verifier(server: OAuthServer, http: OAuthHttp) -> None:
    signins = SignIns(http, SYSTEM_CLOCK)
    mine, others = await begun(signins, server), await begun(signins, server)
    came = await asyncio.to_thread(consent, mine.link)
    refused = await signins.finish(others, code=came["code"], issuer="")
    assert isinstance(refused, Refusal)
    assert refused.code == "sign_in_failed"
    assert server.book.tokens == []


async def test_a_state_is_known_for_its_provider_and_once(server: OAuthServer, http: OAuthHttp) -> None:
    signins = SignIns(http, SYSTEM_CLOCK)
    signin = await begun(signins, server)
    assert signins.find("p", signin.state) is signin
    assert signins.find("another", signin.state) is None
    assert signins.find("p", "guessed") is None
    came = await asyncio.to_thread(consent, signin.link)
    assert came["state"] == signin.state
    await signins.finish(signin, code=came["code"], issuer=server.url)
    assert signins.find("p", signin.state) is None


async def test_a_code_of_another_server_is_not_sent_to_this_one(server: OAuthServer, http: OAuthHttp) -> None:
    signins = SignIns(http, SYSTEM_CLOCK)
    refused = await signins.finish(await begun(signins, server), code="x", issuer="https://evil.example")
    assert isinstance(refused, Refusal)
    assert "another server" in refused.message
    assert server.book.grants == []


async def test_a_device_code_is_pending_until_the_person_is_done(server: OAuthServer, http: OAuthHttp) -> None:
    clock = LaterClock()
    signins = SignIns(http, clock)
    signin = await begun(signins, server, "device")
    assert signin.device is not None
    assert signin.device.verification_uri.endswith("/activate")
    assert await signins.finish(signin, code="", issuer="") is None
    assert server.book.grants == [], "the server is not asked before its interval"
    clock.later_s += 1
    assert await signins.finish(signin, code="", issuer="") is None
    assert len(server.book.grants) == 1
    server.book.approved.add(signin.device.user_code)
    clock.later_s += 1
    session = await signins.finish(signin, code="", issuer="")
    assert isinstance(session, Session)
    assert await asyncio.to_thread(takes, server, session.access_token)


async def test_refresh_tokens_rotate_and_survive_a_restart(server: OAuthServer, http: OAuthHttp) -> None:
    place = Place(http)
    session = await _expired(place, server)
    first = place.sessions()
    token = await first.token("s", context="c")
    assert token != session.access_token
    assert await asyncio.to_thread(takes, server, token)
    restarted = place.sessions()
    assert await restarted.token("s", context="c") == token
    assert restarted.refused("s", session.access_token), "told late"
    assert server.book.refreshes == 1
    stored = await place.log.bucket(SECRETS).entries()
    for value in server.secrets():
        assert all(value.encode() not in (entry.value or b"") for entry in stored)


async def test_fifty_callers_of_an_expired_token_renew_it_once(server: OAuthServer, http: OAuthHttp) -> None:
    place = Place(http)
    session = await _expired(place, server)
    everybody = [place.sessions() for _ in range(4)]
    tokens = await asyncio.gather(*(everybody[n % 4].token("s", context="c") for n in range(50)))
    assert server.book.refreshes == 1
    [token] = set(tokens)
    assert token not in (None, session.access_token)


async def test_a_doubtful_answer_gives_nothing_up(server: OAuthServer, http: OAuthHttp) -> None:
    place = Place(http)
    await _expired(place, server)
    server.book.broken = 503
    sessions = place.sessions()
    assert await sessions.token("s", context="c") is None
    assert await sessions.token("s", context="c") is None
    assert server.book.grants.count("refresh_token") == 1, "a server in trouble is left alone for a while"
    server.book.broken = None
    assert await asyncio.to_thread(takes, server, await place.sessions().token("s", context="c"))


async def test_a_clear_no_is_remembered_and_the_sign_in_is_kept(server: OAuthServer, http: OAuthHttp) -> None:
    place = Place(http)
    await _expired(place, server)
    for token in server.book.tokens:
        token.revoked = True
    for _ in range(2):
        assert await place.sessions().token("s", context="c") is None
    assert server.book.grants.count("refresh_token") == 1
    assert [entry.key for entry in await place.log.bucket(SECRETS).entries()] == ["s"]


async def test_a_token_that_the_vendor_refuses_early_is_renewed_once(server: OAuthServer, http: OAuthHttp) -> None:
    place = Place(http)
    session = await signed_in(http, server)
    sessions = place.sessions()
    earlier = SYSTEM_CLOCK.now().timestamp() - 60
    await sessions.save("s", _as_of(session, earlier), context="c")
    assert await sessions.token("s", context="c") == session.access_token
    assert all(sessions.refused("s", session.access_token) for _ in range(20)), "twenty requests under way tell it"
    token = await sessions.token("s", context="c")
    assert token != session.access_token
    assert token is not None
    assert sessions.refused("s", session.access_token), "one more comes late"
    assert await sessions.token("s", context="c") == token
    assert server.book.refreshes == 1
    assert not sessions.refused("s", token), "the vendor does not want what was renewed either"
    sessions.accepted("s")
    assert sessions.refused("s", token)


async def test_rewrapping_while_tokens_are_renewed_loses_neither(server: OAuthServer, http: OAuthHttp) -> None:
    place = Place(http)
    await _expired(place, server)
    bucket, new = place.log.bucket(SECRETS), os.urandom(32)
    old, place.master = place.master, new
    sessions = OAuthSessions(
        SecretStore(bucket, _Ring(new, old)), place.log.bucket(LEASES), http, clock=SYSTEM_CLOCK, new_id=new_id
    )
    token, _ = await asyncio.gather(sessions.token("s", context="c"), rewrap_all(bucket, (new, old)))
    assert await place.sessions().token("s", context="c") == token
    assert server.book.refreshes == 1


async def test_revocation_ends_both_tokens(server: OAuthServer, http: OAuthHttp) -> None:
    place = Place(http)
    session = await signed_in(http, server)
    await place.sessions().save("s", session, context="c")
    assert await place.sessions().revoke("s", context="c")
    assert not await asyncio.to_thread(takes, server, session.access_token)
    assert all(token.revoked for token in server.book.tokens)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("token_url", "http://auth.example/token"),
        ("token_url", "https://169.254.169.254/token"),
        ("authorize_url", "https://10.0.0.1/authorize"),
        ("device_url", "https://[::ffff:127.0.0.1]/device"),
        ("issuer", "https://metadata.google.internal"),
        ("revoke_url", "https://2130706433/revoke"),
    ],
)
async def test_addresses_that_no_provider_may_have_are_refused_unasked(http: OAuthHttp, name: str, url: str) -> None:
    given = {"token_url": "https://auth.example/token", "authorize_url": "https://auth.example/authorize"} | {name: url}
    refused = await SignIns(http, SYSTEM_CLOCK).begin(
        "p", "", msgspec.structs.replace(AuthServer(client_id="c"), **given), flow="code", redirect_uri=BACK
    )
    assert isinstance(refused, Refusal)
    assert refused.code == "invalid_oauth"
    assert name in refused.message


@pytest.mark.parametrize("uri", ["https://evil.example/", "http://10.0.0.1/cb", "http://127.0.0.1@evil.example/", ""])
async def test_a_person_is_sent_back_to_their_own_machine_alone(server: OAuthServer, http: OAuthHttp, uri: str) -> None:
    refused = await SignIns(http, SYSTEM_CLOCK).begin("p", "", asked(server), flow="code", redirect_uri=uri)
    assert isinstance(refused, Refusal)
    assert refused.code == "invalid_redirect"


async def _expired(place: Place, server: OAuthServer) -> Session:
    session = await signed_in(place.http, server)
    server.expire_all()
    ended = _as_of(session, SYSTEM_CLOCK.now().timestamp() - 7200)
    await place.sessions().save("s", ended, context="c")
    return session


def _as_of(session: Session, issued_at: float) -> Session:
    return msgspec.structs.replace(session, issued_at=issued_at, expires_at=issued_at + 3600)


class _Ring:
    def __init__(self, *ring: bytes) -> None:
        self._ring = ring

    def ring(self) -> tuple[bytes, ...]:
        return self._ring

    async def again(self) -> tuple[bytes, ...]:
        return self._ring
