"""Make a data directory: encoding, who may connect, settings, the database `cim` with PostGIS in it.

All of it happens in a folder beside the final one, which takes its name only when it is complete and on disk.
A process killed on the way leaves a folder `data.new-…`, which the next one removes.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path

from cim.db.embedded.account import Account
from cim.db.embedded.binaries import Binaries, package
from cim.db.embedded.place import Place
from cim.db.script import bootstrap
from cim.errors import DatabaseError

ROLE = "cim"
DATABASE = "cim"
_LOCALE = ("--encoding=UTF8", "--locale=C", "--lc-ctype=C.UTF-8")
_MEGABYTE = 1 << 20
# Parallel queries exchange rows through shared memory; the 64 MB that containers give it are too few.
_SHARED_MEMORY_MB = 512


def initialise(place: Place, binaries: Binaries, lock: int) -> None:
    """Make the data directory of a place that has none.

    Parameters
    ----------
    lock : descriptor of the held lock, which the programs started here share: should this process be killed,
        the lock stays taken until they have ended.

    Raises
    ------
    DatabaseError : PostgreSQL says why not; nothing is left behind.
    """
    for remains in place.base.glob("data.new-*"):
        shutil.rmtree(remains, ignore_errors=True)
    fresh = place.base / f"data.new-{secrets.token_hex(4)}"
    try:
        run = _Runner(place, binaries, lock)
        # No collation but byte order: fast, and no upgrade of the C library can disorder an index. C.UTF-8
        # tells letters from signs in every script. Checksums: a record that rots on disk must be noticed.
        options = (*_LOCALE, "--data-checksums", f"--username={ROLE}", "--auth=peer", "--no-sync")
        run("initdb", *options, "-D", fresh.name)
        _configure(place, fresh, lz4=run.can("-c", "wal_compression=lz4", "-D", fresh.name))
        run.single_user("postgres", "database", fresh)
        run.single_user(DATABASE, "extension", fresh)
        run("initdb", "--sync-only", "-D", fresh.name)
        fresh.rename(place.data)
        _sync(place.base)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def environment() -> dict[str, str]:
    """Return the environment of the server's programs, free of the caller's PG*, PROJ and locale variables.

    The server outlives the process that starts it and must not differ by who that was.
    """
    inherited = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **inherited}


class _Runner:
    """Run a program of PostgreSQL as the account, in the base folder."""

    def __init__(self, place: Place, binaries: Binaries, lock: int) -> None:
        self._place, self._binaries, self._lock = place, binaries, lock

    def __call__(self, name: str, *arguments: str, text: str = "") -> None:
        done = subprocess.run(  # noqa: S603 - our own arguments; paths stay relative to the folder
            [self._binaries.program(name), *arguments],
            cwd=self._place.base,
            env=environment(),
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            umask=0o077,
            pass_fds=(self._lock,),
            start_new_session=True,
            **self._place.account.arguments(),
        )
        # A single-user server goes on after an error and ends with 0.
        if done.returncode or re.search(r"\b(ERROR|FATAL|PANIC): ", done.stderr):
            raise DatabaseError(f"cannot make the database in {self._place.base}: {self._reason(done)}")

    def can(self, *options: str) -> bool:
        """Tell whether this build of the server knows settings."""
        try:
            self("postgres", *options, "-C", "wal_compression")
        except DatabaseError:
            return False
        return True

    def single_user(self, database: str, script: str, data: Path) -> None:
        """Run one SQL file in a server without connections; a blank line ends its statement."""
        self("postgres", "--single", "-j", "-D", data.name, database, text=f"{bootstrap(script)}\n")

    def _reason(self, done: subprocess.CompletedProcess[str]) -> str:
        lines = [line for line in done.stderr.splitlines() if "LOG: " not in line]
        text = "\n".join(lines[-12:]) or done.stdout[-1000:]
        if "postgis" in text and "not available" in text:
            return f"PostGIS is missing; install it: apt-get install {package(self._binaries.version)}\n{text}"
        return text


def _configure(place: Place, data: Path, *, lz4: bool) -> None:
    """Write who may connect and the tuned settings, once; from then on the files are the administrator's."""
    account = place.account
    (data / "pg_hba.conf").unlink()
    account.append(
        data / "pg_hba.conf",
        "# Through the socket, known by the system account; nobody has a password. Accounts: pg_ident.conf.\n"
        f"local all {ROLE} peer map=cim\n",
    )
    accounts = "".join(f'cim "{name}" {ROLE}\n' for name in dict.fromkeys((account.name, "root")))
    account.append(data / "pg_ident.conf", accounts)
    settings = "".join(f"{name} = {value}\n" for name, value in tuned(account, lz4=lz4).items())
    account.append(data / "postgresql.conf", f"\n# Set by cim when it made this cluster; edit as you like.\n{settings}")


def tuned(account: Account, *, lz4: bool) -> dict[str, str]:
    """Return settings for this machine, modest: Python and the desktop want memory too."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MEGABYTE
    return {
        "cluster_name": "'cim'",
        "max_connections": "100",
        "shared_buffers": f"{min(max(memory // 8, 128), 2048)}MB",
        "effective_cache_size": f"{max(memory // 2, 256)}MB",
        "work_mem": f"{min(max(memory // 256, 8), 64)}MB",
        "maintenance_work_mem": f"{min(max(memory // 32, 64), 512)}MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        # Checksums make a new page's first reader log it whole: by pglz, a quarter of the server's work in sequencing.
        "wal_compression": "lz4" if lz4 else "on",
        "random_page_cost": "1.1",
        "jit": "off",  # compiling costs more than the short queries of the API take
        "dynamic_shared_memory_type": _dynamic_shared_memory(account),
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "lc_messages": "'C'",
    }


def _dynamic_shared_memory(account: Account) -> str:
    folder = Path("/dev/shm")  # noqa: S108 - not a temporary file, the system's own place
    roomy = folder.is_dir() and shutil.disk_usage(folder).total >= _SHARED_MEMORY_MB * _MEGABYTE
    return "posix" if roomy and account.can_use(folder) else "mmap"


def _sync(folder: Path) -> None:
    """Make the new name of a folder's entry survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
