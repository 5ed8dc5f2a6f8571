"""Arrays without frames: for processes that need the former only."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType


class _WithoutPandas(MetaPathFinder):
    """Lets Python find no pandas."""

    def find_spec(self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


_left_out = False


@contextmanager
def without_pandas() -> Iterator[None]:
    """Let nobody find pandas meanwhile, unless it is loaded already."""
    finder = _WithoutPandas()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def leave_pandas_out() -> None:
    """Let pyarrow do without pandas, which it would load, 0.3 s and 50 MB, for the first array it makes of a list.

    It looks once. For a process that takes files in and does nothing else: arrays of pandas' objects would not know
    their missing values.
    """
    global _left_out
    import pyarrow as pa

    with without_pandas():
        pa.array([0])
    _left_out = True


def left_out() -> bool:
    """Tell whether this process does without pandas."""
    return _left_out
