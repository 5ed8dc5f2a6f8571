"""Open the STEP text of a model, so that an instance is parsed when it is first asked for.

Most instances of a model are never asked for. What the parser then finds damaged it says in its log only, and goes on
without; so the log is looked through, and a model with damage in what was read is read again, parsed as a whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cim.errors import InvalidData

# How the parser says, in its log and in the errors that it raises, where it could not take the text for a value.
_DAMAGED = " at offset "


class DamagedText(Exception):
    """The text of an instance that was asked for is damaged: nothing that was made of the model can be relied on."""


def open_model(path: Path, name: str, *, whole: bool) -> Any:
    """Return an open model (ifcopenshell.file); `whole` parses every instance at once.

    Raises
    ------
    InvalidData : the text cannot be parsed; the message begins with `name`.
    """
    import ifcopenshell

    library: Any = ifcopenshell  # its types lack the option
    try:
        model = library.open(str(path), lazy=not whole)
    except Exception as error:
        # The parser raises classes of its own, RuntimeError and OSError, all meaning the same.
        raise InvalidData(f"{name}: the STEP text cannot be parsed: {error}; export the model again") from error
    if whole:
        library.get_log()  # what is missing is counted; to read on is then the best there is
    return model


def check_text(error: Exception | None = None) -> None:
    """Raise DamagedText if the log of this process since the last call, or an error, speaks of damaged text."""
    import ifcopenshell

    library: Any = ifcopenshell
    said = f"{library.get_log()}{error or ''}"
    if _DAMAGED in said:
        raise DamagedText(said)
