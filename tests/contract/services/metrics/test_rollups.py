"""Sums from rollups are those from the rows, whatever is asked."""

import itertools
import random
from datetime import timedelta

import msgspec
import pytest

from services.metrics.adapters.databases import open_database
from services.metrics.adapters.queries import SqlLedger
from services.metrics.adapters.rollups import stored_row
from services.metrics.adapters.tables import ROLLUP_SUMS
from services.metrics.domain.questions import Filter
from services.metrics.domain.rollups import BOUNDS_MS, SUMS, Tally, percentile
from services.metrics.domain.spans import spans
from shared.contracts.usage import Tokens
from shared.kernel.clock import rfc3339
from shared.testing.usage import NOON, attempt, usage_record

MINUTE_MS, DAY_MS = 60_000, 86_400_000


def records():
    chance = random.Random(7)
    for number in range(150):
        tries = [
            attempt(
                f"p{chance.randrange(2)}/m{chance.randrange(3)}",
                chance.choice(["succeeded", "cut"]),
                tokens=Tokens(input=chance.randrange(99), output=chance.randrange(99), cached=chance.randrange(9)),
                cost=chance.choice([None, 0, 3, 10**12 + 1]),
                shadow_cost=chance.choice([None, 5, 2 * 10**12 + 7]),
            )
            for _ in range(chance.randrange(4))
        ]
        key = chance.choice([None, "k1", "k2"])
        record = usage_record(
            number,
            *tries,
            key_id=key,
            key_name=key and chance.choice([key, "renamed"]),
            router=chance.choice([None, "r"]),
            status=chance.choice(["succeeded", "failed"]),
            time=rfc3339(NOON + timedelta(seconds=chance.randrange(4 * 86_400))),
        )
        yield record if tries else msgspec.structs.replace(record, attempts=(), provider=None, model=None)


@pytest.fixture
async def ledger(rig):
    async with rig.running() as client:
        await rig.publish(*records())
        await rig.projected(client)
    found = SqlLedger(lambda: open_database(rig.settings.database).engine("read"))
    yield found
    await found.stop()


async def asked(ledger, where, groups):
    page = await ledger.usage(where, groups, limit=1000, after=None)
    return page.items, page.totals


async def test_sums_from_rollups_are_those_from_the_rows(ledger):
    start = int(NOON.timestamp() * 1000) - 12 * 3_600_000
    ranges = [(start + 13 * MINUTE_MS, start + 3 * DAY_MS + 7 * MINUTE_MS), (start, start + 2 * DAY_MS), (0, start * 2)]
    filters = [{}, {"key": "k1"}, {"key": "renamed"}, {"provider": "p0"}, {"model": "p1/m1"}, {"router": "r"},
               {"status": "failed"}, {"key": "k2", "provider": "p1", "model": "p1/m2"}]  # fmt: skip
    groups = [[], ["key"], ["provider"], ["model"], ["day", "provider"], ["hour"], ["status", "model", "router"]]
    for (begin, end), narrow, group in itertools.product(ranges, filters, groups):
        quick = await asked(ledger, Filter(start_ms=begin, end_ms=end, **narrow), group)
        # a millisecond earlier nothing happened, but no rollup begins there
        slow = await asked(ledger, Filter(start_ms=max(1, begin - 1), end_ms=end, **narrow), group)
        assert quick == slow, (begin, end, narrow, group)


async def test_pages_of_days_go_on_where_they_ended(ledger):
    whole, _ = await asked(ledger, Filter(), ["day", "model"])
    after, items = None, []
    while True:
        page = await ledger.usage(Filter(), ["day", "model"], limit=2, after=after)
        items += page.items
        after = page.after
        if after is None:
            break
    assert items == whole


async def test_a_ledger_of_before_the_rollups_is_rolled_up_when_it_is_opened(rig):
    async with rig.running() as client:
        await rig.publish(*records())
        await rig.projected(client)
    tables = ("rollup_groups", "rollups")
    before = {table: sorted(rig.kept.rows(f"SELECT * FROM {table}"), key=repr) for table in tables}
    for table in tables:
        rig.kept.execute(f"DELETE FROM {table}")
    async with rig.running():
        pass
    assert before["rollups"]
    assert {table: sorted(rig.kept.rows(f"SELECT * FROM {table}"), key=repr) for table in tables} == before


@pytest.mark.parametrize("by_hour", [False, True])
def test_spans_hold_every_minute_of_a_range_once(by_hour):
    chance = random.Random(3)
    for _ in range(300):
        start, end = sorted(chance.sample(range(4 * 1440), 2))
        found = spans(start * MINUTE_MS, end * MINUTE_MS, by_hour=by_hour)
        minutes = [each for span in found for each in range(span.start // 60, span.end // 60)]
        assert sorted(minutes) == list(range(start, end))
        assert all(span.start % span.resolution == 0 for span in found)
        assert not by_hour or all(span.resolution <= 3600 for span in found)


def test_a_percentile_is_off_by_five_hundredths_at_most():
    chance = random.Random(1)
    values = sorted(chance.lognormvariate(6, 1) for _ in range(5000))
    counts = {}
    for value in values:
        bucket = next(at for at, bound in enumerate([*BOUNDS_MS, float("inf")]) if value <= bound)
        counts[bucket] = counts.get(bucket, 0) + 1
    for share in (0.5, 0.95, 0.99):
        assert percentile(counts, share) == pytest.approx(values[int(share * len(values))], rel=0.05)
    assert percentile({}, 0.5) is None


def test_every_sum_of_a_tally_is_in_its_column():
    stored = dict(zip(ROLLUP_SUMS, stored_row(60, 0, 1, Tally(*range(1, len(SUMS) + 1)))[3:], strict=False))
    for number, name in enumerate(SUMS, 1):
        assert stored[f"{name}_pico" if name.endswith("cost") else name] == number
