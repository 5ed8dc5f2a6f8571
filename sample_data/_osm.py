"""What a map in the manner of OpenStreetMap says of a street near the sample district: all of it fiction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Longitude and latitude of the corner of a grid of 0.001 degrees on which everything lies.
EAST, NORTH = 116.100, 38.990


def write(folder: Path) -> None:
    """Write `street.osm.pbf`: two roads, a school with grounds, a bus stop, a bench, a building with a court."""
    import osmium

    path = folder / "street.osm.pbf"
    path.unlink(missing_ok=True)
    nodes: dict[tuple[float, float], int] = {}

    def at(*points: tuple[float, float]) -> list[int]:
        return [nodes.setdefault(point, len(nodes) + 1) for point in points]

    def ring(x: float, y: float, side: float) -> list[int]:
        first, *rest = at((x, y), (x + side, y), (x + side, y + side), (x, y + side))
        return [first, *rest, first]

    ways: list[dict[str, Any]] = [
        {"nodes": at((0, 0), (5, 0), (9, 0)), "tags": {
            "highway": "residential", "name": "建设街", "maxspeed": "30", "lanes": "2", "width": "7 m"}},
        {"nodes": at((5, 0), (5, 5)), "tags": {"highway": "footway", "maxspeed": "10 mph"}},
        {"nodes": ring(1, 1, 2), "tags": {"amenity": "kindergarten", "name": "幼儿园", "capacity": "180"}},
        {"nodes": ring(6, 1, 3), "tags": {}},
        {"nodes": ring(7, 2, 1), "tags": {}},
        {"nodes": [*at((8, 8)), 9001], "tags": {"highway": "service"}},
    ]  # fmt: skip
    points = {(2, 0): {"highway": "bus_stop", "name": "建设街站"}, (3, 0): {"amenity": "bench"},
              (4, 0): {"shop": "bakery"}}  # fmt: skip
    at(*points)
    with osmium.SimpleWriter(str(path)) as writer:
        for (x, y), number in nodes.items():
            place = (round(EAST + x / 1000, 7), round(NORTH + y / 1000, 7))
            writer.add_node(osmium.osm.mutable.Node(id=number, location=place, tags=points.get((x, y), {})))
        for number, way in enumerate(ways, start=101):
            writer.add_way(osmium.osm.mutable.Way(id=number, nodes=way["nodes"], tags=way["tags"]))
        members = [("w", 104, "outer"), ("w", 105, "inner")]
        tags = {"type": "multipolygon", "building": "apartments", "building:levels": "6", "start_date": "1988-05"}
        writer.add_relation(osmium.osm.mutable.Relation(id=201, members=members, tags=tags))
