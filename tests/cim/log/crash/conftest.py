"""A supervisor of system calls, and a disk that forgets what was not synced.

The kernel asks the supervisor about each writing system call of a forked process before it is made, whatever thread
makes it, so that one count goes over all threads; `strace --inject` counts each thread by itself.

Source
------
seccomp(2), seccomp_unotify(2); call numbers: asm/unistd_64.h and asm-generic/unistd.h of Linux.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import mmap
import os
import platform
import select
import signal
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

# What changes a file, a folder or a connection. Calls that only may, such as openat, are looked at closer.
_X86_64 = {
    "write": 1, "open": 2, "pwrite64": 18, "writev": 20, "msync": 26, "sendfile": 40, "sendto": 44, "sendmsg": 46,
    "fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85,
    "link": 86, "unlink": 87, "symlink": 88, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94,
    "mknod": 133, "sync": 162, "setxattr": 188, "fsetxattr": 190, "openat": 257, "mkdirat": 258, "mknodat": 259,
    "fchownat": 260, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268, "splice": 275,
    "sync_file_range": 277, "utimensat": 280, "fallocate": 285, "pwritev": 296, "syncfs": 306, "sendmmsg": 307,
    "renameat2": 316, "copy_file_range": 326, "pwritev2": 328, "io_uring_enter": 426, "openat2": 437, "fchmodat2": 452,
}  # fmt: skip
_AARCH64 = {
    "setxattr": 5, "fsetxattr": 7, "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37,
    "renameat": 38, "truncate": 45, "ftruncate": 46, "fallocate": 47, "fchmod": 52, "fchmodat": 53, "fchownat": 54,
    "fchown": 55, "openat": 56, "write": 64, "writev": 66, "pwrite64": 68, "pwritev": 70, "sendfile": 71, "splice": 76,
    "sync": 81, "fsync": 82, "fdatasync": 83, "sync_file_range": 84, "utimensat": 88, "sendto": 206, "sendmsg": 211,
    "msync": 227, "syncfs": 267, "sendmmsg": 269, "renameat2": 276, "copy_file_range": 285, "pwritev2": 287,
    "io_uring_enter": 426, "openat2": 437, "fchmodat2": 452,
}  # fmt: skip
# Machine: its audit number, its call numbers, that of seccomp.
_MACHINES = {"x86_64": (0xC000003E, _X86_64, 317), "aarch64": (0xC00000B7, _AARCH64, 277)}
_PIDFD_GETFD = 438
_NO_NEW_PRIVS, _SET_MODE_FILTER, _NEW_LISTENER = 38, 1, 8
_RECEIVE, _ANSWER, _CONTINUE = 0xC0502100, 0xC0182101, 1
_NOTICE = struct.Struct("=QIIiIQ6Q")  # id, thread, flags, number, machine, instruction pointer, arguments
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000

# Which argument is a descriptor, and which a path; of a rename, the new name.
_DESCRIPTOR = {"write", "pwrite64", "writev", "pwritev", "pwritev2", "fsync", "fdatasync", "ftruncate", "fchmod"}
_PATH = {"openat": 1, "mkdirat": 1, "unlinkat": 1, "renameat": 3, "renameat2": 3, "open": 0, "mkdir": 0, "unlink": 0,
         "rename": 1}  # fmt: skip
_FLAGS = {"openat": 2, "open": 1}
_MAKING = os.O_CREAT | os.O_TRUNC | os.O_TMPFILE & ~os.O_DIRECTORY  # with which a call to open changes something

LONGEST_PAUSE = 300
KILL = -1
Verdict = int
"""0 lets the call be made, KILL ends the process before it, another number is the error it fails with."""


@dataclass(frozen=True, slots=True)
class Call:
    """A system call about to be made: which, counted from 1, and the file it writes; None for a connection."""

    number: int
    name: str
    path: Path | None
    handle: str | None
    """Where the supervisor finds the open file."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended: killed, or with the error it raised, or neither."""

    killed: bool
    error: str | None
    calls: list[Call]


class Supervisor:
    """Runs functions in a forked process and decides on each of its writing system calls."""

    def __init__(self) -> None:
        self._machine, self._numbers, self._seccomp = _MACHINES[platform.machine()]
        self._names = {number: name for name, number in self._numbers.items()}
        self._libc = ctypes.CDLL(None, use_errno=True)

    def run(self, body: Callable[[], object], decide: Callable[[Call], Verdict] = lambda _: 0) -> Ending:
        """Run a function in a process of its own; `decide` is asked about each call before it is made."""
        told = mmap.mmap(-1, mmap.PAGESIZE)  # memory in common: to tell by a pipe would be a writing call
        child = os.fork()
        if child == 0:
            self._be_watched(body, told)
        listener = self._listener_of(child, told)
        try:
            calls = self._watch(child, listener, decide)
        finally:
            os.close(listener)
        _, status = os.waitpid(child, 0)
        error = told[8:].rstrip(b"\0").decode(errors="replace") or None
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return Ending(True, None, calls)
        assert (os.WEXITSTATUS(status) != 0) == (error is not None)
        return Ending(False, error, calls)

    def _be_watched(self, body: Callable[[], object], told: mmap.mmap) -> None:
        status = 1
        gc.disable()  # it would copy the memory that the two have in common
        try:
            told[:8] = struct.pack("=q", self._listen())
            body()
            status = 0
        except BaseException as error:
            text = f"{type(error).__name__}: {error}".encode()[: mmap.PAGESIZE - 8]
            told[8 : 8 + len(text)] = text
        finally:
            os._exit(status)

    def _listen(self) -> int:
        """Have the calls of this process reported from now on; return the descriptor they are reported at."""
        numbers = sorted(self._numbers.values())
        load, jump_if_equal, answer = 0x20, 0x15, 0x06
        program = [(load, 0, 0, 4), (jump_if_equal, 0, len(numbers) + 1, self._machine), (load, 0, 0, 0)]
        program += [(jump_if_equal, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
        program += [(answer, 0, 0, _ALLOW), (answer, 0, 0, _NOTIFY)]
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
        filters = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
        self._libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        return int(self._libc.syscall(self._seccomp, _SET_MODE_FILTER, _NEW_LISTENER, filters))

    def _listener_of(self, child: int, told: mmap.mmap) -> int:
        while not (there := struct.unpack("=q", told[:8])[0]):
            time.sleep(0.001)
        process = os.pidfd_open(child)
        try:
            found = int(self._libc.syscall(_PIDFD_GETFD, process, there, 0)) if there > 0 else -1
        finally:
            os.close(process)
        if found < 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise OSError(ctypes.get_errno(), "this kernel reports no system calls")
        return found

    def _watch(self, child: int, listener: int, decide: Callable[[Call], Verdict]) -> list[Call]:
        calls: list[Call] = []
        killed = False
        ready = select.poll()
        ready.register(listener, select.POLLIN)
        while events := ready.poll(LONGEST_PAUSE * 1000):
            if not events[0][1] & select.POLLIN:
                return calls
            notice, verdict = bytearray(_NOTICE.size), 0
            with suppress(FileNotFoundError):  # its thread has ended meanwhile
                fcntl.ioctl(listener, _RECEIVE, notice)
            if not killed and (call := self._read(len(calls) + 1, notice)):
                calls.append(call)
                verdict = decide(call)
            if verdict == KILL:
                os.kill(child, signal.SIGKILL)
                killed = True
            if killed:  # what its other threads still report is of a process that is going
                continue
            reply = struct.pack("=QqiI", _NOTICE.unpack(notice)[0], 0, -verdict, 0 if verdict else _CONTINUE)
            with suppress(FileNotFoundError):
                fcntl.ioctl(listener, _ANSWER, reply)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise TimeoutError(f"no writing call for {LONGEST_PAUSE} s after {calls[-1:]}")

    def _read(self, number: int, notice: bytearray) -> Call | None:
        """Return the call reported; None where it does not write."""
        _, thread, _, which, _, _, *arguments = _NOTICE.unpack(notice)
        name = self._names.get(which)
        if name is None:  # the notice is empty
            return None
        if name in _FLAGS and not arguments[_FLAGS[name]] & _MAKING:
            return None
        if name in _DESCRIPTOR:
            handle = f"/proc/{thread}/fd/{arguments[0]}"
            try:
                target = Path(handle).readlink()
            except FileNotFoundError:  # not open, or not any more
                return Call(number, name, None, None)
            return Call(number, name, target if target.is_absolute() else None, handle)
        if name in _PATH:
            return Call(number, name, _path_at(thread, arguments[_PATH[name]]), None)
        return Call(number, name, None, None)


def _path_at(process: int, address: int) -> Path:
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        text = memory.read(min(4096, mmap.PAGESIZE - address % mmap.PAGESIZE))
        if b"\0" not in text:
            text += memory.read(mmap.PAGESIZE)
    return Path(os.fsdecode(text.partition(b"\0")[0]))


class Disk:
    """What of a folder a power cut leaves: contents that were synced, under names whose folders were.

    A sync counts from when it is asked for. Every file seen is kept open, so that no two have one inode number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}  # by folder, the inode of each file in it; 0 for folders
        self._open: list[int] = []
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir():
                self._names[path] = _names_in(path)
            else:
                self._hold(str(path))
                self._contents[path.stat().st_ino] = path.read_bytes()

    def see(self, call: Call) -> Verdict:
        """Take note of a call, and let it be made."""
        if call.handle is None or call.path is None or not call.path.is_relative_to(self._folder):
            return 0
        found = Path(call.handle).stat()
        if call.name not in ("fsync", "fdatasync"):
            self._contents.pop(found.st_ino, None)
        elif stat.S_ISDIR(found.st_mode):
            self._names[call.path] = _names_in(call.path)
        else:
            self._hold(call.handle)
            self._contents[found.st_ino] = Path(call.handle).read_bytes()
        return 0

    def after_power_cut(self, *, names: bool) -> dict[str, bytes]:
        """Return the files that would be there, by path.

        Parameters
        ----------
        names : every name was written, though not what stands under it, as some file systems happen to do
        """
        if names:
            found = {path: path.stat().st_ino for path in self._folder.rglob("*") if path.is_file()}
        else:
            found = dict(self._durable(self._folder))
        return {str(path.relative_to(self._folder)): self._contents.get(inode, b"") for path, inode in found.items()}

    def _durable(self, folder: Path) -> Iterator[tuple[Path, int]]:
        for name, inode in self._names.get(folder, {}).items():
            if inode:
                yield folder / name, inode
            else:
                yield from self._durable(folder / name)

    def _hold(self, path: str) -> None:
        self._open.append(os.open(path, os.O_RDONLY))

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())


def _names_in(folder: Path) -> dict[str, int]:
    return {entry.name: 0 if entry.is_dir() else entry.inode() for entry in os.scandir(folder)}


@pytest.fixture(scope="session")
def supervisor(absent: Callable[[str], None]) -> Supervisor:
    """Skipped where the kernel cannot report system calls, which in CI is a failure."""
    if platform.machine() not in _MACHINES:
        absent(f"a table of the system calls of {platform.machine()}")
    found = Supervisor()
    try:
        refused = found.run(lambda: Path("/dev/null").write_bytes(b"x"), lambda _: errno.ENOSPC)
    except OSError as error:
        absent(f"a kernel that reports system calls ({error})")
    assert refused.error == "OSError: [Errno 28] No space left on device: '/dev/null'"
    return found


@pytest.fixture
def disk() -> Iterator[Callable[[Path], Disk]]:
    """Watch a folder's disk; of several, the last one."""
    made: list[Disk] = []

    def make(folder: Path) -> Disk:
        while made:
            made.pop().close()
        made.append(Disk(folder))
        return made[0]

    yield make
    for one in made:
        one.close()
