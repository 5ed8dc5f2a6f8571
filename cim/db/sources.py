"""What a state of the city holds of a type: the live table, what reads a tree size, or what reads through a branch."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cim.db.access import public_types
from cim.db.engine import Database
from cim.db.geojson import Held
from cim.db.tables import SCHEMA


def source_of(database: Database, type_name: str, tree_size: int | None, branch: str | None = None) -> sa.FromClause:
    """Return the type's objects as a FROM clause: the live table, or what reads a tree size, or through a branch."""
    table = database.table(type_name)
    if tree_size is None and branch is None:
        return table.alias("o")
    functions = getattr(sa.func, SCHEMA)
    size = sa.bindparam("tree_size", tree_size, sa.BigInteger)
    if branch is None:
        called = getattr(functions, f"{type_name}_logged")(size)
    else:
        called = getattr(functions, f"{type_name}_in")(size, sa.cast(sa.bindparam("branch", branch, sa.Text), JSONB))
    return called.table_valued(*(sa.column(c.name, c.type) for c in table.c)).alias("o")  # type: ignore[no-any-return]


def ordered(source: sa.FromClause) -> sa.ColumnElement[str]:
    """Code in code-point order, which is that of its indexes: asked in another, a state of the log is read as a whole.

    A function's column has the database's collation, the table's has "C" already.
    """
    column = source.c.code
    return column if isinstance(source, sa.Alias) and isinstance(source.element, sa.Table) else sa.collate(column, "C")


def held_in(database: Database, tree_size: int | None, branch: str | None = None) -> Held:
    """Return what says whether an object is there in a state; one of a type that not everybody may read is held to be.

    Whether it is, not all may know who read what names it.
    """
    public = public_types(database)

    def asked(type_name: str, code: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        if type_name not in public:
            return code.is_not(None)
        source = source_of(database, type_name, tree_size, branch)
        return sa.exists().select_from(source).where(ordered(source) == code).correlate_except(source)

    return asked
