"""From files to rows: formats, mapping, cleaning, codes, merge and report."""

from __future__ import annotations

from ingest.pipeline import Options, ingest
from ingest.report import FileReport, LayerReport, Report

__all__ = ["FileReport", "LayerReport", "Options", "Report", "ingest"]
