"""End the life of objects that the source which brought them no longer has.

A type whose schema has a property of the role `primary-interval-end` keeps such objects, with the date; those of any
other type leave their table. Either is a revision like any other, and a code is never given to another object.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cim.codes import provisional
from cim.db.identifiers import current_codes
from cim.db.merge import REVISION
from cim.dictionary import Dictionary, FeatureType

# Column or attribute that holds the digest of the file of the model an object is part of.
MODEL = "model_file"
_ROLES = ("primary-interval-start", "primary-interval-end")


def lifetime(feature_type: FeatureType) -> tuple[str | None, str | None]:
    """Return the names of the date columns that say from when and up to when an object of a type is as it says."""
    dates = {p.role: p.name for p in feature_type.properties if p.role in _ROLES and p.kind == "date"}
    return dates.get(_ROLES[0]), dates.get(_ROLES[1])


def ends(dictionary: Dictionary) -> dict[str, str]:
    """Return, by type, the name of the date column that says up to when an object is, if there is one."""
    found = {name: lifetime(feature_type)[1] for name, feature_type in dictionary.types.items()}
    return {name: column for name, column in found.items() if column is not None}


class Delivered:
    """The codes of one type that a delivery holds, in a temporary table that goes with the transaction.

    Attributes
    ----------
    read : records of the delivery; unknown : how many of them are of objects that nobody can name.
    """

    def __init__(self, connection: sa.Connection, target: sa.Table, scheme: str) -> None:
        self.read = 0
        self.unknown = 0
        self._connection = connection
        self._target = target
        self._scheme = scheme
        self._table = sa.Table(
            f"delivered_{target.name}",
            sa.MetaData(),
            sa.Column("code", sa.Text(collation="C")),
            prefixes=["TEMPORARY"],
            postgresql_on_commit="DROP",
        )
        self._table.create(connection)

    def add(self, named: Sequence[str]) -> None:
        """Note the objects that codes stand for, which may be codes they had before."""
        own, ours = self._scheme, provisional.SCHEME.name
        pairs = [(ours if code.startswith(provisional.PREFIX) else own, code) for code in named]
        found = current_codes(self._connection, pairs, type_name=self._target.name)
        current = {current.code for objects in found.values() for current in objects}
        given = sa.func.unnest(sa.cast([*current.union(named)], ARRAY(sa.Text)))
        self._connection.execute(sa.insert(self._table).from_select(["code"], sa.select(given)))

    def add_from(self, table: sa.FromClause) -> None:
        """Note the codes of a table."""
        self._connection.execute(sa.insert(self._table).from_select(["code"], sa.select(table.c.code)))

    def brought_by(self, datasets: Sequence[str]) -> sa.ColumnElement[bool]:
        """Return the condition that one of these datasets brought an object: its latest insertion."""
        target = self._target
        brought = (
            sa.select(REVISION.c.dataset)
            .where(REVISION.c.type == target.name, REVISION.c.code == target.c.code, REVISION.c.op == "insert")
            .order_by(REVISION.c.rev.desc())
            .limit(1)
            .scalar_subquery()
        )
        return brought == sa.any_(sa.cast(list(datasets), ARRAY(sa.Text)))

    def part_of(self, models: Sequence[str], whole: Delivered | None, column: str) -> sa.ColumnElement[bool]:
        """Return the condition that an object is part of one of these models, given by the digests of their files.

        With `whole`, only of those whose `column` names an object of that delivery.
        """
        target = self._target
        file = target.c[MODEL] if MODEL in target.c else target.c.attributes[MODEL].astext
        condition = file == sa.any_(sa.cast(list(models), ARRAY(sa.Text)))
        if whole is None:
            return condition
        return condition & sa.exists().where(whole._table.c.code == target.c[column])

    def knows(self, datasets: Sequence[str]) -> bool:
        """Tell whether one of these datasets had an object of this delivery, too."""
        known = sa.exists().where(
            REVISION.c.type == self._target.name,
            REVISION.c.code == self._table.c.code,
            REVISION.c.dataset == sa.any_(sa.cast(list(datasets), ARRAY(sa.Text))),
        )
        asked = sa.select(sa.exists(sa.select(sa.literal(1)).select_from(self._table).where(known)))
        return bool(self._connection.execute(asked).scalar_one())

    def end_others(self, feature_type: FeatureType, belonging: sa.ColumnElement[bool]) -> int:
        """End the live objects that belong to earlier deliveries and that this one lacks; return how many.

        The date is the day of the server.
        """
        target = self._target
        start, end = lifetime(feature_type)
        gone = ~sa.exists().where(self._table.c.code == target.c.code) & belonging
        if end is None:
            return self._connection.execute(sa.delete(target).where(gone)).rowcount
        today = sa.func.current_date()
        # A record that is to hold from later on is over before it began.
        date = today if start is None else sa.func.greatest(today, target.c[start])
        ending = sa.update(target).where(gone, target.c[end].is_(None)).values({end: date})
        return self._connection.execute(ending).rowcount

    def revive(self, feature_type: FeatureType, datasets: Sequence[str]) -> int:
        """Take back the end of objects that are delivered again, where one of these datasets ended them by its lack.

        Return how many. An object that left its table is inserted again by the load itself.
        """
        target = self._target
        _, end = lifetime(feature_type)
        if end is None:
            return 0
        ended, before = REVISION.alias("ended"), REVISION.alias("before")
        ended_by = (
            sa.select(ended.c.dataset)
            .join_from(
                ended,
                before,
                (before.c.type == ended.c.type)
                & (before.c.code == ended.c.code)
                & (before.c.rev == ended.c.rev - 1)
                & before.c.body[end].is_(None),
            )
            .where(ended.c.type == target.name, ended.c.code == target.c.code, ended.c.body[end].is_not(None))
            .order_by(ended.c.rev.desc())
            .limit(1)
            .scalar_subquery()
        )
        reviving = (
            sa.update(target)
            .where(
                target.c[end].is_not(None),
                sa.exists().where(self._table.c.code == target.c.code),
                ended_by == sa.any_(sa.cast(list(datasets), ARRAY(sa.Text))),
            )
            .values({end: None})
        )
        return self._connection.execute(reviving).rowcount

    def drop(self) -> None:
        """Forget the codes."""
        self._table.drop(self._connection)
