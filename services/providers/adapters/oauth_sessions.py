"""Sign-ins that are stored: tokens sealed, renewed by one process for all, never given up on a doubtful answer."""

import asyncio
import contextlib
from typing import Final, Protocol

import msgspec
import structlog

from services.providers.domain.oauth import Denied, Granted, Session
from services.providers.domain.ports import Secrets
from shared.kernel.clock import Clock
from shared.kernel.errors import Conflict, LogError, SealBroken
from shared.kernel.ids import NewId
from shared.kernel.secrets import wipe
from shared.log.leases import Lease
from shared.log.port import Bucket

_LEASE_S: Final = 20.0
"""Longer than an authorization server is waited for."""
_WAIT_S: Final = 30.0
_LOOK_S: Final = 0.1
"""How often it is looked whether another process has renewed the tokens."""
_PAUSE_S: Final = 5.0
"""A server whose answer was doubtful is left alone for this long."""
_STORE_TRIES: Final = 5

log = structlog.get_logger("providers")


class Server(Protocol):
    """What is asked of an authorization server."""

    async def refresh(self, session: Session) -> Granted | Denied:
        """Ask for other tokens."""
        ...

    async def revoke(self, session: Session) -> bool:
        """Have the tokens revoked; whether it was done."""
        ...


class OAuthSessions:
    """Gives out access tokens, renewed in time."""

    def __init__(self, secrets: Secrets, leases: Bucket, server: Server, *, clock: Clock, new_id: NewId) -> None:
        self._secrets = secrets
        self._leases = leases
        self._server = server
        self._clock = clock
        self._holder = new_id()
        self._known: dict[str, Session] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._not_before: dict[str, float] = {}
        self._refused_from: dict[str, int] = {}
        """The generation since which the vendor has refused what it was sent."""

    async def save(self, secret_id: str, session: Session, *, context: str) -> None:
        """Store a new sign-in; raises OutcomeUnknown, LogUnavailable."""
        await self._secrets.put(secret_id, msgspec.json.encode(session), context=context)

    async def token(self, secret_id: str, *, context: str) -> str | None:
        """Return an access token that can be sent, or None where somebody must sign in again, or nobody can say.

        Raises KeyError where there is no such sign-in, SealBroken, LogError.
        """
        known = self._known.get(secret_id)
        if known is not None and known.fresh(self._now()):
            return known.access_token
        async with self._turns.setdefault(secret_id, asyncio.Lock()):
            session, _ = await self._read(secret_id, context)
            if not session.fresh(self._now()) and self._may_ask(secret_id, session):
                session = await self._renewed(secret_id, context)
        return session.access_token if session.alive(self._now()) and not session.refused else None

    def refused(self, secret_id: str, token: str) -> bool:
        """The vendor refuses an access token; returns whether the next one that is asked for is another.

        Requests under way tell it late, of a token that was renewed meanwhile: that renews nothing again. False: the
        vendor refuses what was renewed as well.
        """
        known = self._known.get(secret_id)
        if known is None or known.refused or not known.refresh_token:
            return False
        if known.access_token != token:
            return True
        if known.generation > self._refused_from.setdefault(secret_id, known.generation):
            return False
        self._known[secret_id] = msgspec.structs.replace(known, expires_at=self._now())
        return True

    def accepted(self, secret_id: str) -> None:
        """The vendor took a sign-in's access token."""
        self._refused_from.pop(secret_id, None)

    def forget(self, secret_id: str) -> None:
        """Drop what is in memory of a sign-in."""
        self._known.pop(secret_id, None)
        self._turns.pop(secret_id, None)
        self._not_before.pop(secret_id, None)
        self._refused_from.pop(secret_id, None)

    async def revoke(self, secret_id: str, *, context: str) -> bool:
        """Have a sign-in's tokens revoked by their server, before its secret is purged; whether that was done."""
        try:
            session, _ = await self._read(secret_id, context)
        except (KeyError, SealBroken, LogError):
            return False
        done = await self._server.revoke(session)
        log.info("sign-in revoked" if done else "sign-in not revoked: its server does not do it", secret=secret_id)
        self.forget(secret_id)
        return done

    def _may_ask(self, secret_id: str, session: Session) -> bool:
        if session.refused or not session.refresh_token:
            return False
        return self._clock.monotonic() >= self._not_before.get(secret_id, 0.0)

    async def _renewed(self, secret_id: str, context: str) -> Session:
        """Renew as the only one of all processes, or wait for the one that does."""
        lease = Lease(self._leases, f"oauth-{secret_id}", self._holder, clock=self._clock, ttl_s=_LEASE_S)
        until = self._clock.monotonic() + _WAIT_S
        await lease.start()
        try:
            while True:
                session, revision = await self._read(secret_id, context)
                if session.fresh(self._now()) or session.refused or self._clock.monotonic() >= until:
                    return session
                if lease.held:
                    return await self._ask(secret_id, context, session, revision)
                await asyncio.sleep(_LOOK_S)
        finally:
            await lease.stop()

    async def _ask(self, secret_id: str, context: str, session: Session, revision: int) -> Session:
        answer = await self._server.refresh(session)
        if isinstance(answer, Granted):
            renewed = answer.session(session.server, self._now(), session)
            log.info("sign-in renewed", secret=secret_id)
        elif answer.final:
            renewed = msgspec.structs.replace(session, refused=answer.code, generation=session.generation + 1)
            log.error("somebody must sign in again", secret=secret_id, why=answer.message)
        else:
            self._not_before[secret_id] = self._clock.monotonic() + _PAUSE_S
            log.warning("sign-in not renewed, it is kept", secret=secret_id, why=answer.message)
            return session
        return await self._store(secret_id, context, renewed, revision)

    async def _store(self, secret_id: str, context: str, renewed: Session, revision: int) -> Session:
        """Store what was renewed: the server may have ended what was there before, so it is tried more than once."""
        encoded = msgspec.json.encode(renewed)
        self._known[secret_id] = renewed
        for attempt in range(_STORE_TRIES):
            try:
                with contextlib.suppress(Conflict):
                    await self._secrets.put(secret_id, encoded, context=context, expected=revision)
                    break
                # Either our own earlier try got there after all, or the master key's rotation wrapped it anew.
                stored, revision = await self._read_stored(secret_id, context)
                if stored.generation >= renewed.generation:
                    break
            except LogError as error:
                if attempt == _STORE_TRIES - 1:
                    log.error("renewed tokens are not stored", secret=secret_id, error=str(error))
                await asyncio.sleep(_LOOK_S * 2**attempt)
        return renewed

    async def _read(self, secret_id: str, context: str) -> tuple[Session, int]:
        session, revision = await self._read_stored(secret_id, context)
        known = self._known.get(secret_id)
        # What is in memory may be newer than what could be stored, or known to be refused by the vendor.
        if known is None or session.generation > known.generation or session.refused:
            self._known[secret_id] = known = session
        return known, revision

    async def _read_stored(self, secret_id: str, context: str) -> tuple[Session, int]:
        raw, revision = await self._secrets.read(secret_id, context=context)
        try:
            return msgspec.json.decode(raw, type=Session), revision
        finally:
            wipe(raw)

    def _now(self) -> float:
        return self._clock.now().timestamp()
