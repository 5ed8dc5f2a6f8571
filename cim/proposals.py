"""Recorded proposals: drawn up on a pinned state of the city, compared, rebased on a newer one, and merged.

A proposal and its interventions are objects of the types `proposal` and `intervention`: every change of them is in the
log, with history and proofs. The city's own objects stay as they are until the proposal is merged; then each change is
written, dated and with the permit as its reason, and the log holds that too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import shapely
import sqlalchemy as sa

from cim.codes.provisional import mint_many
from cim.db.engine import Database
from cim.db.script import query
from cim.db.spatial import from_wkb
from cim.db.state import AsOf
from cim.errors import Conflict, InvalidData
from cim.scenarios._base import plain
from cim.scenarios._branch import Made, lay
from cim.scenarios._conflicts import broken, differing, moved
from cim.scenarios._proposal import ACTIONS, Proposal, checked, from_document
from cim.scenarios._recorded import Recorded, read_proposal
from cim.scenarios._state import plain_state, snapshot

DRAFT, MERGED, WITHDRAWN = "draft", "merged", "withdrawn"
WRITES = tuple(sorted({"building", *(action.makes for action in ACTIONS.values() if action.makes is not None)}))
"""Feature types whose objects a merge may change or add."""


@dataclass(frozen=True, slots=True)
class Rebase:
    """What a rebase found: from which tree size to which, the conflicts, and whether it was carried out.

    A conflict is `{kind: "object", type, code, leaf, now, fields}`: a target changed, `now` its leaf in the newer state
    (None: gone) and `fields` what differs; or `{kind: "rule", rule, value, limit}`: a rule that passed now fails.
    """

    base: int
    onto: int
    conflicts: Sequence[Mapping[str, Any]]
    done: bool


@dataclass(frozen=True, slots=True)
class Merge:
    """What a merge wrote: codes by feature type."""

    changed: Mapping[str, Sequence[str]]
    added: Mapping[str, Sequence[str]]


class Proposals:
    """The recorded proposals of a city."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def records(self) -> list[dict[str, Any]]:
        """Return the record of every proposal, by code."""
        with self.database.reading() as connection:
            return [dict(row) for row in connection.execute(query("proposals/list")).scalars()]

    def get(self, code: str) -> dict[str, Any]:
        """Return a proposal: its record, its interventions as scenarios take them, and their digest.

        Raises
        ------
        NotFound : no such proposal. Conflict : it was drawn up on another log.
        """
        with snapshot(self.database) as connection:
            recorded = read_proposal(connection, self.database, code)
        proposal = from_document(recorded.document, self.database.settings.srid)
        return {**recorded.record, **recorded.document, "sha256": proposal.sha256}

    def create(
        self,
        name: str,
        interventions: Iterable[Mapping[str, Any]],
        *,
        crs: str | int = "OGC:CRS84",
        scope: str | None = None,
        author: str | None = None,
        as_of: AsOf = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> str:
        """Record a proposal over a state of the city, and return its code.

        Parameters
        ----------
        name : what it is called; no two have one name
        interventions : `{target, action, phase, params}` each, as the input `proposal` of scenarios has them;
            geometries as GeoJSON or shapely
        crs : of their geometries
        scope : code of the renewal district or division it is about; default the parcels it touches
        as_of : state to pin it to; default the current tree

        Raises
        ------
        Conflict : the name is taken. NotFound : a target is not there in that state.
        InvalidData : an intervention cannot be carried out there.
        """
        if not name.strip():
            raise InvalidData("a proposal needs a name")
        (code,) = mint_many("proposal", "proposals", [name])
        proposal = self._proposal({"code": code, "crs": crs, "interventions": list(interventions)})
        with snapshot(self.database) as connection:
            state = plain_state(connection, self.database, as_of, scope)
            lay(state, proposal)
        record = {
            "code": code,
            "name": name,
            "proposal_status": DRAFT,
            "scope": scope,
            "author": author,
            "base_tree_size": state.head.size,
            "base_root": state.head.root.hex(),
        }
        with self._writing(actor, reason or f"proposal {name}") as connection:
            if connection.execute(query("scenarios/proposal"), {"size": None, "code": code}).scalar() is not None:
                raise Conflict(
                    f"there is a proposal {name!r} already, {code}; revise it, or give this one another name"
                )
            connection.execute(sa.insert(self.database.table("proposal")).values(**record))
            self._write(connection, proposal, {})
        return code

    def revise(
        self,
        code: str,
        interventions: Iterable[Mapping[str, Any]],
        *,
        crs: str | int = "OGC:CRS84",
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Put other interventions in the place of a draft's; what stays the same makes no revision.

        Raises
        ------
        Conflict : it is no draft any more. NotFound, InvalidData : as for `create`.
        """
        proposal = self._proposal({"code": code, "crs": crs, "interventions": list(interventions)})
        with snapshot(self.database) as connection:
            recorded = self._draft(connection, code)
            lay(plain_state(connection, self.database, recorded.base), proposal)
        before = self._proposal(recorded.document)
        with self._writing(actor, reason or f"proposal {recorded.record['name']}") as connection:
            self._write(connection, proposal, {one.id: one.document() for one in before.interventions})

    def withdraw(self, code: str, *, reason: str, actor: str | None = None) -> None:
        """Withdraw a draft; it stays readable.

        Raises
        ------
        InvalidData : no reason. Conflict : it is no draft any more.
        """
        if not reason.strip():
            raise InvalidData("a withdrawal needs a reason: it is recorded for good")
        with snapshot(self.database) as connection:
            recorded = self._draft(connection, code)
        with self._writing(actor, reason) as connection:
            self._update(connection, recorded, {"proposal_status": WITHDRAWN})

    def branch(self, connection: sa.Connection, code: str, as_of: AsOf = None) -> tuple[AsOf, str]:
        """Return the state to read a proposal on, and its branch as queries take it; for `City.features`."""
        recorded = read_proposal(connection, self.database, code)
        onto = recorded.base if as_of is None else as_of
        made = lay(plain_state(connection, self.database, onto), self._proposal(recorded.document))
        return onto, made.text

    def diff(self, code: str, other: str | None = None) -> list[dict[str, Any]]:
        """Return what a proposal changes: against the state it is pinned to, or against another proposal.

        Each is `{type, code, change, interventions, fields}`: `added`, `removed` (demolished) or `changed`; `fields`
        holds by name what was and what is, geometry as WKT; of a new object what it is.
        """
        with snapshot(self.database) as connection:
            mine = self._laid(connection, code)
            theirs = None if other is None else self._laid(connection, other)
        left = right = {("building", name): row for name, row in mine.before.items()}
        if theirs is not None:
            left = right = left | {("building", name): row for name, row in theirs.before.items()}
            left = left | _rows_of(theirs)
        right = right | _rows_of(mine)
        lines = []
        for kind, name in sorted(left.keys() | right.keys()):
            was, now = left.get((kind, name)), right.get((kind, name))
            fields = differing(was, now)
            if fields:
                gone = now is None or (now.get("status") == "demolished" and (was or {}).get("status") != "demolished")
                change = "added" if was is None else "removed" if gone else "changed"
                ones = mine.on.get(name) or [one for key, one in mine.new.items() if key == (kind, name)]
                line = {"type": kind, "code": name, "change": change, "interventions": [one.id for one in ones]}
                lines.append(line | {"fields": fields})
        return lines

    def rebase(
        self,
        code: str,
        as_of: AsOf = None,
        *,
        accept: bool = False,
        inputs: Mapping[str, Any] | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> Rebase:
        """Pin a draft to another state, and name what stands against that.

        Parameters
        ----------
        as_of : state to lie on then; default the current tree
        accept : carry it out in spite of conflicts; an object that is gone cannot be accepted
        inputs : more inputs of `check-constraints`, such as `rule_pack` and `facts`

        Raises
        ------
        Conflict : it is no draft any more. NotFound : no such state.
        """
        with snapshot(self.database) as connection:
            recorded = self._draft(connection, code)
            onto = plain_state(connection, self.database, as_of)
            conflicts = moved(recorded, plain_state(connection, self.database, recorded.base), onto)
        gone = [one for one in conflicts if one["now"] is None]
        if not gone:
            conflicts += broken(self.database, recorded, onto.head.size, inputs or {})
        done = not conflicts or (accept and not gone)
        if done and onto.head.size != recorded.base:
            pin = {"base_tree_size": onto.head.size, "base_root": onto.head.root.hex()}
            with self._writing(actor, reason or f"rebase on tree size {onto.head.size}") as connection:
                self._update(connection, recorded, pin)
        return Rebase(recorded.base, onto.head.size, conflicts, done)

    def merge(
        self,
        code: str,
        *,
        permit: str,
        effective_on: date,
        accept: bool = False,
        inputs: Mapping[str, Any] | None = None,
        actor: str | None = None,
    ) -> Merge:
        """Write an approved draft into the city, all or nothing: each change dated, with the permit as its reason.

        A demolished building is `demolition_approved` and valid until that day; a new one is valid from it. Other
        changes of a building hold at once, with the year as that of its renovation: a record has one set of values.

        Parameters
        ----------
        permit : number of the decision; it is in the log for everyone to read
        effective_on : day from which the changes hold
        accept : merge although a rule that passed when it was drawn up fails today

        Raises
        ------
        InvalidData : no permit, or a day before a building was there. Conflict : it is no draft any more, or there are
        conflicts with the city as it is now; `rebase` names them.
        """
        if not permit.strip():
            raise InvalidData("a merge needs the number of the permit: it is recorded for good")
        with snapshot(self.database) as connection:
            recorded = self._draft(connection, code)
            onto = plain_state(connection, self.database, None)
            conflicts = moved(recorded, plain_state(connection, self.database, recorded.base), onto)
        if not conflicts and not accept:
            conflicts = broken(self.database, recorded, onto.head.size, inputs or {})
        _refuse(code, conflicts)
        proposal = self._proposal(recorded.document)
        name = recorded.record["name"]
        with self._writing(actor, f"proposal {name} ({code}), permit {permit}") as connection:
            made = lay(plain_state(connection, self.database, onto.head.size), proposal)
            merged = self._merge(connection, made, effective_on)
            outcome = {"proposal_status": MERGED, "permit": permit, "effective_on": effective_on}
            self._update(connection, recorded, outcome)
        return merged

    # ------------------------------------------------------------------ inside

    def _proposal(self, document: Mapping[str, Any]) -> Proposal:
        return from_document(checked(plain(document)), self.database.settings.srid)

    def _laid(self, connection: sa.Connection, code: str) -> Made:
        recorded = read_proposal(connection, self.database, code)
        return lay(plain_state(connection, self.database, recorded.base), self._proposal(recorded.document))

    def _draft(self, connection: sa.Connection, code: str) -> Recorded:
        recorded = read_proposal(connection, self.database, code)
        if recorded.record["proposal_status"] != DRAFT:
            raise Conflict(f"proposal {code} is {recorded.record['proposal_status']}; only a draft can change")
        return recorded

    @contextmanager
    def _writing(self, actor: str | None, reason: str) -> Iterator[sa.Connection]:
        """Open the transaction of a write; all or nothing."""
        with self.database.writing(actor, reason) as connection:
            try:
                yield connection
                connection.execute(query("hierarchy/check"))
            except sa.exc.IntegrityError as error:
                raise InvalidData(f"proposal: the database refuses a value: {error.orig}".splitlines()[0]) from error

    def _update(self, connection: sa.Connection, recorded: Recorded, values: Mapping[str, Any]) -> None:
        """Change the record of a proposal, if nobody did meanwhile."""
        self._replace(connection, "proposal", recorded.record, values)

    def _replace(
        self, connection: sa.Connection, type_name: str, row: Mapping[str, Any], values: Mapping[str, Any]
    ) -> None:
        table = self.database.table(type_name)
        same = sa.and_(table.c.code == row["code"], table.c.rev == row["rev"])
        if connection.execute(sa.update(table).where(same).values(**self._bound(values))).rowcount != 1:
            raise Conflict(f"{type_name} {row['code']} has been changed meanwhile; look at it and try again")

    def _bound(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row's values as an insert or update takes them: geometry out of its hex EWKB."""
        bound = {name: value for name, value in values.items() if name not in ("rev", "geom")}
        if values.get("geom") is not None:
            wkb = shapely.to_wkb(shapely.from_wkb(values["geom"]), flavor="iso")
            bound["geom"] = from_wkb(sa.literal(wkb), self.database.settings.srid)
        return bound

    def _write(self, connection: sa.Connection, proposal: Proposal, before: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the interventions of a proposal in the place of those of `before`, by id."""
        table = self.database.table("intervention")
        codes = dict(zip(before, mint_many("intervention", str(proposal.code), list(before)), strict=True))
        kept = {one.id for one in proposal.interventions}
        for name in before.keys() - kept:
            connection.execute(sa.delete(table).where(table.c.code == codes[name]))
        for one in proposal.interventions:
            document = one.document()
            if document == before.get(one.id):
                continue
            (code,) = mint_many("intervention", str(proposal.code), [one.id])
            params = {name: value for name, value in one.params.items() if name != "geometry"}
            row = {"code": code, "proposal_code": proposal.code, "name": one.id} | params
            row |= {"target": one.target, "action": one.action, "phase": one.phase}
            row["geom"] = one.params.get("geometry")
            if one.id in before:
                cleared = dict.fromkeys(column.name for column in table.c if column.name not in ("rev", "attributes"))
                connection.execute(sa.update(table).where(table.c.code == code).values(**cleared | self._bound(row)))
            else:
                connection.execute(sa.insert(table).values(**self._bound(row)))

    def _merge(self, connection: sa.Connection, made: Made, effective_on: date) -> Merge:
        changed: defaultdict[str, list[str]] = defaultdict(list)
        added: defaultdict[str, list[str]] = defaultdict(list)
        for (kind, code), row in sorted(_rows_of(made).items()):
            table = self.database.table(kind)
            if (kind, code) in made.new:
                values = {name: value for name, value in row.items() if value is not None}
                if "valid_from" in table.c:
                    values["valid_from"] = effective_on
                connection.execute(sa.insert(table).values(**self._bound(values)))
                added[kind].append(code)
                continue
            before = made.before[code]
            if row.get("status") == "demolished":
                values = {"status": "demolition_approved", "valid_to": effective_on}
            else:
                values = {name: value for name, value in row.items() if value != before.get(name)}
                values["year_renovated"] = effective_on.year
            self._replace(connection, kind, before, values)
            changed[kind].append(code)
        self._check_day(connection, changed.get("building", ()), effective_on)
        return Merge(dict(changed), dict(added))

    def _check_day(self, connection: sa.Connection, codes: Sequence[str], effective_on: date) -> None:
        """Refuse a day before a building that changes was there: a slip of the pen would be recorded for good."""
        building = self.database.table("building").c
        early = sa.or_(building.valid_from > effective_on, building.year_built > effective_on.year)
        found = sa.select(building.code).where(building.code.in_(codes), early).order_by(building.code)
        if (code := connection.execute(found).scalar()) is not None:
            raise InvalidData(
                f"effective_on {effective_on} lies before {code} was there, by its year built or valid_from"
            )


def _rows_of(made: Made) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the rows of a branch by type and code."""
    return {(kind, code): row for kind, rows in made.branch.items() for code, row in rows.items()}


def _refuse(code: str, conflicts: Sequence[Mapping[str, Any]]) -> None:
    """Raise where there are conflicts, naming the first of them."""
    if not conflicts:
        return
    named = [
        f"{one['type']} {one['code']} is {'gone' if one['now'] is None else 'another: ' + ', '.join(one['fields'])}"
        if one["kind"] == "object"
        else f"{one['rule']} fails today"
        for one in conflicts[:5]
    ]
    raise Conflict(
        f"proposal {code} conflicts with the city as it is now: {'; '.join(named)}"
        f"{'; …' if len(conflicts) > 5 else ''}. `cim proposal rebase {code}` names all"
    )
