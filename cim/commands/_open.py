"""Open the deployment's city, late: help and offline verification must not wait for pandas and a database driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cim.settings import Settings

if TYPE_CHECKING:
    from cim.city import City


def open_city(settings: Settings | None = None) -> City:
    """Return the city of these settings, else of the environment; use it as a context manager."""
    from cim.city import City

    return City(settings or Settings.from_environment())
