"""Where the settings are kept, and how they are read, overridden by the environment, migrated and rewritten."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from shared.kernel.errors import SettingsInvalid
from shared.runtime.atomic_file import locked, write_atomically
from shared.runtime.settings import VERSION, Settings
from shared.runtime.settings_document import Document, read_document
from shared.runtime.settings_migrations import migrate
from shared.runtime.settings_problems import Location, describe, found, unknown_variable
from shared.runtime.settings_schema import ENVIRONMENT_PREFIX, SectionInfo, default_file, sections, settings_schema

__all__ = [
    "home",
    "load_settings",
    "log_folder",
    "read_settings",
    "save_settings",
    "settings_path",
    "settings_schema",
]

FILE_NAME: Final = "localrouter.yaml"


def home(environ: Mapping[str, str]) -> Path:
    """Return the data folder: ``LOCALROUTER_HOME``, else the platform's own place. It need not exist."""
    chosen = environ.get("LOCALROUTER_HOME")
    return Path(chosen).expanduser().absolute() if chosen else _platform_home(environ)


def _platform_home(environ: Mapping[str, str]) -> Path:
    if sys.platform in ("darwin", "win32"):
        import platformdirs  # not needed on Linux, where it would cost 3 MB

        return platformdirs.user_data_path("LocalRouter", appauthor=False, roaming=True)
    return Path(environ.get("HOME") or Path.home()) / ".localrouter"


def log_folder(settings: Settings, home: Path) -> Path:
    """Return the folder of the log files; a relative ``log.folder`` is below the data folder."""
    if settings.log.folder is not None:
        return home / Path(settings.log.folder).expanduser()
    if sys.platform == "darwin":
        import platformdirs

        if home == platformdirs.user_data_path("LocalRouter", appauthor=False, roaming=True):
            return platformdirs.user_log_path("LocalRouter", appauthor=False)
    return home / "logs"


def settings_path(home: Path, environ: Mapping[str, str]) -> Path:
    """Return where the settings file is: ``LOCALROUTER_CONFIG``, else ``localrouter.yaml`` in the data folder."""
    chosen = environ.get("LOCALROUTER_CONFIG")
    return Path(chosen).expanduser().absolute() if chosen else home / FILE_NAME


def load_settings(home: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings in force; a missing file is written, one of an older version migrated (``.bak`` kept).

    Raises SettingsInvalid with every mistake at once; the file is then left as it was.
    """
    path = settings_path(home, environ)
    try:
        if not path.exists():
            _write_default(path)
        file = _read(path)
        settings = _validate(file, environ)
        if file.migrated:
            _write_migrated(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return settings


def read_settings(home: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings that would be in force, writing nothing; raises SettingsInvalid as ``load_settings``."""
    path = settings_path(home, environ)
    try:
        file = _read(path) if path.exists() else _File(path.name, Document(), migrated=False)
    except OSError as error:
        raise _unreadable(path, error) from error
    return _validate(file, environ)


def save_settings(path: Path, changes: Mapping[str, Any]) -> Settings:
    """Change single values (``{"server.port": 4000}``) in the file, keeping comments; the old one becomes ``.bak``.

    Returns what the file then says, the environment left aside. Raises SettingsInvalid, and then changes nothing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(path):
            before = path.read_bytes() if path.exists() else default_file().encode()
            file = _parse(path.name, before)
            for name, value in changes.items():
                _assign(file.document, name, value)
            settings = _validate(file, {})
            _replace(path, file.document.dump())
    except OSError as error:
        raise _unreadable(path, error) from error
    return settings


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    document: Document
    migrated: bool


def _read(path: Path) -> _File:
    return _parse(path.name, path.read_bytes())


def _parse(name: str, content: bytes) -> _File:
    """Return the document, migrated to the newest version; raises SettingsInvalid where it is none."""
    document = read_document(name, content)
    version: Any = document.get("version", 0)
    if type(version) is int and version == VERSION:
        return _File(name, document, migrated=False)
    line = document.line(("version",))
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise SettingsInvalid([f"{name}:{line}: version: found {found(version)}, allowed: {VERSION}"])
    if version > VERSION:
        what = (
            f"is newer than {VERSION}, the newest that this LocalRouter knows: update LocalRouter or use an older file"
        )
        raise SettingsInvalid([f"{name}:{line}: version: {version} {what}"])
    migrate(document, version)
    return _File(name, document, migrated=True)


def _validate(file: _File, environ: Mapping[str, str]) -> Settings:
    known = sections()
    values: dict[str, Any] = file.document.plain()
    for section in known:
        if values.get(section.name, values) is None:  # `server:` with everything below it commented out
            values[section.name] = {}
    problems, variables = _override(values, environ, known)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        mistakes = describe(error, file=file.name, line_of=file.document.line, variables=variables, known=known)
        raise SettingsInvalid(problems + mistakes) from None  # pydantic's own words would show secrets
    if problems:
        raise SettingsInvalid(problems)
    return settings


def _override(
    values: dict[str, Any], environ: Mapping[str, str], known: tuple[SectionInfo, ...]
) -> tuple[list[str], dict[Location, str]]:
    """Put the environment over the file; returns what is wrong with it and which variable each value is from.

    Only names with ``__`` are settings: others (``LOCALROUTER_HOME``, or ``LOCALROUTER_PORT`` as Kubernetes sets it
    for a service of this name) belong to somebody else.
    """
    settings = {setting.variable: setting for section in known for setting in section.settings}
    problems: list[str] = []
    variables: dict[Location, str] = {}
    for name in sorted(environ):
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        setting = settings.get(name)
        if setting is None:
            problems.append(unknown_variable(name, known))
            continue
        section = values.setdefault(setting.section, {})
        if not isinstance(section, dict):
            continue  # a mistake of the file's, named by the validation
        text = environ[name]
        if setting.is_list:
            section[setting.name] = [item.strip() for item in text.split(",") if item.strip()]
        else:
            section[setting.name] = None if setting.optional and not text else text
        variables[(setting.section, setting.name)] = name
    return problems, variables


def _assign(document: Document, path: str, value: Any) -> None:
    section, _, name = path.partition(".")
    if not name or not document.assign(section, name, value):
        raise SettingsInvalid([f"{path}: no setting has this name"])


def _write_default(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(path):
        if not path.exists():  # another process may have been first
            write_atomically(path, default_file().encode())


def _write_migrated(path: Path) -> None:
    with locked(path):
        file = _read(path)
        if file.migrated:
            _replace(path, file.document.dump())


def _replace(path: Path, content: bytes) -> None:
    if path.exists():
        write_atomically(path.with_name(path.name + ".bak"), path.read_bytes())
    write_atomically(path, content)


def _unreadable(path: Path, error: OSError) -> SettingsInvalid:
    return SettingsInvalid([f"{path}: {error.strerror or error}"])
