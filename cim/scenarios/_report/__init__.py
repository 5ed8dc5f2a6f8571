"""Sealed results as documents: a planner's report (HTML, PDF), a workbook, a table, a layer.

A document is rendered only if its seal holds for it: numbers that were altered are refused, not printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cim.db.engine import Database
from cim.scenarios._report import _page, _plain, _workbook
from cim.scenarios._report._material import Material, gather


@dataclass(frozen=True, slots=True)
class Format:
    """A format of results: media type, file suffix, and what writes sealed documents in it."""

    media_type: str
    suffix: str
    write: Callable[[Sequence[Material]], bytes]

    @property
    def is_text(self) -> bool:
        """Whether its bytes are UTF-8."""
        return self.media_type.startswith(("text/", "application/geo+json"))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "html": Format("text/html", ".html", _page.html),
        "pdf": Format("application/pdf", ".pdf", _page.pdf),
        "xlsx": Format("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx", _workbook.xlsx),
        "csv": Format("text/csv", ".csv", _plain.csv),
        "geojson": Format("application/geo+json", ".geojson", _plain.geojson),
    }
)


def render(database: Database, documents: Sequence[Mapping[str, Any]], name: str) -> bytes:
    """Return sealed documents, which scenarios of this city answered, in one of FORMATS.

    Raises
    ------
    InvalidProof : a document is not what was sealed, or not of this log. InvalidData : not the document of a scenario.
    CimError : what a PDF is set with is not installed.
    """
    return FORMATS[name].write([gather(database, document) for document in documents])
