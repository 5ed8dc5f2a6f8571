"""Keep who lives on each parcel, how old and how high what stands there is, added up as well."""

from __future__ import annotations

from cim.db.migrations import run_script

revision = "0016"
down_revision: str | None = "0015"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(__file__)
