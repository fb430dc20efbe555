"""Figures: what is counted of each case, how far the history was read for it, what is published.

All but `figure_releases` follows from the history: it can be emptied and read anew. A release is
insert-only: what was published is never counted a second time.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE figure_persons (
      case_id text PRIMARY KEY,
      quarter date,
      body jsonb NOT NULL
    )
    """,
    "CREATE INDEX figure_persons_quarter ON figure_persons (quarter)",
    "CREATE TABLE figure_erased (case_id text PRIMARY KEY)",
    """
    CREATE TABLE figure_reading (
      single boolean PRIMARY KEY DEFAULT true CHECK (single),
      upto bigint NOT NULL DEFAULT 0
    )
    """,
    "INSERT INTO figure_reading DEFAULT VALUES",
    """
    CREATE TABLE figure_releases (
      quarter date PRIMARY KEY,
      published_at timestamptz NOT NULL,
      release jsonb NOT NULL
    )
    """,
    # Who asked for a year's dataset and who agreed. The dataset itself is made once a year, as
    # groups of equal rows: two that differ by a few persons could be subtracted.
    """
    CREATE TABLE figure_datasets (
      id uuid PRIMARY KEY,
      year integer NOT NULL,
      purpose text NOT NULL,
      proposed_by text NOT NULL,
      proposed_at timestamptz NOT NULL,
      approved_by text,
      approved_at timestamptz,
      CHECK (approved_by IS NULL OR approved_by <> proposed_by)
    )
    """,
    """
    CREATE TABLE figure_years (
      year integer PRIMARY KEY,
      made_at timestamptz NOT NULL,
      dataset jsonb NOT NULL
    )
    """,
    "GRANT SELECT, INSERT, UPDATE, DELETE ON figure_persons, figure_erased TO audit_flow",
    "GRANT SELECT, UPDATE ON figure_reading TO audit_flow",
    "GRANT SELECT, INSERT ON figure_releases, figure_years TO audit_flow",
    "GRANT SELECT, INSERT, UPDATE ON figure_datasets TO audit_flow",
    "GRANT SELECT ON figure_releases TO audit_web",
)


def upgrade() -> None:
    """Make the tables of the figures."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them."""
    for name in ("persons", "erased", "reading", "releases", "datasets", "years"):
        op.get_bind().exec_driver_sql(f"DROP TABLE figure_{name}")
