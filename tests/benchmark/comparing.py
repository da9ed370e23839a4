# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparing packages: CPU against searching the same ones with 50 indicators, and memory for few and for many devices.

The packages are those of a simulated estate, with logs that make them as large as the ones that searching is measured with.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import typing as t
import zipfile
from pathlib import Path

import reading
from figures import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from simulator import estate

_SUBJECT = "Comparing"
_LARGE, _FULL_LARGE = 12, 400
_FEW, _MANY = 50, 200
# Runs in a process of its own: its own CPU and that of its workers, and its peak memory, are what is measured.
_TASK = """
import importlib, json, resource, sys
sys.path[:0] = json.loads(sys.argv[1])
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, open_door
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
task = importlib.import_module("ansible_collections.secops.defender.plugins.module_utils._tasks." + sys.argv[2]).TASK
class Quiet:
    live, launched_by = False, {}
    def __getattr__(self, name):
        return lambda *args, **kwargs: None
kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
before = [resource.getrusage(kind) for kind in kinds]
result = open_door(task, json.loads(sys.argv[3]), {}, None, Context(False, Quiet(), Secrets(), "here"))
after = [resource.getrusage(kind) for kind in kinds]
assert not result["failed"] and result["summary"]["packages"] == int(sys.argv[4]), result["msg"]
spent = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after))
try:
    # ru_maxrss counts what the parent had when this process was begun.
    peak = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
except OSError:
    peak = after[0].ru_maxrss
print(json.dumps([spent, peak, result["summary"].get("found", 0)]))
"""


def measure(work: Path, full: bool = False) -> list[Figure]:
    """full: 400 packages of 20 MiB."""
    work.mkdir(parents=True, exist_ok=True)
    number = _FULL_LARGE if full else _LARGE
    large = work / "large"
    reading.package_of_logs(work / "logs.zip")
    _folder(large, number, (work / "logs.zip").read_bytes())
    listed = work / "50.txt"
    listed.write_text("".join(f"{each}\n" for each in reading.indicators(50)), encoding="utf-8")
    compared, _memory, _items = _run("compare_evidence", {"path": str(large)}, number)
    searched, _memory, _items = _run("search_evidence", {"path": str(large), "indicators_file": str(listed)}, number)
    few, many = work / "few", work / "many"
    _folder(few, _FEW, b"")
    _folder(many, _MANY, b"")
    _spent, little, _items = _run("compare_evidence", {"path": str(few)}, _FEW)
    spent, much, items = _run("compare_evidence", {"path": str(many)}, _MANY)
    return [
        Figure(_SUBJECT, f"{number} packages of 20 MiB to searching them, CPU", compared / searched, "", most=1.5, promise=True),
        Figure(_SUBJECT, "CPU for a package of 20 MiB", compared / number, "s"),
        Figure(_SUBJECT, "CPU for a package without logs", spent / _MANY, "s"),
        Figure(_SUBJECT, f"rare items of {_MANY} devices without oddities", items),
        Figure(_SUBJECT, f"peak memory, {_MANY} devices", much / 1024, "MiB"),
        Figure(_SUBJECT, f"a device more, from {_FEW} to {_MANY}", (much - little) / (_MANY - _FEW), "KiB", most=100, promise=True),
    ]  # fmt: skip


def _folder(folder: Path, number: int, logs: bytes) -> None:
    """logs: a zip that each device's own entries are added to."""
    for index in range(number):
        device = estate.Device(index)
        home = folder / device.name
        home.mkdir(parents=True)
        buffer = io.BytesIO(logs)
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
            for path, data in device.files().items():
                archive.writestr(path, data)
        content = buffer.getvalue()
        (home / "a.zip").write_bytes(content)
        record = {
            "machine_id": f"{index:040x}",
            "computer_dns_name": device.name,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        (home / "a.json").write_text(json.dumps(record), encoding="utf-8")


def _run(task: str, args: t.Mapping[str, t.Any], packages: int) -> tuple[float, int, int]:
    """CPU seconds, peak memory in KiB, and the number of items."""
    command = [sys.executable, "-c", _TASK, json.dumps(sys.path), task, json.dumps(args), str(packages)]
    spent, peak, items = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return spent, peak, items
