"""The way of a file into the database: read, map, clean, identify, merge; whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyproj
import rfc8785
import sqlalchemy as sa

from cim import crs
from cim.db.engine import Database
from cim.db.hierarchy import count_orphans
from cim.db.identifiers import current_codes
from cim.db.matching import clear, left_out
from cim.db.merge import lock_types
from cim.db.script import query
from cim.errors import CimError, DatabaseError, InvalidData
from cim.files import Batch, digest, keeping
from ingest.changes import changes
from ingest.city import KnownBuildings
from ingest.clean import FIX, Repair
from ingest.context import Context
from ingest.fanout import Turn, fan_out
from ingest.formats import Layer, ReadOptions
from ingest.formats._base import RESERVED, Model
from ingest.identify import Known
from ingest.mapping import NAMES, LayerMapping, by_names, choose, choose_published, published
from ingest.matching import Said
from ingest.rejects import ids_of, returned
from ingest.replacing import MODES, Mode, Replacement
from ingest.report import UNNAMED, FileReport, LayerReport, Report, Status
from ingest.scheduler import take_over
from ingest.sources import Fingerprint, Source, find, fingerprint, stamps
from ingest.stream import take
from ingest.unshift import unshifted

# Part of what decides whether a file was taken in before: raise it when the same input gives other rows.
_REVISION = 7
# Digest prefix under which revisions name their dataset.
_DIGEST = "sha256:"

Progress = Callable[[int, int, str], None]
# Looks at each file before its transaction ends, with the connection of it: a dry run, too. What it returns goes with
# the report, and from process to process, as it does itself.
Observe = Callable[[sa.Connection, Fingerprint, FileReport], object]


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator says about the sources.

    Attributes
    ----------
    mappings : explicit mappings; other layers go by their names, those of a mapped file may be left out.
    type : feature type of layers that no mapping takes.
    crs : of layers that state none; assume_crs : of all layers, whatever they state.
    place, encoding, layer : see ReadOptions.
    mode : what becomes of objects that are there, or no longer in the source; see `ingest.replacing`.
    force : compare files again that were taken in before; dry_run : do everything, then undo it.
    actor, reason : recorded with every revision; None leaves the actor to the database session.
    decisions : what a person decided about records, by their names; see `ingest.review`.
    observe : called for each file that is not refused, within its transaction; see `FileReport.observed`.
    repair : what becomes of invalid geometry.
    shifted : the coordinates are GCJ-02 or BD-09, see `ingest.unshift`.
    crs_parameters : of the datum change from the layer's system, see `cim.crs.with_parameters`.
    published : the published mappings that choose their layers themselves; None takes those of `schemas/v1/mappings`.
    """

    mappings: Sequence[LayerMapping] = ()
    type: str | None = None
    crs: pyproj.CRS | None = None
    assume_crs: pyproj.CRS | None = None
    place: str | None = None
    encoding: str | None = None
    layer: str | None = None
    mode: Mode = "upsert"
    force: bool = False
    dry_run: bool = False
    actor: str | None = None
    reason: str | None = None
    excluded: Sequence[Path] = field(default_factory=tuple)
    published: Sequence[LayerMapping] | None = None
    decisions: Said = field(default_factory=dict)
    observe: Observe | None = None
    repair: Repair = FIX
    shifted: str | None = None
    crs_parameters: tuple[float, ...] | None = None


def ingest(
    database: Database,
    paths: Iterable[Path],
    options: Options | None = None,
    progress: Progress | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> Report:
    """Take files and folders of files into the database; one that fails leaves nothing and does not stop the others.

    Parameters
    ----------
    database : where to; committed file by file, to be sequenced afterwards (`City.sequence`)
    paths : files and folders; files of parent types go first
    progress : called with files done, files in all, and what is being done
    workers : how many processes take files at a time, with the same result; none but this one for one
    scheduler : address of a Dask scheduler whose workers take the files instead, see `ingest.scheduler`

    Raises
    ------
    DatabaseError : the database is lost; files before are in.
    InvalidData : an option is wrong.
    """
    chosen = options or Options()
    if chosen.published is None:
        chosen = replace(chosen, published=published(database.dictionary))
    if chosen.mode not in MODES:
        raise InvalidData(f"no mode {chosen.mode!r}; there are {', '.join(MODES)}")
    if chosen.type is not None:
        database.dictionary.type(chosen.type)
    sources, passed = find(paths, chosen.excluded)
    order = {name: position for position, name in enumerate(database.dictionary.types)}
    sources.sort(key=lambda s: _rank(s, chosen, order))
    if workers < 1:
        raise InvalidData(f"{workers} workers: expected one or more")

    def started(done: int, source: Source) -> None:
        if progress is not None:
            progress(done, len(sources), source.path.name)

    files: list[FileReport] = []
    if scheduler is not None:
        files = take_over(scheduler, database, sources, partial(_take, options=chosen), started)
    elif min(workers, len(sources)) > 1:
        files = fan_out(database, sources, partial(_take, options=chosen), workers, started)
    else:
        for done, source in enumerate(sources):
            started(done, source)
            files.append(_take(database, source, options=chosen))
    if progress is not None:
        progress(len(sources), len(sources), "done")
    waiting = [] if chosen.dry_run else _waiting(database, files)
    return Report(files, [str(path) for path in passed], waiting)


def _waiting(database: Database, files: Sequence[FileReport]) -> list[str]:
    """Say of each type whose objects changed how many of them name a parent still to come."""
    layers = [layer for file in files for layer in file.layers if layer.inserted or layer.updated]
    said = []
    with database.reading() as connection:
        for type_name in sorted({layer.type for layer in layers if layer.type}):
            for column, parent, number in count_orphans(connection, type_name):
                waits = f"{column} of {number:,} {type_name} objects in the city names no {parent} that is there yet"
                said.append(f"{waits}: `cim codes orphans` lists them")
    return said


def _rank(source: Source, options: Options, order: dict[str, int]) -> int:
    """Order files by the first type they are mapped to or named after; those that do not say come last."""
    mapped = [order[m.type] for m in options.mappings if m.matches_file(source.path)]
    stem = source.path.stem.lower().replace("-", "_")
    named = [position for name, position in order.items() if stem in (name, f"{name}s")]
    return min(mapped or named, default=len(order))


def _take(database: Database, source: Source, turn: Turn | None = None, *, options: Options) -> FileReport:
    """Take one file in, in one transaction; `turn` waits for the files before it, None where they are in."""
    started = time.perf_counter()
    try:
        if source.error is not None or source.format is None:
            raise source.error or InvalidData(f"{source.path}: has no format")
        report = _File(database, source, options, turn).take()
    except DatabaseError:
        raise
    except CimError as error:
        report = FileReport(str(source.path), "refused", error=str(error))
    except pa.ArrowInvalid as error:
        report = FileReport(str(source.path), "refused", error=f"{source.path}: holds no sound text: {error}")
    return replace(report, seconds=round(time.perf_counter() - started, 3))


class _File:
    """One file on its way in."""

    def __init__(self, database: Database, source: Source, options: Options, turn: Turn | None) -> None:
        assert source.format is not None
        self.database = database
        self.source = source
        self.format = source.format
        self.options = options
        self.turn = turn
        self.entered = False
        # Which files are packed in this one is seen when it is read.
        every = self.format.packs
        self.mappings = [m for m in options.mappings if every or m.matches_file(source.path)]
        known = published(database.dictionary) if options.published is None else options.published
        self.published = [
            m for m in known if every or (m.matches_file(source.path) and m.format in (None, self.format.name))
        ]
        self.came_back: list[tuple[int, str, str]] = []
        self.bodies = Batch(database.settings.files_dir)

    def take(self) -> FileReport:
        """Bring the file in and report; raise a CimError, and leave nothing, where it cannot be taken."""
        mark = fingerprint(self.source)
        basis = self._basis()
        with self.database.engine.connect() as connection:
            known = None if self.options.force else self._taken_before(connection, mark, basis)
            if known is not None:
                return self._observed(connection, mark, known)
        try:
            layers = self._read(mark)
            with self._kept(mark):
                return self._write(layers, mark, basis)
        except sa.exc.OperationalError as error:
            lost = f"the database was lost: {_first_line(error.orig)}; nothing of the file is in"
            raise DatabaseError(f"{self.source.path}: {lost}") from error
        except sa.exc.DBAPIError as error:
            raise InvalidData(f"{self.source.path}: the database refuses it: {_first_line(error.orig)}") from error
        finally:
            self.bodies.drop()

    def _kept(self, mark: Fingerprint) -> AbstractContextManager[None]:
        """Keep the file itself, once its objects are in, where they refer to it."""
        if not self.format.kept or self.options.dry_run:
            return nullcontext()
        return keeping(self.database.settings.files_dir, self.source.path, mark.content)

    def _basis(self) -> str:
        """Return the digest of all that decides, with the file, what rows it gives."""
        options = self.options
        said: dict[str, Any] = {
            "revision": _REVISION,
            "type": options.type,
            "crs": options.crs and options.crs.to_wkt(),
            "assume_crs": options.assume_crs and options.assume_crs.to_wkt(),
            "place": options.place,
            "encoding": options.encoding,
            "layer": options.layer,
            "repair": [options.repair.on_invalid, options.repair.max_area_change],
            "shifted": options.shifted,
            "crs_parameters": options.crs_parameters and list(options.crs_parameters),
            "mode": options.mode,
            "name": self.source.path.name,  # may tell the type
            "mappings": [dict(m.document) for m in self.mappings],
            "published": [dict(m.document) for m in self.published],
            "decisions": {name: list(said) for name, said in options.decisions.items()},
            "dictionary": self.database.dictionary.basis(),
        }
        return sha256(rfc8785.dumps(said)).hexdigest()

    def _taken_before(self, connection: sa.Connection, mark: Fingerprint, basis: str) -> FileReport | None:
        found = connection.execute(query("ingest/find_dataset"), {"sha256": mark.sha256}).one_or_none()
        if found is None or found.mapping != basis or found.superseded:
            return None
        layers = [LayerReport(**layer) for layer in found.report["layers"]]
        if any(reason.startswith(UNNAMED) for layer in layers for reason in layer.reasons):
            return None  # what they name may be there by now
        unchanged = [
            replace(x, inserted=0, updated=0, unchanged=x.read - x.rejected, repaired=0, ended=0, revived=0)
            if x.type
            else x
            for x in layers
        ]
        return FileReport(str(self.source.path), "unchanged", mark.sha256, self.format.name, unchanged)

    def _read(self, mark: Fingerprint) -> list[tuple[Layer, LayerMapping | None]]:
        """Open all layers, with their mappings, parents first."""
        encodings = {m.encoding for m in self.mappings if m.encoding}
        if len(encodings) > 1:
            named = ", ".join(sorted(encodings))
            raise InvalidData(f"{self.source.path}: its mappings name several encodings: {named}; keep one")
        options = self.options
        read_options = ReadOptions(
            place=options.place,
            encoding=options.encoding or next(iter(encodings), None),
            layer=options.layer,
            crs=options.crs,
            assume_crs=options.assume_crs,
            srid=self.database.settings.srid,
            buildings=KnownBuildings(self.database.engine, self.turn),
            keep=digest if options.dry_run else self.bodies.keep,
            cores=1 if self.turn is not None else os.cpu_count() or 1,
        )
        found = list(self.format.read(self.source.path, read_options))
        if self.format.whole:
            found = [replace(layer, model=Model(self.source.path.name, mark.content)) for layer in found]
        if options.shifted is not None:
            found = [unshifted(layer, options.shifted) for layer in found]
        layers: list[tuple[Layer, LayerMapping | None]] = []
        for layer in found:
            origins = list(returned(layer))
            for file, part in origins:
                self.came_back += [(number, file, part.name) for number in ids_of(part)]
                layers.append((part, self._mapping_of(part, self.source.path.with_name(Path(file).name), alone=True)))
            if not origins:
                layers.append((layer, self._mapping_of(layer, self.source.path, alone=len(found) == 1)))
        # Where a mapping speaks for the file, published or the operator's, it may leave layers out.
        spoken = self.mappings or any(mapping is not None and mapping.origin != NAMES for _, mapping in layers)
        unknown = [layer.name for layer, mapping in layers if mapping is None]
        if unknown and not spoken:
            raise InvalidData(
                f"{self.source.path}: nothing says what layer {unknown[0]!r} holds; name it with --type or a --mapping,"
                f" which --suggest proposes; types are {', '.join(self.database.dictionary.types)}"
            )
        order = list(self.database.dictionary.types)
        return sorted(layers, key=lambda pair: order.index(pair[1].type) if pair[1] else len(order))

    def _mapping_of(self, layer: Layer, path: Path, *, alone: bool) -> LayerMapping | None:
        """Return the mapping of a layer that came, at first, from a file of that name, or of that it packs.

        None where its type is unknown: it is left out if a neighbour is mapped.
        """
        dictionary = self.database.dictionary
        fields = [name for name in layer.schema.names if name not in RESERVED]
        type_name = layer.feature_type or self.options.type
        asked = [(path, self.format.name)]
        if layer.file is not None and layer.format is not None:
            asked.insert(0, (Path(layer.file), layer.format))
        for file, format_name in asked:
            chosen = choose(self.options.mappings, file, layer.name, fields, format_name)
            if chosen is not None:
                return chosen
        for file, format_name in asked:
            chosen = choose_published(self.published, file, layer.name, fields, format_name, type_name)
            if chosen is not None:
                return chosen
        named = (by_names(layer, file, dictionary, self.options.type, alone=alone) for file, _ in asked)
        return next((mapping for mapping in named if mapping is not None), None)

    def _write(self, layers: list[tuple[Layer, LayerMapping | None]], mark: Fingerprint, basis: str) -> FileReport:
        status: Status = "dry-run" if self.options.dry_run else "loaded"
        with (
            self.database.engine.connect() as connection,
            self.database.engine.connect() as other,
            connection.begin() as transaction,
        ):
            connection.execute(
                query("ingest/set_context"),
                {"actor": self.options.actor, "reason": self.options.reason, "dataset": _DIGEST + mark.sha256},
            )
            types = [mapping.type for _, mapping in layers if mapping is not None]
            if self.turn is None:
                self._enter(connection, types)
            report = FileReport(str(self.source.path), status, mark.sha256, self.format.name, [])
            self._record(connection, report, basis)
            connection.execute(query("ingest/clear_rejects"), {"dataset": mark.sha256})
            said = dict.fromkeys(left_out(connection, types), ("left out", None)) | dict(self.options.decisions)
            clear(connection, mark.sha256)
            replacement = self._replacement(connection, mark.sha256, [layer for layer, _ in layers])
            context = self._context(other, connection, replacement, types)
            for layer, mapping in layers:
                if mapping is None:
                    report.layers.append(LayerReport(layer.name, None, warnings=["no mapping takes this layer"]))
                    continue
                target = self.database.table(mapping.type)
                report.layers.append(take(connection, target, layer, mapping, context, mark.sha256, said))
            self._enter(connection, types)
            if self.came_back:
                ids, files, names = zip(*self.came_back, strict=True)
                back = {"ids": list(ids), "files": list(files), "layers": list(names), "dataset": mark.sha256}
                connection.execute(query("ingest/clear_returned"), back)
            if replacement is not None:
                report = self._replace(replacement, report, [m for _, m in layers if m is not None])
            if stamps(self.source) != mark.stamps:
                raise InvalidData(f"{self.source.path}: changed while it was read; try again when it is complete")
            self._record(connection, report, basis)
            report = self._observed(connection, mark, report)
            if self.options.dry_run:
                report = replace(report, changes=changes(connection, self.database.dictionary, types))
                transaction.rollback()
            else:
                self.bodies.settle()
        return report

    def _enter(self, connection: sa.Connection, types: list[str]) -> None:
        """Wait until the objects of these types may be seen and changed, and keep others off from then on."""
        if not self.entered:
            if self.turn is not None:
                self.turn()
            lock_types(connection, types)
            self.entered = True

    def _observed(self, connection: sa.Connection, mark: Fingerprint, report: FileReport) -> FileReport:
        look = self.options.observe
        return report if look is None else replace(report, observed=look(connection, mark, report))

    def _replace(self, replacement: Replacement, report: FileReport, mappings: list[LayerMapping]) -> FileReport:
        """End what earlier deliveries of the file had and this one has not."""
        carried: dict[str, set[str]] = {}
        for mapping in mappings:
            carried.setdefault(mapping.type, set()).update(mapping.columns)
        return replace(report, layers=replacement.close(report.layers, carried))

    def _replacement(self, connection: sa.Connection, dataset: str, layers: list[Layer]) -> Replacement | None:
        """Return what ends what is gone; None where that is not for this file to say."""
        replacing = self.options.mode == "replace-layer"
        models = self.options.mode == "upsert" and self.options.layer is None and any(layer.model for layer in layers)
        if not replacing and not models:
            return None
        return Replacement(connection, self.database, self.source.path, dataset, layers=replacing)

    def _context(
        self, connection: sa.Connection, writing: sa.Connection, replacement: Replacement | None, types: list[str]
    ) -> Context:
        """Return what preparing needs; it has a connection of its own, as the other is busy copying meanwhile."""

        def linearise(shapes: list[bytes]) -> list[bytes | None]:
            try:
                with connection.begin_nested():
                    return list(connection.execute(query("ingest/linearise"), {"shapes": shapes}).scalars())
            except sa.exc.DBAPIError as error:
                if error.connection_invalidated or isinstance(error, sa.exc.OperationalError):
                    raise
            half = len(shapes) // 2  # one of them is damaged: the others are not to suffer for it
            return linearise(shapes[:half]) + linearise(shapes[half:]) if half else [None]

        def current(named: set[tuple[str, str]], type_name: str) -> dict[tuple[str, str], list[str]]:
            if self.turn is not None:
                self.turn()
            found = current_codes(connection, named, type_name=type_name)
            return {pair: [c.code for c in objects if c.live] for pair, objects in found.items()}

        return Context(
            path=self.source.path,
            dictionary=self.database.dictionary,
            storage=crs.parse(self.database.settings.srid),
            stated=self.options.crs,
            assumed=self.options.assume_crs,
            linearise=linearise,
            known=Known(),
            current=current,
            repair=self.options.repair,
            parameters=self.options.crs_parameters,
            insert_only=self.options.mode == "insert-only",
            enter=lambda: self._enter(writing, types),
            replacement=replacement,
            alone=len(types) == 1,
        )

    def _record(self, connection: sa.Connection, report: FileReport, basis: str) -> None:
        kept: dict[str, Any] = {"mode": self.options.mode, "layers": [asdict(layer) for layer in report.layers]}
        connection.execute(
            query("ingest/record_dataset"),
            {
                "sha256": report.sha256,
                "name": self.source.path.name,
                "format": self.format.name,
                "mapping": basis,
                "report": orjson.dumps(kept).decode(),
            },
        )


def _first_line(error: object) -> str:
    return str(error).split("\n", maxsplit=1)[0]
