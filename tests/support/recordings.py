"""Recorded traffic of real vendors, where it lies beside the project."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

FOLDER = Path(__file__).parents[2].parent / "shared" / "recordings"


@cache
def _all() -> tuple[dict[str, Any], ...]:
    return tuple({**msgspec.json.decode(path.read_bytes()), "file": f"{path.parts[-3]}/{path.parts[-2]}/{path.name}"}
                 for path in sorted(FOLDER.glob("*/*/*.json")))  # fmt: skip


def recorded(api: str, kind: str) -> list[dict[str, Any]]:
    """Return the cases of a wire format and a kind; skips the test where there are none."""
    found = [case for case in _all() if case["api"] == api and case["kind"] == kind]
    if not found:
        pytest.skip(f"0 recordings of {api} {kind}: {FOLDER} is not there")
    return found


def answers(api: str, *kinds: str) -> Iterator[tuple[str, bytes]]:
    """Yield file and body of the whole answers of status 200 that are JSON objects."""
    for kind in kinds:
        for case in recorded(api, kind):
            body = case["response"].get("body")
            if case["response"].get("status") == 200 and isinstance(body, dict):
                yield case["file"], msgspec.json.encode(body)


def streams(api: str) -> Iterator[tuple[str, bytes]]:
    """Yield file and bytes of the streams of status 200."""
    for case in recorded(api, "stream"):
        raw = case["response"].get("raw")
        if case["response"].get("status") == 200 and raw:
            yield case["file"], raw.encode()
