"""Answer with a whole selection in a bulk format, written while it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.formats import BulkFormat, Layer
from api.reference import Reference
from api.site import Site, State
from cim.db.features import Selection, select_columns, select_features
from cim.db.geojson import Output
from cim.db.stream import Stream
from cim.dictionary import FeatureType
from cim.errors import InvalidData


async def answer(
    request: Request,
    site: Site,
    feature_type: FeatureType,
    chosen: BulkFormat,
    selection: Selection,
    reference: Reference,
    output: Output,
    pinned: State | None,
    tag: Callable[[State], Mapping[str, str]],
    limit: int | None,
    after: str | None,
) -> Response:
    """Return the selection in a format, in code order; `tag` gives the headers that name its state.

    Raises
    ------
    InvalidData : the format does not leave in that CRS. NotFound, InvalidFilter, CrsError, DatabaseError : as `Stream`.
    """
    if chosen.native and reference.srid != site.storage.srid:
        raise InvalidData(f"{chosen.title} leaves in {site.storage.uri} only; leave crs out or name it")
    select = select_features if chosen.rows == "features" else select_columns
    statement = select(site.city.database, feature_type.name, selection, output, limit, after)
    stream = await run_in_threadpool(Stream, site.city.database, statement)
    state = pinned or State.live(stream.live)
    headers = {
        **state.headers,
        **tag(state),
        "Content-Crs": f"<{reference.uri}>",
        "Content-Disposition": f'attachment; filename="{feature_type.name}{chosen.suffix}"',
        "Vary": "Accept",
    }
    if request.method == "HEAD":
        stream.close()
        return Response(headers=headers, media_type=chosen.media_type)
    pieces = chosen.write(Layer(site, feature_type, reference, state, stream))
    try:
        # Whatever goes wrong before the first piece is still an answer of its own.
        first = await run_in_threadpool(next, pieces, b"")
    except BaseException:
        stream.close()
        raise
    return StreamingResponse(_sent(first, pieces, stream), headers=headers, media_type=chosen.media_type)


async def _sent(first: bytes, pieces: Iterator[bytes], stream: Stream) -> AsyncIterator[bytes]:
    """Send the pieces; where the client leaves, the query ends, too."""
    try:
        if first:
            yield first
        while (piece := await run_in_threadpool(next, pieces, None)) is not None:
            if piece:
                yield piece
    finally:
        with suppress(ValueError):  # a thread is still in it, which ends as its connection does
            pieces.close()  # type: ignore[attr-defined]
        stream.close()
