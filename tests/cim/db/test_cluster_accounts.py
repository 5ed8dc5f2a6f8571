"""Who runs the embedded server, who may connect to it, and what it cannot run with."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cim.db import cluster
from cim.db.embedded import initialise
from cim.db.embedded.account import account_of
from cim.db.embedded.place import STATE_DIR, existing
from cim.db.embedded.postmaster import SOCKET
from cim.db.script import FOLDER, bootstrap
from cim.errors import DatabaseError
from cim.settings import Settings

Ask = Callable[[str, str], object]
AsUser = Callable[[str, Callable[[], object]], object]

RESIDENT, STRANGER = "nobody", "daemon"  # Debian has these two everywhere


@pytest.fixture
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root is refused by PostgreSQL, and only root can become another user")


@pytest.fixture
def owned(root: None, roomy: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home in a folder that belongs to an ordinary user, and what a server is made with, read for him.

    A checkout below a folder of mktemp is open to root alone.
    """
    read = {path.stem: bootstrap(path.stem) for path in (FOLDER / "embedded" / "bootstrap").glob("*.sql")}
    monkeypatch.setattr(initialise, "bootstrap", read.__getitem__)
    uid = pwd.getpwnam(RESIDENT).pw_uid
    (roomy / "own").mkdir()
    os.chown(roomy / "own", uid, -1)
    return Settings(home=roomy / "own" / "home")


def owner_of_server(settings: Settings) -> str:
    pid = cluster.status(settings).pid
    return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name


@pytest.mark.usefixtures("root")
class TestRoot:
    def test_the_server_runs_as_postgres(self, running: Settings) -> None:
        assert owner_of_server(running) == "postgres"

    def test_a_home_the_server_cannot_enter_keeps_its_data_outside(self, closed: Settings, ask: Ask) -> None:
        url = cluster.ensure_running(closed)
        data = Path(str(ask(url, "SELECT current_setting('data_directory')")))
        assert data.is_relative_to(STATE_DIR)
        assert (closed.home / "cluster.path").read_text() == f"{data.parent}\n"
        ask(url, "CREATE TABLE kept AS SELECT 1; SELECT 1")
        assert cluster.stop(closed) is True
        assert ask(cluster.ensure_running(closed), "SELECT count(*) FROM kept") == 1

    def test_that_home_deleted_is_made_anew_and_the_old_server_ends(self, closed: Settings, ask: Ask) -> None:
        ask(cluster.ensure_running(closed), "CREATE TABLE gone AS SELECT 1; SELECT 1")
        old = cluster.status(closed)
        assert old.data_dir is not None
        shutil.rmtree(closed.home)
        try:
            assert ask(cluster.ensure_running(closed), "SELECT to_regclass('gone') IS NULL") is True
            assert not (old.data_dir / "postmaster.pid").exists()
            assert (old.data_dir / "PG_VERSION").exists(), "data are never deleted"
        finally:
            shutil.rmtree(old.data_dir.parent)

    def test_a_pointer_that_root_did_not_write_is_not_followed(self, owned: Settings) -> None:
        owned.home.mkdir()
        pointer = owned.home / "cluster.path"
        pointer.write_text(f"{STATE_DIR}/bait\n")
        os.chown(pointer, pwd.getpwnam(RESIDENT).pw_uid, -1)
        cluster.ensure_running(owned)
        assert cluster.status(owned).data_dir == owned.home / "cluster" / "data"

    def test_in_a_users_home_the_server_runs_as_that_user(self, owned: Settings, as_user: AsUser, ask: Ask) -> None:
        owned.home.mkdir()
        os.chown(owned.home, pwd.getpwnam(RESIDENT).pw_uid, -1)
        url = cluster.ensure_running(owned)
        assert owner_of_server(owned) == RESIDENT
        assert cluster.stop(owned)
        assert as_user(RESIDENT, lambda: cluster.ensure_running(owned)) == url
        assert as_user(RESIDENT, lambda: ask(url, "SELECT 1")) == 1

    def test_data_that_root_took_over_are_refused_with_the_way_back(self, embedded: Settings) -> None:
        cluster.ensure_running(embedded)
        cluster.stop(embedded)
        base = embedded.home / "cluster"
        os.chown(base, 0, 0)
        with pytest.raises(DatabaseError, match=f"chown -R postgres '{base}'"):
            cluster.ensure_running(embedded)

    def test_folders_closed_later_are_named(self, embedded: Settings) -> None:
        cluster.ensure_running(embedded)
        cluster.stop(embedded)
        embedded.home.parent.chmod(0o700)
        with pytest.raises(DatabaseError, match=r"user postgres cannot enter .*cluster; open .*chmod o\+x"):
            cluster.ensure_running(embedded)

    def test_a_user_without_a_name_is_told_so(self) -> None:
        with pytest.raises(DatabaseError, match="user id 3999999 has no name"):
            account_of(3999999)


class TestOrdinaryUser:
    def test_makes_uses_and_stops_it(self, owned: Settings, as_user: AsUser, ask: Ask) -> None:
        url = str(as_user(RESIDENT, lambda: cluster.ensure_running(owned)))
        assert owner_of_server(owned) == RESIDENT
        assert as_user(RESIDENT, lambda: cluster.ensure_running(owned)) == url
        assert as_user(RESIDENT, lambda: ask(url, "SELECT PostGIS_Lib_Version() <> ''")) is True
        assert ask(url, "SELECT 1") == 1, "root may connect too"
        assert as_user(RESIDENT, lambda: cluster.stop(owned)) is True

    def test_is_refused_by_the_folders_of_another(self, running: Settings, as_user: AsUser) -> None:
        place = existing(running.home)
        assert place is not None

        def knock() -> None:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(place.base / "socket" / SOCKET))

        with pytest.raises(PermissionError):
            as_user(STRANGER, knock)

    def test_is_refused_by_the_server_too(self, embedded: Settings, as_user: AsUser, ask: Ask) -> None:
        url = cluster.ensure_running(embedded)
        base = embedded.home / "cluster"
        for path, mode in ((base, 0o755), (base / "socket", 0o755), (base / "socket" / SOCKET, 0o777)):
            path.chmod(mode)

        def knock() -> str:
            try:
                return f"came in: {ask(url, 'SELECT 1')}"
            except Exception as error:  # psycopg's do not travel through a pipe
                return str(error)

        assert 'Peer authentication failed for user "cim"' in str(as_user(STRANGER, knock))

    def test_cannot_take_over_anothers_home(self, running: Settings, as_user: AsUser) -> None:
        with pytest.raises(DatabaseError, match=f"belongs to postgres, you are {STRANGER}; run as postgres"):
            as_user(STRANGER, lambda: cluster.ensure_running(running))

    def test_needs_a_home_to_write(self, roomy: Path, as_user: AsUser) -> None:
        settings = Settings(home=roomy / "home")
        with pytest.raises(DatabaseError, match=f"cannot write {settings.home}: Permission denied; set CIM_HOME"):
            as_user(STRANGER, lambda: cluster.ensure_running(settings))

    def test_needs_a_home_to_enter(self, closed: Settings, as_user: AsUser) -> None:
        with pytest.raises(DatabaseError, match=f"cannot read {closed.home}: Permission denied; set CIM_HOME"):
            as_user(STRANGER, lambda: cluster.ensure_running(closed))


class TestItOutlivesItsStarter:
    SCRIPT = (
        "import sys; from pathlib import Path; from cim.db import cluster; from cim.settings import Settings;"
        "print(cluster.ensure_running(Settings(home=Path(sys.argv[1]))))"
    )

    def test_a_pipe_ends_with_the_starter_and_the_server_stays(self, embedded: Settings, ask: Ask) -> None:
        command = [sys.executable, "-c", self.SCRIPT, str(embedded.home)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ask(done.stdout.strip(), "SELECT 1") == 1
        assert done.stderr == ""

    def test_no_descriptor_of_the_starter_is_held(self, embedded: Settings) -> None:
        readable, writable = os.pipe()
        os.set_inheritable(writable, True)
        cluster.ensure_running(embedded)
        os.close(writable)
        with os.fdopen(readable, "rb") as pipe:
            assert pipe.read() == b"", "would wait for ever if the server held the other end"

    def test_it_is_a_session_of_its_own(self, running: Settings) -> None:
        pid = cluster.status(running).pid
        assert pid is not None
        assert os.getsid(pid) not in (os.getsid(0), 0)


class TestItCannotStart:
    @pytest.fixture
    def stopped(self, running: Settings) -> Iterator[Settings]:
        """The shared cluster, down, for a test to spoil and mend; it must start again afterwards."""
        cluster.stop(running)
        yield running
        cluster.ensure_running(running)

    @pytest.fixture
    def label(self, stopped: Settings) -> Iterator[Path]:
        """The file that tells which version made the data; put back afterwards, as its owner's."""
        path = stopped.home / "cluster" / "data" / "PG_VERSION"
        owner, text = path.stat(), path.read_text()
        yield path
        path.write_text(text)
        os.chown(path, owner.st_uid, owner.st_gid)

    def test_a_broken_setting_shows_what_the_server_says(self, stopped: Settings) -> None:
        conf = stopped.home / "cluster" / "data" / "postgresql.conf"
        good = conf.read_text()
        conf.write_text(f"{good}\nshared_buffers = plenty\n")
        with pytest.raises(DatabaseError, match=r'invalid value for parameter "shared_buffers": "plenty"') as caught:
            cluster.ensure_running(stopped)
        assert str(stopped.home / "cluster" / "server.log") in str(caught.value)
        conf.write_text(good)

    def test_open_permissions_show_what_the_server_says(self, stopped: Settings) -> None:
        data = stopped.home / "cluster" / "data"
        data.chmod(0o777)
        with pytest.raises(DatabaseError, match="has invalid permissions"):
            cluster.ensure_running(stopped)
        data.chmod(0o700)

    def test_a_home_that_is_a_file(self, roomy: Path) -> None:
        (roomy / "file").write_text("")
        with pytest.raises(DatabaseError, match=r"cannot write .*file: File exists; set CIM_HOME"):
            cluster.ensure_running(Settings(home=roomy / "file"))

    @pytest.mark.parametrize("version", ["", "fifteen\n"])
    def test_a_data_directory_that_is_none(self, stopped: Settings, label: Path, version: str) -> None:
        label.write_text(version)
        with pytest.raises(DatabaseError, match="is not a PostgreSQL data directory; restore it"):
            cluster.ensure_running(stopped)

    def test_a_data_directory_without_its_label(self, stopped: Settings, label: Path) -> None:
        label.unlink()
        with pytest.raises(DatabaseError, match="is not a PostgreSQL data directory; restore it"):
            cluster.ensure_running(stopped)

    def test_data_of_a_version_that_is_gone_name_its_package(self, stopped: Settings, label: Path) -> None:
        label.write_text("99\n")
        with pytest.raises(DatabaseError, match=r"made by PostgreSQL 99.*apt-get install postgresql-99-postgis-3$"):
            cluster.ensure_running(stopped)

    def test_without_postgis_nothing_is_made(self, embedded: Settings, without_postgis: Path) -> None:
        package = f"postgresql-{without_postgis.parent.name}-postgis-3"
        with pytest.raises(DatabaseError, match=f"apt-get install {package}$"):
            cluster.ensure_running(embedded, search=[without_postgis])
        assert not (embedded.home / "cluster" / "data").exists()

    def test_postgis_that_only_the_server_can_miss(self, embedded: Settings, without_postgis: Path) -> None:
        (without_postgis / "pg_config").rename(without_postgis / "hidden")  # as in a package without it
        try:
            with pytest.raises(DatabaseError, match=r"PostGIS is missing; .*apt-get install postgresql-\d+-postgis-3"):
                cluster.ensure_running(embedded, search=[without_postgis])
        finally:
            (without_postgis / "hidden").rename(without_postgis / "pg_config")
        assert list((embedded.home / "cluster").iterdir()) == []

    @pytest.fixture
    def tiny(self, root: None, roomy: Path) -> Iterator[Path]:
        """A file system of 20 MB; a new cluster takes 46."""
        (roomy / "tiny").mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=20m,mode=755", "tmpfs", str(roomy / "tiny")]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this machine lets nobody mount a file system")
        yield roomy / "tiny"
        subprocess.run(["umount", str(roomy / "tiny")], check=True)

    def test_a_full_disk(self, tiny: Path) -> None:
        with pytest.raises(DatabaseError, match="No space left on device"):
            cluster.ensure_running(Settings(home=tiny / "home"))
        assert list((tiny / "home" / "cluster").iterdir()) == []
