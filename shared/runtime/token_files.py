"""Tokens that open a door: from the environment, from a file named there, or from the data folder."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shared.kernel.errors import StartRefused

ADMIN_VARIABLE: Final = "LOCALROUTER_ADMIN_TOKEN"
SERVICE_VARIABLE: Final = "LOCALROUTER_SERVICE_TOKEN"
_ADMIN_FILE: Final = "admin-token"


def admin_token(home: Path, environ: Mapping[str, str]) -> str:
    """Return the admin token, making ``$LOCALROUTER_HOME/admin-token`` (0600) at first start."""
    given = given_token(ADMIN_VARIABLE, environ)
    if given is not None:
        return given
    path = home / _ADMIN_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_token(path)
    with os.fdopen(descriptor, "w") as file:
        token = "lra-" + secrets.token_urlsafe(32)
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    return token


def given_token(variable: str, environ: Mapping[str, str]) -> str | None:
    """Return the token in ``variable`` or in the file that ``<variable>_FILE`` names; None: neither is set."""
    value = environ.get(variable, "").strip()
    if value:
        return value
    file = environ.get(f"{variable}_FILE", "").strip()
    return read_token(Path(file)) if file else None


def read_token(path: Path) -> str:
    """Return the token in a file; raises StartRefused when there is none."""
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise StartRefused(f"{path} cannot be read: {error.strerror}") from error
    if not token:
        raise StartRefused(f"{path} holds no token")
    return token
