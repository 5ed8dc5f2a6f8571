"""Buildings the city has already, for models that do not say where they belong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import shapely
from sqlalchemy import Engine

from cim.db.script import query

# So many buildings are laid under a footprint to see which it is.
_MOST = 50


class Buildings(Protocol):
    """Footprints of the city, (Multi)Polygons in the storage CRS, by code."""

    def of(self, code: str) -> shapely.MultiPolygon | None:
        """Return the footprint of a building; None if it is unknown or has none."""

    def near(self, x: float, y: float, radius: float) -> dict[str, shapely.MultiPolygon]:
        """Return surveyed footprints within `radius` metres of a point, the nearest first."""

    def like(self, area: float, perimeter: float, share: float) -> dict[str, shapely.MultiPolygon]:
        """Return surveyed footprints of such an area (m²) and perimeter (m), the closest first.

        `share` is how much the smaller of two areas, or perimeters, must be of the larger, 0 to 1.
        """


class KnownBuildings:
    """The buildings of a database; footprints that came out of models are no evidence for others."""

    def __init__(self, engine: Engine, turn: Callable[[], None] | None = None) -> None:
        """`turn` is called before the city is asked: it waits for those that may still bring buildings."""
        self.engine = engine
        self.turn = turn

    def of(self, code: str) -> shapely.MultiPolygon | None:
        """Return the footprint of a building; None if it is unknown or has none."""
        return self._ask("ingest/footprint_of", code=code).get(code)

    def near(self, x: float, y: float, radius: float) -> dict[str, shapely.MultiPolygon]:
        """Return surveyed footprints within `radius` metres of a point, the nearest first."""
        return self._ask("ingest/footprints_near", x=x, y=y, radius=radius, most=_MOST)

    def like(self, area: float, perimeter: float, share: float) -> dict[str, shapely.MultiPolygon]:
        """Return surveyed footprints of such an area (m²) and perimeter (m), the closest first.

        `share` is how much the smaller of two areas, or perimeters, must be of the larger, 0 to 1.
        """
        return self._ask("ingest/footprints_like", area=area, perimeter=perimeter, share=share, most=_MOST)

    def _ask(self, name: str, **parameters: object) -> dict[str, shapely.MultiPolygon]:
        if self.turn is not None:
            self.turn()
        with self.engine.connect() as connection:
            rows = connection.execute(query(name), parameters).all()
        shapes = shapely.from_wkb([row.geom for row in rows])
        return {row.code: shape for row, shape in zip(rows, shapes, strict=True)}
