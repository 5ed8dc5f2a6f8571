"""Keep what a seal says of the buildings on a parcel: the lines it hashes, and their leaves as runs."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0017"
down_revision: str | None = "0016"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
