# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Searching packages: MiB a second and core with 5, 50 and 5,000 indicators, against C(unzip -p | grep -F -i -f).

The ratios leave base64 out on both sides; the figure with it stands beside. C(grep) looks for UTF-8 alone, and for no borders.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import resource
import shutil
import subprocess
import sys
import time
import typing as t
import zipfile
from pathlib import Path

from figures import MIB, Figure

_SUBJECT = "Searching"
_LINES = 330_000
_MANY, _FULL_MANY = 24, 400
# Runs in a process of its own: what it costs is what is measured.
_PROGRAM = """
import io, json, resource, sys
sys.path[:0] = json.loads(sys.argv[1])
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import Limits, Meter
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching import indicators, plan, scan
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
given = [each for line in open(sys.argv[3]) for each in indicators.told(line.strip())]
options = json.loads(sys.argv[4])
made = plan.make(given, **options)
before = resource.getrusage(resource.RUSAGE_SELF)
with open(sys.argv[2], "rb") as file:
    found = scan.search(file, Meter(Limits(), Clock()), {True: made, False: made}, scan.Scope())
after = resource.getrusage(resource.RUSAGE_SELF)
try:
    # ru_maxrss counts what the parent had when this process was begun.
    peak = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
except OSError:
    peak = after.ru_maxrss
print(json.dumps([after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak, sum(found.counts.values())]))
"""


def measure(work: Path, full: bool = False) -> tuple[list[Figure], list[str]]:
    """The figures, and what had to be left out. full: 400 packages."""
    work.mkdir(parents=True, exist_ok=True)
    package = work / "package.zip"
    size = package_of_logs(package)
    figures: list[Figure] = []
    skipped: list[str] = []
    together = _has_package()
    costs: dict[int, float] = {}
    for number in (5, 50, 5000):
        listed = work / f"{number}.txt"
        listed.write_text("".join(f"{each}\n" for each in indicators(number)), encoding="utf-8")
        if together:
            costs[number], _memory = _search(package, listed, base64=False)
            figures.append(_speed(f"{number} indicators", size, costs[number]))
    if not together:
        skipped.append("searching with ahocorasick-rs, which is not installed")
    reference = _grep(package, work / "50.txt")
    if reference is None:
        skipped.append("the comparison with unzip and grep, which are not here")
    else:
        figures += _ratios(package, work, reference, costs)
    if together:
        figures.append(
            Figure(_SUBJECT, "5,000 indicators to 50, CPU", costs[5000] / costs[50], "", most=3, promise=True)
        )
        cost, memory = _search(package, work / "50.txt", base64=True)
        figures.append(_speed("50 indicators and their base64", size, cost))
        figures.append(Figure(_SUBJECT, "peak memory", memory / 1024, "MiB", most=150, promise=True))
    figures += _folder(work / "folder", package, _FULL_MANY if full else _MANY)
    return figures, skipped


def _ratios(package: Path, work: Path, reference: float, costs: t.Mapping[int, float]) -> list[Figure]:
    figures = []
    five = _grep(package, work / "5.txt") or reference
    if costs:
        figures.append(Figure(_SUBJECT, "5 indicators to unzip | grep, CPU", costs[5] / five))
        figures.append(
            Figure(_SUBJECT, "50 indicators to unzip | grep, CPU", costs[50] / reference, "", most=2, promise=True)
        )
    cost, _memory = _search(package, work / "50.txt", base64=False, together=False)
    figures.append(Figure(_SUBJECT, "the same without ahocorasick-rs", cost / reference, "", most=12, promise=True))
    return figures


def _has_package() -> bool:
    return (
        subprocess.run([sys.executable, "-c", "import ahocorasick_rs"], check=False, capture_output=True).returncode
        == 0
    )


def _speed(what: str, size: int, cost: float) -> Figure:
    return Figure(_SUBJECT, f"{what}, a core", size / MIB / cost, "MiB/s")


def package_of_logs(path: Path) -> int:
    """Twenty MiB that unpack to 54: logs as in real packages, a quarter of them in UTF-16."""
    chance = random.Random(4711)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 10))) for _number in range(5000)]
    text = io.StringIO()
    for number in range(_LINES):
        text.write(
            f"2026-11-23T{number % 24:02}:{number % 60:02}:12.{number % 1000:03}Z TCP 10.0.{number % 256}.{chance.randrange(256)}:"
        )
        text.write(
            f"{chance.randrange(65536)} C:\\Windows\\{chance.choice(words)}\\{chance.choice(words)}.exe {chance.getrandbits(128):032x} "
        )
        text.write(f"{chance.choice(words)} {chance.choice(words)}\r\n")
    data = text.getvalue()
    half = len(data) // 3
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("WdSupportLogs/MPLog-1.log", data[: 2 * half])
        archive.writestr("Network Connections/pfirewall.log", data[2 * half :].encode("utf-16"))
        return sum(entry.file_size for entry in archive.infolist())


def indicators(number: int) -> list[str]:
    chance = random.Random(number)
    made: t.Sequence[t.Callable[[], str]] = (
        lambda: f"203.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}",
        lambda: f"c2-{chance.getrandbits(40):x}.example",
        lambda: f"{chance.getrandbits(256):064x}",
        lambda: f"dropper{chance.getrandbits(32):x}.exe",
        lambda: f"https://cdn{chance.getrandbits(32):x}.example/stage{chance.randrange(9)}",
    )
    return [made[index % len(made)]() for index in range(number)]


def _search(package: Path, listed: Path, **options: bool) -> tuple[float, int]:
    """CPU seconds, the lower of two runs, and peak memory in KiB."""
    runs = []
    for _number in range(2):
        command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), str(package), str(listed), json.dumps(options)]
        cost, memory, found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        assert found == 0
        runs.append((cost, memory))
    return min(runs)


def _grep(package: Path, listed: Path) -> float | None:
    """CPU seconds, the lower of two runs."""
    if not shutil.which("unzip") or not shutil.which("grep"):
        return None
    return min(
        _children(f"unzip -p '{package}' | LC_ALL=C.UTF-8 grep -a -c -F -i -f '{listed}'") for _number in range(2)
    )


def _children(command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, shell=True, check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


_TASK = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, open_door
from ansible_collections.secops.defender.plugins.module_utils._tasks.search_evidence import TASK
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
class Quiet:
    live, launched_by = False, {}
    def __getattr__(self, name):
        return lambda *args, **kwargs: None
result = open_door(TASK, {"path": sys.argv[2], "indicators_file": sys.argv[3]}, {}, None, Context(False, Quiet(), Secrets(), "here"))
assert result["summary"]["packages"] == int(sys.argv[4]), result["msg"]
"""


def _folder(folder: Path, package: Path, number: int) -> list[Figure]:
    """The whole task on an evidence folder of many devices: hashing, records, processes."""
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    for index in range(number):
        device = folder / f"pc{index:03}"
        device.mkdir(parents=True)
        # The same bytes under many names; what is measured reads each of them.
        (device / "a.zip").hardlink_to(package)
        record = {"machine_id": f"{index:040x}", "computer_dns_name": device.name, "sha256": digest}
        (device / "a.json").write_text(json.dumps(record), encoding="utf-8")
    command = [
        sys.executable,
        "-c",
        _TASK,
        json.dumps(sys.path),
        str(folder),
        str(folder.parent / "50.txt"),
        str(number),
    ]
    begun = time.monotonic()
    subprocess.run(command, check=True)
    spent = time.monotonic() - begun
    note = "projected for 400 packages on this machine" if number != _FULL_MANY else ""
    return [Figure(_SUBJECT, f"{number} packages of 20 MiB, 50 indicators", spent, "s"),
            Figure(_SUBJECT, "400 packages", spent * _FULL_MANY / number / 60, "min", note=note)]  # fmt: skip
