"""A folder for as long as somebody reads from it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from ingest.formats._base import Batches, Layer


class Scratch:
    """A new empty folder, at `path`; removed when nobody holds this any more, at the latest with the process.

    Layers are read after their format has named them, so that no `with` block can tell when the folder is done with:
    whoever reads from it keeps a reference.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="cim-")).resolve()
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def hold(self, layer: Layer) -> Layer:
        """Return the layer, which holds this folder as long as its records can be read."""
        return replace(layer, batches=partial(self._batches, layer.batches))

    def _batches(self, batches: Batches) -> Iterator[pa.RecordBatch]:
        yield from batches()
