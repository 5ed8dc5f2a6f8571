"""Distances to the nearest of some places, on foot over a street network or straight, in whole millimetres.

Whole, so that no order of adding can matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import sqlalchemy as sa
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

Millimetres = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]  # n × 2, millimetres in the storage CRS
MILLIMETRES = 1000  # in a metre
FAR = np.iinfo(np.int64).max  # what cannot be reached, or not within the limit


@dataclass(frozen=True, slots=True)
class Network:
    """A street network: places of its nodes, sorted, and the lengths between neighbours."""

    nodes: Places
    lengths: csr_matrix

    @classmethod
    def of(cls, lines: npt.NDArray[np.object_], spacing: float) -> Network:
        """Return the network of centre lines (metres); streets meet where they share a vertex.

        Lines get further vertices, so that none is longer than `spacing` metres between two. Of several ways between
        two neighbours the shortest counts (a sparse matrix would add them up).
        """
        dense = shapely.segmentize(shapely.get_parts(lines), spacing)
        points, line = shapely.get_coordinates(dense, return_index=True)
        places = np.rint(points * MILLIMETRES).astype(np.int64)
        nodes, node = _distinct(places)
        together = line[1:] == line[:-1]
        first, second = node[:-1][together], node[1:][together]
        length = _distance(nodes[first], nodes[second])
        first, second = np.minimum(first, second), np.maximum(first, second)
        order = np.lexsort((length, second, first))
        first, second, length = first[order], second[order], length[order]
        shortest = np.ones(len(first), dtype=bool)
        shortest[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        shortest &= first != second
        weights = length[shortest].astype(np.float64)
        size = (len(nodes), len(nodes))
        return cls(nodes, csr_matrix((weights, (first[shortest], second[shortest])), shape=size))

    def nearest(self, places: Places) -> tuple[npt.NDArray[np.int64], Millimetres]:
        """Return the node nearest to each place, and how far it is; FAR where there is no network."""
        if not len(self.nodes) or not len(places):
            return np.zeros(len(places), np.int64), np.full(len(places), FAR, np.int64)
        _, node = cKDTree(self.nodes.astype(np.float64)).query(places.astype(np.float64), workers=-1)
        return node.astype(np.int64), _distance(self.nodes[node], places)

    def distances(self, node: npt.NDArray[np.int64], connector: Millimetres, limit: int) -> Millimetres:
        """Return how far each node is from the nearest of some sources; FAR beyond `limit`, which is inclusive.

        Parameters
        ----------
        node, connector : the node at which each source meets the network, and how far the source is from it

        Source
        ------
        Dijkstra, E. W. (1959), "A note on two problems in connexion with graphs", all sources in one run.
        """
        count = len(self.nodes)
        near = connector <= limit
        node, connector = node[near], connector[near]
        if not len(node):
            return np.full(count, FAR, np.int64)
        # A source off the network is a node of its own, at the end of its connector.
        off = connector > 0
        added = np.arange(count, count + int(off.sum()))
        old = self.lengths.tocoo()
        graph = csr_matrix(
            (
                np.concatenate([old.data, connector[off].astype(np.float64)]),
                (np.concatenate([old.row, node[off]]), np.concatenate([old.col, added])),
            ),
            shape=(count + len(added), count + len(added)),
        )
        sources = np.unique(np.concatenate([node[~off], added]))
        found = dijkstra(graph, directed=False, indices=sources, min_only=True, limit=float(limit))[:count]
        reached = np.isfinite(found)
        distance = np.full(count, FAR, np.int64)
        distance[reached] = found[reached].astype(np.int64)
        return distance


class Straight:
    """Straight distances from footprints."""

    def __init__(self, buildings: npt.NDArray[np.object_]) -> None:
        self.shapes = buildings
        self.unknown = np.zeros(len(buildings), dtype=bool)

    def to(self, facilities: Sequence[sa.Row[Any]], limit: int) -> Millimetres:
        """Return each building's distance to the nearest facility; FAR beyond the limit."""
        found = np.full(len(self.shapes), FAR, np.int64)
        if not facilities or not len(self.shapes):
            return found
        tree = shapely.STRtree(geometries(facilities))
        (building, _), distance = tree.query_nearest(self.shapes, return_distance=True, all_matches=False)
        whole = np.rint(distance * MILLIMETRES).astype(np.int64)
        found[building] = np.where(whole <= limit, whole, FAR)
        return found


class OnFoot:
    """Distances through the streets."""

    def __init__(self, buildings: Millimetres, roads: npt.NDArray[np.object_], rules: Mapping[str, Any]) -> None:
        self.most = rules["max_snap_m"] * MILLIMETRES
        self.network = Network.of(roads, float(rules["node_spacing_m"]))
        self.node, self.connector = self.network.nearest(buildings)
        self.unknown = self.connector > self.most

    def to(self, facilities: Sequence[sa.Row[Any]], limit: int) -> Millimetres:
        """Return each building's distance to the nearest facility; FAR beyond the limit or off the network."""
        node, connector = self.network.nearest(points_of(facilities))
        met = connector <= self.most
        of_node = self.network.distances(node[met], connector[met], limit)
        found = np.full(len(self.node), FAR, np.int64)
        known = ~self.unknown
        at_node = of_node[self.node[known]] if len(of_node) else np.full(int(known.sum()), FAR, np.int64)
        total = np.where(at_node == FAR, FAR, at_node + self.connector[known] * (at_node != FAR))
        found[known] = np.where(total <= limit, total, FAR)
        return found


def geometries(rows: Sequence[sa.Row[Any]]) -> npt.NDArray[np.object_]:
    """Return the geometries of rows, in metres."""
    return np.array(shapely.from_wkb([bytes(row.geom) for row in rows]), dtype=object)


def points_of(rows: Sequence[sa.Row[Any]]) -> Millimetres:
    """Return points in whole millimetres, n × 2, straight from their bytes: little endian, of two dimensions."""
    points = np.frombuffer(b"".join([row.geom for row in rows]), dtype=_POINT)
    whole: Millimetres = np.rint(points["place"] * MILLIMETRES).astype(np.int64)
    return whole


_POINT = np.dtype([("order and type", "V5"), ("place", "<f8", 2)])  # WKB of a point


def _distinct(places: Places) -> tuple[Places, npt.NDArray[np.int64]]:
    """Return the places that differ, sorted, and which of them each is: np.unique over rows, but quicker."""
    order = np.lexsort((places[:, 1], places[:, 0]))
    ordered = places[order]
    first = np.ones(len(places), dtype=bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    which = np.empty(len(places), dtype=np.int64)
    which[order] = np.cumsum(first) - 1
    return ordered[first], which


def _distance(first: Places, second: Places) -> Millimetres:
    step = (first - second).astype(np.float64)
    return np.rint(np.hypot(step[:, 0], step[:, 1])).astype(np.int64)
