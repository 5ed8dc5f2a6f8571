"""Find the records that a person left out."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0019"
down_revision: str | None = "0018"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
