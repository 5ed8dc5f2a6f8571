"""Walking distances over a street network, in whole millimetres, so that no order of adding can matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

Millimetres = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]  # n × 2, millimetres in the storage CRS
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
        places = np.rint(points * 1000).astype(np.int64)
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
