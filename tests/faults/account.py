# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulated tenant of the trials, and what a trial has left behind: in the tenant, and in its evidence folder."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from trial import Facts, Outcome, collect, control, forked, has_ended

from simulator.packages import package as true_package

# The simulated minute is short, so that two package links a minute do not take long.
MINUTE, HOUR = 0.1, 6.0
SCENARIOS = ("fine", "fine", "fine", "running", "lost_reply", "dropped_reply", "truncated", "corrupt")
SEED = 1
# After so many runs without a fault a trial that is still not complete has lost something.
RUNS = 4


@dataclass
class Trial:
    """One fault, and what came of it."""

    name: str
    devices: int = len(SCENARIOS)
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    tracebacks: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.wrong or self.tracebacks)

    def __str__(self) -> str:
        return f"{self.name}: lost {self.lost}, started twice {self.twice}, wrong files {self.wrong}, tracebacks {self.tracebacks}"


def total(trials: list[Trial]) -> str:
    return (
        f"{sum(trial.lost for trial in trials)} packages lost, {sum(trial.twice for trial in trials)} devices started twice, "
        f"{sum(trial.wrong for trial in trials)} wrong files, {sum(trial.tracebacks for trial in trials)} tracebacks."
    )


def devices_of(number: int, count: int = len(SCENARIOS)) -> list[str]:
    return [f"t{number:04d}-{index}.contoso.com" for index in range(count)]


def write_fleet(
    path: Path, count: int, scenarios: tuple[str, ...] = SCENARIOS, seconds: tuple[float, float] = (0.02, 0.3)
) -> None:
    """So many trials' devices, each trial's its own. seconds: how long a collection takes, at least and at most."""
    devices = [
        {
            "name": name,
            "scenario": scenario,
            **({"running_since": 0.0} if scenario == "running" else {}),
            **({"times": 1} if scenario in ("truncated", "corrupt") else {}),
        }
        for trial in range(count)
        for name, scenario in zip(devices_of(trial, len(scenarios)), scenarios, strict=True)
    ]
    settings = {
        "minute": MINUTE,
        "hour": HOUR,
        "collect_seconds": list(seconds),
        "seed": SEED,
        "quotas": {"token": [10000, 100000]},
    }
    path.write_text(yaml.safe_dump({"settings": settings, "devices": devices}), encoding="utf-8")


def complete(facts: Facts, names: list[str], dest: Path, trial: Trial, outcome: Outcome) -> None:
    """After the broken run whole ones, until one ends as it should; then the account."""
    if not outcome.complete and not outcome.ended and has_ended(dest):
        # Killed when there was nothing left to do.
        outcome = Outcome(complete=True)
    for _run in range(RUNS):
        if outcome.complete:
            break
        # After a run that was carried to its end one asks again for what failed only; asking for all would be a new request.
        asked = list(outcome.failed) if outcome.ended else names
        outcome = forked(functools.partial(collect, facts, asked, dest, None))
        trial.tracebacks += outcome.traceback
    account(facts, names, dest, trial)


def account(facts: Facts, names: list[str], dest: Path, trial: Trial) -> None:
    state = control(facts, "actions")
    ids = {device["name"]: device["id"] for device in facts.devices if device["name"] in names}
    starts = state["starts"]
    trial.twice = sum(max(0, starts.get(ids[name], 0) - 1) for name in names)
    expected = {}
    for action in state["actions"]:
        if action["machineId"] in ids.values() and action["status"] == "Succeeded":
            content = true_package(SEED, action["id"], action["computerDnsName"], "Windows11", None)
            expected[action["id"]] = b"".join(content.parts)
    found = set()
    for path in dest.rglob("*"):
        if path.is_dir():
            continue
        if path.suffix == ".zip":
            action_id = path.stem.split("_", 1)[1]
            found.add(action_id)
            trial.wrong += path.read_bytes() != expected.get(action_id)
        elif path.suffix not in (".json", ".jsonl") and path.parent.name != ".runs":
            # A killed run's lock stays until the next run comes by.
            trial.wrong += 1
            print(f"    left behind: {path.name}", file=sys.stderr)
    trial.lost = len(names) - len({action["machineId"] for action in state["actions"] if action["id"] in found})


class running_simulator:
    """The simulated tenant in a process of its own: this one forks, which does not go with threads."""

    def __init__(self, work: Path) -> None:
        self._work = work

    def __enter__(self) -> Facts:
        command = [
            sys.executable,
            "-m",
            "simulator",
            "--fleet",
            str(self._work / "fleet.yml"),
            "--state-dir",
            str(self._work),
        ]
        # It complains of every client that hangs up on it, which is what this is about.
        with open(self._work / "simulator.log", "wb") as log:
            self._process = subprocess.Popen([*command, "--parent-pid", str(os.getpid())], stderr=log)
        published = self._work / "simulator.json"
        for _try in range(1800):
            if published.exists():
                return Facts.of(json.loads(published.read_text(encoding="utf-8")), self._work)
            time.sleep(0.1)
        raise RuntimeError("the simulator did not start")

    def __exit__(self, *_details: object) -> None:
        self._process.terminate()
        self._process.wait()
