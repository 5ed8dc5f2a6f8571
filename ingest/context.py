"""What preparing a layer needs beyond the layer, and what of it decides what becomes of a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyproj

from cim import crs
from cim.dictionary import Dictionary
from ingest import identify
from ingest.clean import FIX, Linearise, Repair
from ingest.familiar import digest_of_basis, way_of
from ingest.formats import Layer
from ingest.identify import Current, Known
from ingest.mapping import LayerMapping, Value
from ingest.replacing import Replacement


@dataclass(frozen=True, slots=True)
class Context:
    """What preparing a layer needs beyond the layer: the dictionary, the systems, the operator's word.

    `parameters` are of the datum change from the layer's system, see `cim.crs.with_parameters`.
    `enter` is called before objects of the city are compared with the records, or written; it returns when others that
    come first have done. `insert_only` and `replacement` are what happens to objects of earlier deliveries; see
    `ingest.replacing`. `alone` says that the layer is the only one of its file.
    """

    path: Path
    dictionary: Dictionary
    storage: pyproj.CRS
    stated: pyproj.CRS | None
    assumed: pyproj.CRS | None
    linearise: Linearise
    known: Known
    current: Current = identify.unknown
    repair: Repair = FIX
    parameters: Sequence[float] | None = None
    insert_only: bool = False
    replacement: Replacement | None = None
    enter: Callable[[], None] = lambda: None
    alone: bool = False


def lineage_of(layer: Layer, mapping: LayerMapping) -> str:
    """Return the name of the data set across deliveries."""
    return mapping.identity or layer.lineage or layer.name


def basis_of(layer: Layer, mapping: LayerMapping, identifier: Value | None, context: Context) -> str:
    """Return the digest of all that decides, besides a record of the layer, what becomes of it."""
    told = None if mapping.assume_crs is None else crs.parse(mapping.assume_crs)
    said = [
        [way_of(system, context.storage) for system in (context.stated, context.assumed, told)],
        [mapping.type, mapping.code, identifier],
        [context.repair.on_invalid, context.repair.max_area_change, context.parameters],
        lineage_of(layer, mapping),
    ]
    return digest_of_basis(layer, mapping, context.dictionary, context.storage, said)
