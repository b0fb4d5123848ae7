from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from shared.log.port import EventLog
from shared.testing.aggregates_contract import AggregateContract
from shared.testing.folds_contract import FoldContract
from shared.testing.log_contract import AppendContract, BucketContract, ReadContract
from shared.testing.log_parts_contract import PartsContract
from shared.testing.nats import throw_away_nats


@pytest.fixture
async def log(tmp_path: Path) -> AsyncGenerator[EventLog, None]:
    async with throw_away_nats(tmp_path) as server:
        connected = await server.log()
        yield connected
        await connected.close()


class TestAppend(AppendContract):
    pass


class TestRead(ReadContract):
    pass


class TestBucket(BucketContract):
    pass


class TestAggregates(AggregateContract):
    pass


@pytest.mark.faults
class TestManyWriters(AggregateContract):
    writers = 50
    edits = 4


class TestFolds(FoldContract):
    pass


class TestParts(PartsContract):
    pass
