"""A sample of ``make fuzz``: mutated bytes through everything that parses."""

import pytest

from tests.fuzz.run import by_chance
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import targets


@pytest.mark.parametrize("name", targets())
def test_any_bytes_are_survived(name: str):
    fed, _ = by_chance(targets()[name], 60_000, seeds()[:40])
    assert fed >= 60_000
