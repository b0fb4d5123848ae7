"""An only attempt that its request's row tells all of has no row any more; ``attempts`` is a view of every attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ATTEMPTS = """
CREATE VIEW attempts AS
SELECT request_id, day, position, time_ms, key_id, key_name, router, status, provider, model, outcome,
  first_of_provider, first_of_model,
  input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
  cost, duration_ms, http_status, error_code, shadow_cost
FROM attempt_rows
UNION ALL
SELECT id, day, attempts - 1, time_ms, key_id, key_name, router, status, provider, model, outcome,
  1, 1,
  input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
  cost,
  CASE attempts WHEN 0 THEN 0.0 ELSE duration_ms - overhead_ms END,
  CASE attempts WHEN 0 THEN NULL ELSE http_status END,
  CASE attempts WHEN 0 THEN NULL ELSE error_code END,
  shadow_cost
FROM requests
WHERE outcome IS NOT NULL
"""


def upgrade() -> None:
    """Go from version 0003 to 0004. Rows that are there stay: of their requests no row tells of an attempt."""
    op.add_column("requests", sa.Column("outcome", _TEXT))
    op.rename_table("attempts", "attempt_rows")
    op.execute(_ATTEMPTS)
