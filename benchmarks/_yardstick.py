"""The least an API can do in Python: Starlette and asyncpg, finished text from PostGIS, no links, counts or rights.

Run: uvicorn benchmarks._yardstick:app, with YARDSTICK_URL.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FEATURE = """
'{"type":"Feature","id":' || to_json(o.code)::text || ',"geometry":'
    || coalesce(ST_AsGeoJSON(ST_Transform(o.geom, 4326), 9, 0), 'null')
    || ',"properties":' || to_json(p)::text || '}'
"""
COLUMNS = "(SELECT {names}) p"
ITEM = "SELECT {feature} FROM city.building o, LATERAL {columns} WHERE o.code = $1"
PAGE = """
SELECT string_agg({feature}, ',' ORDER BY o.code)
FROM (SELECT * FROM city.building {where} ORDER BY code LIMIT {limit}) o, LATERAL {columns}
"""
BOX = """
WHERE geom && ST_Transform(ST_MakeEnvelope($2, $3, $4, $5, 4326), 4548)
    AND ST_Intersects(ST_Transform(geom, 4326), ST_MakeEnvelope($2, $3, $4, $5, 4326))
"""
SETTINGS = {"jit": "off", "max_parallel_workers_per_gather": "0", "default_transaction_read_only": "on"}
GEOJSON = "application/geo+json"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Connect."""
    app.state.pool = await asyncpg.create_pool(os.environ["YARDSTICK_URL"], max_size=10, server_settings=SETTINGS)
    names = await app.state.pool.fetchval(
        "SELECT string_agg('o.' || quote_ident(column_name), ', ' ORDER BY ordinal_position) "
        "FROM information_schema.columns "
        "WHERE table_schema = 'city' AND table_name = 'building' AND column_name NOT IN ('rev', 'geom')"
    )
    columns = COLUMNS.format(names=names)
    app.state.item = ITEM.format(feature=FEATURE, columns=columns)
    app.state.page = PAGE.format(feature=FEATURE, columns=columns, where="", limit="$1")
    app.state.box = PAGE.format(feature=FEATURE, columns=columns, where=BOX, limit="$1")
    yield
    await app.state.pool.close()


async def item(request: Request) -> Response:
    """Give one feature."""
    return Response(await request.app.state.pool.fetchval(request.app.state.item, request.path_params["code"]), 200)


async def items(request: Request) -> Response:
    """Give some features."""
    limit = int(request.query_params.get("limit", 10))
    state = request.app.state
    if "bbox" in request.query_params:
        box = [float(number) for number in request.query_params["bbox"].split(",")]
        found = await state.pool.fetchval(state.box, limit, *box)
    else:
        found = await state.pool.fetchval(state.page, limit)
    return Response(f'{{"type":"FeatureCollection","features":[{found or ""}]}}', media_type=GEOJSON)


app = Starlette(
    routes=[Route("/collections/building/items", items), Route("/collections/building/items/{code}", item)],
    lifespan=lifespan,
)
