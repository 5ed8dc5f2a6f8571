"""The system account that runs the embedded server.

PostgreSQL refuses to run as root. Started by root it runs as the owner of its data directory, else as the
owner of CIM_HOME, else as `postgres`, else as `nobody`; started by anybody else it runs as that user.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cim.errors import DatabaseError

SUBSTITUTES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A system account other than root, by name and number."""

    name: str
    uid: int
    gid: int

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments with which `subprocess` starts a program as this account."""
        return {} if self.uid == os.geteuid() else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or folder to this account; a symbolic link is not followed."""
        if self.uid != os.geteuid():
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_use(self, folder: Path) -> bool:
        """Whether the account may enter and write the folder, asked of the system and not of mode bits."""
        return self._shell('cd "$1" && test -w .', folder).returncode == 0

    def append(self, path: Path, text: str) -> None:
        """Append text to a file as this account, so that root never follows a link the account has put there.

        Raises
        ------
        DatabaseError : it cannot be written.
        """
        done = self._shell('cat >>"$1"', path, text)
        if done.returncode:
            raise DatabaseError(f"cannot write {path}: {done.stderr.strip()}")

    def _shell(self, script: str, path: Path, text: str = "") -> subprocess.CompletedProcess[str]:
        command = ["/bin/sh", "-c", script, "sh", str(path)]
        return subprocess.run(  # noqa: S603 - a fixed script; the path is its argument
            command,
            cwd="/",
            input=text,
            capture_output=True,
            encoding="utf-8",
            check=False,
            **self.arguments(),
        )


def account_of(uid: int) -> Account:
    """Return the account of a user id.

    Raises
    ------
    DatabaseError : it has no name, without which PostgreSQL neither starts nor knows who connects.
    """
    with contextlib.suppress(KeyError):
        entry = pwd.getpwuid(uid)
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise DatabaseError(
        f"user id {uid} has no name in /etc/passwd, which PostgreSQL demands; add the user, or set CIM_DATABASE_URL"
    )


def account_for(home: Path) -> Account:
    """Choose the account that shall run a new server for this CIM_HOME.

    Raises
    ------
    DatabaseError : there is none.
    """
    if os.geteuid() != 0:
        return account_of(os.geteuid())
    owner = home.stat().st_uid
    if owner != 0:
        return account_of(owner)
    for name in SUBSTITUTES:
        with contextlib.suppress(KeyError):
            return account_of(pwd.getpwnam(name).pw_uid)
    raise DatabaseError(
        f"PostgreSQL does not run as root and none of the users {', '.join(SUBSTITUTES)} exists; "
        "add one: adduser --system postgres"
    )


def name_of(uid: int) -> str:
    """Return the name of a user id for a message; the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"
