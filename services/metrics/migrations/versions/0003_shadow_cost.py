"""What subscriptions' answers would cost at API prices. The writer fills the rollups anew from the records."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ROLLUPS = ("shadow_cost_usd", "shadow_cost_pico", "tried_shadow_cost_usd", "tried_shadow_cost_pico")
_NAMES_ONE = {
    "sqlite": "instr(record, CAST('\"shadow_cost\"' AS BLOB)) > 0",
    "postgresql": "position('\"shadow_cost\"'::bytea in record) > 0",
}
_REQUEST = sa.text("UPDATE requests SET shadow_cost = :cost WHERE id = :id AND day = :day")
_ATTEMPT = sa.text(
    "UPDATE attempts SET shadow_cost = :cost WHERE request_id = :id AND day = :day AND position = :position"
)


def upgrade() -> None:
    """Go from version 0002 to 0003."""
    for table, names in (("requests", ("shadow_cost",)), ("attempts", ("shadow_cost",)), ("rollups", _ROLLUPS)):
        for name in names:
            op.add_column(table, sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    connection = op.get_bind()
    found = connection.execute(
        sa.text(f"SELECT id, day, record FROM records WHERE {_NAMES_ONE[connection.dialect.name]}")  # noqa: S608  ours
    ).all()
    for identity, day, raw in found:
        record = json.loads(raw)
        place = {"id": identity, "day": day}
        connection.execute(_REQUEST, place | {"cost": record.get("shadow_cost") or 0})
        for position, attempt in enumerate(record.get("attempts") or ()):
            cost = attempt.get("shadow_cost") or 0
            connection.execute(_ATTEMPT, place | {"cost": cost, "position": position})
    if found:
        connection.execute(sa.text("DELETE FROM rollups"))
