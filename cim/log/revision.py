"""A captured revision, and the bytes of its entry: one by one, as `columns` writes many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from cim.log.entry import body_bytes, commitment, entry_bytes, parse_body


class Revision(NamedTuple):
    """A captured revision, as the database has it.

    `body` is JSON text in UTF-8, `superseded` JSON text, `private` maps field to (salt, value).
    """

    id: int
    type: str
    code: str
    rev: int
    op: str
    at: datetime
    actor: str
    reason: str | None
    dataset: str | None
    body: bytes | None
    srid: int | None
    geometry_sha256: bytes | None
    prev: int | None
    private: dict[str, tuple[bytes, object]] | None
    erased: Sequence[str] | None = None
    superseded: str | None = None


def commitments(private: Mapping[str, tuple[bytes, object]]) -> dict[str, str]:
    """Return the commitments of private fields, given as (salt, value)."""
    return {name: commitment(name, salt, value) for name, (salt, value) in private.items()}


def render(revision: Revision, prev: int | None, promised: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Return the entry bytes of a revision whose predecessor's leaf is `prev`.

    Parameters
    ----------
    promised : commitments of private fields whose value and salt the revision no longer has

    Raises
    ------
    InvalidData : it cannot be logged.
    """
    geometry = (
        None
        if revision.geometry_sha256 is None or revision.srid is None
        else (revision.srid, revision.geometry_sha256.hex())
    )
    private = promised
    if revision.private is not None:
        private = {**promised} | commitments(revision.private)
    return entry_bytes(
        type=revision.type,
        code=revision.code,
        op=revision.op,
        rev=revision.rev,
        prev=prev,
        at=revision.at,
        by=revision.actor,
        reason=revision.reason,
        dataset=revision.dataset,
        body=None if revision.body is None else body_bytes(revision.body),
        geometry=geometry,
        private=private or None,
        erased=revision.erased,
        superseded=None if revision.superseded is None else parse_body(revision.superseded),
    )


def revision_of(row: Sequence[Any]) -> Revision:
    """Return the columns of log/pending as a Revision, whose private values come as JSON text."""
    revision, private = Revision._make(row), row[_PRIVATE]
    return revision if private is None else revision._replace(private=private_of(private))


def private_of(text: str) -> dict[str, tuple[bytes, object]]:
    """Return private values, given as JSON text of {field: [salt in hex, value]}, as {field: (salt, value)}."""
    return {field: (bytes.fromhex(salt), value) for field, (salt, value) in parse_body(text).items()}


_PRIVATE = Revision._fields.index("private")
