"""Apply a user's CQL2 filter inside a scenario: the codes it selects in the state read."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cim.db.filters import compile_filter
from cim.db.spatial import from_wkb
from cim.scenarios._state import State


def codes_where(state: State, type_name: str, text: str) -> list[str]:
    """Return the codes of the objects of a type that a CQL2 text selects, among those that meet the scope.

    Objects without geometry are among them: their place is judged elsewhere.

    Raises
    ------
    InvalidFilter : the text cannot be understood.
    """
    database = state.database
    feature_type = database.dictionary.type(type_name)
    columns = [sa.column(c.name, c.type) for c in database.table(type_name).columns]
    size = sa.cast(sa.literal(state.size), sa.BigInteger)
    if state.made is None:
        called = getattr(sa.func.city, f"{type_name}_at")(size)
    else:
        called = getattr(sa.func.city, f"{type_name}_in")(size, sa.cast(sa.literal(state.branch_text), JSONB))
    source = called.table_valued(*columns).alias("t")
    srid = database.settings.srid
    land = from_wkb(sa.literal(state.scope.wkb), srid)
    condition = compile_filter(text, source, feature_type, srid)
    statement = (
        sa.select(source.c.code)
        .where(condition, sa.or_(source.c.geom.is_(None), sa.func.ST_Intersects(source.c.geom, land)))
        .order_by(source.c.code)
    )
    return list(state.connection.execute(statement).scalars())
