"""A backup: one tar file of every stream's snapshot, behind a manifest of what each holds.

The ledger, plans' explanations and the access log are made from the log, and so are not in it; secrets are in it as
they lie in the log, sealed under a master key that is not. The rest of a stream (names, digests of keys, usage) can be
read in it by anybody.
"""

import asyncio
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from shared.kernel.errors import SealBroken, StartRefused
from shared.kernel.secrets import Sealed, key_id, seal, unseal
from shared.log.nats_connection import Connection
from shared.log.nats_reading import asked
from shared.log.nats_snapshots import CHUNK_BYTES, restore, snapshot
from shared.log.port import LR_CONFIG, LR_USAGE, RESTORING, SECRETS
from shared.log.streams import all_names, definitions

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_PROOF: Final = "backup"
_ENTROPY: Final = 56


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """One stream in a backup."""

    sequence: int
    """Of its last message."""
    messages: int
    bytes: int
    """Of the snapshot, as JetStream compresses it."""
    sha256: str
    head: msgspec.Raw
    """The stream's configuration and state, as JetStream gave them."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    format: int
    made_at: datetime
    master_id: str
    """Names the master key that a restore needs."""
    proof: Sealed
    """Opens with that key alone."""
    streams: dict[str, Copied]


async def write_backup(connection: Connection, folder: Path, *, master: bytes, now: datetime) -> IO[bytes]:
    """Return a new backup as an open file without a name, which needs room in ``folder``.

    What refers is copied before what it refers to, so nothing in it leads nowhere: keys and credentials, then secrets;
    usage last. Raises LogUnavailable, OutcomeUnknown, OSError.
    """
    others = [name for name in definitions() if name not in (LR_CONFIG, LR_USAGE, f"KV_{SECRETS}")]
    streams: dict[str, Copied] = {}
    files: dict[str, IO[bytes]] = {}
    try:
        for name in (LR_CONFIG, f"KV_{SECRETS}", *others, LR_USAGE):
            files[name] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed below
            streams[name] = await _copy(connection, name, files[name])
        manifest = Manifest(
            format=FORMAT,
            made_at=now,
            master_id=key_id(master),
            proof=seal(b"", master=master, context=_PROOF, entropy=os.urandom(_ENTROPY)),
            streams=streams,
        )
        return await asyncio.to_thread(_pack, folder, manifest, files)
    finally:
        for file in files.values():
            file.close()


async def _copy(connection: Connection, name: str, file: IO[bytes]) -> Copied:
    digest = hashlib.sha256()
    async with aclosing(snapshot(connection, name)) as pieces:
        head = await anext(pieces)
        async for piece in pieces:
            digest.update(piece)
            file.write(piece)
    state = msgspec.json.decode(head)["state"]
    return Copied(
        sequence=state["last_seq"],
        messages=state["messages"],
        bytes=file.tell(),
        sha256=digest.hexdigest(),
        head=msgspec.Raw(head),
    )


def _pack(folder: Path, manifest: Manifest, files: dict[str, IO[bytes]]) -> IO[bytes]:
    whole = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  the caller's to close
    with tarfile.open(fileobj=whole, mode="w") as tar:
        text = msgspec.json.format(msgspec.json.encode(manifest))
        _add(tar, MANIFEST, io.BytesIO(text), len(text), manifest.made_at)
        for name, file in files.items():
            file.seek(0)
            _add(tar, _member(name), file, manifest.streams[name].bytes, manifest.made_at)
    whole.seek(0)
    return whole


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int, at: datetime) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(at.timestamp())
    tar.addfile(entry, file)


def _member(stream: str) -> str:
    return f"streams/{stream}"


@asynccontextmanager
async def restoring(connection: Connection, place: str) -> AsyncGenerator[None, None]:
    """Give an empty log to be restored into, which nobody uses before all that is done in here is done.

    What an earlier try left is taken away. Raises StartRefused for a log that is in use, LogUnavailable,
    OutcomeUnknown.
    """
    ours = definitions().keys() & (names := await all_names(connection))
    if RESTORING not in names:
        if ours:
            raise StartRefused(f"the log at {place} is not empty, there is {', '.join(sorted(ours))}")
        await asked(connection, f"STREAM.CREATE.{RESTORING}", {"name": RESTORING, "subjects": ["lr.restoring"]})
    for name in ours:
        await asked(connection, f"STREAM.DELETE.{name}")
    yield
    await asked(connection, f"STREAM.DELETE.{RESTORING}")


class Backup:
    """A backup that was found whole."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        """Read it and compare every checksum (blocks), ``name`` being what people call it; raises StartRefused."""
        try:
            self._tar = tarfile.open(fileobj=file)  # noqa: SIM115  closed by close
            self.manifest = self._checked()
        except (OSError, tarfile.TarError, KeyError, EOFError, msgspec.DecodeError) as error:
            raise StartRefused(f"{name} is no backup, or not a whole one: {error}") from error

    def close(self) -> None:
        """Let go of it; the file is the caller's to close."""
        self._tar.close()

    def require(self, ring: Any) -> None:
        """Raise StartRefused unless one of the master keys is the one that its secrets are sealed under."""
        for master in ring:
            try:
                unseal(self.manifest.proof, master=master, context=_PROOF)
            except SealBroken:
                continue
            return
        raise StartRefused(
            f"the secrets in this backup are sealed under the master key {self.manifest.master_id}, and this is not it:"
            " a restore needs the same master key"
        )

    async def restore(self, connection: Connection) -> None:
        """Make every stream, ``LR_CONFIG`` last: where it is, all are. Raises LogUnavailable, OutcomeUnknown."""
        for name in sorted(self.manifest.streams, key=lambda name: name == LR_CONFIG):
            await restore(connection, name, bytes(self.manifest.streams[name].head), self._pieces(name))

    def told(self, disabled: int | None) -> str:
        """Return what a restore did, in a sentence; ``disabled`` keys, None: they are as they were."""
        messages = sum(stream.messages for stream in self.manifest.streams.values())
        keys = (
            "keys are as they were" if disabled is None else f"{disabled} keys are disabled: `localrouter keys enable`"
        )
        return f"Restored {messages} messages as of {self.manifest.made_at}; {keys}."

    async def _pieces(self, stream: str) -> AsyncGenerator[bytes, None]:
        file = self._file(_member(stream))
        while piece := file.read(CHUNK_BYTES):
            yield piece

    def _checked(self) -> Manifest:
        raw = self._file(MANIFEST).read()
        version = msgspec.json.decode(raw).get("format")
        if version != FORMAT:
            raise StartRefused(f"the backup is of format {version}, this version knows {FORMAT}")
        manifest = msgspec.json.decode(raw, type=Manifest)
        if missing := definitions().keys() - manifest.streams.keys():
            raise StartRefused(f"the backup lacks {', '.join(sorted(missing))}")
        for name, copied in manifest.streams.items():
            if hashlib.file_digest(self._file(_member(name)), "sha256").hexdigest() != copied.sha256:  # pyright: ignore[reportArgumentType]  a file of a tar has readinto
                raise StartRefused(f"the backup is damaged: {name} does not match its checksum")
        return manifest

    def _file(self, member: str) -> IO[bytes]:
        file = self._tar.extractfile(member)
        if file is None:
            raise KeyError(member)
        return file
