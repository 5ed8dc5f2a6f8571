"""The running server as the system shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cim.db.embedded import postmaster

# As a postmaster does: at the signal its pid file goes, and a moment later the process.
LINGERS = """
import signal, sys, time
from pathlib import Path
def end(*_):
    Path("postmaster.pid").unlink()
    time.sleep(0.5)
    sys.exit()
signal.signal(signal.SIGINT, end)
print("ready", flush=True)
signal.pause()
"""


def test_stop_waits_for_the_process_and_not_for_its_pid_file(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LINGERS], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        (tmp_path / "postmaster.pid").write_text(f"{server.pid}\n")
        assert postmaster.stop(tmp_path) is True
        assert not Path(f"/proc/{server.pid}/cwd").is_dir()
    assert postmaster.stop(tmp_path) is False
