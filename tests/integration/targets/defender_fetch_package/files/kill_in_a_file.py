# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command, and kill it and its children once a part of a package is on disk: kill_in_a_file.py EVIDENCE COMMAND…"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 60.0


def descendants(pid: int) -> list[int]:
    """Workers are in sessions of their own with some versions of ansible-core, so a group cannot be killed."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def main() -> None:
    evidence, command = Path(sys.argv[1]), sys.argv[2:]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    deadline = time.monotonic() + PATIENCE
    size = 0
    while size <= 200_000:
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("It ended before it could be killed.")
        size = sum(path.stat().st_size for path in evidence.glob("*/*.zip.part"))
        time.sleep(0.02)
    for pid in descendants(process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    json.dump({"size": size}, sys.stdout)


if __name__ == "__main__":
    main()
