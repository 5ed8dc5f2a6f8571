"""Find plug-ins: every public module of a folder that defines the demanded constant."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any


def scan(package: ModuleType, constant: str) -> dict[str, Any]:
    """Import every public module of `package` and collect its `constant` by the constant's `name`, sorted.

    Modules whose name starts with an underscore are helpers and are passed over.

    Raises
    ------
    TypeError : a module lacks the constant, or two modules carry one name (both are our defects).
    """
    found: dict[str, Any] = {}
    for module_info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module_info.name.rpartition(".")[2].startswith("_"):
            continue
        module = importlib.import_module(module_info.name)
        plugin = getattr(module, constant, None)
        if plugin is None:
            raise TypeError(f"{module_info.name} must end in {constant} = …")
        if plugin.name in found:
            raise TypeError(f"two plug-ins of {package.__name__} are named {plugin.name!r}")
        found[plugin.name] = plugin
    return dict(sorted(found.items()))
