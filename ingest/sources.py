"""Which files a call means, and what each is: its format, its parts, its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cim.errors import CimError, InvalidData
from ingest.formats import Format, format_of, formats
from ingest.formats._base import stem
from ingest.gdal import check_path

Stamps = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One file to take in, or the reason why not."""

    path: Path
    format: Format | None
    error: CimError | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file and its sidecars are at one moment: content, size, times of change.

    `sha256` is that of the whole, `content` that of the file alone.
    """

    sha256: str
    content: str
    stamps: Stamps


def find(paths: Iterable[Path], excluded: Sequence[Path] = ()) -> tuple[list[Source], list[Path]]:
    """Return the files the paths mean, and those passed over because no format reads them.

    A file named is taken or refused, a folder that is one file of a format (a geodatabase) like a file. Any other
    folder is searched for files of any format; its other files are passed over, and a link that leads out of it is
    refused. `excluded` files (mappings beside the data) are no sources.
    """
    sources: dict[Path, Source] = {}
    passed: list[Path] = []
    hidden = {path.resolve() for path in excluded}
    for path in paths:
        if path.is_dir() and not _is_whole(path):
            for file in _files_of(path):
                if file.resolve() in hidden:
                    continue
                source = _in_folder(file, path)
                if source is not None:
                    sources.setdefault(source.path, source)
                elif not _is_sidecar(file):
                    passed.append(file)
        else:
            source = _named(path)
            sources.setdefault(source.path, source)
    return list(sources.values()), passed


def fingerprint(source: Source) -> Fingerprint:
    """Return digest and stamps of a source and of the sidecars its format counts in.

    The digest is the SHA-256 of the file where it stands alone, else of the list of suffixes (in a folder that is one
    file: of names) and SHA-256 of its parts.

    Raises
    ------
    InvalidData : a part cannot be read, or is a link that leads out of the folder.
    """
    parts = list(_parts(source))
    try:
        folder = source.path.is_dir()
        digests = [(part.name if folder else part.suffix.lower(), _sha256(part)) for part in parts]
    except OSError as error:
        raise InvalidData(f"{source.path}: cannot be read: {error.strerror}") from error
    before = stamps(source)
    if len(digests) == 1 and not folder:
        return Fingerprint(digests[0][1], digests[0][1], before)
    listed = "".join(f"{name} {digest}\n" for name, digest in sorted(digests))
    whole = hashlib.sha256(listed.encode()).hexdigest()
    return Fingerprint(whole, whole if folder else digests[0][1], before)


def stamps(source: Source) -> Stamps:
    """Return path, size and time of change of a source and its sidecars.

    Raises
    ------
    InvalidData : a part cannot be read.
    """
    try:
        found = [(str(part), part.stat()) for part in _parts(source)]
    except OSError as error:
        raise InvalidData(f"{source.path}: cannot be read: {error.strerror}") from error
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in found)


def repeated(sources: Sequence[Source]) -> set[int]:
    """Return the places of sources that have the name or the content of an earlier one; unreadable ones have none."""
    names: set[str] = set()
    sizes: dict[int, list[int]] = {}
    found: set[int] = set()
    for place, source in enumerate(sources):
        if source.path.name in names:
            found.add(place)
        names.add(source.path.name)
        with suppress(CimError):
            sizes.setdefault(sum(size for _, size, _ in stamps(source)), []).append(place)
    for places in sizes.values():
        digests: set[str] = set()
        for place in places if len(places) > 1 else ():
            with suppress(CimError):
                digest = fingerprint(sources[place]).sha256
                if digest in digests:
                    found.add(place)
                digests.add(digest)
    return found


def _named(path: Path) -> Source:
    try:
        return Source(check_path(path, folder=_is_whole(path)), format_of(path))
    except CimError as error:
        return Source(path, None, error)


def _is_whole(path: Path) -> bool:
    """Tell whether a folder is one file of a format."""
    return path.is_dir() and any(f.folder and path.name.lower().endswith(f.suffixes) for f in formats().values())


def _in_folder(file: Path, folder: Path) -> Source | None:
    try:
        found = format_of(file)
    except CimError:
        return None
    if not (found.claims(file) if found.claims else file.suffix.lower() != ".xml"):
        return None  # the ending alone means little: .xml is metadata more often than a city
    if not file.resolve().is_relative_to(folder.resolve()):
        return Source(file, None, InvalidData(f"{file}: is a link that leads out of {folder}; name its target itself"))
    try:
        return Source(check_path(file, folder=_is_whole(file)), found)
    except CimError as error:
        return Source(file, None, error)


def _files_of(folder: Path) -> list[Path]:
    """Return the files under a folder, and the folders that are one file, without what lies in those."""
    found: list[Path] = []
    for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
        if not path.is_dir() or _is_whole(path):
            found.append(path)
        elif not path.is_symlink():
            found += _files_of(path)
    return found


def _is_sidecar(file: Path) -> bool:
    return any(file.name.lower().endswith(suffix) for f in formats().values() for suffix in f.sidecars)


def _parts(source: Source) -> Iterator[Path]:
    if source.path.is_dir():
        for part in sorted(source.path.rglob("*")):
            if part.is_symlink():
                raise InvalidData(f"{part}: is a link inside {source.path.name}; put the file itself there")
            # Locks come and go with whoever has the geodatabase open.
            if part.is_file() and part.suffix.lower() != ".lock":
                yield part
        return
    yield source.path
    wanted = source.format.sidecars if source.format else ()
    for neighbour in sorted(source.path.parent.iterdir()) if wanted else []:
        if neighbour.stem == stem(source.path) and neighbour.suffix.lower() in wanted:
            if neighbour.resolve().parent != source.path.parent:
                raise InvalidData(f"{neighbour}: is a link that leads out of its folder; put the file itself there")
            yield neighbour


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
