"""Find the PostgreSQL programs and the PostGIS that belongs to them, or name the package that is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cim.errors import DatabaseError

MINIMUM_POSTGRESQL = 15
MINIMUM_POSTGIS = (3, 3)
_PROGRAMS = ("postgres", "initdb", "pg_ctl")


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder of one PostgreSQL installation and its major version."""

    folder: Path
    version: int

    def program(self, name: str) -> str:
        """Absolute path of a program of this installation."""
        return str(self.folder / name)

    @property
    def postgis_control(self) -> Path | None:
        """File that announces PostGIS to this installation, there or not; None if its place is not known."""
        pg_config = self.folder / "pg_config"
        if not pg_config.is_file():
            return None
        return Path(_output(str(pg_config), "--sharedir")) / "extension" / "postgis.control"


def package(version: int) -> str:
    """Name the Debian package of PostGIS, which brings the server too, for a major version of PostgreSQL."""
    return f"postgresql-{version}-postgis-3"


def default_search() -> list[Path]:
    """List the folders to look in for PostgreSQL: Debian's, Red Hat's, the source default, and the PATH."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    on_path = shutil.which("postgres")
    return [*folders, Path("/usr/local/pgsql/bin"), *([Path(on_path).resolve().parent] if on_path else [])]


def find_binaries(search: Iterable[Path] | None = None, version: int | None = None) -> Binaries:
    """Choose the newest PostgreSQL that has PostGIS.

    Parameters
    ----------
    search : folders that may hold the programs; None for the usual places.
    version : major version demanded, that of an existing data directory; None for any from 15 on.

    Raises
    ------
    DatabaseError : none there, too old, of another version than demanded, or without PostGIS 3.3 or newer;
        the message names the package to install.
    """
    folders = default_search() if search is None else list(search)
    found = sorted(_installations(folders), key=lambda binaries: binaries.version, reverse=True)
    wanted = [b for b in found if b.version == version or (version is None and b.version >= MINIMUM_POSTGRESQL)]
    if not wanted:
        raise DatabaseError(_no_server(found, version))
    usable = [binaries for binaries in wanted if _postgis_problem(binaries) is None]
    if not usable:
        raise DatabaseError(f"{_postgis_problem(wanted[0])}; install it: apt-get install {package(wanted[0].version)}")
    return usable[0]


def _installations(folders: Iterable[Path]) -> Iterable[Binaries]:
    for folder in dict.fromkeys(folders):
        if all((folder / name).is_file() for name in _PROGRAMS):
            match = re.search(r"\(PostgreSQL\) (\d+)", _output(str(folder / "postgres"), "--version"))
            if match:
                yield Binaries(folder, int(match[1]))


def _no_server(found: list[Binaries], version: int | None) -> str:
    have = ", ".join(f"{b.version} in {b.folder}" for b in found) or "none"
    if version is not None:
        return (
            f"the data directory was made by PostgreSQL {version}, which is not installed (found: {have}); "
            f"install it: apt-get install {package(version)}"
        )
    return (
        f"PostgreSQL {MINIMUM_POSTGRESQL} or newer is needed, found: {have}; "
        "install it: apt-get install postgresql postgresql-postgis"
    )


def _postgis_problem(binaries: Binaries) -> str | None:
    """Say what is wrong with the PostGIS of an installation; None if nothing is, or it cannot be told yet."""
    control = binaries.postgis_control
    if control is None:
        return None
    if not control.is_file():
        return f"PostGIS is not installed for PostgreSQL {binaries.version} (no {control})"
    match = re.search(r"default_version *= *'(\d+)\.(\d+)", control.read_text(encoding="utf-8"))
    if match and (int(match[1]), int(match[2])) < MINIMUM_POSTGIS:
        return f"PostGIS for PostgreSQL {binaries.version} is {match[1]}.{match[2]}, 3.3 or newer is needed"
    return None


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise DatabaseError(f"cannot run {command[0]}: {error}; reinstall PostgreSQL") from error
