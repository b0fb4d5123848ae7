"""The keyring of the operating system: what it holds for us, and when it can be used at all."""

import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE: Final = "localrouter"
"""Under which name entries stand in the keyring."""
LIMIT_S: Final = 15.0
"""A locked keyring asks a person; where nobody answers, it is as if there were none."""

T = TypeVar("T")
log = structlog.get_logger("master_key")


def usable(environ: Mapping[str, str]) -> bool:
    """Whether there may be a keyring: elsewhere than on Windows and macOS a session bus leads to it.

    Without one the package, which is large, is not even imported.
    """
    return sys.platform in ("darwin", "win32") or "DBUS_SESSION_BUS_ADDRESS" in environ


def store(entry: str, text: str) -> bool:
    """Keep ``text`` under ``entry``, in the place of an older one; False: there is no keyring, or it refused."""

    def act(backend: "KeyringBackend") -> bool:
        backend.set_password(SERVICE, entry, text)
        return backend.get_password(SERVICE, entry) == text

    return bool(_with_backend(act))


def fetch(entry: str) -> str | None:
    """Return what is kept under ``entry``; None: nothing, or there is no keyring that answers."""
    return _with_backend(lambda backend: backend.get_password(SERVICE, entry))


def remove(entry: str) -> None:
    """Remove what is kept under ``entry``."""
    _with_backend(lambda backend: backend.delete_password(SERVICE, entry))


def _with_backend(act: Callable[["KeyringBackend"], T]) -> T | None:
    """Do something with the keyring on a thread of its own, for it may ask a person and wait."""
    answers: list[T] = []

    def run() -> None:
        try:
            import keyring
        except ImportError:
            log.info("the package keyring is not installed")
            return
        try:
            answers.append(act(keyring.get_keyring()))
        except Exception as error:  # noqa: BLE001  keyrings are plugins, each with errors of its own besides NoKeyringError
            log.info("the keyring cannot be used", error=str(error) or type(error).__name__)

    thread = threading.Thread(target=run, name="keyring", daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    if thread.is_alive():
        log.warning("the keyring did not answer in time", limit_s=LIMIT_S)
    return answers[0] if answers else None
