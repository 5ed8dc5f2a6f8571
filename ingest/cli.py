"""`cim ingest` and `cim rejects`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cim import crs
from cim.city import City
from cim.db.ending import ends
from cim.dictionary import dictionary_of
from cim.errors import InvalidData
from cim.output import AsJson, console, print_json, print_table
from cim.settings import Settings
from ingest import statement
from ingest.clean import FIX, OnInvalid, Repair
from ingest.formats import ReadOptions, formats
from ingest.mapping import load
from ingest.observer import Observed, Observer
from ingest.page import write as write_page
from ingest.pipeline import Options
from ingest.pipeline import Progress as OnProgress
from ingest.pipeline import ingest as run
from ingest.rejects import export as write_rejects
from ingest.rejects import rejects_of
from ingest.replacing import Mode
from ingest.report import show
from ingest.review import read as read_decisions
from ingest.review import write as write_review
from ingest.sources import find
from ingest.suggest import suggest

_READABLE = ", ".join(dict.fromkeys(suffix for f in formats().values() for suffix in f.suffixes))


def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help=f"Files ({_READABLE}) and folders of them.")],
    mapping: Annotated[
        list[Path] | None, typer.Option(help="Mapping file, folder of them, or name of a published one.")
    ] = None,
    type_name: Annotated[
        str | None, typer.Option("--type", help="Feature type of layers that no mapping takes.")
    ] = None,
    crs_text: Annotated[str | None, typer.Option("--crs", help="CRS of layers that state none.")] = None,
    assume_crs: Annotated[
        str | None, typer.Option(help="CRS to take all layers for, whatever they state; it is reported.")
    ] = None,
    place: Annotated[
        str | None,
        typer.Option(help="Place of a model: longitude,latitude[,angle], code of a building, or placement file."),
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of attribute text, as GB18030.")] = None,
    layer: Annotated[str | None, typer.Option(help="Take only the layer of this name.")] = None,
    on_invalid: Annotated[
        str, typer.Option(help="Invalid geometry: fix it, reject the record, or raise and refuse the file.")
    ] = FIX.on_invalid,
    max_area_change: Annotated[
        float, typer.Option(help="Share of its area, 0 to 1, by which a fix may change a shape; else it is rejected.")
    ] = FIX.max_area_change,
    shifted: Annotated[
        str | None, typer.Option(help="The coordinates are gcj-02 or bd-09: turn them back to WGS 84.")
    ] = None,
    crs_parameters: Annotated[
        str | None,
        typer.Option(
            help="3 or 7 numbers, as DX,DY,DZ,RX,RY,RZ,PPM (m, arc seconds of a position vector, ppm): of the change"
            " from the layer's datum, as Beijing 1954, to that of the city."
        ),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="upsert inserts and updates; insert-only leaves alone what is there; replace-layer also ends what "
            "earlier deliveries of the file brought and this one lacks."
        ),
    ] = "upsert",
    suggested: Annotated[
        bool, typer.Option("--suggest", help="Take nothing in: print a mapping proposed for the files, as TOML.")
    ] = False,
    review: Annotated[
        Path | None, typer.Option(help="Write the records nobody could place to this .gpkg, for a person to decide.")
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(help="A review with a person's decisions, to be taken into account.")
    ] = None,
    page: Annotated[Path | None, typer.Option("--report", help="Write the report as an HTML page with a map.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare files again that were taken in before.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what would happen, object by object, and undo it.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Take so many files at a time.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Take files on the workers of the Dask scheduler at this address.")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Who writes, for the log. Default: the database user.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the log.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take files into the city: each whole or not at all, and never twice.

    Records that cannot be taken are kept with the reason: `cim rejects`.

    A file that is refused does not stop the others; the exit code is then 3.
    """
    settings = Settings.from_environment()
    if suggested:
        _suggest(paths, ReadOptions(place, encoding, layer, srid=settings.srid), settings)
        return
    _check_outputs(page, review)
    said = {} if decisions is None else read_decisions(decisions)
    with City(settings) as city, _bar(hidden=as_json) as progress:
        mappings = load(mapping or (), city.database.dictionary)
        report = run(
            city.database,
            paths,
            Options(
                mappings=mappings,
                type=type_name,
                crs=None if crs_text is None else crs.parse(crs_text),
                assume_crs=None if assume_crs is None else crs.parse(assume_crs),
                place=_placement(place),
                encoding=encoding,
                layer=layer,
                repair=Repair(cast("OnInvalid", on_invalid), max_area_change),
                shifted=shifted,
                crs_parameters=_numbers(crs_parameters),
                mode=mode,
                force=force,
                dry_run=dry_run,
                actor=actor,
                reason=reason,
                excluded=[Path(m.origin) for m in mappings] + [p for p in (review, decisions, page) if p is not None],
                decisions=said,
                observe=Observer(settings.srid, page is not None, review is not None, ends(city.database.dictionary)),
            ),
            progress,
            workers,
            scheduler,
        )
        head = None if dry_run else city.sequence()
        lag = city.lag()
        usages = {
            value.value: value.title for value in city.database.dictionary.codelists["space_usage"].values.values()
        }
    observed = [file.observed for file in report.files if isinstance(file.observed, Observed)]
    if review is not None:
        _write_review(observed, review, settings.srid)
    if page is not None:
        top = None if head is None else (head.size, head.root.hex())
        write_page(report, observed, page, srid=settings.srid, origin=settings.origin, head=top, usages=usages)
        typer.echo(f"report written to {page}", err=True)
    if as_json:
        tree = (
            {} if head is None else {"tree_size": head.size, "tree_root": head.root.hex(), "unsequenced": lag.revisions}
        )
        print_json(report.to_json() | tree)
    else:
        show(report, console())
        if head is not None:
            typer.echo(f"tree size {head.size}, root {head.root.hex()}")
            if lag.revisions:
                typer.echo(f"not in that tree: {lag}; `cim status` shows when they are", err=True)
    report.raise_refused()


def _write_review(observed: Sequence[Observed], path: Path, srid: int) -> None:
    """Write what nobody could place, with the objects around it, for a person to decide."""
    around = {candidate.code: candidate for seen in observed for candidate in seen.candidates}
    records = [record for seen in observed for record in seen.undecided]
    number = write_review(path, records, list(around.values()), srid)
    typer.echo(f"{number} records to be decided upon written to {path}", err=True)


def _numbers(text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise InvalidData(f"--crs-parameters: expected numbers with commas between, got {text!r}") from error


def _placement(place: str | None) -> str | None:
    """Return what a placement file says where one is named, and any other text as it is."""
    if place is None or not Path(place).is_file():
        return place
    return statement.text_of(Path(place))


def rejects(
    dataset: Annotated[
        str | None, typer.Option(help="Only of this file: its name, or the beginning of its SHA-256.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Only of this layer.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the records as they came to a .gpkg, .geojson or .csv file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the records that could not be taken, with reasons; export them to be mended and taken in again."""
    with City(Settings.from_environment()) as city:
        found = rejects_of(city.database, dataset, layer)
    if export is not None:
        write_rejects(found, export)
        typer.echo(f"{len(found)} records written to {export}", err=True)
    elif as_json:
        print_json([asdict(record) for record in found])
    else:
        print_table(["file", "layer", "record", "reason"], [(r.file, r.layer, r.source_id, r.reason) for r in found])


def _check_outputs(page: Path | None, review: Path | None) -> None:
    """Refuse outputs that cannot be written before anything is done."""
    for path, suffixes in ((page, (".html", ".htm")), (review, (".gpkg",))):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise InvalidData(f"{path}: give it a name that ends in {suffixes[0]}")
        if not path.resolve().parent.is_dir():
            raise InvalidData(f"{path}: there is no folder {path.parent}")


def _suggest(paths: Sequence[Path], options: ReadOptions, settings: Settings) -> None:
    """Print mappings for files; no database is needed."""
    dictionary = dictionary_of(settings)
    sources, _ = find(paths)
    for source in sources:
        if source.error is not None or source.format is None:
            raise source.error or InvalidData(f"{source.path}: has no format")
        typer.echo(suggest(source.path, source.format, options, dictionary))


@contextmanager
def _bar(*, hidden: bool) -> Iterator[OnProgress]:
    """Show files done on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as bar:
        task = bar.add_task("ingest", total=None)

        def advance(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        yield advance


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(ingest)
    app.command()(rejects)
