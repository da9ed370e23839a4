# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command again and again, and kill it and all its children at a later moment each time; let the last run end.

usage: kill_and_resume.py SIMULATOR_JSON EVIDENCE CHECKER COMMAND…

Prints, as JSON, how each run ended, and what an independent look at the evidence said after each kill.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 90.0


class Tenant:
    def __init__(self, path: str) -> None:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        self._base = facts["api_url"] + "/_simulator/"
        context = ssl.create_default_context(cafile=facts["ca_path"])
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def calls(self, endpoint: str) -> int:
        with self._opener.open(self._base + "requests") as reply:
            return sum(call["endpoint"] == endpoint and call["status"] in (200, 201) for call in json.load(reply))


def moments(tenant: Tenant, evidence: Path) -> dict[str, Callable[[], bool]]:
    """When to kill, in the order in which they come; each is true once it has been reached."""

    def packages() -> int:
        return len(list(evidence.glob("*/*.zip")))

    def half() -> bool:
        return any(path.stat().st_size > 200_000 for path in evidence.glob("slow*/*.zip.part"))

    return {
        "while starting": lambda: tenant.calls("collect") >= 2,
        "while waiting": lambda: tenant.calls("collect") >= 8 and tenant.calls("machine_actions") >= 3,
        "at the first download": lambda: packages() >= 1,
        "between downloads": lambda: packages() >= 4,
        "in the middle of a file": half,
    }


def run_until(command: list[str], reached: Callable[[], bool]) -> tuple[bool, str]:
    """Whether it was killed, and what it said."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    deadline = time.monotonic() + PATIENCE
    killed = False
    try:
        while process.poll() is None and time.monotonic() < deadline:
            if reached():
                killed = process.poll() is None
                break
            time.sleep(0.02)
    finally:
        # Workers are in sessions of their own with some versions of ansible-core, so those are looked for, too.
        for pid in [process.pid, *descendants(process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    output, _nothing = process.communicate()
    return killed, output.decode(errors="replace")


def descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found: list[int] = []
    level = [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def look(checker: str, evidence: Path, *flags: str) -> dict[str, Any]:
    if not (evidence / "custody.jsonl").exists():
        return {"complaints": [], "packages": {}, "events": []}
    command = [sys.executable, checker, str(evidence), *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout) if done.stdout else {"complaints": ["the checker failed"], "packages": {}}


def main() -> None:
    simulator, folder, checker, *command = sys.argv[1:]
    evidence = Path(folder)
    tenant = Tenant(simulator)
    runs = []
    for name, reached in moments(tenant, evidence).items():
        killed, output = run_until(command, reached)
        looked = look(checker, evidence, "--unfinished")
        runs.append(
            {
                "moment": name,
                "killed": killed,
                "complaints": looked["complaints"],
                "packages": sorted(looked["packages"]),
                "parts": looked.get("parts"),
                "output": output,
            }
        )
    last = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    looked = look(checker, evidence)
    json.dump(
        {"runs": runs, "rc": last.returncode, "output": last.stdout.decode(errors="replace"), "end": looked},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
