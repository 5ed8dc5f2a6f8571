"""Index the objects that have no geometry."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
