"""Let the log hold erasures, and refuse at the write what no entry can hold."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
