"""The ledger's tables, for questions and inserts; ``migrations`` makes them."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.metrics.domain.rollups import SUMS

METADATA: Final = MetaData()
TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Ordered by its bytes in both databases."""
_COUNTS: Final = Text().with_variant(JSONB(), "postgresql")
"""A JSON object of counts by bucket."""
_PARTITIONS: Final = "LIST (day)"

REQUESTS: Final = Table(
    "requests",
    METADATA,
    Column("id", TEXT, nullable=False),
    Column("day", TEXT, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("key_id", TEXT),
    Column("key_name", TEXT),
    Column("router", TEXT),
    Column("provider", TEXT),
    Column("model", TEXT),
    Column("requested_model", TEXT),
    Column("endpoint", TEXT, nullable=False),
    Column("dialect", TEXT, nullable=False),
    Column("stream", Integer, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("http_status", Integer),
    Column("error_code", TEXT),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("token_source", TEXT, nullable=False),
    Column("cost", BigInteger),
    Column("known_cost", BigInteger, nullable=False),
    Column("shadow_cost", BigInteger, nullable=False),
    Column("ttft_ms", Float),
    Column("duration_ms", Float, nullable=False),
    Column("overhead_ms", Float),
    Column("attempts", Integer, nullable=False),
    Column("client_request_id", TEXT),
    Column("outcome", TEXT),
    # id first: one index both keeps a request from being counted twice and finds it by its id alone
    PrimaryKeyConstraint("id", "day"),
    Index("requests_by_time", "time_ms", "id"),
    Index("requests_by_key", "key_id", "time_ms"),
    Index(
        "requests_by_client_id",
        "client_request_id",
        sqlite_where=text("client_request_id IS NOT NULL"),
        postgresql_where=text("client_request_id IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
    postgresql_partition_by=_PARTITIONS,
)

ATTEMPT_ROWS: Final = Table(
    "attempt_rows",
    METADATA,
    Column("request_id", TEXT, nullable=False),
    Column("day", TEXT, nullable=False),
    Column("position", Integer, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("key_id", TEXT),
    Column("key_name", TEXT),
    Column("router", TEXT),
    Column("status", TEXT, nullable=False),
    Column("provider", TEXT),
    Column("model", TEXT),
    Column("outcome", TEXT, nullable=False),
    Column("first_of_provider", Integer, nullable=False),
    Column("first_of_model", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger),
    Column("shadow_cost", BigInteger, nullable=False),
    Column("duration_ms", Float, nullable=False),
    Column("http_status", Integer),
    Column("error_code", TEXT),
    PrimaryKeyConstraint("request_id", "day", "position"),
    Index("attempts_by_time", "time_ms"),
    sqlite_with_rowid=False,
    postgresql_partition_by=_PARTITIONS,
)

ATTEMPTS: Final = Table("attempts", MetaData(), *(Column(column.name, column.type) for column in ATTEMPT_ROWS.columns))
"""A view of every attempt: those that have a row, and those that their request's row tells."""

RECORDS: Final = Table(
    "records",
    METADATA,
    Column("id", TEXT, nullable=False),
    Column("day", TEXT, nullable=False),
    Column("record", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id", "day"),
    postgresql_partition_by=_PARTITIONS,
)

CHECKPOINTS: Final = Table(
    "checkpoints",
    METADATA,
    Column("consumer", TEXT, primary_key=True),
    Column("stream", TEXT, nullable=False),
    Column("identity", TEXT, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

COUNTERS: Final = Table(
    "counters",
    METADATA,
    Column("series", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)

ACCESS_FILES: Final = Table(
    "access_files",
    METADATA,
    Column("day", TEXT, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
)

BURIED: Final = Table(
    "buried",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", TEXT, nullable=False),
)

ROLLUP_GROUPS: Final = Table(
    "rollup_groups",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, TEXT, nullable=False) for name in ("key_id", "key_name", "router", "provider", "model", "status")),
)

ROLLUP_SUMS: Final = tuple(
    column for name in SUMS for column in ((f"{name}_usd", f"{name}_pico") if name.endswith("cost") else (name,))
)
ROLLUPS: Final = Table(
    "rollups",
    METADATA,
    Column("resolution", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("group_id", BigInteger, nullable=False),
    # a cost in whole dollars and the pico-dollars beyond: a day's may be more than one column holds
    *(Column(name, BigInteger, nullable=False) for name in ROLLUP_SUMS),
    Column("duration", _COUNTS, nullable=False),
    Column("ttft", _COUNTS, nullable=False),
    # the time before the group: a question goes along a range of time
    PrimaryKeyConstraint("resolution", "start", "group_id"),
    sqlite_with_rowid=False,
)

BY_DAY: Final = (REQUESTS, ATTEMPT_ROWS, RECORDS)
"""In PostgreSQL each is one table a day: old days go at once, and a question reads those that it asks for."""
TABLES: Final = (*BY_DAY, CHECKPOINTS, COUNTERS, ACCESS_FILES, BURIED, ROLLUP_GROUPS, ROLLUPS)
