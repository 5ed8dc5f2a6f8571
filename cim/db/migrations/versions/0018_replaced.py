"""Know of each revision what replaced it, and of each tree head which revisions it has for certain."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0018"
down_revision: str | None = "0017"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
