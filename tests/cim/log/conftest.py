"""What the checks of the log with software that is not ours have in common."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def absent() -> Callable[[str], None]:
    """Skip because a tool is not there; in CI that is a failure."""

    def tell(tool: str) -> None:
        reason = f"{tool} is not installed: run `tools/setup.sh test`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    return tell
