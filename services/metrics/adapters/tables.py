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

METADATA: Final = MetaData()

REQUESTS: Final = Table(
    "requests",
    METADATA,
    Column("id", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("key_id", Text),
    Column("key_name", Text),
    Column("router", Text),
    Column("provider", Text),
    Column("model", Text),
    Column("requested_model", Text),
    Column("endpoint", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("stream", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("http_status", Integer),
    Column("error_code", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("token_source", Text, nullable=False),
    Column("cost", BigInteger),
    Column("known_cost", BigInteger, nullable=False),
    Column("ttft_ms", Float),
    Column("duration_ms", Float, nullable=False),
    Column("overhead_ms", Float),
    Column("attempts", Integer, nullable=False),
    Column("client_request_id", Text),
    # id first: one index both keeps a request from being counted twice and finds it by its id alone
    PrimaryKeyConstraint("id", "day"),
    Index("requests_by_time", "time_ms", "id"),
    Index("requests_by_key", "key_id", "time_ms"),
    Index("requests_by_client_id", "client_request_id", sqlite_where=text("client_request_id IS NOT NULL")),
    sqlite_with_rowid=False,
)

ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("request_id", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("key_id", Text),
    Column("key_name", Text),
    Column("router", Text),
    Column("status", Text, nullable=False),
    Column("provider", Text),
    Column("model", Text),
    Column("outcome", Text, nullable=False),
    Column("first_of_provider", Integer, nullable=False),
    Column("first_of_model", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger),
    Column("duration_ms", Float, nullable=False),
    Column("http_status", Integer),
    Column("error_code", Text),
    PrimaryKeyConstraint("request_id", "day", "position"),
    Index("attempts_by_time", "time_ms"),
    sqlite_with_rowid=False,
)

RECORDS: Final = Table(
    "records",
    METADATA,
    Column("id", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("record", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id", "day"),
)

CHECKPOINTS: Final = Table(
    "checkpoints",
    METADATA,
    Column("consumer", Text, primary_key=True),
    Column("stream", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

COUNTERS: Final = Table(
    "counters",
    METADATA,
    Column("series", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

ACCESS_FILES: Final = Table(
    "access_files",
    METADATA,
    Column("day", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
)

BURIED: Final = Table(
    "buried",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
)
