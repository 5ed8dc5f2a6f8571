"""What became of each record of each layer of each file: read = inserted + updated + unchanged + rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from cim.errors import InvalidData
from ingest.changes import Change, lines

Status = Literal["loaded", "unchanged", "refused", "dry-run"]
# How the object of a record was found, in the order in which it is tried, and what that means.
HOW: Mapping[str, str] = MappingProxyType(
    {
        "code": "by its own code",
        "identifier": "by another published identifier",
        "name": "by what names it in its source: known from a delivery before",
        "recalled": "by a code that stands for another object today",
        "person": "by a person's decision",
        "same": "by its place: it covers the object",
        "split": "new, a part of an object that was one",
        "merge": "new, in the place of several objects",
        "new": "new: no object is there",
        "undecided": "left for a person to decide",
        "left out": "left out by a person's decision",
    }
)
# What the reason of an undecided record begins with.
UNDECIDED = "identity: may be"
# What the reason of a record begins with that has no geometry and names no object: it waits for one to be there.
UNNAMED = "code: names no object"
# So many different reasons are shown per layer; `cim rejects` shows all.
_REASONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LayerReport:
    """Counts of one layer.

    Attributes
    ----------
    type : feature type, None for a layer that no mapping takes.
    repaired : of those taken, how many geometries were made valid; provisional : how many got such a code.
    understood : trees of `text` and `parts`: what a model was understood to be.
    reasons : why records were rejected, with how many. identity : how the objects of records were found, see `HOW`.
    crs, encoding : of the coordinates and the text as they were read; None where there are none or it is not known.
    lineage : name of the data set across deliveries. ended, revived : of the type, objects that the source no longer
        has, and has again; counted with its last layer, and beside the records read.
    model, content : name of the file of the model that the layer is of, and its SHA-256; None where it is of none.
    """

    name: str
    type: str | None
    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    repaired: int = 0
    provisional: int = 0
    warnings: list[str] = field(default_factory=list)
    reasons: Mapping[str, int] = field(default_factory=dict)
    understood: list[dict[str, Any]] = field(default_factory=list)
    identity: Mapping[str, int] = field(default_factory=dict)
    crs: str | None = None
    encoding: str | None = None
    lineage: str | None = None
    ended: int = 0
    revived: int = 0
    model: str | None = None
    content: str | None = None

    def __post_init__(self) -> None:
        if self.type is not None and self.read != self.inserted + self.updated + self.unchanged + self.rejected:
            raise AssertionError(f"records of layer {self.name!r} are lost or counted twice: {self}")


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file: `sha256` is None and `error` says why where it was refused; `changes` are those a dry run undid.

    `observed` is what was looked at under way for other outputs than the report, which leaves it out.
    """

    path: str
    status: Status
    sha256: str | None = None
    format: str | None = None
    layers: list[LayerReport] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0
    changes: list[Change] = field(default_factory=list)
    observed: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """A whole call; `passed_over` are files of the folders searched that no format reads.

    `waiting` says of types whose objects changed how many name a parent still to come.
    """

    files: list[FileReport]
    passed_over: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[FileReport]:
        """The files that could not be taken; nothing of them is in the database."""
        return [file for file in self.files if file.status == "refused"]

    def total(self) -> dict[str, int]:
        """Return the sum of each count over all layers."""
        names = ("read", "inserted", "updated", "unchanged", "rejected", "repaired", "provisional", "ended", "revived")
        layers = [layer for file in self.files for layer in file.layers]
        return {name: sum(getattr(layer, name) for layer in layers) for name in names}

    @property
    def dry(self) -> bool:
        """Whether what is reported was undone."""
        return any(file.status == "dry-run" for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data, totals included."""
        said = asdict(replace(self, files=[replace(file, observed=None) for file in self.files]))
        for file in said["files"]:
            del file["observed"]
        return said | {"total": self.total()}

    def raise_refused(self) -> None:
        """Raise InvalidData if a file was refused, naming which."""
        if self.refused:
            names = ", ".join(file.path for file in self.refused)
            said = f"{len(self.refused)} of {len(self.files)} files refused: {names}"
            if len(self.refused) < len(self.files):
                said += "; the others could be taken" if self.dry else "; the others are in"
            raise InvalidData(said)


def reason_of(reason: str) -> str:
    """Return a reason without the value it quotes, so that equal ones can be counted."""
    return reason.split(", got ")[0]


def show(report: Report, console: Console) -> None:
    """Print the report for people: a table of layers, then warnings, reasons and refusals."""
    table = Table(box=None, header_style="bold")
    for name in ("file", "layer", "type"):
        table.add_column(name, overflow="fold")
    names = ("read", "inserted", "updated", "unchanged", "rejected", "repaired", "ended")
    for name in names:
        table.add_column(name, justify="right")
    for file in report.files:
        shown = file.path.rpartition("/")[2]
        for layer in file.layers:
            counts = (f"{getattr(layer, name):,}" for name in names)
            table.add_row(shown, layer.name, layer.type or "not mapped", *counts)
    total = report.total()
    table.add_section()
    table.add_row("total", "", "", *(f"{total[n]:,}" for n in names))
    console.print(table)
    for file in report.files:
        for layer in file.layers:
            if layer.understood:
                root = Tree(Text(file.path.rpartition("/")[2]))
                console.print(_tree({"parts": layer.understood}, root), markup=False, highlight=False)
    for file in report.files:
        _show_remarks(file, console)
    if report.dry:
        console.print("dry run: nothing of this is in", style="bold", markup=False, highlight=False)
    for waits in report.waiting:
        console.print(waits, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for path in report.passed_over:
        console.print(f"passed over: {path}", style="dim", markup=False, highlight=False)


def _tree(node: Mapping[str, Any], shown: Tree) -> Tree:
    for part in node["parts"]:
        _tree(part, shown.add(Text(part["text"])))
    return shown


def _show_remarks(file: FileReport, console: Console) -> None:
    def say(text: str, style: str) -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    shown = file.path.rpartition("/")[2]
    for line in lines(file.changes):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if file.status == "unchanged":
        say(f"{shown}: was taken in before with this mapping; --force compares it again", "dim")
    for layer in file.layers:
        for warning in layer.warnings:
            say(f"{shown}, {layer.name}: {warning}", "yellow")
        frequent = sorted(layer.reasons.items(), key=lambda item: (-item[1], item[0]))
        for reason, count in frequent[:_REASONS_SHOWN]:
            say(f"{shown}, {layer.name}: {count:,} rejected: {reason}", "yellow")
        more = len(layer.reasons) - _REASONS_SHOWN
        if more > 0:
            say(f"{shown}, {layer.name}: and {more} more reasons; see `cim rejects --dataset {shown}`", "yellow")
    if file.error is not None:
        say(f"refused: {file.error}" if file.path in file.error else f"{shown} refused: {file.error}", "red")
