"""Leave revisions without geometry out of the spatial index."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
