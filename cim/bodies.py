"""Bodies of buildings in three dimensions: files of the store that anyone may have.

An object names them by their SHA-256: CityJSON in `body_file`, glTF in the attribute `shell_gltf`. Bodies name the
images of their textures so.

The store holds other files too, whole models as departments delivered them; those are not for everyone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cim.errors import NotFound
from cim.files import Store, open_stored


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of body: its name, media type, what a file of it ends in, and how our files of it begin."""

    name: str
    media_type: str
    suffix: str
    head: bytes


# One feature of CityJSONSeq (OGC 20-072r5): a line that says what the coordinates mean, and one with the feature.
# Members are sorted by name.
CITYJSON = Kind("CityJSON", "application/city+json-seq", ".city.jsonl", b'{"CityObjects":{},')
# Binary glTF 2.0 (Khronos, section 4.4): magic number and version, the smaller byte first.
GLTF = Kind("glTF", "model/gltf-binary", ".glb", b"glTF\2\0\0\0")
# Images of the textures of bodies (W3C PNG, 5.2; ISO/IEC 10918-1, B.1: start of image, and a marker).
IMAGES = (Kind("PNG", "image/png", ".png", b"\x89PNG\r\n\x1a\n"), Kind("JPEG", "image/jpeg", ".jpg", b"\xff\xd8\xff"))
KINDS = (CITYJSON, GLTF, *IMAGES)

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAMED = re.compile(rb'"(body_file|shell_gltf)": ?"')


@dataclass(frozen=True, slots=True)
class Body:
    """The file of a body, and of which kind it is."""

    content: bytes
    kind: Kind


def may_be_named_in(text: bytes) -> bool:
    """Tell whether the text of a feature may name bodies: one that does not, as most, need not be parsed."""
    return _NAMED.search(text) is not None


def named_in(properties: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
    """Yield the bodies that the properties of an object name, each with its digest."""
    stated = ((CITYJSON, properties.get("body_file")), (GLTF, (properties.get("attributes") or {}).get("shell_gltf")))
    for kind, digest in stated:
        if isinstance(digest, str) and _DIGEST.fullmatch(digest):
            yield kind, digest


def read_body(store: Store, sha256: str) -> Body:
    """Return the file of a body.

    Raises
    ------
    NotFound : the store has no file of that digest, or it is no body.
    CimError : the store cannot be read.
    """
    with open_stored(store, sha256) as file:
        head = file.read(max(len(kind.head) for kind in KINDS))
        kind = next((kind for kind in KINDS if head.startswith(kind.head)), None)
        if kind is None:
            raise NotFound(f"no body of a building is called {sha256}")
        return Body(head + file.read(), kind)
