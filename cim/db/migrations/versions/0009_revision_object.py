"""Let the leaf of an object's revision be found without reading the revision itself."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
