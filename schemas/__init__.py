"""The published data dictionary: JSON Schemas, codelists, mappings and rule packs, and nothing that imports ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
V1 = ROOT / "v1"


def documents(folder: Path, suffix: str = ".json") -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield (path, parsed JSON object) for each file of a folder ending in `suffix`, in name order.

    A missing folder yields nothing: a city's own dictionary folder need not have codelists.

    Raises
    ------
    ValueError : a file is not JSON or not an object; the message names the file.
    """
    for path in sorted(folder.glob(f"*{suffix}")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ValueError(f"{path}: expected a JSON object, got {type(document).__name__}")
        yield path, document
