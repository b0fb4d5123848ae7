"""Whether anything secret was written down."""

import base64
from pathlib import Path


def found_in(folder: Path, secrets: dict[str, str], *but_for: str) -> list[str]:
    """Return which of ``secrets`` are in which files below ``folder``: as they are, in hex or in base64.

    ``but_for``: names of files that are made to hold them.
    """
    needles: list[tuple[str, bytes]] = []
    for name, value in secrets.items():
        raw = value.encode()
        needles += [(name, raw), (f"{name} in hex", raw.hex().encode())]
        # three places in base64, without the ends that depend on what is beside it
        needles += [(f"{name} in base64", base64.b64encode(b"x" * at + raw)[4:-4]) for at in range(3)]
    found: list[str] = []
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in but_for:
            held = path.read_bytes()
            found += [f"{path.relative_to(folder)}: {name}" for name, needle in needles if needle in held]
    return found
