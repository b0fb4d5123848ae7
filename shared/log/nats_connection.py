"""One connection to NATS: requests with a time limit, replies of many messages, and coming back after every loss.

nats-py's own reconnecting is switched off: it keeps what was published meanwhile and sends it later, so that a write
reported as failed would still happen. Here a lost connection fails everything in flight at once, and a new client
takes its place.
"""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import msgspec
import structlog

from shared.kernel.errors import LogDamaged, LogUnavailable, OutcomeUnknown, StartRefused
from shared.kernel.imports import Without

with Without("aiohttp"):  # for NATS over websockets, which is not spoken here
    import nats.errors
    from nats.aio.client import Client
    from nats.aio.msg import Msg

log = structlog.get_logger("log")

TIMEOUT_S: Final = 5.0
"""How long an answer may take, and the first connection."""
_GRACE_S: Final = 1.0
"""How long a call waits for a lost connection: a restart of nats-server is shorter."""
_PING_S: Final = 5
_WATCH_S: Final = 5.0
_NO_CONNECTION: Final = (nats.errors.Error, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError)
"""What connecting may end with, a peer that speaks something else included: the next try may do better."""
_STATUS: Final = "Status"
_NO_RESPONDERS: Final = "503"
_STREAM_NOT_FOUND: Final = 10059


class ApiError(Exception):
    """JetStream said no: nothing was done. Codes: https://github.com/nats-io/nats-server/blob/main/server/errors.json"""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code


class ConnectionLost(Exception):
    """The connection ended before the answer came."""


def status_of(message: Msg) -> str | None:
    """Return the status of a message that is no data (``404``, ``100`` …), else None."""
    return None if message.data or not message.headers else message.headers.get(_STATUS)


class Inbox:
    """Where an answer of several messages arrives."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._queue: asyncio.Queue[Msg | Exception] = asyncio.Queue()

    def put(self, item: Msg | Exception) -> None:
        """Take a message, or why there will be no more."""
        self._queue.put_nowait(item)

    async def next(self) -> Msg:
        """Return the next message; raises ConnectionLost, LogUnavailable."""
        item = await self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item


class Connection:
    """A connection that comes back for as long as it is not closed."""

    def __init__(
        self, url: str, *, user: str | None, password: str | None, name: str, answer_s: float = TIMEOUT_S
    ) -> None:
        """``answer_s``: how long an answer may take."""
        self.answer_s = answer_s
        self._servers = url.split(",")
        self._user = user
        self._password = password
        self._name = name
        self._prefix = f"_INBOX_{user}" if user else "_INBOX"
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._inboxes: dict[str, tuple[Inbox, str]] = {}
        self._root = ""
        self._tokens = itertools.count()
        self._returning: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self, limit_s: float = TIMEOUT_S) -> None:
        """Connect; raises StartRefused for a refused user, LogUnavailable when nobody answers within the limit."""
        try:
            async with asyncio.timeout(limit_s):
                await self._connect(give_up_on_refusal=True)
        except TimeoutError as error:
            raise LogUnavailable(f"no NATS server answers at {', '.join(self._servers)}") from error

    def seek(self) -> None:
        """Connect as soon as somebody answers, however long that takes: for who can do its work without."""
        self._returning = asyncio.create_task(self._return(), name=f"connect {self._name}")

    def connected(self) -> bool:
        """Whether the server answers at the moment."""
        return self._up.is_set()

    async def close(self) -> None:
        """Send what is pending and end."""
        self._closed = True
        self._up.clear()
        for task in (self._returning, self._watching):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._client is not None:
            await self._client.close()
        self._fail_all(LogUnavailable("the log was closed"))

    async def ready(self, limit_s: float = _GRACE_S) -> None:
        """Wait until connected; raises LogUnavailable."""
        if self._closed:
            raise LogUnavailable("the log was closed")
        try:
            async with asyncio.timeout(limit_s):
                await self._up.wait()
        except TimeoutError as error:
            raise LogUnavailable(f"no connection to NATS at {', '.join(self._servers)}") from error

    @contextlib.asynccontextmanager
    async def inbox(self, about: str) -> AsyncGenerator[Inbox, None]:
        """Give an inbox for answers to what is published to ``about``."""
        token = str(next(self._tokens))
        inbox = Inbox(f"{self._root}.{token}")
        self._inboxes[token] = inbox, about
        try:
            yield inbox
        finally:
            del self._inboxes[token]

    @contextlib.asynccontextmanager
    async def subscription(self, about: str) -> AsyncGenerator[Inbox, None]:
        """Give an inbox for what a consumer delivers: such messages carry their own subject, not the inbox's."""
        await self.ready()
        client = self._client
        if client is None:
            raise LogUnavailable("no connection to NATS")
        async with self.inbox(about) as inbox:
            inbox.subject += ".deliver"

            async def received(message: Msg) -> None:
                inbox.put(message)

            try:
                subscription = await client.subscribe(
                    inbox.subject, cb=received, pending_msgs_limit=0, pending_bytes_limit=0
                )
            except nats.errors.ConnectionClosedError as error:
                raise LogUnavailable("the connection to NATS was lost") from error
            try:
                yield inbox
            finally:
                if client.is_connected:
                    await subscription.unsubscribe()

    async def send(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish without waiting; raises LogUnavailable when nothing was sent."""
        if self._client is None or not self._up.is_set():
            raise LogUnavailable("no connection to NATS")
        try:
            await self._client.publish(subject, payload, reply, dict(headers) if headers else None)
        except nats.errors.MaxPayloadError as error:
            raise LogUnavailable(f"{len(payload)} bytes are more than the server takes in one message") from error
        except (nats.errors.ConnectionClosedError, nats.errors.OutboundBufferLimitError) as error:
            self._lost(self._client)  # the client calls back only after it has tidied up
            raise LogUnavailable("the connection to NATS was lost") from error

    async def request(self, subject: str, payload: bytes = b"", *, headers: Mapping[str, str] | None = None) -> Msg:
        """Publish and return the answer.

        Raises LogUnavailable (not sent, not permitted or nobody there), OutcomeUnknown (sent, and no answer).
        """
        await self.ready()
        async with self.inbox(subject) as inbox:
            try:
                async with asyncio.timeout(self.answer_s):
                    await self.send(subject, payload, reply=inbox.subject, headers=headers)
                    message = await inbox.next()
            except TimeoutError as error:
                raise OutcomeUnknown(f"no answer to {subject} in {self.answer_s} s") from error
            except ConnectionLost as error:
                raise OutcomeUnknown(f"the connection was lost before the answer to {subject}") from error
        if status_of(message) == _NO_RESPONDERS:
            raise LogUnavailable(f"nobody answers {subject}")
        return message

    async def api(self, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream's API; raises ApiError, LogDamaged (no such stream), LogUnavailable, OutcomeUnknown."""
        return checked(await self.request(f"$JS.API.{subject}", msgspec.json.encode(body) if body else b""), subject)

    async def _connect(self, *, give_up_on_refusal: bool) -> None:
        pause, told = 0.01, ""
        while True:
            client = Client()
            self._root = f"{self._prefix}.{os.urandom(8).hex()}"
            try:
                await self._dial(client)
            except asyncio.CancelledError:
                await client.close()
                raise
            except _NO_CONNECTION as error:
                await client.close()
                if give_up_on_refusal and "authorization" in str(error).lower():
                    raise StartRefused(f"NATS refuses user {self._user or '(none)'}: {error}") from error
                if told != (told := repr(error)) and not give_up_on_refusal:
                    log.warning("cannot connect to NATS", name=self._name, error=told)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.5)
            else:
                self._client = client
                self._up.set()
                self._watching = asyncio.create_task(self._watch(client), name=f"watch {self._name}")
                return

    async def _dial(self, client: Client) -> None:
        async def lost() -> None:
            self._lost(client)

        async def failed(error: Exception) -> None:
            self._failed(error)

        await client.connect(
            self._servers,
            name=self._name,
            user=self._user,
            password=self._password,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=2,
            ping_interval=_PING_S,
            pending_size=0,
            error_cb=failed,
            closed_cb=lost,
        )
        await client.subscribe(f"{self._root}.*", cb=self._received, pending_msgs_limit=0, pending_bytes_limit=0)

    async def _watch(self, client: Client) -> None:
        # An error while it tidies up keeps the client from calling back.
        while not client.is_closed:  # noqa: ASYNC110  the client has no event for it
            await asyncio.sleep(_WATCH_S)
        self._lost(client)

    async def _received(self, message: Msg) -> None:
        waiting = self._inboxes.get(message.subject.rpartition(".")[2])
        if waiting is not None:
            waiting[0].put(message)

    def _lost(self, client: Client | None) -> None:
        if self._closed or client is None or client is not self._client:
            return
        log.warning("connection to NATS lost", name=self._name)
        self._up.clear()
        self._client = None
        self._fail_all(ConnectionLost())
        self._returning = asyncio.create_task(self._return(), name=f"reconnect {self._name}")

    async def _return(self) -> None:
        await self._connect(give_up_on_refusal=False)
        log.info("connection to NATS is back", name=self._name)

    def _failed(self, error: Exception) -> None:
        text = str(error)
        if "permissions violation" not in text.lower():
            log.debug("NATS client error", name=self._name, error=text)
            return
        log.error("NATS refuses a subject", name=self._name, error=text)
        refused = LogUnavailable(f"{self._user}: {text}")
        for inbox, about in list(self._inboxes.values()):
            if f'"{about.lower()}"' in text.lower():
                inbox.put(refused)

    def _fail_all(self, error: Exception) -> None:
        for inbox, _ in list(self._inboxes.values()):
            inbox.put(error)


def checked(message: Msg, about: str) -> dict[str, Any]:
    """Return the body of a JetStream answer; raises ApiError, LogDamaged when the stream does not exist."""
    body: dict[str, Any] = msgspec.json.decode(message.data)
    error = body.get("error")
    if error is None:
        return body
    code, description = error.get("err_code", 0), error.get("description", "")
    if code == _STREAM_NOT_FOUND:
        raise LogDamaged(f"a stream that must exist does not: {about}")
    raise ApiError(code, description)
