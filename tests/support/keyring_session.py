"""A session bus with a Secret Service of its own: gnome-keyring's, unlocked."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

MISSING = [name for name in ("dbus-run-session", "gnome-keyring-daemon") if shutil.which(name) is None]
"""What this machine lacks for it (Debian: dbus-daemon, gnome-keyring)."""

_SESSION = """
gnome-keyring-daemon --unlock --components=secrets < "$1" > /dev/null || exit 1
echo "$DBUS_SESSION_BUS_ADDRESS"
exec cat > /dev/null
"""


@contextlib.contextmanager
def secret_service(folder: Path) -> Generator[str]:
    """Run one and yield the address of its bus; its files are below ``folder``."""
    folder.mkdir(exist_ok=True)
    runtime = folder / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    password = folder / "password"
    password.write_text("of-the-keyring")
    env = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime), "XDG_DATA_HOME": str(folder / "data")}
    env.pop("DBUS_SESSION_BUS_ADDRESS", None)
    command = ["dbus-run-session", "--", "sh", "-c", _SESSION, "sh", str(password)]
    session = subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert session.stdout is not None
        address = session.stdout.readline().strip()
        assert address, "the session did not start"
        yield address
    finally:
        session.communicate(timeout=20)
