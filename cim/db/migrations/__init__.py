"""Platform tables as Alembic revisions, each running the `.sql` file of its own name. Applied ones are history."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from cim.db.script import execute_script

FOLDER = Path(__file__).parent


def run_script(module_file: str) -> None:
    """Run the SQL script that lies beside a revision's module."""
    execute_script(op.get_bind(), Path(module_file).with_suffix(".sql").read_text(encoding="utf-8"))
