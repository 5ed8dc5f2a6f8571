"""ETags of items, and what a request demands of them (RFC 9110, section 13)."""

from __future__ import annotations

import re

from starlette.requests import Request

from api.reference import Reference
from api.schemas import schema_digest
from cim.db.record import Expected
from cim.dictionary import FeatureType


def etag_of(rev: int, output: Reference, feature_type: FeatureType, *forms: str) -> str:
    """Return the ETag of an item: its revision, in this CRS and with this schema; `forms`: what else sets it apart."""
    parts = [f"r{rev}", f"{output.srid}{'f' if output.flip else ''}", schema_digest(feature_type), *filter(None, forms)]
    return f'"{"-".join(parts)}"'


def expected(request: Request, feature_type: FeatureType) -> Expected:
    """Return the revisions If-Match names, in whatever CRS they were read; a weak ETag names none."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return "*" if text else None
    ours = re.compile(rf'"r(\d{{1,18}})-\d+f?-{schema_digest(feature_type)}(-\w+)*"', re.ASCII)
    return frozenset(int(found[1]) for tag in text.split(",") if (found := ours.fullmatch(tag.strip())))
