"""Bring geometry that people and programs give into the form it is stored in, or say what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

import pyproj
import shapely

from cim import crs, geometry
from cim.dictionary import FeatureType
from cim.errors import InvalidData
from cim.geometry import Geometries


def stored(
    feature_type: FeatureType, shapes: Geometries, source: pyproj.CRS, srid: int, names: Sequence[object]
) -> list[bytes | None]:
    """Return geometries of a type with geometry as the WKB it is stored as.

    Parameters
    ----------
    shapes : array of shapely geometries in `source`, x before y; None and empty become None
    srid : EPSG code of the storage CRS
    names : what messages call each of them

    Raises
    ------
    InvalidData : a geometry of another kind, or an invalid one. CrsError : no known path to the storage CRS.
    """
    kind = feature_type.geometry
    assert kind is not None
    shapes = shapes.copy()
    shapes[shapely.is_empty(shapes)] = None
    for row in (~geometry.fits(shapes, kind)).nonzero()[0].tolist():
        raise InvalidData(f"{feature_type.name} {names[row]}: geometry is a {shapes[row].geom_type}, expected a {kind}")
    shapes = crs.transform(shapes, source, crs.parse(srid))
    shapes = geometry.promote(geometry.snap(shapely.force_2d(shapes)), kind)
    for row in (~shapely.is_valid(shapes) & ~shapely.is_missing(shapes)).nonzero()[0].tolist():
        reason = shapely.is_valid_reason(shapes[row])
        raise InvalidData(f"{feature_type.name} {names[row]}: geometry is invalid: {reason}; mend it first")
    return geometry.to_wkb(shapes)
