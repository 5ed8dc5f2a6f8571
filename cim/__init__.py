"""City Information Model: coded city objects, a verifiable change log, renewal scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cim.city import City

__all__ = ["connect"]


def connect(database_url: str | None = None, **settings: Any) -> City:
    """Open a city; see `cim.city.connect`. Imported late, so that `import cim` costs nothing."""
    from cim.city import connect

    return connect(database_url, **settings)
