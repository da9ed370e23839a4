# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole ansible-playbooks, killed at random moments of their work: with all that is in their group, alone, or their worker alone.

The next run begins at once, beside what may be left of the killed one.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from account import Trial, complete, devices_of, running_simulator, total, write_fleet
from trial import Facts
from whole import Whole, alive

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
WHAT = ("group", "parent", "worker")
# Seconds after the death of ansible-playbook within which the last of its processes has to be gone, on a busy machine.
LONGEST_AFTERLIFE = 8.0
# A run may have ended before its moment came: then another one is tried.
ATTEMPTS = 5


@dataclass
class Kill(Trial):
    signal: signal.Signals = signal.SIGKILL
    what: str = "group"
    # Seconds that something of it was still there; what does not end at all is an outlived one.
    afterlife: float = 0.0
    outlived: int = 0

    @property
    def clean(self) -> bool:
        return super().clean and not self.outlived

    def __str__(self) -> str:
        return f"{super().__str__()}, outlived {self.outlived} ({self.afterlife:.1f} s)"


def _strike(kill: Kill, run: Whole) -> list[int]:
    """Sends the signal; the processes that have to be gone now."""
    workers = run.workers()
    if kill.what == "worker":
        # The master goes on to its end by itself.
        for pid in workers:
            os.kill(pid, kill.signal)
        return []
    (os.killpg if kill.what == "group" else os.kill)(run.pid, kill.signal)
    return workers


def _watch(pids: list[int]) -> int:
    """A process that tells by its exit status, in tenths of a second, when the last of the others was gone."""
    watcher = os.fork()
    if watcher == 0:
        began = time.monotonic()
        while alive(pids) and time.monotonic() - began < LONGEST_AFTERLIFE:
            time.sleep(0.05)
        os._exit(min(250, round(10 * (time.monotonic() - began))))
    return watcher


def _play(facts: Facts, kill: Kill, names: list[str], dest: Path, moment: float) -> bool:
    """Whether the signal met a run at work."""
    run = Whole(facts, names, dest)
    hit = run.until_it_works()
    time.sleep(moment if hit else 0)
    hit = hit and run.at_work and bool(run.workers())
    if not hit:
        run.ended()
        return False
    left = _strike(kill, run)
    outcome = run.ended()
    kill.tracebacks += outcome.traceback
    watcher = _watch(left)
    complete(facts, names, dest, kill, outcome)
    kill.afterlife = os.waitstatus_to_exitcode(os.waitpid(watcher, 0)[1]) / 10
    stayed = alive(left)
    kill.outlived = len(stayed)
    for pid in stayed:
        os.kill(pid, signal.SIGKILL)
    return True


def _table(kills: list[Kill]) -> None:
    print(f"  {'signal':8} {'to':7} kills  lost  started twice  wrong  tracebacks  outlived  longest afterlife")
    for number in SIGNALS:
        for what in WHAT:
            some = [kill for kill in kills if (kill.signal, kill.what) == (number, what)]
            if some:
                figures = [
                    sum(getattr(kill, name) for kill in some)
                    for name in ("lost", "twice", "wrong", "tracebacks", "outlived")
                ]
                print(
                    "  {:8} {:7} {:5} {:5} {:14} {:6} {:11} {:9} {:17.1f} s".format(
                        number.name, what, len(some), *figures, max(kill.afterlife for kill in some)
                    )
                )


def campaign(full: bool, only: str, work: Path) -> bool:
    """Prints the account; whether every trial was clean."""
    began = time.monotonic()
    count = 200 if full else 4
    # In the short form each signal once; in the full one each with each, in turn.
    pairs = (
        [(number, what) for what in WHAT for number in SIGNALS]
        if full
        else zip(SIGNALS, (*WHAT, "parent"), strict=True)
    )
    kinds = [Kill(f"{number.name} to the {what}", signal=number, what=what) for number, what in pairs]
    wanted = [replace(kinds[at % len(kinds)]) for at in range(count)]
    write_fleet(work / "fleet.yml", 2 + ATTEMPTS * count)
    chance = random.Random()
    done: list[Kill] = []
    with running_simulator(work) as facts:
        span = _span(facts, work)
        number = 1
        for kill in wanted:
            if only not in kill.name:
                continue
            for _attempt in range(ATTEMPTS):
                number += 1
                moment = chance.uniform(0, span)
                dest = work / f"evidence-{number}"
                hit = _play(facts, kill, devices_of(number), dest, moment)
                shutil.rmtree(dest, ignore_errors=True)
                if hit:
                    done.append(kill)
                    break
            if not kill.clean:
                print(f"  {kill}, {moment:.2f} s after its first line", flush=True)
    _table(done)
    print(
        f"{len(done)} ansible-playbooks killed in {time.monotonic() - began:.0f} s: {total(list(done))} "
        f"{sum(kill.outlived for kill in done)} processes outlived them."
    )
    return all(kill.clean for kill in done) and (bool(only) or len(done) >= 0.9 * count)


def _span(facts: Facts, work: Path) -> float:
    """Seconds from the first line to the end of a run that nobody disturbs; the first one of all is slower."""
    span = 0.0
    for number in range(2):
        run = Whole(facts, devices_of(number), work / f"undisturbed-{number}")
        run.until_it_works()
        began = time.monotonic()
        outcome = run.ended()
        if not outcome.complete:
            print(f"The run without a fault did not end well: {outcome.message}", file=sys.stderr)
        span = time.monotonic() - began
    return span
