"""Images of textures: kept like the bodies that show them, under their SHA-256, where a zip brings them with the model.

Of a file alone they are not read. It could name any image on the machine, what a department delivers is known by the
digest of its file, and of images beside it that would not tell: one that changed would never be noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cim.bodies import IMAGES
from cim.files import Keep
from ingest.city3d.feature import Feature

# Larger ones are left where they are: a body with them could not be served.
_MAX_BYTES = 64 * 1024**2
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Images:
    """The images that one file names.

    Parameters
    ----------
    path : the file; delivered : the folder of all that came with it, None where it came alone.
    keep : takes an image and returns its SHA-256.
    """

    def __init__(self, path: Path, delivered: Path | None, keep: Keep) -> None:
        self._folder = path.parent
        self._delivered = delivered
        self._keep = keep
        self._known: dict[str, str | None] = {}

    def of(self, features: Iterable[Feature]) -> Iterator[Feature]:
        """Yield the features, the images of their textures kept and called by their digests."""
        last: Mapping[str, Any] | None = None
        for feature in features:
            if feature.appearance is not None and feature.appearance is not last:  # that of a file is of all of them
                self.call(feature.appearance)
                last = feature.appearance
            yield feature

    def call(self, appearance: Mapping[str, Any] | None) -> None:
        """Keep the images of an appearance and call them by their digests, in place; others stay as they are named."""
        textures = (appearance or {}).get("textures")
        for texture in textures if isinstance(textures, list) else ():
            name = texture.get("image") if isinstance(texture, dict) else None
            if not isinstance(name, str) or _DIGEST.fullmatch(name):
                continue
            if name not in self._known:
                self._known[name] = self._kept(name)
            texture["image"] = self._known[name] or name

    def _kept(self, name: str) -> str | None:
        """Keep an image and return its digest; None where it was not delivered, or is none."""
        path = self._place(name)
        data = None if path is None else path.read_bytes()
        if data is None or not any(data.startswith(kind.head) for kind in IMAGES):
            return None
        return self._keep(data)

    def _place(self, name: str) -> Path | None:
        """Return where a named image lies among what was delivered, None where it does not."""
        parts = PurePosixPath(name.replace("\\", "/"))
        if self._delivered is None or parts.is_absolute() or "\0" in name:
            return None
        try:
            path = (self._folder / parts).resolve()
            inside = path.is_relative_to(self._delivered.resolve()) and path.is_file()
            return path if inside and path.stat().st_size <= _MAX_BYTES else None
        except OSError:
            return None


def is_kept(texture: Any) -> bool:
    """Tell whether the image of a texture is called by its digest."""
    return isinstance(texture, dict) and _DIGEST.fullmatch(str(texture.get("image"))) is not None
