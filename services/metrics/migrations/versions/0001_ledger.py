"""The ledger: requests, attempts, whole records, checkpoints, counters, the access log's lengths."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_PARTITIONS = "LIST (day)"


def upgrade() -> None:
    """Go from nothing to version 0001."""
    op.create_table(
        "requests",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("day", _TEXT, nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("key_id", _TEXT),
        sa.Column("key_name", _TEXT),
        sa.Column("router", _TEXT),
        sa.Column("provider", _TEXT),
        sa.Column("model", _TEXT),
        sa.Column("requested_model", _TEXT),
        sa.Column("endpoint", _TEXT, nullable=False),
        sa.Column("dialect", _TEXT, nullable=False),
        sa.Column("stream", sa.Integer, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("http_status", sa.Integer),
        sa.Column("error_code", _TEXT),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("token_source", _TEXT, nullable=False),
        sa.Column("cost", sa.BigInteger),
        sa.Column("known_cost", sa.BigInteger, nullable=False),
        sa.Column("ttft_ms", sa.Float),
        sa.Column("duration_ms", sa.Float, nullable=False),
        sa.Column("overhead_ms", sa.Float),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("client_request_id", _TEXT),
        sa.PrimaryKeyConstraint("id", "day"),
        sqlite_with_rowid=False,
        postgresql_partition_by=_PARTITIONS,
    )
    op.create_index(
        "requests_by_client_id",
        "requests",
        ["client_request_id"],
        sqlite_where=sa.text("client_request_id IS NOT NULL"),
        postgresql_where=sa.text("client_request_id IS NOT NULL"),
    )
    op.create_index("requests_by_key", "requests", ["key_id", "time_ms"])
    op.create_index("requests_by_time", "requests", ["time_ms", "id"])
    op.create_table(
        "attempts",
        sa.Column("request_id", _TEXT, nullable=False),
        sa.Column("day", _TEXT, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("key_id", _TEXT),
        sa.Column("key_name", _TEXT),
        sa.Column("router", _TEXT),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("provider", _TEXT),
        sa.Column("model", _TEXT),
        sa.Column("outcome", _TEXT, nullable=False),
        sa.Column("first_of_provider", sa.Integer, nullable=False),
        sa.Column("first_of_model", sa.Integer, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.BigInteger),
        sa.Column("duration_ms", sa.Float, nullable=False),
        sa.Column("http_status", sa.Integer),
        sa.Column("error_code", _TEXT),
        sa.PrimaryKeyConstraint("request_id", "day", "position"),
        sqlite_with_rowid=False,
        postgresql_partition_by=_PARTITIONS,
    )
    op.create_index("attempts_by_time", "attempts", ["time_ms"])
    op.create_table(
        "records",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("day", _TEXT, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", "day"),
        postgresql_partition_by=_PARTITIONS,
    )
    op.create_table(
        "checkpoints",
        sa.Column("consumer", _TEXT, nullable=False),
        sa.Column("stream", _TEXT, nullable=False),
        sa.Column("identity", _TEXT, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("consumer"),
    )
    op.create_table(
        "counters",
        sa.Column("series", _TEXT, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("series"),
    )
    op.create_table(
        "access_files",
        sa.Column("day", _TEXT, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_table(
        "buried",
        sa.Column("sequence", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
