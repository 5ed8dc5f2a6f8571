"""Unpack a zip that nobody vouches for: inside the folder given, regular files only, and not without end."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from cim.errors import InvalidData

# Up to this nothing is a bomb; beyond it, what unpacks to more than a hundredfold is an attack or an accident:
# geometry packs two- to tenfold, padded attribute tables up to fiftyfold. (Deflate's own limit is 1032.)
MIN_BYTES = 64 * 1024**2
MAX_RATIO = 100
MAX_BYTES = 16 * 1024**3
MAX_MEMBERS = 10_000
_CHUNK = 1 << 20
_UTF8_FLAG = 0x800


def unpack(path: Path, folder: Path, wanted: Callable[[str], bool] | None = None) -> None:
    """Unpack the wanted members of a zip into a folder; hidden files and those of macOS are left out.

    What is counted is what comes out: the sizes that a zip states can lie, and its members can overlap.

    Raises
    ------
    InvalidData : no sound zip; encrypted; a member that would lie outside the folder, or is a link or a device; two
        of one name; more members or bytes than the limits of this module.
    """
    limit = min(MAX_BYTES, max(MIN_BYTES, MAX_RATIO * path.stat().st_size))
    left = limit
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise InvalidData(f"{path}: holds {len(members)} members, at most {MAX_MEMBERS} are unpacked")
            for member in members:
                name = _safe_name(path, member)
                if name is None or member.is_dir() or not (wanted is None or wanted(str(name))):
                    continue
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, target.open("xb") as file:
                    while chunk := packed.read(_CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            raise InvalidData(
                                f"{path}: unpacks to more than {limit:,} bytes ({MAX_RATIO} times its own size, or"
                                " the limit of one delivery); unpack it yourself if it is sound"
                            )
                        file.write(chunk)
    except FileExistsError as error:
        raise InvalidData(f"{path}: holds two members of one name: {_shown(Path(error.filename).name)}") from error
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, zlib.error) as error:
        raise InvalidData(f"{path}: the zip cannot be unpacked: {error}") from error


def _safe_name(path: Path, member: zipfile.ZipInfo) -> PurePosixPath | None:
    """Return where in the folder a member goes, None for one that is left out."""
    name = _decoded(member)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidData(f"{path}: member {_shown(name)} is a link or a device; pack the file itself")
    parts = name.replace("\\", "/").split("/")
    escapes = name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]
    if escapes or any(ord(c) < 32 for c in name):
        raise InvalidData(f"{path}: member {_shown(name)} would lie outside the folder it is unpacked to")
    kept = [part for part in parts if part not in ("", ".")]
    if not kept or kept[0] == "__MACOSX" or any(part.startswith(".") for part in kept):
        return None
    return PurePosixPath(*kept)


def _decoded(member: zipfile.ZipInfo) -> str:
    """Return a member's name; one without the UTF-8 flag comes from a Chinese system more often than from DOS."""
    if member.flag_bits & _UTF8_FLAG or member.filename.isascii():
        return member.filename
    raw = member.filename.encode("cp437")
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return member.filename


def _shown(name: str) -> str:
    return repr(name[:100])
