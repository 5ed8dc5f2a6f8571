"""Write a GeoDataFrame into a feature table: the analyst's way in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import orjson
import pandas as pd
import pyarrow as pa
import shapely
import sqlalchemy as sa

from cim import codes, crs
from cim.db.engine import Database
from cim.db.load import Rows, merge
from cim.db.merge import AttributeField, Carried, lock_types
from cim.db.script import query
from cim.db.shapes import stored
from cim.db.tables import ARROW_TYPES
from cim.dictionary import FeatureType
from cim.errors import CrsError, InvalidCode, InvalidData


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """What became of the rows written: their sum is the number of rows given."""

    inserted: int
    updated: int
    unchanged: int


def write_frame(
    database: Database, type_name: str, frame: pd.DataFrame, *, actor: str | None, reason: str | None
) -> WriteCounts:
    """Insert or update the objects of a frame indexed by code, in one transaction.

    Columns the frame lacks stay as they are; a frame without geometry leaves the geometry. A null in a column it has
    clears what was there. Geometry is transformed to the storage CRS and snapped to 1 mm. `attributes` holds dicts,
    whose keys are replaced one by one.

    Raises
    ------
    InvalidData : a column the type does not have, a value of the wrong type or out of its limits, invalid geometry.
    InvalidCode : a code its scheme refuses, is missing, or stands twice.
    CrsError : geometry without a CRS, or with one that has no known path to the storage CRS.
    """
    feature_type = database.dictionary.type(type_name)
    rows = _rows(database, feature_type, frame)
    target = database.table(type_name)
    with database.writing(actor, reason) as connection:
        lock_types(connection, [type_name])
        try:
            counts = merge(connection, target, rows)
            connection.execute(query("hierarchy/check"))
        except sa.exc.IntegrityError as error:
            raise InvalidData(f"{type_name}: the database refuses a value: {error.orig}".splitlines()[0]) from error
    return WriteCounts(counts.inserted, counts.updated, len(frame) - counts.inserted - counts.updated)


def _rows(database: Database, feature_type: FeatureType, frame: pd.DataFrame) -> Rows:
    shape = frame.active_geometry_name if isinstance(frame, gpd.GeoDataFrame) else None
    names = [name for name in frame.columns if name not in (shape, "attributes")]
    known = {prop.name: prop for prop in feature_type.properties}
    unknown = sorted(set(map(str, names)) - known.keys())
    if unknown:
        raise InvalidData(
            f"{feature_type.name} has no column {', '.join(unknown)}; it has {', '.join(known)}; what the dictionary "
            "does not name goes as a dict into the column attributes"
        )
    columns = {"code": pa.array(_codes(feature_type, list(frame.index)), pa.string())}
    for name in names:
        try:
            columns[name] = pa.Array.from_pandas(frame[name], type=ARROW_TYPES[known[name].kind])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InvalidData(f"{feature_type.name}.{name} must be {known[name].kind}: {error}") from error
    fields = []
    if "attributes" in frame.columns:
        keys = sorted({key for value in frame["attributes"] if isinstance(value, dict) for key in value})
        for number, key in enumerate(keys):
            columns[f"attribute_{number}"] = pa.array([_json(value, key) for value in frame["attributes"]], pa.string())
            fields.append(AttributeField(f"attribute_{number}", key, is_json=True))
    has_geometry = shape is not None and feature_type.geometry is not None
    if has_geometry:
        columns["geom"] = pa.array(_wkb(database, feature_type, frame), pa.binary())
    return Rows(pa.table(columns), Carried(names, [], fields, has_geometry))


def _json(value: object, key: str) -> str | None:
    held = value.get(key) if isinstance(value, dict) else None
    return None if held is None else orjson.dumps(held).decode()


def _codes(feature_type: FeatureType, index: Sequence[object]) -> list[str]:
    given = [None if code is None else str(code) for code in index]
    canonical, problems = codes.check_many_for(feature_type, given)
    if problems:
        raise InvalidCode(f"row {min(problems)}: {problems[min(problems)]}")
    seen: set[str] = set()
    for row, code in enumerate(canonical):
        if code is None:
            raise InvalidCode(f"row {row} has no code; index the frame by code")
        if code in seen:
            raise InvalidCode(f"code {code} stands twice, the second time in row {row}; give each object one row")
        seen.add(code)
    return list(map(str, canonical))


def _wkb(database: Database, feature_type: FeatureType, frame: gpd.GeoDataFrame) -> list[bytes | None]:
    shapes = frame.geometry.to_numpy(dtype=object)
    if frame.crs is None:
        if not (shapely.is_missing(shapes) | shapely.is_empty(shapes)).all():
            raise CrsError(f"the frame has no CRS; set it, for example frame.set_crs({database.settings.srid})")
        return [None] * len(shapes)
    return stored(feature_type, shapes, crs.parse(frame.crs), database.settings.srid, frame.index)
