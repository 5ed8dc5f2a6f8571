"""A file to write to whose content is taken away piece by piece."""

from __future__ import annotations

import io


class Sink(io.BytesIO):
    """Keeps what is written until it is taken."""

    def taken(self) -> bytes:
        """Return what was written since the last time, and forget it."""
        content = self.getvalue()
        self.seek(0)
        self.truncate()
        return content
