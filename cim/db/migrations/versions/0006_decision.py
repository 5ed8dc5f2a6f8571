"""Keep why each record became the object it did."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
