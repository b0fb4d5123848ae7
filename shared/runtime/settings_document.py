"""The YAML of a settings file: its values, the line each stands on, and comments that survive a rewrite."""

import io
import warnings
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from shared.kernel.errors import SettingsInvalid
from shared.runtime.settings import VERSION
from shared.runtime.settings_problems import Location, found

_UNFOLDED: Final = 10_000
_FROM_RUAMEL: Final = (YAMLError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
"""Its scalars raise what Python does on the way: ValueError for 2001-99-99, IndexError for ``!!int`` without digits."""


class Document:
    """A mapping as it stands in a file; ruamel's own types stay inside."""

    def __init__(self, root: Any = None) -> None:
        """``root``: a ``CommentedMap``; None: an empty document."""
        self._root: Any = CommentedMap() if root is None else root

    def get(self, name: str, default: Any = None) -> Any:
        """Return a top-level value."""
        return self._root.get(name, default)

    def plain(self) -> dict[str, Any]:
        """Return the values as plain dictionaries and lists."""
        return _plain(self._root)

    def line(self, location: Location) -> int:
        """Return the line (from 1) on which ``location``, or the innermost part of it that is there, stands."""
        line = 0
        node: Any = self._root
        for part in location:
            where: Any = _positions(node).get(part)
            line = line if where is None else where[0]  # a section that a migration made stands on no line
            try:
                node = node[part]
            except (LookupError, TypeError):
                break
        return line + 1

    def assign(self, section: str, name: str, value: Any) -> bool:
        """Set a value, its comment stays; False where ``section`` is something else than a mapping."""
        if self._root.get(section) is None:
            self._root[section] = CommentedMap()
        target: Any = self._root[section]
        if not isinstance(target, CommentedMap):
            return False
        target[name] = value
        return True

    def set_version(self, version: int) -> None:
        """Say the file's version, as its first name where it has none."""
        if "version" in self._root:
            self._root["version"] = version
        else:
            self._root.insert(0, "version", version)

    def move(self, old: str, section: str, name: str) -> None:
        """Move a top-level value with its comment into a section, where no value of that name is yet."""
        root = self._root
        if old not in root or name in _positions(root.get(section)):
            return
        where: Any = _positions(root).get(old)
        comment: Any = root.ca.items.pop(old, None)
        value = root.pop(old)
        if not self.assign(section, name, value):
            root[old] = value  # stays to be reported as an unknown name
            return
        root[section].lc.add_kv_line_col(name, where)  # so that an error in it still names its line
        if comment is not None:
            root[section].ca.items[name] = comment

    def dump(self) -> bytes:
        """Return the document as it goes into the file."""
        buffer = io.BytesIO()
        _yaml().dump(self._root, buffer)
        return buffer.getvalue()


def read_document(name: str, content: bytes) -> Document:
    """Read the content of the file ``name``; raises SettingsInvalid with the line where it is no YAML mapping."""
    try:
        text = content.decode("utf-8-sig")
        if all(line.lstrip()[:1] in ("", "#") for line in text.splitlines()):
            text = f"{text.rstrip()}\nversion: {VERSION}\n"  # a name for the comments to stand above
        with warnings.catch_warnings(action="ignore", category=ReusedAnchorWarning):
            root: Any = _yaml().load(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsInvalid([f"{name}:{line}: the file is not UTF-8: byte 0x{content[error.start]:02x}"]) from error
    except MarkedYAMLError as error:
        raise SettingsInvalid([_syntax(name, error)]) from error
    except _FROM_RUAMEL as error:
        raise SettingsInvalid([f"{name}: not YAML: {_one_line(error)}"]) from error
    if not isinstance(root, CommentedMap):
        raise SettingsInvalid([f"{name}:1: found {found(root)}, allowed: names with values, such as server:"])
    return Document(root)


def _positions(node: Any) -> dict[Any, Any]:
    if isinstance(node, CommentedMap | CommentedSeq):
        container: Any = node
        return container.lc.data or {}
    return {}


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        mapping: Any = node
        return {str(name): _plain(value) for name, value in mapping.items()}
    if isinstance(node, CommentedSeq):
        items: Any = node
        return [_plain(item) for item in items]
    return node


def _syntax(name: str, error: Any) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark is not None else name
    words = ", ".join(_one_line(part) for part in (error.context, error.problem) if part)
    return f"{where}: not YAML: {words}"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


class _Representer(RoundTripRepresenter):
    """Says ``null``, where ruamel would leave a value out."""

    def represent_none(self, data: None) -> Any:
        """Return the node of ``null``."""
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = _UNFOLDED
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
