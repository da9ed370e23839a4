# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole ansible-playbook at work, as a shell starts it, and the processes that belong to it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from trial import PATIENCE, Facts, Outcome, has_ended, options

# Of ours: what Ansible itself says when it is interrupted is its own.
_BROKE = re.compile(r"Traceback \(most recent call last\)(?s:.*)secops/defender")
_PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))


class Whole:
    """Starts at once. more: environment variables. how: keywords of the task, such as C(async). role: by the role instead."""

    def __init__(
        self,
        facts: Facts,
        names: list[str],
        dest: Path,
        more: dict[str, str] | None = None,
        how: dict[str, object] | None = None,
        role: bool = False,
    ) -> None:
        self._names = names
        self._dest = dest
        self._said = facts.work / f"{dest.name}.out"
        given = options(facts, names, dest)
        play: dict[str, object] = {"hosts": "localhost", "gather_facts": False}
        if role:
            play.update(hosts=names, roles=["secops.defender.collect_package"])
            play["vars"] = {f"collect_package_{name}": value for name, value in given.items() if name != "machines"}
        else:
            play["tasks"] = [{"secops.defender.defender_collect_package": given, **(how or {})}]
        playbook = facts.work / f"{dest.name}.yml"
        playbook.write_text(json.dumps([play]), encoding="utf-8")
        with open(self._said, "wb") as said:
            self._process = subprocess.Popen(
                [
                    _PLAYBOOK,
                    "-i",
                    ",".join(["localhost", "elsewhere", *names]),
                    "-c",
                    "local",
                    "-e",
                    f"ansible_python_interpreter={sys.executable}",
                    str(playbook),
                ],
                # What asynchronous tasks leave would otherwise stay in somebody's home.
                env={**os.environ, "ANSIBLE_ASYNC_DIR": str(facts.work / "async"), **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_as_from_a_shell,
            )

    @property
    def at_work(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def workers(self) -> list[int]:
        """The processes that it has started, and those that these have."""
        parents = dict(_processes())
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]

    def until_it_works(self) -> bool:
        """Waits for the first line of the custody log; whether it is still at work then."""
        while self.at_work and not (self._dest / "custody.jsonl").exists():
            time.sleep(0.002)
        return self.at_work

    def ended(self) -> Outcome:
        """Waits for its end, and no longer than for anything else in a trial."""
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            return Outcome(traceback=True, message=f"hung for {PATIENCE} seconds")
        said = self._said.read_text(encoding="utf-8", errors="replace")
        if _BROKE.search(said):
            print(said, file=sys.stderr)
            return Outcome(traceback=True, message=said)
        # Who had been carried to its end, asks again for what failed only.
        failed = tuple(name for name in self._names if not list((self._dest / name).glob("*.zip")))
        return Outcome(complete=status == 0, ended=has_ended(self._dest), failed=failed, message=said)


def _as_from_a_shell() -> None:
    """A campaign in the background ignores some signals, which its children would inherit."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _processes() -> list[tuple[int, int]]:
    """Each process and its parent."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path("/proc", entry, "stat").read_text(encoding="utf-8", errors="replace")
                state, parent = stat.rpartition(")")[2].split()[:2]
                if state != "Z":
                    found.append((int(entry), int(parent)))
    return found


def marked(mark: str) -> list[int]:
    """The processes that have this in their environment, whoever their parents are by now."""
    found = []
    for pid, _parent in _processes():
        with contextlib.suppress(OSError):
            if mark.encode() in Path("/proc", str(pid), "environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def alive(pids: list[int]) -> list[int]:
    running = {pid for pid, _parent in _processes()}
    return [pid for pid in pids if pid in running]
