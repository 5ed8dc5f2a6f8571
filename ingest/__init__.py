"""From files to rows: formats, mapping, cleaning, codes, merge and report.

The names below are loaded on first use: the processes that read a single model or layer need none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest.pipeline import Options, ingest
    from ingest.report import FileReport, LayerReport, Report

__all__ = ["FileReport", "LayerReport", "Options", "Report", "ingest"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ingest' has no attribute {name!r}")
    from ingest import pipeline, report

    return getattr(report if name.endswith("Report") else pipeline, name)
