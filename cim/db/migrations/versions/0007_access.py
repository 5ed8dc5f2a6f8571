"""Keep keys of the API, and who read personal data."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
