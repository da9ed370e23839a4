# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults from inside: a run is killed at one of its own steps, or meets one bad answer, a full disk, a clock that steps."""

from __future__ import annotations

import functools
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import breakage
from account import Trial, complete, devices_of, running_simulator, total, write_fleet
from breakage import Break, KillAt
from trial import collect, control, forked

SERVICE_FAULTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("reset", {}),
    ("reset_after", {}),
    ("truncate", {}),
    ("drip", {"seconds": 0.5}),
    ("hang", {"seconds": 3.0}),
    ("garbage", {}),
    ("wrong_shape", {}),
    ("unauthorized", {}),
    ("unknown_status", {"word": "Paused"}),
    ("status", {"status": 429, "code": "429", "retry_after": 1}),
    ("status", {"status": 429, "code": "429"}),
    ("status", {"status": 500, "code": "InternalServerError"}),
    ("status", {"status": 502}),
    ("status", {"status": 503}),
    ("status", {"status": 504}),
    ("status_after", {"status": 504}),
)
ENDPOINTS = ("discovery", "token", "machines", "machine_actions", "collect", "package_link", "download")
WIRE_FAULTS = ("refused", "tls")


@dataclass
class Inside(Trial):
    breaks: Break | None = None
    service: dict[str, object] | None = None


def trials(full: bool, steps: int) -> Iterator[Inside]:
    """All faults; in the short form every kind, but only some moments and endpoints of each."""
    kills = 220 if full else 12
    for number in range(kills):
        step = 1 + round(number * (steps - 1) / (kills - 1))
        yield Inside(f"killed at step {step} of {steps}", breaks=KillAt(step))
    yield from _of_the_service(full)
    for kind in WIRE_FAULTS:
        for endpoint in ENDPOINTS if full else ("machine_actions", "download"):
            for after in (0, 3) if full else (1,):
                yield Inside(f"{endpoint}: {kind} after {after} calls", breaks=breakage.Wire(kind, endpoint, after))
    for call in range(1, 120, 6 if full else 40):
        yield Inside(f"disk full at the {call}th write", breaks=breakage.DiskFull(call))
    for jump in (-86400.0, -3600.0, 3600.0, 86400.0) if full else (-3600.0, 3600.0):
        yield Inside(f"clock stepped by {jump:g} s", breaks=breakage.ClockStep(jump))


def _of_the_service(full: bool) -> Iterator[Inside]:
    for index, (kind, args) in enumerate(SERVICE_FAULTS):
        for place, endpoint in enumerate(ENDPOINTS):
            if kind == "unknown_status" and endpoint not in ("machine_actions", "collect"):
                continue
            if full or (index + place) % len(ENDPOINTS) == 0:
                for after in (0, 2) if full else (0,):
                    fault = {"endpoint": endpoint, "kind": kind, "count": 1, "after": after, **args}
                    yield Inside(f"{endpoint}: {kind} {args or ''} after {after} calls", service=fault)


def campaign(full: bool, only: str, work: Path) -> bool:
    """Prints the account; whether every trial was clean."""
    began = time.monotonic()
    write_fleet(work / "fleet.yml", 1 + len(list(trials(full, 1000))))
    with running_simulator(work) as facts:
        counting = breakage.Count(work / "steps")
        outcome = forked(lambda: collect(facts, devices_of(0), work / "counting", counting))
        if not outcome.complete:
            print(f"The run without a fault did not end well: {outcome}", file=sys.stderr)
            return False
        steps = int((work / "steps").read_text(encoding="ascii"))
        done = []
        for number, trial in enumerate(trials(full, steps), 1):
            if only not in trial.name:
                continue
            names, dest = devices_of(number), work / f"evidence-{number}"
            if trial.service:
                control(facts, "faults", trial.service)
            outcome = forked(functools.partial(collect, facts, names, dest, trial.breaks))
            trial.tracebacks += outcome.traceback
            complete(facts, names, dest, trial, outcome)
            shutil.rmtree(dest, ignore_errors=True)
            done.append(trial)
            if not trial.clean:
                print(f"  {trial}")
    kinds = Counter(
        "killed" if isinstance(trial.breaks, KillAt) else "service" if trial.service else "local" for trial in done
    )
    print(
        f"{len(done)} faults tried ({kinds['killed']} kill points, {kinds['service']} faults of the service, {kinds['local']} of wire, disk and clock) "
        f"on {sum(trial.devices for trial in done)} devices in {time.monotonic() - began:.0f} s: {total(list(done))}"
    )
    return all(trial.clean for trial in done)
