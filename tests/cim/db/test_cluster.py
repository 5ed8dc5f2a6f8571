"""The embedded cluster under what happens to it in life: real servers, real signals, real users."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from cim.db import cluster
from cim.db.embedded.place import Place, digest, existing
from cim.db.embedded.postmaster import SOCKET, SOCKET_PATH_BYTES
from cim.errors import DatabaseError
from cim.settings import Settings

Ask = Callable[[str, str], object]
Connect = Callable[[str], psycopg.Connection[tuple[object, ...]]]
Until = Callable[[Callable[[], object], str], None]
Kill = Callable[[Iterable[int]], None]

START = """
import sys
from pathlib import Path
from cim.db import cluster
from cim.settings import Settings
settings = Settings(home=Path(sys.argv[1]))
sys.stdin.readline()
print(cluster.ensure_running(settings, search=[Path(folder) for folder in sys.argv[2:]] or None))
"""


def starter(home: Path, *programs: Path) -> subprocess.Popen[str]:
    """A process that starts the cluster once it reads a line, or its input ends."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", START, home, *programs], stdin=pipe, stdout=pipe, text=True)


def programs_that_wait(installed: Path, folder: Path, gate: Path) -> Path:
    """An installation whose initdb, when it has made the first files, waits until a pipe was opened and closed."""
    folder.mkdir()
    for program in installed.iterdir():
        (folder / program.name).symlink_to(program)
    (folder / "initdb").unlink()
    (folder / "initdb").write_text(f'#!/bin/sh\n"{installed}/initdb" "$@" || exit\nread -r line <"{gate}"\nexit 0\n')
    (folder / "initdb").chmod(0o755)
    os.mkfifo(gate)
    gate.chmod(0o666)
    return folder


def place_of(settings: Settings) -> Place:
    place = existing(settings.home)
    assert place is not None
    return place


def processes(data: Path) -> dict[int, int]:
    """Processes of the server that work in a data directory, and the parent of each."""
    return parents("postgres", data)


def parents(program: str, folder: Path) -> dict[int, int]:
    """Processes of a program that work in a folder, and the parent of each."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and (process / "exe").readlink().name == program:
                found[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return found


def servers(data: Path) -> list[int]:
    """The postmasters among them: those whose parent is none of them."""
    found = processes(data)
    return [pid for pid, parent in found.items() if parent not in found]


@pytest.fixture
def kill(until: Until) -> Kill:
    """Kill processes and wait until they are gone."""

    def kill(pids: Iterable[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it ended with one that was killed before it
                os.kill(pid, signal.SIGKILL)
        until(lambda: not any((Path("/proc") / str(pid) / "cwd").is_dir() for pid in pids), "they did not end")

    return kill


class TestFirstStart:
    def test_the_database_has_postgis(self, running: Settings, ask: Ask) -> None:
        url = cluster.ensure_running(running)
        assert ask(url, "SELECT ST_Area(ST_MakeEnvelope(0, 0, 3, 4))") == 12.0
        assert ask(url, "SELECT current_database() || ' ' || current_user") == "cim cim"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("listen_addresses", ""),
            ("unix_socket_permissions", "0700"),
            ("server_encoding", "UTF8"),
            ("lc_collate", "C"),
            ("lc_ctype", "C.UTF-8"),
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
            ("data_checksums", "on"),
            ("jit", "off"),
            ("TimeZone", "UTC"),
            ("wal_level", "replica"),
        ],
    )
    def test_settings(self, running: Settings, name: str, value: str, ask: Ask) -> None:
        assert ask(cluster.ensure_running(running), f"SELECT current_setting('{name}')") == value

    def test_letters_of_other_scripts_have_case_and_sort_by_code_point(self, running: Settings, ask: Ask) -> None:
        url = cluster.ensure_running(running)
        assert ask(url, "SELECT upper('straßenbäume дом')") == "STRAßENBÄUME ДОМ"
        words = ask(url, "SELECT string_agg(w, '' ORDER BY w) FROM unnest(ARRAY['ä','b','B','市','城']) w")
        assert words == "Bbä城市"

    def test_memory_fits_the_machine(self, running: Settings, ask: Ask) -> None:
        shared = ask(cluster.ensure_running(running), "SELECT pg_size_bytes(current_setting('shared_buffers'))")
        assert isinstance(shared, int)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        assert 128 << 20 <= shared <= max(memory // 4, 128 << 20)

    def test_the_url_ignores_the_callers_libpq_variables(
        self, running: Settings, monkeypatch: pytest.MonkeyPatch, ask: Ask
    ) -> None:
        for name, value in {"PGPORT": "1", "PGHOST": "/nowhere", "PGUSER": "x", "PGDATABASE": "y"}.items():
            monkeypatch.setenv(name, value)
        assert ask(cluster.ensure_running(running), "SELECT current_database()") == "cim"

    def test_no_file_holds_a_password_and_trust_is_nowhere(self, running: Settings, ask: Ask) -> None:
        data = place_of(running).data
        rules = [line for line in (data / "pg_hba.conf").read_text().splitlines() if not line.startswith("#")]
        assert rules == ["local all cim peer map=cim"]
        url = cluster.ensure_running(running)
        assert ask(url, "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == 0

    def test_asked_again_it_answers_without_waiting_or_starting_anything(
        self, running: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, pid = cluster.ensure_running(running), cluster.status(running).pid
        monkeypatch.setattr(subprocess, "Popen", None)
        monkeypatch.setattr(psycopg, "connect", None)
        monkeypatch.setattr(time, "sleep", None)
        with (running.home / "cluster.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # somebody else is starting or stopping it
            assert cluster.ensure_running(running) == url
        assert cluster.status(running).pid == pid


class TestStatusAndStop:
    def test_nothing_there(self, embedded: Settings) -> None:
        assert cluster.status(embedded) == cluster.ClusterStatus(False, None, None, None, None)
        assert cluster.stop(embedded) is False
        assert not embedded.home.exists()

    def test_running_stopped_and_running_again_with_its_data(self, embedded: Settings, ask: Ask) -> None:
        url = cluster.ensure_running(embedded)
        seen = cluster.status(embedded)
        assert seen.running
        assert seen.data_dir is not None
        assert servers(seen.data_dir) == [seen.pid]
        assert seen.version == int(str(ask(url, "SHOW server_version_num"))) // 10000
        assert seen.socket_dir == Path(str(ask(url, "SHOW unix_socket_directories")).strip('"'))
        ask(url, "CREATE TABLE kept AS SELECT 1; SELECT 1")
        assert cluster.stop(embedded) is True
        after = cluster.status(embedded)
        assert after == cluster.ClusterStatus(False, None, seen.version, seen.data_dir, None)
        assert processes(seen.data_dir) == {}
        assert cluster.stop(embedded) is False
        assert ask(cluster.ensure_running(embedded), "SELECT count(*) FROM kept") == 1

    def test_it_stops_though_somebody_is_connected(self, embedded: Settings, connect: Connect) -> None:
        with connect(cluster.ensure_running(embedded)) as connection:
            assert cluster.stop(embedded) is True
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")


class TestAtTheSameMoment:
    def test_processes_end_in_one_server(self, embedded: Settings) -> None:
        starting = [starter(embedded.home) for _ in range(3)]
        for process in starting:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        urls = {process.communicate()[0] for process in starting}
        assert [process.returncode for process in starting] == [0, 0, 0]
        assert len(urls) == 1
        assert len(servers(place_of(embedded).data)) == 1

    def test_threads_end_in_one_server(self, embedded: Settings) -> None:
        together = threading.Barrier(12)

        def start() -> str:
            together.wait()
            return cluster.ensure_running(embedded)

        with ThreadPoolExecutor(12) as pool:
            urls = {future.result() for future in [pool.submit(start) for _ in range(12)]}
        assert len(urls) == 1
        assert len(servers(place_of(embedded).data)) == 1


class TestKilled:
    def test_all_of_the_server(self, embedded: Settings, ask: Ask, kill: Kill) -> None:
        url = cluster.ensure_running(embedded)
        ask(url, "CREATE TABLE kept AS SELECT 1; SELECT 1")
        data = place_of(embedded).data
        kill(processes(data))
        assert (data / "postmaster.pid").exists()
        assert not cluster.status(embedded).running
        assert ask(cluster.ensure_running(embedded), "SELECT count(*) FROM kept") == 1

    def test_the_postmaster_under_a_busy_child(
        self, embedded: Settings, ask: Ask, connect: Connect, until: Until, kill: Kill
    ) -> None:
        url = cluster.ensure_running(embedded)
        data = place_of(embedded).data
        busy = connect(url)
        child = busy.info.backend_pid
        working = threading.Thread(target=self._work, args=(busy,))
        working.start()
        try:
            working_on_it = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^DO' AND state = 'active'"
            until(lambda: ask(url, working_on_it), "it did not begin to work")
            kill(servers(data))
            assert ask(cluster.ensure_running(embedded), "SELECT 1") == 1
            assert child not in processes(data)
            assert len(servers(data)) == 1
        finally:
            if child in processes(data):
                os.kill(child, signal.SIGKILL)
            working.join()
            busy.close()

    @staticmethod
    def _work(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        with pytest.raises(psycopg.OperationalError):  # never idle, so it does not see its postmaster die
            connection.execute("DO 'BEGIN LOOP END LOOP; END'")

    def test_the_starting_process_half_way_through_initdb(
        self, embedded: Settings, installed: Path, roomy: Path, ask: Ask, until: Until
    ) -> None:
        base, gate = embedded.home / "cluster", roomy / "gate"
        programs = programs_that_wait(installed, roomy / "bin", gate)
        writers: list[int] = []

        def half_way() -> bool:
            with contextlib.suppress(OSError):  # ENXIO: nobody has come to the gate yet
                writers.append(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
            return bool(writers)

        with starter(embedded.home, programs) as starting:
            assert starting.stdin is not None
            starting.stdin.close()
            until(half_way, "initdb did not come half way")
            starting.kill()
        try:
            assert len(list(base.glob("data.new-*/base/1/PG_VERSION"))) == 1
            with (embedded.home / "cluster.lock").open() as lock, pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its initdb still works, so the lock is held
        finally:
            os.close(writers.pop())  # which opens the gate
        assert not place_of(embedded).data.exists()
        assert ask(cluster.ensure_running(embedded), "SELECT PostGIS_Lib_Version() <> ''") is True
        assert sorted(path.name for path in base.iterdir()) == ["data", "server.log", "socket"]

    @pytest.mark.parametrize("zombie", [False, True], ids=["another program", "zombie"])
    def test_its_number_lives_on(self, embedded: Settings, zombie: bool, ask: Ask, kill: Kill) -> None:
        cluster.ensure_running(embedded)
        place = place_of(embedded)
        kill(processes(place.data))
        sleeper = subprocess.Popen(["/bin/sleep", "infinity"], **place.account.arguments())
        for path in (place.data / "postmaster.pid", place.base / "socket" / f"{SOCKET}.lock"):
            _, _, rest = path.read_text().partition("\n")
            path.write_text(f"{sleeper.pid}\n{rest}")
        if zombie:
            sleeper.kill()
        try:
            assert ask(cluster.ensure_running(embedded), "SELECT 1") == 1
            assert zombie or sleeper.poll() is None, "the other program was killed"
        finally:
            sleeper.kill()
            sleeper.wait()


class TestPaths:
    @pytest.mark.parametrize("name", ["with a space", "城市信息模型", 'it\'s "$HOME" `x` \\ %s'])
    def test_any_name(self, roomy: Path, name: str, ask: Ask) -> None:
        settings = Settings(home=roomy / name)
        url = cluster.ensure_running(settings)
        assert ask(url, "SELECT current_setting('data_directory')") == str(roomy / name / "cluster" / "data")
        assert cluster.stop(settings)

    @pytest.mark.parametrize("name", ["x" * 120, "市" * 40, "comma,colon:"], ids=["long", "long in bytes", "list"])
    def test_a_socket_path_that_cannot_be_used_moves_the_socket(self, roomy: Path, name: str, ask: Ask) -> None:
        settings = Settings(home=roomy / name)
        assert ask(cluster.ensure_running(settings), "SELECT 1") == 1
        folder = cluster.status(settings).socket_dir
        assert folder is not None
        assert not folder.is_relative_to(settings.home)
        assert len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_BYTES
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == place_of(settings).account.uid
        cluster.stop(settings)
        assert not folder.exists()

    def test_a_socket_folder_that_somebody_prepared_is_not_used(self, roomy: Path, ask: Ask) -> None:
        settings = Settings(home=roomy / ("x" * 120))
        bait = Path("/tmp") / f"cim-{digest(settings.home / 'cluster' / 'data')}"
        bait.mkdir()
        bait.chmod(0o777)
        try:
            assert ask(cluster.ensure_running(settings), "SELECT 1") == 1
            assert cluster.status(settings).socket_dir != bait
            assert list(bait.iterdir()) == []
        finally:
            bait.rmdir()

    def test_a_socket_folder_that_was_cleared_away_is_made_anew(self, embedded: Settings, ask: Ask) -> None:
        cluster.ensure_running(embedded)
        folder = cluster.status(embedded).socket_dir
        assert folder is not None
        shutil.rmtree(folder)
        assert not cluster.status(embedded).running
        assert ask(cluster.ensure_running(embedded), "SELECT 1") == 1

    def test_a_home_that_was_deleted_is_made_anew(self, embedded: Settings, ask: Ask) -> None:
        ask(cluster.ensure_running(embedded), "CREATE TABLE gone AS SELECT 1; SELECT 1")
        old = cluster.status(embedded).pid
        assert old is not None
        shutil.rmtree(embedded.home)
        url = cluster.ensure_running(embedded)
        assert ask(url, "SELECT to_regclass('gone') IS NULL") is True
        os.kill(old, signal.SIGQUIT)  # a minute later it would have noticed by itself

    def test_a_line_break_is_refused(self, roomy: Path) -> None:
        with pytest.raises(DatabaseError, match="line break"):
            cluster.ensure_running(Settings(home=roomy / "a\nb"))
