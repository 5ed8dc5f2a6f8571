"""The memory of the last clean audit, so that the next one need only look at what came after."""

from __future__ import annotations

import json
from pathlib import Path

from cim.errors import InvalidData
from cim.log._files import locked, make_folder, write_files
from cim.log.tree import CompactRange

LAST_CLEAN = "last-clean"
STAGING = ".staging"


class AuditRecord:
    """The tree that the last audit without findings saw.

    Parameters
    ----------
    folder : where it is kept, made when missing
    origin : name of the log; the record of another log counts as none
    """

    def __init__(self, folder: Path, origin: str) -> None:
        self._folder = folder
        self._origin = origin

    def read(self) -> CompactRange | None:
        """Return the tree; None where there is no record, or one that cannot be trusted, so that all is audited."""
        try:
            record = json.loads((self._folder / LAST_CLEAN).read_text(encoding="utf-8"))
            tree = CompactRange.from_bytes(bytes.fromhex(record["tree"]))
            agrees = (record["origin"], record["size"], record["root"]) == (self._origin, tree.size, tree.root().hex())
        except (OSError, ValueError, TypeError, KeyError, InvalidData):
            return None
        return tree if agrees else None

    def write(self, tree: CompactRange) -> None:
        """Remember a tree; CimError where the file system does not allow it."""
        record = {"origin": self._origin, "size": tree.size, "root": tree.root().hex(), "tree": tree.to_bytes().hex()}
        staging = self._folder / STAGING
        make_folder(staging)
        with locked(staging):
            write_files(staging, [(self._folder / LAST_CLEAN, json.dumps(record, indent=2).encode())])
