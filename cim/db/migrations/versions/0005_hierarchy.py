"""Hold every object to what it lies in."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
