"""The streams that the benchmark of chunks reads are whole ones, for every pair, and allocations are counted."""

import shutil

import pytest

from bench.allocations import Allocations
from bench.chunks import measured, table


def test_every_pair_of_a_vendors_and_a_clients_dialect_is_measured():
    passed, translated = measured(seconds=0)
    assert len(passed) == 6
    assert len(translated) == 36
    assert all(0 < cost.chunk_us < 10_000 for cost in [*passed.values(), *translated.values()])
    assert "openai_chat → anthropic_messages" in table(seconds=0)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler here")
def test_every_allocation_is_counted():
    counter = Allocations()
    few, many = counter.of(lambda: [bytes(1000) for _ in range(10)]), counter.of(lambda: [bytes(1000)] * 10)
    assert few is not None
    assert many is not None
    assert few - many >= 9
