"""What the program says about itself: events as JSON lines in a file, warnings for people, credentials in neither.

Lines are written by a thread of their own. It encodes them, too, where nothing in an event can change any more (texts,
numbers): the line of an attempt is then no part of the time a client waits. Others are encoded where they are logged.
"""

import atexit
import logging
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

import msgspec

from shared.kernel.imports import Without
from shared.kernel.redaction import MASK, redact
from shared.runtime.log_file import Line, LogWriter, RotatingFile, Terminal
from shared.runtime.settings import Log

with Without("rich"):  # 5 MB for consoles that this program never draws
    import structlog

Level = Literal["debug", "info", "warning", "error"]

FILE_NAME: Final = "localrouter.log"
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_FOR_PEOPLE: Final = frozenset({"warning", "error", "critical"})
_SECRET_NAMES: Final = frozenset(
    {"api_key", "apikey", "authorization", "password", "secret", "token", "access_token", "refresh_token", "master_key"}
)
_OWN_NAMES: Final = frozenset({"time", "level", "service", "logger", "exception"})
_NUMBERS: Final = frozenset({int, float, bool, type(None)})
_FIXED: Final = _NUMBERS | {str}
"""Types of values that stay what they are."""
_OF_IDS: Final = "0123456789abcdef-"
_ANY_ID: Final = "00000000-0000"
_SHORT: Final = 128
"""Characters of a text that may be remembered as harmless."""
_LONGEST_LINE: Final = 32 * 1024
_LONGEST_VALUE: Final = 2 * 1024
_DEEPEST: Final = 20
"""Frames of a traceback, and exceptions of a chain, that a line holds."""


def configure_logging(settings: Log, folder: Path | None, *, service: str) -> "Logging":
    """Send every event of the process to ``<folder>/localrouter.log`` and warnings to stderr, until ``close``.

    ``folder`` None: stderr alone; ``log.terminal: everything``: the JSON lines go there and to no file. Loggers are
    ``structlog.get_logger("<room>")``; those of the standard library (uvicorn, aiohttp, nats, asyncio) are written
    too. ``close`` is called at exit.
    """
    file = None
    if settings.terminal == "everything":
        file = Terminal()
    elif folder is not None:
        file = RotatingFile(folder / FILE_NAME, max_bytes=settings.max_bytes, backups=settings.backups)
    return Logging(file, settings.level, service)


class Logging:
    """The logging of a process, as long as it lasts."""

    def __init__(self, file: RotatingFile | Terminal | None, level: Level, service: str) -> None:
        self._encoder = _Encoder(service, for_people=not isinstance(file, Terminal))
        self._writer = LogWriter(file, lost=self._lost)
        self._bridge = _Bridge(self)
        self.set_level(level)
        root = logging.getLogger()
        root.addHandler(self._bridge)
        logging.captureWarnings(True)
        # Requests have an access log of their own; uvicorn's would say each a second time.
        logging.getLogger("uvicorn.access").disabled = True
        for name in ("uvicorn", "uvicorn.error"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
        atexit.register(self.close)

    def set_level(self, level: Level) -> None:
        """Write events from ``level`` on; loggers that were bound to values before keep the level they had."""
        structlog.configure(
            processors=[_drop],  # never asked: see below
            wrapper_class=self._bound_at(level),
            logger_factory=_Room,
            # A cached logger would never hear of a change; making it anew costs one microsecond.
            cache_logger_on_first_use=False,
        )
        root = logging.getLogger()
        root.setLevel(_LEVELS[level])
        for name in ("httpx", "httpcore", "aiohttp.access"):  # these say every request at "info"
            logging.getLogger(name).setLevel(max(_LEVELS[level], logging.WARNING))

    def flush(self) -> None:
        """Wait until everything logged so far is in the file, at most five seconds."""
        self._writer.flush()

    def close(self) -> None:
        """Write what waits and stop; events after that are dropped."""
        atexit.unregister(self.close)
        logging.getLogger().removeHandler(self._bridge)
        logging.captureWarnings(False)
        structlog.configure(processors=[_drop], wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self._writer.close()

    def emit(self, room: str, level: str, event: str, values: MutableMapping[str, Any]) -> None:
        """Log one event."""
        later = level not in _FOR_PEOPLE and "exc_info" not in values
        if later and _FIXED.issuperset(map(type, values.values())):
            self._writer.put(partial(self._encoder.line, room, level, event, values, time.time_ns()))
        else:
            self._writer.put(self._encoder.line(room, level, event, values, time.time_ns()))

    def _bound_at(self, level: Level) -> type[Any]:
        """Return structlog's logger for ``level``, which hands its events to this logging without a chain between."""
        emit = self.emit
        filtering: Any = structlog.make_filtering_bound_logger(_LEVELS[level])

        class Bound(filtering):
            _context: dict[str, Any]
            _logger: _Room

            def _proxy_to_logger(self, method_name: str, event: str | None = None, **values: Any) -> None:
                if self._context:
                    values = {**self._context, **values}
                emit(self._logger.name, method_name, "" if event is None else str(event), values)

        return Bound

    def _lost(self, count: int, why: str) -> Line:
        values: dict[str, Any] = {"count": count, "why": why}
        return self._encoder.line("log", "warning", "log lines dropped", values, time.time_ns())


class _Room:
    """What structlog makes of ``get_logger("gateway")``: only the name; nothing is written through it."""

    __slots__ = ("name",)

    def __init__(self, name: str = "") -> None:
        self.name = name


class _Bridge(logging.Handler):
    """Brings the standard library's records into the same file."""

    def __init__(self, target: Logging) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; its arguments may be wrong, as in any program's logging."""
        try:
            event = record.getMessage()
        except (TypeError, ValueError, KeyError):
            event = f"{record.msg} {record.args}"
        values: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        self._target.emit(record.name, record.levelname.lower(), event, values)


class _Encoder:
    """Turns events into lines."""

    def __init__(self, service: str, *, for_people: bool) -> None:
        self._service = service
        self._for_people = _FOR_PEOPLE if for_people else frozenset[str]()
        self._json = msgspec.json.Encoder(enc_hook=_cut)

    def line(self, room: str, level: str, event: str, values: MutableMapping[str, Any], at_ns: int) -> Line:
        """Return the entry for one event of a time (Unix nanoseconds); never raises, whatever the values are."""
        now = _time_text(at_ns)
        if level not in self._for_people and self._are_plain(room, event, values):
            plain = self._json.encode({"logger": room, "event": event, **values})
            return Line(
                b'{"time":"%b","level":"%b","service":"%b",%b\n'
                % (now.encode(), level.encode(), self._service.encode(), plain[1:])
            )
        exception = _exception(values.pop("exc_info", None))
        body = self._encode({"logger": room, "event": event, **_safe(values)})
        if exception is not None:
            body = body[:-1] + ',"exception":' + self._encode(_exception_as_json(exception, _DEEPEST)) + "}"
        json = f'{{"time":"{now}","level":"{level}","service":"{self._service}",{body[1:]}\n'
        human = None
        if level in self._for_people:
            human = f"{now} {level.upper():<8}{room}: {_human(event, _safe(values), exception)}\n"
        return Line(json.encode(errors="replace"), human)

    def _are_plain(self, room: str, event: str, values: Mapping[str, object]) -> bool:
        """Whether nothing in an event could need care: numbers, short words seen before, and ids."""
        if not (_is_innocent("event", event) and _is_innocent("room", room)):
            return False
        for name, value in values.items():
            if type(value) is str:
                # What is written in these characters alone is no credential but by its name.
                if len(value) > _SHORT or not _is_innocent(name, value if value.strip(_OF_IDS) else _ANY_ID):
                    return False
            elif type(value) not in _NUMBERS or not _is_innocent(name, ""):
                return False
        return True

    def _encode(self, values: dict[str, Any]) -> str:
        try:
            text = self._json.encode(values).decode()
        except (TypeError, ValueError, OverflowError, RecursionError):  # a key or value that has no JSON
            text = self._json.encode({str(name): _cut(value) for name, value in values.items()}).decode()
        if len(text) > _LONGEST_LINE:
            text = self._json.encode({str(name): _cut(value) for name, value in values.items()}).decode()
        if '\\"' in text:  # JSON within JSON hides a credential's name from the pattern
            text = self._json.encode(_redacted(msgspec.json.decode(text))).decode()
        return redact(text)


def _time_text(at_ns: int) -> str:
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    return f"{_second_text(seconds)}.{nanoseconds // 1_000_000:03d}Z"


@lru_cache(maxsize=8)
def _second_text(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@lru_cache(maxsize=4096)
def _is_innocent(name: str, text: str) -> bool:
    """Whether a name and its text stand in a line as they are."""
    if name in _SECRET_NAMES or name == "exc_info" or (name in _OWN_NAMES) or len(text) > _SHORT:
        return False
    shown = f'"{name}":"{text}"'
    return redact(shown) == shown and text.isprintable() and not any(sign in text for sign in '"\\')


def _drop(*_: Any) -> Mapping[str, Any]:
    raise structlog.DropEvent


def _safe(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as a line may show them: bytes as text, no secrets by name, no name of the line's own."""
    safe: dict[str, Any] = {}
    for name, value in values.items():
        if name in _SECRET_NAMES:
            value = MASK
        elif type(value) is bytes:  # base64, which JSON would make of it, would hide a credential
            value = _cut(value.decode(errors="replace"))
        safe[f"{name}_" if name in _OWN_NAMES else name] = value
    return safe


def _human(event: str, values: Mapping[str, Any], exception: BaseException | None) -> str:
    words = [event, *(f"{name}={_for_people(value)}" for name, value in values.items())]
    if exception is not None:
        words.append(f"[{type(exception).__name__}: {_cut(exception)}]")
    text = redact(" ".join(words))
    # A vendor's message must not steer the terminal it is shown on.
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _cut(value: Any) -> str:
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001  a value's own __str__ may do anything; the line is written all the same
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    text = text.encode(errors="replace").decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}… ({len(text)} characters)"


def _for_people(value: Any) -> str:
    text = _cut(value)
    return repr(text) if not text or " " in text else text


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case list():
            return [_redacted(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case dict():
            return {name: _redacted(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def _exception(exc_info: Any) -> BaseException | None:
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case None | False:
            return None
        case _:
            return sys.exception()


def _exception_as_json(error: BaseException, depth: int) -> dict[str, Any]:
    """Return an exception with its frames (innermost last, without their variables) and what it came from."""
    found: dict[str, Any] = {"type": type(error).__qualname__, "message": _cut(error)}
    found["frames"] = list(_frames(error.__traceback__))[-_DEEPEST:]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if depth and cause is not None:
        found["cause"] = _exception_as_json(cause, depth - 1)
    if depth and isinstance(error, BaseExceptionGroup):
        members: tuple[BaseException, ...] = error.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        found["exceptions"] = [_exception_as_json(member, depth // 2) for member in members[:_DEEPEST]]
    return found


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        yield f"{code.co_filename}:{traceback.tb_lineno} {code.co_qualname}"
        traceback = traceback.tb_next
