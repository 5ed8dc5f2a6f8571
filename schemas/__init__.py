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
    ValueError : a file cannot be read, is not JSON or not an object; the message names the file.
    """
    for path in sorted(folder.glob(f"*{suffix}")):
        try:
            text = path.read_text(encoding="utf-8")
            document = json.loads(text, parse_constant=_refuse)
            if "\\u" in text:  # an escape may be half a character
                json.dumps(document, ensure_ascii=False).encode("utf-8")
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ValueError(f"{path}: expected a JSON object, got {type(document).__name__}")
        yield path, document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")
