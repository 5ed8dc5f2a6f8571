"""Zipped deliveries: what other formats read, packed together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from cim.errors import InvalidData
from ingest.formats._base import Batches, Format, Layer, Model, ReadOptions, head


def read(path: Path, options: ReadOptions) -> Iterator[Layer]:
    """Yield the layers of every file in a zip; those of one name get their file's before it, or the path of that.

    A zip inside the zip is not unpacked.

    Raises
    ------
    InvalidData : no sound zip (see `ingest.unpack`), nothing in it that a format reads, a file in it that is refused.
    """
    from ingest.scratch import Scratch
    from ingest.sources import find
    from ingest.unpack import unpack

    if head(path, 4) != b"PK\x03\x04":
        raise InvalidData(f"{path}: is not a zip: it begins with {head(path, 24) or 'nothing'!r}")
    scratch = Scratch()
    folder = scratch.path
    unpack(path, folder)
    sources, passed = find([folder])
    inner = [source for source in sources if source.format is not FORMAT]
    over = [p.relative_to(folder).as_posix() for p in [*(s.path for s in sources if s.format is FORMAT), *passed]]
    if not inner:
        raise InvalidData(f"{path}: holds no file that a format reads; it has {', '.join(over) or 'none at all'}")
    found: list[Layer] = []
    with _renaming(folder, path):
        for source in inner:
            if source.format is None:
                raise source.error or InvalidData(f"{source.path}: has no format")
            file = source.path.relative_to(folder).as_posix()
            model = None
            if source.format.kept:  # its objects name it by its digest, not the zip
                content = options.keep(source.path.read_bytes())
                model = Model(source.path.name, content) if source.format.whole else None
            layers = source.format.read(source.path, replace(options, layer=None, delivered=folder))
            for layer in layers:
                # The names of what is in a model tell of which file it is: they need nothing before them.
                lineage = layer.lineage if model is None else layer.name
                packed = replace(layer, file=file, format=source.format.name, model=model, lineage=lineage)
                found.append(packed)
    count = Counter(layer.name for layer in found)
    long = {n: layer.name if count[layer.name] == 1 else _under(layer, stem=True) for n, layer in enumerate(found)}
    count = Counter(long.values())
    named = [replace(x, name=long[n] if count[long[n]] == 1 else _under(x, stem=False)) for n, x in enumerate(found)]
    if options.layer is not None and options.layer not in {layer.name for layer in named}:
        raise InvalidData(f"{path}: has no layer {options.layer!r}; it has {', '.join(layer.name for layer in named)}")
    if over:
        named[0].warnings.append(f"passed over in the zip: {', '.join(over)}")
    for layer in named:
        if options.layer in (None, layer.name):
            yield scratch.hold(replace(layer, batches=partial(_batches, layer.batches, folder, path)))


def _under(layer: Layer, *, stem: bool) -> str:
    """Return a layer's name behind that of its file, without what is before and after the stem of that or with it."""
    file = Path(str(layer.file))
    return f"{file.stem if stem else file.as_posix()}/{layer.name}"


def _batches(batches: Batches, folder: Path, path: Path) -> Iterator[pa.RecordBatch]:
    with _renaming(folder, path):
        yield from batches()


@contextmanager
def _renaming(folder: Path, path: Path) -> Iterator[None]:
    """Name the zip in a refusal, not the folder that it was unpacked to."""
    try:
        yield
    except InvalidData as error:
        raise type(error)(str(error).replace(str(folder), str(path))) from error


FORMAT = Format(
    name="zip",
    title="Zip of files of the other formats",
    suffixes=(".zip",),
    spec="APPNOTE.TXT, .ZIP File Format Specification. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT",
    read=read,
    packs=True,
)
