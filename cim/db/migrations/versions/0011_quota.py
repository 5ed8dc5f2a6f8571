"""Give keys of the API a quota."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
