import pytest

from shared.log.memory import MemoryLog
from shared.log.port import EventLog
from shared.testing.aggregates_contract import AggregateContract
from shared.testing.folds_contract import FoldContract
from shared.testing.log_contract import AppendContract, BucketContract, ReadContract
from shared.testing.log_parts_contract import PartsContract


@pytest.fixture
def log() -> EventLog:
    return MemoryLog()


class TestAppend(AppendContract):
    pass


class TestRead(ReadContract):
    pass


class TestBucket(BucketContract):
    pass


class TestAggregates(AggregateContract):
    pass


class TestFolds(FoldContract):
    pass


class TestParts(PartsContract):
    pass
