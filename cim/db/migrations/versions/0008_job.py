"""Queue long work in the database."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
