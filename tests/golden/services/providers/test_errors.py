"""What every recorded error of every vendor is taken for: the table in ``errors.tsv``, read by people.

Skipped where the recordings do not lie beside the project.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.providers.domain.errors import failed
from shared.contracts.frames import Fail

FOLDER = Path(__file__).parents[4].parent / "shared" / "recordings"
TABLE = Path(__file__).with_name("errors.tsv")
NOW = datetime(2024, 3, 26, 19, 59, tzinfo=UTC)
"""A minute before the one moment that a recording names."""
SECRETS = re.compile(r"(?:sk|gsk|xai)-[A-Za-z0-9]|AIza|\borg[-_][A-Za-z0-9]|[?&]key=[^*]")


def rows() -> list[tuple[str, str, str, str, str]]:
    lines = TABLE.read_text().splitlines()[1:]
    return [(a, b, c, d, e) for a, b, c, d, e in (line.split("\t") for line in lines)]


def read(case: dict[str, Any]) -> Fail:
    answer = case["response"]
    body = answer.get("body")
    raw = msgspec.json.encode(body) if isinstance(body, dict | list) else (body or answer.get("raw") or "").encode()
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    return failed(answer["status"], raw, headers, now=NOW)


def recorded() -> dict[str, dict[str, Any]]:
    found = {
        f"{path.parent.parent.name}/{path.stem}": msgspec.json.decode(path.read_bytes())
        for path in sorted(FOLDER.glob("*/error/*.json"))
    }
    if not found:
        pytest.skip(f"0 recorded errors: {FOLDER} is not there")
    return found


def test_every_recorded_error_is_taken_for_what_the_table_says():
    found = recorded()
    said = {
        (
            name,
            str(failure.http_status),
            failure.kind.value,
            "-" if failure.retry_after_ms is None else str(failure.retry_after_ms),
            failure.code or "-",
        )
        for name, failure in ((name, read(case)) for name, case in found.items())
    }
    assert sorted(said) == sorted(rows())
    assert len(said) >= 80


def test_no_recorded_error_tells_a_key_or_whose_it_is():
    for name, case in recorded().items():
        failure = read(case)
        assert not SECRETS.search(failure.message), (name, failure.message)
