"""Records on their way: those of a batch that are to be prepared, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cim.db.familiar import Digests, Integers
from ingest.familiar import NONE_MET, Met
from ingest.faults import Mask
from ingest.rejected import Rejected


@dataclass(frozen=True, slots=True)
class Records:
    """Records as read that are to be prepared, and their numbers in the layer; `digests` where they have any.

    `met` counts those of the same batch that are familiar, of which `familiar` has the geometry.
    """

    table: pa.Table
    numbers: npt.NDArray[np.int64]
    digests: Digests | None
    met: Met = NONE_MET
    familiar: pa.ChunkedArray | None = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """Records whose code an earlier one of the layer has: their rows, numbers in the layer, and what they came as.

    `first` are the numbers of the records that had the codes before; `nameless` says whose code is but the name of
    its content, so that both may be objects.
    """

    rows: pa.Table
    numbers: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    nameless: Mask
    minted: Mask
    records: list[Rejected]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of a batch of records before the database sees them.

    `rows` hold the columns of `Preparation.carried` and `code`; `numbers` are their places in the layer, from 0.
    `nameless` tells whose code is but the name of their content, `minted` which codes were made here,
    `identified` how many came from another identifier. `read` is the sum of rows, repeated and rejected, and of those
    met that are familiar, which the other counts leave out. `digests` and `traits` are of the rows; None where none may
    become familiar.
    """

    read: int
    rows: pa.Table
    numbers: npt.NDArray[np.int64]
    nameless: Mask
    minted: Mask
    repeated: Repeated | None
    rejected: list[Rejected]
    repaired: int
    provisional: int
    identified: int
    met: Met = NONE_MET
    digests: Digests | None = None
    traits: Integers | None = None
