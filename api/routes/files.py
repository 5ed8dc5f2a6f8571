"""Files that objects name by their SHA-256: the bodies of buildings."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from api import parameters
from api.routing import READ, Router
from api.site import FOREVER, site_of
from cim.bodies import read_body
from cim.errors import NotFound

router = Router()

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@router.route("/files/{sha256}", READ)
def file(request: Request, sha256: str) -> Response:
    """Give the body of a building. What a digest names never changes."""
    parameters.read(request, [])
    if not _DIGEST.fullmatch(sha256):
        raise NotFound(f"{sha256[:80]!r} is no SHA-256: expected 64 hexadecimal digits, as body_file has them")
    body = read_body(site_of(request).city.settings.files_dir, sha256)
    headers = {"Cache-Control": FOREVER, "Content-Disposition": f'inline; filename="{sha256}{body.kind.suffix}"'}
    return Response(body.content, headers=headers, media_type=body.kind.media_type)
