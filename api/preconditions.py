"""ETags, of items and of whole states, and what a request demands of items (RFC 9110, section 13)."""

from __future__ import annotations

import re
from hashlib import sha256

from starlette.requests import Request

from api.reference import Reference
from api.schemas import schema_digest
from api.site import State
from cim.db.access import reading
from cim.db.record import Expected
from cim.dictionary import FeatureType


def etag_of(rev: int, output: Reference, feature_type: FeatureType, *forms: str) -> str:
    """Return the ETag of an item: its revision, in this CRS and with this schema; `forms`: what else sets it apart."""
    parts = [f"r{rev}", f"{output.srid}{'f' if output.flip else ''}", schema_digest(feature_type), *filter(None, forms)]
    return f'"{"-".join(parts)}"'


def etag_of_state(letter: str, state: State, feature_type: FeatureType, *forms: str) -> str | None:
    """Return the ETag of what a state alone decides, for whoever may see as much of it; None where it is ahead.

    `letter`: of what kind; `forms`: what else sets it apart.
    """
    if state.kind == "ahead":
        return None
    # Who may see less holds something else of the same state.
    rights = reading()
    everybody = rights is None or rights.role == "cim_public"
    whose = [] if everybody else [sha256(repr(rights).encode()).hexdigest()[:8]]
    return f'"{"-".join([f"{letter}{state.size}", schema_digest(feature_type), *forms, *whose])}"'


def expected(request: Request, feature_type: FeatureType) -> Expected:
    """Return the revisions If-Match names, in whatever CRS they were read; a weak ETag names none."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return "*" if text else None
    ours = re.compile(rf'"r(\d{{1,18}})-\d+f?-{schema_digest(feature_type)}(-\w+)*"', re.ASCII)
    return frozenset(int(found[1]) for tag in text.split(",") if (found := ours.fullmatch(tag.strip())))
