"""Find the revisions without geometry by an index of their own."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0014"
down_revision: str | None = "0013"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
