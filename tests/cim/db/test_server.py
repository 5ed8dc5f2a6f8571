"""A server named by CIM_DATABASE_URL: spelled in any way, wrong, unreachable, unfit."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from cim.db import cluster
from cim.db.embedded.account import account_for
from cim.db.server import connectable, normalise
from cim.errors import DatabaseError
from cim.settings import Settings

Ask = Callable[[str, str], object]
Connect = Callable[[str], psycopg.Connection[tuple[object, ...]]]
PASSWORD = "Geh3im"


@pytest.fixture
def url(running: Settings) -> sa.URL:
    return sa.make_url(cluster.ensure_running(running))


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server of one connection; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                answer(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def as_postgresql_14(client: socket.socket) -> None:
    """Speak as much of PostgreSQL's protocol 3 as it takes to be connected to."""
    while True:
        length, code = struct.unpack("!ii", client.recv(8))
        client.recv(length - 8)
        if code == 196608:  # version 3.0; before it come requests for encryption, answered with no
            break
        client.sendall(b"N")
    version = b"server_version\x0014.11\x00"
    client.sendall(
        b"R" + struct.pack("!ii", 8, 0) + b"S" + struct.pack("!i", 4 + len(version)) + version + b"Z\0\0\0\x05I"
    )
    while client.recv(1024):
        pass


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_every_spelling_becomes_psycopg(scheme: str) -> None:
    parsed = normalise(f"{scheme}://u:p%40ss@h:1/d?sslmode=require")
    assert parsed.render_as_string(hide_password=False) == "postgresql+psycopg://u:p%40ss@h:1/d?sslmode=require"


@pytest.mark.parametrize("text", ["", "db", "/var/db", f"{PASSWORD}@h", f"postgresql://u:{PASSWORD}@h:port/d"])
def test_what_is_no_url_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(DatabaseError, match="is not a database URL; expected postgresql://") as caught:
        connectable(text)
    assert PASSWORD not in str(caught.value)


def test_a_password_with_an_unescaped_at_sign_is_refused_without_showing_its_rest() -> None:
    with pytest.raises(DatabaseError, match="write %40") as caught:
        connectable(f"postgresql://u:p@{PASSWORD}/x@h:5432/d")
    assert PASSWORD not in str(caught.value)


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(DatabaseError, match="names a 'mysql' database; expected PostgreSQL"):
        connectable(f"mysql://u:{PASSWORD}@h/d")


def test_a_server_that_is_fit_is_used_and_no_cluster_is_made(url: sa.URL, tmp_path: Path, ask: Ask) -> None:
    spelled = url.set(drivername="postgres").render_as_string()
    settings = Settings(home=tmp_path / "home", database_url=spelled)
    assert ask(cluster.ensure_running(settings), "SELECT PostGIS_Lib_Version() <> ''") is True
    assert not settings.home.exists()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = rf"database 'd' on 127\.0\.0\.1:{port}: .*Connection refused.*; check CIM_DATABASE_URL$"
    with pytest.raises(DatabaseError, match=text) as caught:
        connectable(f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/d")
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_socket(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=f"database 'd' on {tmp_path}: .*No such file"):
        connectable(f"postgresql:///d?host={tmp_path}&password={PASSWORD}")


def test_a_server_that_never_answers_is_given_up_after_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def connect(**arguments: Any) -> psycopg.Connection[Any]:
        told.append(arguments["connect_timeout"])
        return psycopg.Connection.connect(**arguments)

    monkeypatch.setattr(psycopg, "connect", connect)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system connects; nobody reads
        port = silent.getsockname()[1]
        with pytest.raises(DatabaseError, match="timeout"):
            connectable(f"postgresql://u@127.0.0.1:{port}/d")
    assert told == [5]


def test_no_such_database(url: sa.URL) -> None:
    with pytest.raises(DatabaseError, match=r"database 'nowhere' on .*does not exist; check CIM_DATABASE_URL"):
        connectable(url.set(database="nowhere").render_as_string())


def test_no_such_role(url: sa.URL) -> None:
    with pytest.raises(DatabaseError, match=r'no pg_hba\.conf entry for host .*user "nobody_here"'):
        connectable(url.set(username="nobody_here").render_as_string())


def test_too_old() -> None:
    with (
        listener(as_postgresql_14) as port,
        pytest.raises(DatabaseError, match=rf"127\.0\.0\.1:{port} runs PostgreSQL 14; 15 or newer is needed"),
    ):
        connectable(
            f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/d?sslmode=disable&gssencmode=disable&connect_timeout=300"
        )


class TestPostgis:
    @pytest.fixture
    def empty(self, url: sa.URL, connect: Connect) -> Iterator[sa.URL]:
        """A database of a server with PostGIS that has not created the extension."""
        text = url.render_as_string()
        with connect(text) as connection:
            connection.execute("CREATE DATABASE empty TEMPLATE template0")
            connection.execute("CREATE ROLE plain")
        yield url.set(database="empty")
        with connect(text) as connection:
            connection.execute("DROP DATABASE empty WITH (FORCE)")
            connection.execute("DROP ROLE plain")

    def test_it_is_created_where_it_is_available(self, empty: sa.URL, ask: Ask) -> None:
        assert ask(connectable(empty.render_as_string()), "SELECT PostGIS_Lib_Version() <> ''") is True

    def test_a_user_who_may_not_create_it_is_told_who_may(self, empty: sa.URL) -> None:
        plain = empty.update_query_dict({"options": "-c role=plain"})
        with pytest.raises(DatabaseError, match=r"'empty' .*may not create it; .*CREATE EXTENSION postgis$"):
            connectable(plain.render_as_string())

    def test_one_that_is_too_old_is_refused(self, empty: sa.URL, connect: Connect) -> None:
        connectable(empty.render_as_string())
        with connect(empty.render_as_string()) as connection:
            connection.execute("UPDATE pg_extension SET extversion = '3.1.9' WHERE extname = 'postgis'")
        with pytest.raises(DatabaseError, match=r"has PostGIS 3\.1\.9, 3\.3 or newer is needed"):
            connectable(empty.render_as_string())

    @pytest.fixture
    def bare(self, without_postgis: Path, roomy: Path) -> Iterator[str]:
        """A running server of an installation without PostGIS."""
        account = account_for(Path("/"))
        os.chown(roomy, account.uid, account.gid)

        def run(name: str, *arguments: str) -> None:
            command = [str(without_postgis / name), "-D", "data", *arguments]
            subprocess.run(command, cwd=roomy, check=True, stdout=subprocess.DEVNULL, stderr=2, **account.arguments())

        run("initdb", "--auth=trust", "--username=cim", "--no-sync", "--encoding=UTF8", "--locale=C")
        run(
            "pg_ctl",
            "start",
            "-w",
            "-l",
            "log",
            "-o",
            f"-c listen_addresses= -c unix_socket_directories={roomy}",
        )
        yield f"postgresql://cim@/postgres?host={roomy}"
        run("pg_ctl", "stop", "-m", "fast")

    def test_a_server_without_it_names_the_package(self, bare: str, without_postgis: Path) -> None:
        package = f"postgresql-{without_postgis.parent.name}-postgis-3"
        with pytest.raises(DatabaseError, match=f"has no PostGIS; .*apt-get install {package}$"):
            connectable(bare)
