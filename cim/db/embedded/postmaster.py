"""A running server as the system shows it: its pid file, its processes, its socket."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cim.db.embedded.account import Account
from cim.db.embedded.place import Place, digest
from cim.errors import DatabaseError

PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
# sockaddr_un.sun_path has 108 bytes on Linux, and one of them ends the string.
SOCKET_PATH_BYTES = 107
STOP_TIMEOUT = 60.0
CHILDREN_TIMEOUT = 5.0
_POLL = 0.02


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What `postmaster.pid` says; it may be stale."""

    pid: int
    socket_dir: Path | None
    ready: bool


def read(data: Path) -> Postmaster | None:
    """Read the pid file of a data directory; None if there is none, or it is being written.

    Source
    ------
    PostgreSQL, src/include/utils/pidfile.h: line 1 is the pid, 5 the first socket folder, 8 the status.
    """
    try:
        lines = os.fsdecode((data / "postmaster.pid").read_bytes()).splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not lines or not lines[0].lstrip("-").isdecimal():
        return None
    folder = lines[4] if len(lines) > 4 else ""
    # A single-user server writes its pid with a minus sign.
    return Postmaster(
        abs(int(lines[0])), Path(folder) if folder else None, len(lines) > 7 and lines[7].strip() == "ready"
    )


def alive(data: Path) -> Postmaster | None:
    """Find the postmaster that runs on a data directory now; None for a stale pid file.

    The number alone proves nothing: it may be a zombie's, or, after a restart of the machine or container,
    that of another program. Where the system shows a process's folder, it must be the data directory.
    """
    found = read(data)
    return found if found is not None and _runs(found.pid, data) else None


def listening(data: Path) -> Path | None:
    """Find the socket folder of a server that is ready and answers, within a millisecond; None otherwise."""
    found = read(data)
    if found is None or not found.ready or found.socket_dir is None:
        return None
    return found.socket_dir if answers(found.socket_dir) else None


def answers(folder: Path) -> bool:
    """Whether a server listens on the socket in the folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(str(folder / SOCKET))
        except BlockingIOError:
            return True  # its queue of new connections is full: busy, but there
        except OSError:
            return False
    return True


def stop(data: Path) -> bool:
    """Stop the server of a data directory: fast, or if that takes a minute, at once.

    It waits for the process itself: its pid file goes a moment before it.

    Returns
    -------
    False if none was running.

    Raises
    ------
    DatabaseError : it does not end.
    """
    found = alive(data)
    if found is None:
        return False
    for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal_number)
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            if not _runs(found.pid, data):
                return True
            time.sleep(_POLL)
    raise DatabaseError(f"the server of {data} (process {found.pid}) does not stop; look at it: ps {found.pid}")


def clear_remains(place: Place) -> None:
    """End the children that a killed postmaster left, and remove a pid file that would stop the next start.

    PostgreSQL itself sees through a pid file whose process is gone, but not through one whose number lives on
    as a zombie or as another program. Call it only when `alive` gives None.
    """
    deadline = time.monotonic() + CHILDREN_TIMEOUT
    while pids := list(_servers_in(place.data)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(_POLL)
    found = read(place.data)
    if found is not None and _exists(found.pid):
        (place.data / "postmaster.pid").unlink()


def socket_dir(place: Place) -> Path:
    """Make a folder for the server's socket: the account's own, mode 0700, with a path drivers can take.

    It is `socket` in the base folder, or where that path is unfit one below the system's temporary folder,
    named by the digest of the data directory. A folder that somebody else has put under that name, or in
    which another server listens, is passed over for a fresh one. Sockets that nobody listens on are removed.

    Raises
    ------
    DatabaseError : no such folder can be made.
    """
    temporary = dict.fromkeys([Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")])  # noqa: S108
    wanted = [place.base / "socket", *(parent / f"cim-{digest(place.data)}" for parent in temporary)]
    for folder in filter(_fits, wanted):
        if folder.parent != place.base and not place.account.can_use(folder.parent):
            continue
        if not _is_private(folder, place.account) or answers(folder):
            folder = Path(tempfile.mkdtemp(prefix="cim-", dir=folder.parent))
            place.account.own(folder)
        for remains in (SOCKET, f"{SOCKET}.lock"):
            (folder / remains).unlink(missing_ok=True)
        return folder
    raise DatabaseError(f"no temporary folder for the socket of {place.base}; set TMPDIR to a short, writable path")


def remove_socket_dir(folder: Path) -> None:
    """Remove a temporary socket folder after its server has stopped; one that is not empty stays."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _fits(folder: Path) -> bool:
    """Tell whether the system can bind the socket's path, and drivers do not split it at a comma or colon."""
    return len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_BYTES and not {",", ":"} & set(str(folder))


def _is_private(folder: Path, account: Account) -> bool:
    """Make the folder; if one is there, tell whether it is a true folder, the account's and nobody else's."""
    try:
        folder.mkdir(mode=0o700)
        account.own(folder)
    except FileExistsError:
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and stat.S_IMODE(found.st_mode) == 0o700
    return True


def _runs(pid: int, data: Path) -> bool:
    """Whether a process is there and, where the system shows its folder, works in the data directory."""
    return _exists(pid) and (not Path("/proc/self/cwd").exists() or _works_in(pid, data))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _works_in(pid: int, data: Path) -> bool:
    """Whether a process has the data directory as its working folder; a zombie has none."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), data.stat())  # noqa: PTH116
    except OSError:
        return False


def _servers_in(data: Path) -> Iterator[int]:
    """List the processes of PostgreSQL that work in the data directory; a shell left there is not one."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "exe").readlink().name.startswith("postgres") and _works_in(int(process.name), data):
                yield int(process.name)
