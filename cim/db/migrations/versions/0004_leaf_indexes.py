"""Keep the table of leaves cheap to fill and its indexes enough for as-of reading."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
