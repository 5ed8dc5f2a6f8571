"""Where the embedded cluster lies, and the lock under which it is made, started and stopped.

CIM_HOME/cluster.lock   the lock
CIM_HOME/cluster/       the base folder, open to the server's account only: data/, server.log, socket/
CIM_HOME/cluster.path   only where that account cannot enter CIM_HOME, as below /root: names the base folder,
                        which then lies below /var/lib/cim
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cim.db.embedded.account import Account, account_for, account_of, name_of
from cim.errors import DatabaseError

STATE_DIR = Path("/var/lib/cim")
LOCK_TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Place:
    """The base folder of a cluster and the account that runs it."""

    base: Path
    account: Account

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """What the server writes about itself."""
        return self.base / "server.log"


def existing(home: Path) -> Place | None:
    """Find the place settled before; nothing is made.

    Raises
    ------
    DatabaseError : it belongs to another account, or to root, which cannot run it.
    """
    try:
        base = _pointer(home) or home / "cluster"
        owner = base.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatabaseError(f"cannot read {home}: {error.strerror}; set CIM_HOME to a folder you may enter") from error
    if os.geteuid() not in (0, owner):
        raise DatabaseError(
            f"the embedded database {base} belongs to {name_of(owner)}, you are {name_of(os.geteuid())}; "
            f"run as {name_of(owner)}, or set CIM_HOME to a folder of your own"
        )
    if owner != 0:
        return Place(base, account_of(owner))
    if (base / "data").exists():
        raise DatabaseError(
            f"{base} belongs to root, as which PostgreSQL does not run; "
            f"give it back: chown -R {account_for(home).name} '{base}'"
        )
    return None


def settle(home: Path) -> Place:
    """Find or make the base folder. Call it under `locked`.

    Raises
    ------
    DatabaseError : there is no folder that the account can enter and write.
    """
    place = existing(home)
    if place is not None:
        if place.account.can_use(place.base):
            return place
        raise DatabaseError(
            f"user {place.account.name} cannot enter and write {place.base}; open the folders above it: chmod o+x"
        )
    account = account_for(home)
    pointed = _pointer(home)
    inside = Place(home / "cluster", account)
    if pointed is None and _made(inside):
        return inside
    if os.geteuid() == 0:
        outside = Place(pointed or STATE_DIR / f"{digest(home)}-{secrets.token_hex(4)}", account)
        # The pointer first: killed between the two steps, the next call makes the folder that it names.
        _point(home, outside.base)
        if _made(outside):
            return outside
    raise DatabaseError(
        f"user {account.name} can use neither {home} nor {STATE_DIR}; set CIM_HOME to a folder it can enter and write"
    )


def abandoned(home: Path, place: Place) -> list[Place]:
    """List places outside that served an earlier CIM_HOME of this path, since deleted; their data stay."""
    bases = [base for base in STATE_DIR.glob(f"{digest(home)}-*") if base != place.base]
    return [Place(base, account_of(base.stat().st_uid)) for base in bases]


def digest(path: Path) -> str:
    """Return sixteen characters that stand for a path where the path itself would be too long."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


@contextlib.contextmanager
def locked(home: Path) -> Iterator[int]:
    """Hold the lock of this CIM_HOME against other processes and other threads; gives its file descriptor.

    A program started with that descriptor (`pass_fds`) keeps the lock until it ends, even if its parent is
    killed.

    Raises
    ------
    DatabaseError : CIM_HOME cannot be made or written, or another process holds the lock for ten minutes.
    """
    if "\n" in str(home):
        raise DatabaseError(f"CIM_HOME must not contain a line break, got {str(home)!r}")
    path = home / "cluster.lock"
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DatabaseError(
            f"cannot write {home}: {error.strerror}; set CIM_HOME to a folder that {name_of(os.geteuid())} can write"
        ) from error
    try:
        if os.geteuid() == 0:  # else the owner of CIM_HOME could not take a lock that root made
            os.fchown(lock, home.stat().st_uid, home.stat().st_gid)
        _wait_for(lock, path)
        yield lock
    finally:
        os.close(lock)


def _wait_for(lock: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DatabaseError(f"another process holds {path}; see which: fuser '{path}'") from None
            time.sleep(0.02)


def _made(place: Place) -> bool:
    """Make the base folder; false, and gone again, where the account cannot use it."""
    try:
        if place.base.parent == STATE_DIR and not STATE_DIR.exists():
            STATE_DIR.mkdir()
            STATE_DIR.chmod(0o755)  # whatever the umask says
        place.base.mkdir(mode=0o700, exist_ok=True)
        place.account.own(place.base)
    except OSError:
        return False  # a full, read-only or foreign file system, or one that knows no owners
    if place.account.can_use(place.base):
        return True
    with contextlib.suppress(OSError):
        place.base.rmdir()
    return False


def _pointer(home: Path) -> Path | None:
    """Read `cluster.path`; only root's own word counts, since root will act on it."""
    path = home / "cluster.path"
    if not path.is_file() or path.lstat().st_uid != 0:
        return None
    base = Path(path.read_text(encoding="utf-8").strip())
    return base if base.parent == STATE_DIR else None


def _point(home: Path, base: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with open(os.open(home / "cluster.path", flags, 0o644), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(f"{base}\n")
