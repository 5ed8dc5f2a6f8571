"""Create the platform tables."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
