"""Codelists that lie beside a CityGML file: what its codes mean.

PLATEAU puts them into `codelists` two folders above its files, others beside them. A file names them by a relative
path; of that, only the last part is used, and only in folders called `codelists` there, so that no file can make us
read another.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ingest.city3d.gml import local

_FOLDER = "codelists"
_MAX_SIZE = 16 * 1024 * 1024


class Codelists:
    """The codelists of the folder a file lies in."""

    def __init__(self, path: Path) -> None:
        real = path.resolve()
        above = list(real.parents)[:3]
        self._folders = [folder / _FOLDER for folder in above if (folder / _FOLDER).is_dir()]

    def label(self, space: str, code: str) -> str | None:
        """Return what a code means by the list that a `codeSpace` names; None where the list is not there."""
        name = space.replace("\\", "/").rpartition("/")[2]
        if not name.lower().endswith(".xml"):
            return None
        for folder in self._folders:
            meaning = _read(folder / name).get(code)
            if meaning is not None:
                return meaning
        return None


@cache
def _read(path: Path) -> dict[str, str]:
    """Return the meanings of a gml:Dictionary by their codes; nothing where it is none, or leads out of its folder."""
    from lxml import etree

    if not path.is_file() or path.resolve().parent != path.parent.resolve() or path.stat().st_size > _MAX_SIZE:
        return {}
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        tree = etree.parse(str(path), parser)
    except (etree.XMLSyntaxError, OSError):
        return {}
    found: dict[str, str] = {}
    for definition in tree.iter("{*}Definition"):
        said = {local(child): (child.text or "").strip() for child in definition}
        if said.get("name") and said.get("description"):
            found[said["name"]] = said["description"]
    return found
