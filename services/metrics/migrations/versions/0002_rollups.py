"""Rollups: sums by minute, hour and day; groups are named once. The writer fills them from what is there already."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COUNTS = sa.Text().with_variant(JSONB(), "postgresql")
_GROUP = ("key_id", "key_name", "router", "provider", "model", "status")
_OWN = (
    "requests",
    "attempts",
    "input",
    "cached",
    "cache_write",
    "output",
    "reasoning",
    "cost_usd",
    "cost_pico",
    "unpriced",
)
_SUMS = (
    *_OWN,
    "tried_provider",
    "tried_model",
    "tried",
    "tried_input",
    "tried_cached",
    "tried_cache_write",
    "tried_output",
    "tried_reasoning",
    "tried_cost_usd",
    "tried_cost_pico",
    "unpriced_provider",
    "unpriced_model",
)


def upgrade() -> None:
    """Go from version 0001 to 0002."""
    op.create_table(
        "rollup_groups",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in _GROUP),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "rollups",
        sa.Column("resolution", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        sa.Column("duration", _COUNTS, nullable=False),
        sa.Column("ttft", _COUNTS, nullable=False),
        sa.PrimaryKeyConstraint("resolution", "start", "group_id"),
        sqlite_with_rowid=False,
    )
