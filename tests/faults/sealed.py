# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are killed while they seal a folder: alone and with a note, or at the end of a collection."""

from __future__ import annotations

import functools
import json
import shutil
import sys
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import breakage
from account import Trial, devices_of, running_simulator, total, write_fleet
from breakage import Break, KillAt
from trial import Facts, Hasty, Outcome, Silent, collect, forked, has_ended, options

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task, open_door
from ansible_collections.secops.defender.plugins.module_utils._tasks.fetch_package import TASK as FETCH
from ansible_collections.secops.defender.plugins.module_utils._tasks.seal_evidence import TASK as SEAL
from ansible_collections.secops.defender.plugins.module_utils._tasks.verify_evidence import TASK as VERIFY
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

DEVICES = 2
NOTE = {"from": "Avery Analyst", "to": "Casey Counsel", "purpose": "Case 4711"}
# What a verification may find of a killed run: never that somebody has changed something.
OF_A_CRASH = {"unfinished", "torn"}
# So many of the steps of a run that only seals, in the short form.
SOME = 12

Work = Callable[[Break | None], Outcome]


@dataclass
class Sealing(Trial):
    breaks: Break | None = None
    devices: int = DEVICES


def _task(task: Task, args: dict[str, t.Any], breaks: Break | None) -> dict[str, t.Any]:
    clock = Hasty()
    if breaks:
        breaks.install(clock)
    return open_door(task, args, {}, None, Context(False, t.cast(t.Any, Silent()), Secrets(), "here", clock))


def _seal(facts: Facts, dest: Path, breaks: Break | None) -> Outcome:
    result = _task(SEAL, {"path": str(dest), "note": NOTE, **facts.sealing}, breaks)
    return Outcome(not result["failed"], True, message=result["msg"])


def _fetch(facts: Facts, names: list[str], dest: Path, breaks: Break | None) -> Outcome:
    """A run that has packages to download, and seals at its end."""
    given = options(facts, names, dest)
    wanted = {name: given[name] for name in FETCH.spec if name in given}
    result = _task(FETCH, {**wanted, "report": True, **facts.sealing}, breaks)
    return Outcome(not result["failed"], has_ended(dest), message=result["msg"])


def _verified(facts: Facts, dest: Path, **more: t.Any) -> dict[str, t.Any]:
    trust = {"tsa_ca_path": facts.sealing["tsa_ca_path"], "allowed_signers": facts.allowed_signers}
    return _task(VERIFY, {"path": str(dest), **trust, **more}, None)


def _complain(trial: Trial, what: str) -> None:
    trial.wrong += 1
    print(f"    {trial.name}: {what}", file=sys.stderr)


def _entries(dest: Path) -> list[dict[str, t.Any]]:
    entries = []
    for line in (dest / "custody.jsonl").read_bytes().splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            entries.append({"event": "torn"})
    return entries


def _vouched(dest: Path) -> set[str]:
    """By the log and the names alone: the kinds of the seals that are there of all that counts."""
    entries = _entries(dest)
    told = [
        entry
        for entry in entries
        if entry["event"] == "seal_stored"
        and ((dest / entry["path"]).exists() or (dest / f"{entry['path']}.part").exists())
    ]
    changed = max((place for place, entry in enumerate(entries, 1) if entry["event"] != "seal_stored"), default=0)
    return {entry["kind"] for entry in told if entry["covers"] >= changed}


def _judge(facts: Facts, dest: Path, before: dict[str, bytes], trial: Trial) -> None:
    """After the kill: what was there is there, and the verification neither accuses anybody nor says yes too early."""
    _account(dest, before, trial)
    result = _verified(facts, dest)
    for finding in result["findings"]:
        if finding["kind"] not in OF_A_CRASH:
            _complain(trial, f"after the kill: {finding}")
    if any(not seal["valid"] for seal in result["seals"]):
        _complain(trial, f"after the kill: {result['seals']}")
    if not _verified(facts, dest, require_seal=True)["failed"] and not _vouched(dest):
        _complain(trial, "said to be sealed, and is not")


def _account(dest: Path, before: dict[str, bytes], trial: Trial) -> None:
    for name, content in before.items():
        path = dest / name
        now = path.read_bytes() if path.exists() else b""
        if not (now.startswith(content) if name == "custody.jsonl" else now == content):
            trial.lost += 1
            print(f"    {trial.name}: {name} is not what it was", file=sys.stderr)
    for path in dest.glob("seals/*.*"):
        if path.suffix != ".part" and not path.stat().st_size:
            _complain(trial, f"{path.name} is empty")


def _finish(facts: Facts, dest: Path, again: Callable[[], Outcome], trial: Trial) -> None:
    """The next run seals, and all is well afterwards."""
    # What was noted and sealed was handed over, whether anybody was told or not: the next run hands over once more.
    handed_over = dest.exists() and len(_vouched(dest)) == 2
    outcome = forked(again)
    trial.tracebacks += outcome.traceback
    if not outcome.complete:
        _complain(trial, f"the next run: {outcome.message}")
    result = _verified(facts, dest, require_seal=True)
    if result["failed"] or not result["verified"]:
        _complain(trial, f"in the end: {result['msg']}")
    if {seal["kind"] for seal in result["seals"] if seal["valid"]} != {"signature", "time_stamp"}:
        _complain(trial, f"in the end: {result['seals']}")
    notes = [entry["event"] for entry in _entries(dest)].count("noted")
    trial.twice += max(0, notes - 1 - handed_over)
    for path in dest.rglob("*.part"):
        _complain(trial, f"left behind: {path.name}")


def _content(dest: Path) -> dict[str, bytes]:
    return {str(path.relative_to(dest)): path.read_bytes() for path in dest.rglob("*") if path.is_file()}


def _steps(facts: Facts, work: Work) -> int:
    path = facts.work / "steps"
    outcome = forked(lambda: work(breakage.Count(path)))
    if not outcome.complete:
        raise RuntimeError(f"the run without a fault did not end well: {outcome}")
    return int(path.read_text(encoding="ascii"))


def _moments(full: bool, steps: int, first: int = 1) -> Iterator[int]:
    every = range(first, steps + 1)
    yield from every if full else every[:: max(1, len(every) // SOME)]


def campaign(full: bool, only: str, work: Path) -> bool:
    """Prints the account; whether every trial was clean."""
    began = time.monotonic()
    write_fleet(work / "fleet.yml", 1, ("fine",) * DEVICES)
    done: list[Trial] = []
    with running_simulator(work) as facts:
        names, collected = devices_of(0, DEVICES), work / "collected"
        if not forked(lambda: collect(facts, names, collected, None)).complete:
            raise RuntimeError("the collection without a fault did not end well")
        for trial in [*_sealed_alone(facts, collected, full, only), *_at_the_end(facts, names, full, only)]:
            done.append(trial)
            if not trial.clean:
                print(f"  {trial}", flush=True)
    print(f"{len(done)} runs killed while they sealed, in {time.monotonic() - began:.0f} s: {total(done)}")
    return all(trial.clean for trial in done)


def _sealed_alone(facts: Facts, collected: Path, full: bool, only: str) -> Iterator[Trial]:
    """The task that seals, with a note."""
    dest = facts.work / "sealed"
    before = _content(collected)

    def fresh() -> None:
        shutil.rmtree(dest, ignore_errors=True)
        shutil.copytree(collected, dest)

    fresh()
    steps = _steps(facts, functools.partial(_seal, facts, dest))
    for step in _moments(full, steps):
        trial = Sealing(f"sealing killed at step {step} of {steps}")
        if only in trial.name:
            fresh()
            trial.tracebacks += forked(functools.partial(_seal, facts, dest, KillAt(step))).traceback
            _judge(facts, dest, before, trial)
            _finish(facts, dest, functools.partial(_seal, facts, dest, None), trial)
            yield trial


def _at_the_end(facts: Facts, names: list[str], full: bool, only: str) -> Iterator[Trial]:
    """A run that downloads, reports and seals; the next one may have nothing to download, and seals."""
    dest = facts.work / "fetched"
    steps = _steps(facts, functools.partial(_fetch, facts, names, dest))
    for step in _moments(full, steps, steps // 3):
        trial = Sealing(f"fetching and sealing killed at step {step} of {steps}")
        if only in trial.name:
            shutil.rmtree(dest, ignore_errors=True)
            trial.tracebacks += forked(functools.partial(_fetch, facts, names, dest, KillAt(step))).traceback
            if dest.exists():
                _judge(facts, dest, {}, trial)
            _finish(facts, dest, functools.partial(_fetch, facts, names, dest, None), trial)
            yield trial
