"""The change log: checkpoint, tiles and proofs, as C2SP tlog-tiles serves them."""

from __future__ import annotations

import re
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from api import parameters
from api.access import Caller, caller_of
from api.links import HTML, TEXT, unchanged
from api.parameters import Parameter
from api.routing import READ, Router
from api.site import FOREVER, Site, site_of
from cim.db.access import Reading, read_as
from cim.errors import InvalidData, NotFound
from cim.log import standalone

router = Router()

# C2SP tlog-tiles: level 0 to 63 or `entries`, the index in groups of three digits, the width of a partial tile.
_TILE = re.compile(r"(\d|[1-5]\d|6[0-3]|entries)/(x\d{3}/){0,6}\d{3}(\.p/[1-9]\d{0,2})?", re.ASCII)
_VERIFIER = Path(standalone.__file__).with_name("verify.html")
CODE = Parameter("code", {"type": "string"}, "Code of the object.")
TYPE = Parameter("type", {"type": "string"}, "Its feature type; needed where several know the code.")
PROOF = (CODE, TYPE, parameters.AS_OF)


@router.route("/log/checkpoint", READ)
async def checkpoint(request: Request) -> Response:
    """Give the signed checkpoint as last published. Its ETag is its SHA-256."""
    parameters.read(request, [])
    text = site_of(request).city.checkpoint().encode()  # one small file, read sooner than another thread would begin
    headers = {"Cache-Control": "no-cache", "ETag": f'"{sha256(text).hexdigest()}"'}
    if unchanged(request, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(text, headers=headers, media_type=TEXT)


@router.route("/log/tile/{path:path}", READ)
def tile(request: Request, path: str) -> Response:
    """Give a tile or an entry bundle as it was written. What a file holds never changes."""
    parameters.read(request, [])
    # The pattern admits digits, x, dots of `.p` and single slashes only: no way out of the folder.
    file = site_of(request).city.settings.log_dir / "tile" / path if _TILE.fullmatch(path) else None
    if file is None or not _is_file(file):
        raise NotFound(f"the log has no tile {path[:120]!r}")
    return FileResponse(file, headers={"Cache-Control": FOREVER}, media_type="application/octet-stream")


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


@router.route("/log/proof", READ)
async def proof(request: Request) -> Response:
    """Give the `.tlog-proof` of an object's latest, or as-of, revision."""
    asked = parameters.read(request, PROOF)
    if not asked.get("code"):
        raise InvalidData("query parameter code is missing: /log/proof?code=…")
    site = site_of(request)
    pinned = await site.pinned(asked.get("as-of"))
    caller = caller_of(request)
    with read_as(Reading("cim_staff")):  # what is found is shown to whom it may be shown
        leaf = await site.reader.leaf(asked["code"], asked.get("type"), pinned.size if pinned else None)
    if leaf.type in site.city.database.dictionary.types and not caller.everywhere:
        await _permit(site, caller, leaf.type, asked["code"])
    text = site.city.publisher.prove(leaf.idx, leaf.entry).to_text()
    headers = {"Cache-Control": "no-cache", "Content-Disposition": 'inline; filename="record.tlog-proof"'}
    return Response(text, headers=headers, media_type=TEXT)


@router.route("/log/verify", READ)
def verify(request: Request) -> Response:
    """Give the page that verifies a proof in the browser; it needs nothing else, and says itself what it may do."""
    parameters.read(request, [])
    return FileResponse(_VERIFIER, headers={"Cache-Control": "no-cache"}, media_type=HTML)


async def _permit(site: Site, caller: Caller, type_name: str, code: str) -> None:
    if not caller.sees(type_name):
        raise caller.refusal(f"the proof of a {type_name}", f"{type_name}:read")
    rights = caller.reading(type_name)
    if rights.role == "cim_district":
        with read_as(rights):
            if await site.reader.item(type_name, code, None, site.storage.output) is None:
                raise NotFound(f"{type_name} {code} does not exist")
