"""What Alembic does for us: it runs the revisions of the platform's tables, and compares the feature tables."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import produce_migrations
from alembic.config import Config
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext

from cim.db.tables import SCHEMA
from cim.errors import Conflict

ADDITIVE = (ops.CreateTableOp, ops.AddColumnOp, ops.CreateIndexOp)


def run_revisions(connection: sa.Connection, scripts: Path) -> None:
    """Run the revisions of a folder that the database lacks, in the caller's transaction."""
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def add_tables_and_columns(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Bring the feature tables to `metadata`, in the caller's transaction.

    Raises
    ------
    Conflict : `metadata` lacks a table or column that the database has, or narrows one.
    """
    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
            "include_object": lambda _object, _name, kind, _reflected, _other: kind != "unique_constraint",
            "compare_type": False,
        },
    )
    operations = Operations(context)
    upgrade = produce_migrations(context, metadata).upgrade_ops
    for operation in _flatten(upgrade.ops if upgrade else []):
        if isinstance(operation, ADDITIVE):
            operations.invoke(operation)
        elif isinstance(operation, (ops.DropTableOp, ops.DropColumnOp)) or _narrows(operation):
            raise Conflict(
                f"the dictionary no longer agrees with the database: {operation.to_diff_tuple()}; columns and tables "
                "are only ever added: keep the old one and add a new one"
            )


def _narrows(operation: ops.MigrateOperation) -> bool:
    return isinstance(operation, ops.AlterColumnOp) and operation.modify_nullable is not None


def _flatten(operations: list[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    flat: list[ops.MigrateOperation] = []
    for operation in operations:
        flat += operation.ops if isinstance(operation, ops.ModifyTableOps) else [operation]
    return flat
