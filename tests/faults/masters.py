# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The master of a task dies, and nothing else: what works for it has to end within seconds, to say so, and to lose nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from account import Trial, complete, devices_of, running_simulator, total, write_fleet
from trial import Facts, Outcome
from whole import Whole, marked

# Seconds within which the last process has to be gone.
LONGEST = 5.0
# A collection takes longer than that, so nobody ends because its work is done. Seconds.
WORK = (8.0, 8.0)
LIMIT = 3


@dataclass
class Death(Trial):
    """how: keywords of the task. strike: what dies, by the mark that all of a run's processes have. says: in its log at the end."""

    devices: int = 1
    how: dict[str, object] = field(default_factory=dict)
    role: bool = False
    strike: Callable[[Whole, str], None] = lambda run, mark: os.kill(run.pid, signal.SIGKILL)
    says: bool = True
    longest: float = LONGEST
    seconds: float = 0.0
    last: str = ""

    @property
    def clean(self) -> bool:
        return super().clean and self.seconds <= self.longest and ("run_aborted" in self.last or not self.says)

    def __str__(self) -> str:
        return f"{super().__str__()}, gone after {self.seconds:.1f} s, the log ends with {self.last[:300] or 'nothing'}"


def _wrappers(run: Whole, mark: str) -> None:
    _kill(marked(mark), b"async_wrapper")


def _readers(run: Whole, mark: str) -> None:
    """All of ansible-playbook: what is left has nobody who reads what it says."""
    _kill(marked(mark), b"ansible-playbook")


def _kill(pids: list[int], called: bytes) -> None:
    """Those of them whose command line has this word; one may have ended meanwhile."""
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if called in Path("/proc", str(pid), "cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _time_limit(run: Whole, mark: str) -> None:
    """Who keeps the limit strikes, and nobody is asked: the next run finds one that was killed."""
    time.sleep(LIMIT)


def deaths() -> Iterator[Death]:
    yield Death("ansible-playbook alone")
    yield Death("ansible-playbook alone, of the role", role=True)
    yield Death("ansible-playbook alone, of a delegated module", how={"delegate_to": "elsewhere"})
    yield Death("whoever reads a delegated module's output", how={"delegate_to": "elsewhere"}, strike=_readers)
    yield Death("the wrapper of an asynchronous module", how={"async": 60, "poll": 0}, strike=_wrappers)
    yield Death(
        "an asynchronous module by its time limit",
        how={"async": LIMIT, "poll": 1},
        strike=_time_limit,
        says=False,
        # ansible-core's wrapper looks every five seconds.
        longest=2 * LONGEST,
    )


def _play(facts: Facts, death: Death, names: list[str], dest: Path) -> None:
    mark = f"SECOPS_FAULTS={dest}"
    run = Whole(facts, names, dest, dict([mark.split("=", 1)]), death.how, death.role)
    _until_it_waits(run, mark, dest)
    death.strike(run, mark)
    began = time.monotonic()
    while marked(mark) and time.monotonic() - began < 2 * death.longest:
        time.sleep(0.05)
    death.seconds = time.monotonic() - began
    _kill(marked(mark), b"")
    death.tracebacks += run.ended().traceback
    death.last = (dest / "custody.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    # Whatever ansible-playbook said: who goes on after it has started an asynchronous module knows nothing of its end.
    complete(facts, names, dest, death, Outcome())


def _until_it_waits(run: Whole, mark: str, dest: Path) -> None:
    """Until the service has taken the request. A run that has ended before had nothing to say."""
    log = dest / "custody.jsonl"
    for _try in range(600):
        if log.exists() and "action_id" in log.read_text(encoding="utf-8"):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{dest}: nothing was started; see {dest}.out")


def campaign(full: bool, only: str, work: Path) -> bool:
    """Prints the account; whether every trial was clean."""
    began = time.monotonic()
    wanted = [death for death in deaths() if only in death.name]
    write_fleet(work / "fleet.yml", len(wanted), ("fine",), WORK)
    with running_simulator(work) as facts:
        for number, death in enumerate(wanted):
            dest = work / f"evidence-{number}"
            _play(facts, death, devices_of(number, 1), dest)
            shutil.rmtree(dest, ignore_errors=True)
            print(
                f"  {death}" if not death.clean or only else f"  {death.name}: gone after {death.seconds:.1f} s",
                flush=True,
            )
    print(f"{len(wanted)} masters lost in {time.monotonic() - began:.0f} s: {total(list(wanted))}")
    return all(death.clean for death in wanted)
