"""Let the log hold supersessions of codes, and the crosswalk of other identifiers."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
