"""Verifiers for a stranger: files to hand out beside a log, which need nothing of this package.

verify_tlog_proof.py   one Python file, standard library only
verify.html            one page for a browser, which asks no network for anything

Both accept and refuse the same proofs as `cim.log.verify`; the tests hold the three to one another.
"""

from __future__ import annotations

import shutil
from pathlib import Path

FILES = ("verify_tlog_proof.py", "verify.html")


def copy_verifiers(folder: Path) -> None:
    """Copy the verifiers into a folder that exists, over older copies."""
    for name in FILES:
        shutil.copyfile(Path(__file__).with_name(name), folder / name)
