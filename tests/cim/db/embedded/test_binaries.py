from __future__ import annotations

from pathlib import Path

import pytest

from cim.db.embedded.binaries import find_binaries
from cim.errors import DatabaseError


def installation(folder: Path, version: str) -> Path:
    """Programs that only tell their version, as an installation too old to be had here would."""
    folder.mkdir()
    for name in ("postgres", "initdb", "pg_ctl"):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) {version}"\n')
        (folder / name).chmod(0o755)
    return folder


def test_the_installed_postgresql_is_found(installed: Path) -> None:
    found = find_binaries()
    assert Path(found.program("postgres")).is_file()
    assert found.version >= 15
    assert found.postgis_control is not None
    assert found.postgis_control.is_file()


def test_nothing_installed_names_the_packages(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"found: none; .*apt-get install postgresql postgresql-postgis$"):
        find_binaries([tmp_path, tmp_path / "missing"])


def test_too_old_tells_what_was_found(tmp_path: Path) -> None:
    old = installation(tmp_path / "old", "13.14 (Debian 13.14-0+deb11u1)")
    with pytest.raises(DatabaseError, match=f"15 or newer is needed, found: 13 in {old}"):
        find_binaries([old])


def test_the_newest_is_chosen_and_a_preview_counts(tmp_path: Path) -> None:
    folders = [installation(tmp_path / name, name) for name in ("15.4", "17beta1", "16.2")]
    assert find_binaries(folders).version == 17


def test_an_existing_data_directory_demands_its_own_version(tmp_path: Path) -> None:
    folders = [installation(tmp_path / name, name) for name in ("15.4", "16.2")]
    assert find_binaries(folders, version=15).version == 15
    with pytest.raises(DatabaseError, match=r"PostgreSQL 18, .* apt-get install postgresql-18-postgis-3$"):
        find_binaries(folders, version=18)


def test_an_incomplete_installation_is_none(tmp_path: Path) -> None:
    client_only = installation(tmp_path / "client", "16.2")
    (client_only / "initdb").unlink()
    with pytest.raises(DatabaseError, match="found: none"):
        find_binaries([client_only])


def test_programs_that_fail_are_reported(tmp_path: Path) -> None:
    broken = installation(tmp_path / "broken", "16.2")
    (broken / "postgres").write_text("#!/bin/sh\nexit 127\n")
    with pytest.raises(DatabaseError, match=r"cannot run .*postgres.*127.*reinstall"):
        find_binaries([broken])


def test_postgis_missing_names_the_package_of_that_version(without_postgis: Path) -> None:
    version = without_postgis.parent.name
    with pytest.raises(DatabaseError, match=f"apt-get install postgresql-{version}-postgis-3$"):
        find_binaries([without_postgis])


def test_postgis_too_old_is_refused(without_postgis: Path) -> None:
    version = without_postgis.parent.name
    control = without_postgis.parents[3] / "share/postgresql" / version / "extension/postgis.control"
    control.write_text("default_version = '3.2.0'\n")
    try:
        with pytest.raises(DatabaseError, match=r"PostgreSQL \d+ is 3\.2, 3\.3 or newer is needed"):
            find_binaries([without_postgis])
    finally:
        control.unlink()
