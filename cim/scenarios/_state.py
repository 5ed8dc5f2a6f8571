"""One state of the city, read in one snapshot: tree head, land, clock, rules. Nothing else may enter a result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely
import sqlalchemy as sa
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from cim import crs
from cim.db.engine import Database
from cim.db.script import query, query_of_state
from cim.db.spatial import check_path, srid_of
from cim.db.state import AsOf, TreeHead, resolve, take_snapshot
from cim.errors import InvalidData, NotFound
from cim.scenarios._kept import ANSWERS, Answer, key_of
from cim.scenarios._rules import DEFAULT, RulePack, rule_pack

if TYPE_CHECKING:
    from cim.scenarios._branch import Made

RECORDED = ("renewal_district", "division")  # land that has a record of its own
SCOPE_TYPES = (*RECORDED, "parcel")
SNAPSHOT_OF = "cim.snapshot_of"  # option of a connection: the database that it reads in one snapshot
MILLIMETRES = 3  # decimals that coordinates are snapped to
# WGS 84 and CGCS2000: between them EPSG gives no operation, and taking one for the other costs under a metre.
DEGREES_TAKEN_AS_EQUAL = frozenset({4326, 4490})


@dataclass(frozen=True, slots=True)
class Scope:
    """The land a result is about: its kind, its codes (none for a polygon), its ISO WKB in the storage CRS.

    `area` is in square centimetres, planar in the storage CRS. Several districts together have each as a part.
    """

    type: str
    codes: tuple[str, ...]
    wkb: bytes
    area: int
    parts: tuple[Scope, ...] = ()

    @property
    def sha256(self) -> str:
        """Digest of the geometry, hex."""
        return hashlib.sha256(self.wkb).hexdigest()

    def ewkb(self, srid: int) -> str:
        """Return the geometry as PostGIS reads it from text: hex EWKB."""
        return str(shapely.to_wkb(shapely.set_srid(shapely.from_wkb(self.wkb), srid), hex=True, include_srid=True))


@dataclass(frozen=True, slots=True)
class State:
    """A state of the city with the land, the day and the rules of one run.

    Attributes
    ----------
    live : the live tables stand exactly at this tree size and no writer is ahead, so they may be read instead
    kept : what is kept may be taken: what is added up of today, where it was so at this tree size, and answers
    as_of : when the last entry of this tree was made, RFC 3339, as the entry says it
    compared : another rule pack that the same is judged by, beside `pack`
    made : the proposal that lies on top, if any: queries then read through its branch
    read : what was read already, by what was asked: several rules ask the same of one snapshot
    """

    connection: sa.Connection
    database: Database
    head: TreeHead
    live: bool
    kept: bool
    as_of: str
    reference_date: date
    pack: RulePack
    scope: Scope
    compared: RulePack | None = None
    made: Made | None = None
    read: dict[str, Sequence[sa.Row[Any]]] = field(default_factory=dict, repr=False, compare=False)

    def through(self, made: Made | None) -> State:
        """Return this state with a proposal on top; None takes it off."""
        return replace(self, made=made)

    @property
    def size(self) -> int | None:
        """Tree size to hand to the as-of functions: None reads the live tables."""
        return None if self.live else self.head.size

    @property
    def unwritten_since(self) -> int | None:
        """Tree size from which on nothing may have been written on a parcel for its kept sums to count; None: live."""
        return None if self.live else self.head.size if self.kept else 0

    @property
    def branch_text(self) -> str | None:
        """The branch as JSON text, as a query takes it."""
        return None if self.made is None else self.made.text

    def rows(self, name: str, **parameters: Any) -> Sequence[sa.Row[Any]]:
        """Return what the query `scenarios/<name>` gives with this state's parameters and more."""
        asked = parameters | {
            "scope": self.scope.ewkb(self.database.settings.srid),
            "reference_date": self.reference_date,
        }
        told = repr((name, self.branch_text, sorted(asked.items())))
        if told not in self.read:
            self.read[told] = self.answer(lambda: self._ask(name, asked), _values, told)
        return self.read[told]

    def answer(self, ask: Callable[[], Answer], values: Callable[[Answer], int], *asked: object) -> Answer:
        """Return what `ask` reads of this state, as `asked` tells it; kept, unless nothing kept may be taken."""
        if not self.kept or self.connection.get_execution_options().get(SNAPSHOT_OF) is not self.database:
            return ask()
        return ANSWERS.get(key_of(self.connection, self.database, self.head, *asked), ask, values)

    def has(self, *asked: object) -> bool:
        """Return whether the answer to what is asked is kept."""
        return self.kept and ANSWERS.has(key_of(self.connection, self.database, self.head, *asked))

    def _ask(self, name: str, asked: Mapping[str, Any]) -> Sequence[sa.Row[Any]]:
        branch = frozenset[str]() if self.made is None else frozenset(self.made.branch)
        statement = query_of_state(f"scenarios/{name}", live=self.live, branch=branch)
        given = {**asked, "size": self.size, "unwritten_since": self.unwritten_since}
        if branch:
            given["branch"] = self.branch_text
        return self.connection.execute(statement, given).all()

    def described(self) -> dict[str, Any]:
        """Return what a result says about its land and its clock."""
        srid = self.database.settings.srid
        note = f"planar in EPSG:{srid}; a projection enlarges areas away from its central meridian"
        return {
            "type": self.scope.type,
            "codes": list(self.scope.codes),
            "geometry_sha256": self.scope.sha256,
            "area": {"value": self.scope.area / 10_000, "unit": "m2"},
            "areas": note,
        }


@contextmanager
def snapshot(database: Database, of: str | None = None) -> Iterator[sa.Connection]:
    """Open one repeatable-read, read-only snapshot for all the reads of one run.

    Parameters
    ----------
    of : a snapshot that another connection has exported, to read the same beside it

    Raises
    ------
    TimeoutError : of sqlalchemy; no connection is free, beside another one not even for a moment.
    """
    engine = database.engine if of is None else database.spare
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ", SNAPSHOT_OF: database}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        if of is not None:
            take_snapshot(connection, of)
        connection.execute(query("scenarios/settle"))
        yield connection


def open_state(
    connection: sa.Connection,
    database: Database,
    *,
    as_of: AsOf,
    reference_date: str | None,
    pack: RulePack,
    scope: str | Sequence[str] | Mapping[str, Any] | None,
    scope_crs: str | int = "OGC:CRS84",
    reads: Sequence[str],
    use_live: bool = True,
) -> State:
    """Resolve the state first, then the land in it, then the clock.

    Parameters
    ----------
    scope : the land; None for none
    reads : feature types the scenario reads; the live tables serve only while none of them is ahead of the tree
    use_live : False reads the log alone even where the live tables would do; the answer is the same

    Raises
    ------
    NotFound : no such state, no such land in it, or an empty log. InvalidData : a scope that is no valid polygon.
    """
    head = resolve(connection, as_of, database.settings.log_dir)
    types = sorted({*reads, *SCOPE_TYPES})
    standing = connection.execute(query("scenarios/standing"), {"size": head.size, "types": types}).one_or_none()
    if standing is None:
        raise NotFound("the log is empty: there is no state of the city to compute on; load data with `cim ingest`")
    state = State(
        connection=connection,
        database=database,
        head=head,
        live=use_live and standing.live,
        kept=use_live,
        as_of=standing.at,
        reference_date=date.fromisoformat(reference_date or standing.at[:10]),
        pack=pack,
        scope=Scope("none", (), wkb_of(shapely.Polygon()), 0),
    )
    if scope is None:
        return state
    land = state.answer(lambda: (_scope(state, scope, scope_crs),), _wkb_values, "scope", scope, scope_crs)
    return replace(state, scope=land[0])


def plain_state(connection: sa.Connection, database: Database, as_of: AsOf, scope: str | None = None) -> State:
    """Return a state to read objects of by their codes, with the default rules; on no land unless it is named.

    Raises
    ------
    NotFound : no such state, no such land in it, or an empty log.
    """
    folder = database.settings.dictionary
    pack = rule_pack(DEFAULT, *([folder] if folder else []))
    return open_state(
        connection, database, as_of=as_of, reference_date=None, pack=pack, scope=scope, reads=("building", "parcel")
    )


def _scope(state: State, scope: str | Sequence[str] | Mapping[str, Any], scope_crs: str | int) -> Scope:
    connection, size, at = state.connection, state.size, state.head.size
    if isinstance(scope, Mapping):
        wkb = wkb_of(place(scope, scope_crs, state.database.settings.srid, "input scope"))
        return Scope("polygon", (), wkb, connection.execute(query("scenarios/scope_area"), {"scope": wkb}).scalar_one())
    codes = [scope] if isinstance(scope, str) else list(scope)
    if not isinstance(scope, str):
        statement = query_of_state("scenarios/scope_of_parcels", live=size is None)
        row = connection.execute(statement, {"size": size, "codes": codes}).one()
        missing = sorted(set(codes) - set(row.codes))
        if not missing:
            land = _valid(bytes(row.geom), "the union of the scope's parcels")
            return Scope("parcel", tuple(row.codes), land, row.area)
        if row.codes:
            raise NotFound(
                f"no parcel {', '.join(missing[:10])} at tree size {at}; {len(missing)} of the scope's codes"
            )
    districts = _districts(connection, size, codes)
    if districts is None:
        named = ", ".join(map(repr, codes[:10]))
        found = (
            f"no renewal district or division {named}"
            if len(codes) == 1
            else f"{named} are neither all renewal districts nor all divisions"
        )
        raise NotFound(
            f"{found} at tree size {at}; a scope is the code of a renewal district or a division, a list of codes of "
            "districts, of divisions or of parcels, a GeoJSON polygon, or a box"
        )
    return districts


def _districts(connection: sa.Connection, size: int | None, codes: Sequence[str]) -> Scope | None:
    """Return the land of some districts, all of one type; None where there is none that has them all."""
    statement = query_of_state("scenarios/scope_of_districts", live=size is None)
    rows = connection.execute(statement, {"size": size, "codes": codes}).all()
    for type_name in RECORDED:
        parts = tuple(
            Scope(type_name, (row.code,), _valid(bytes(row.geom), f"{type_name} {row.code}"), row.area)
            for row in rows
            if row.type == type_name and row.code is not None
        )
        if len(parts) == len(codes) == 1:
            return parts[0]
        if len(parts) == len(codes):
            union = next(row for row in rows if row.type == type_name and row.code is None)
            land = _valid(bytes(union.geom), "the union of the scope's districts")
            return Scope(type_name, tuple(part.codes[0] for part in parts), land, union.area, parts)
    return None


def _values(rows: Sequence[sa.Row[Any]]) -> int:
    """Return how many values some rows hold."""
    return sum(map(len, rows))


def _wkb_values(scopes: Sequence[Scope]) -> int:
    """Return how many values the geometry of some land holds."""
    return sum(len(part.wkb) for one in scopes for part in (one, *one.parts)) // 8


def _valid(wkb: bytes, name: str) -> bytes:
    geometry = shapely.from_wkb(wkb)
    if not shapely.is_valid(geometry):
        raise InvalidData(f"the geometry of {name} is invalid: {shapely.is_valid_reason(geometry)}; mend it first")
    return wkb


def place(document: Mapping[str, Any], given_crs: str | int, srid: int, name: str) -> BaseGeometry:
    """Return a GeoJSON geometry in the storage CRS, snapped to 1 mm.

    Raises
    ------
    InvalidData : it is no geometry, is empty or invalid; the message begins with `name`. CrsError : no known path.
    """
    try:
        geometry = shapely.force_2d(shape(dict(document)))
    except (ValueError, TypeError, IndexError, AttributeError, shapely.errors.ShapelyError) as error:
        raise InvalidData(f"{name}: the coordinates make no {document.get('type', 'geometry')}: {error}") from error
    if geometry.is_empty or not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise InvalidData(f"{name}: the {geometry.geom_type} is empty or has coordinates that are not finite")
    storage = crs.parse(srid)
    moved = crs.transform(np.array([geometry], dtype=object), crs.parse(_source(given_crs, srid)), storage)[0]
    crs.check_envelope(moved.bounds, storage)
    snapped: BaseGeometry = shapely.transform(moved, _snap)
    if not shapely.is_valid(snapped):
        raise InvalidData(f"{name}: the {geometry.geom_type} is invalid: {shapely.is_valid_reason(snapped)}")
    return snapped


def wkb_of(geometry: BaseGeometry) -> bytes:
    """Return a geometry as ISO WKB, little endian: the bytes that are hashed."""
    return bytes(shapely.to_wkb(geometry, byte_order=1, flavor="iso"))


def _snap(coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.round(coordinates, MILLIMETRES) + 0.0  # + 0.0 turns -0.0 into 0.0


def _source(scope_crs: str | int, srid: int) -> int:
    """Return the CRS to read a scope in; degrees of WGS 84 or CGCS2000 count as those of the storage CRS's datum."""
    given = srid_of(scope_crs)
    check_path(given, srid)
    geodetic = crs.parse(srid).geodetic_crs
    own = geodetic.to_epsg() if geodetic is not None else None
    return own if own is not None and {given, own} <= DEGREES_TAKEN_AS_EQUAL else given
