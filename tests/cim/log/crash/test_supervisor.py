"""What the supervisor of the crash tests sees: every way in which a process can change a file or a folder, no other."""

from __future__ import annotations

import mmap
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest


def _mapped(file: int) -> None:
    with mmap.mmap(file, 1) as mapped:
        mapped[0] = 65
        mapped.flush()


def _sent(file: int) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.send(b"x")
        one.sendmsg([b"x"])


# In a folder with the file `a` of one byte, which is open as well.
WAYS: dict[str, tuple[Callable[[int], object], set[str]]] = {
    "write": (lambda file: os.write(file, b"x"), {"write"}),
    "write at": (lambda file: os.pwrite(file, b"x", 0), {"pwrite64"}),
    "write parts": (lambda file: os.writev(file, [b"x"]), {"writev"}),
    "write parts at": (lambda file: os.pwritev(file, [b"x"], 0), {"pwritev", "pwritev2"}),
    "map": (_mapped, {"msync"}),
    "new file": (lambda _: os.open("b", os.O_CREAT | os.O_WRONLY), {"open", "openat"}),
    "emptied file": (lambda _: os.open("a", os.O_TRUNC | os.O_WRONLY), {"open", "openat"}),
    "file without a name": (lambda _: os.open(".", os.O_TMPFILE | os.O_WRONLY), {"open", "openat"}),
    "length": (lambda _: os.truncate("a", 0), {"truncate"}),
    "length of the open one": (lambda file: os.ftruncate(file, 0), {"ftruncate"}),
    "space": (lambda file: os.posix_fallocate(file, 0, 4096), {"fallocate"}),
    "copy": (lambda file: os.copy_file_range(file, file, 1, 0, 1), {"copy_file_range"}),
    "send": (lambda file: os.sendfile(file, file, 0, 1), {"sendfile"}),
    "splice": (lambda file: os.splice(os.pipe()[0], file, 0), {"splice"}),
    "sync": (os.fsync, {"fsync"}),
    "sync of the content": (os.fdatasync, {"fdatasync"}),
    "sync of all": (lambda _: os.sync(), {"sync"}),
    "rename": (lambda _: Path("a").rename("b"), {"rename", "renameat", "renameat2"}),
    "link": (lambda _: os.link("a", "b"), {"link", "linkat"}),
    "symbolic link": (lambda _: Path("b").symlink_to("a"), {"symlink", "symlinkat"}),
    "remove": (lambda _: Path("a").unlink(), {"unlink", "unlinkat"}),
    "folder": (lambda _: Path("b").mkdir(), {"mkdir", "mkdirat"}),
    "remove a folder": (lambda _: Path("folder").rmdir(), {"rmdir", "unlinkat"}),
    "device": (lambda _: os.mkfifo("b"), {"mknod", "mknodat"}),
    "rights": (lambda _: Path("a").chmod(0o600), {"chmod", "fchmodat", "fchmodat2"}),
    "rights of the open one": (lambda file: os.fchmod(file, 0o600), {"fchmod"}),
    "owner": (lambda _: os.chown("a", -1, -1), {"chown", "fchownat"}),
    "owner of the open one": (lambda file: os.fchown(file, -1, -1), {"fchown"}),
    "time": (lambda _: os.utime("a"), {"utimensat"}),
    "attribute": (lambda _: os.setxattr("a", "user.x", b"x"), {"setxattr"}),
    "socket": (_sent, {"sendto", "sendmsg"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_is_seen(way: str, supervisor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, names = WAYS[way]
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    file = os.open("a", os.O_RDWR)
    try:
        with suppress(OSError):  # what this file system does not know was asked for nevertheless
            seen = supervisor.run(lambda: change(file), lambda _: 0)
    finally:
        os.close(file)
    assert {call.name for call in seen.calls} & names


def test_reading_is_not(supervisor: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")

    def read() -> None:
        assert (tmp_path / "a").read_bytes() == b"x"
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert shutil.disk_usage(tmp_path).total > 0

    assert supervisor.run(read, lambda _: 0).calls == []
