"""What the server says on standard error: one JSON object a line, for whatever collects it."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

REQUESTS = "cim.api.requests"


class Lines(logging.Formatter):
    """A record as `time` (RFC 3339), `level`, `logger`, `message`, the record's own fields, and `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a line break in what somebody sent cannot begin another."""
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(document, default=str).decode()
        except TypeError:  # half a character, which a path may hold
            return orjson.dumps({name: ascii(value) for name, value in document.items()}).decode()


def configure(*, requests: bool) -> None:
    """Send warnings and errors, and each request where that is wanted, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(REQUESTS).setLevel(logging.INFO if requests else logging.WARNING)
    # Our own table tells of these once, with the request; the server would tell them again.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not record.getMessage().startswith("Exception in ASGI"))
