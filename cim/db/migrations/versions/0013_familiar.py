"""Remember the records that gave the objects as they are."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0013"
down_revision: str | None = "0012"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
