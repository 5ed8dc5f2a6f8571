"""Alembic's entry point: runs on the connection that `cim.db.migrate` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,
    version_table="alembic_version",
    version_table_schema="public",
    transactional_ddl=True,
)
context.run_migrations()
