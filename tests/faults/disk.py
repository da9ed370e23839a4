# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole ansible-playbooks whose disk says no: a shim that is loaded before the C library lets calls fail, whoever makes them."""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from account import Trial, complete, devices_of, running_simulator, total, write_fleet
from whole import Whole

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EINVAL, errno.ENOSYS, errno.ETXTBSY)
# From which of these calls on; some are made a few times only. The budget's file has no folder syncs and no renames.
CALLS = {
    "write": (1, 6, 20),
    "fsync": (1, 6, 20),
    "rename": (1, 6, 20),
    "open": (1, 6, 20),
    "mkdir": (1, 2),
    "unlink": (1, 2),
    "flock": (1, 6),
}
# In the short form the first errors once each, with one of the first calls.
SHORT_ERRORS, SHORT_CALLS = 4, 3


@dataclass
class Refusal(Trial):
    folder: str = "evidence"
    variables: dict[str, str] = field(default_factory=dict)


def trials(full: bool) -> Iterator[Refusal]:
    """Each error with each call, from its beginning and from the middle, once and for ever; in the short form four."""
    for place, number in enumerate(ERRORS):
        for index, (call, starts) in enumerate(CALLS.items()):
            for start in starts:
                for count in (1, 0):
                    short = (
                        place < SHORT_ERRORS
                        and index < SHORT_CALLS
                        and (place + index) % SHORT_CALLS == 0
                        and start == starts[place % len(starts)]
                        and count == place % 2
                    )
                    if full or short:
                        yield _refusal("evidence", number, call, start, count)
        if full:
            yield _refusal("quota", number, "write", 1, 0)


def _refusal(folder: str, number: int, call: str, start: int, count: int) -> Refusal:
    often = "once" if count else "for ever"
    variables = {"FAULT_CALL": call, "FAULT_FROM": str(start), "FAULT_COUNT": str(count), "FAULT_ERRNO": str(number)}
    name = f"{errno.errorcode[number]} for {call} {start} of the {folder}, {often}"
    return Refusal(name, folder=folder, variables=variables)


def _compiled(work: Path) -> Path | None:
    """The shim; None where there is no compiler, or one that does not make it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        return None
    shim = work / "shim.so"
    source = Path(__file__).with_name("shim.c")
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], capture_output=True, check=False
    )
    return None if done.returncode else shim


def campaign(full: bool, only: str, work: Path) -> bool:
    """Prints the account; whether every trial was clean."""
    began = time.monotonic()
    shim = _compiled(work)
    if shim is None:
        print(
            "No C compiler that makes a shared library, so no disk was made to fail for the whole of ansible-playbook."
        )
        return True
    wanted = [trial for trial in trials(full) if only in trial.name]
    write_fleet(work / "fleet.yml", len(wanted))
    with running_simulator(work) as facts:
        for number, trial in enumerate(wanted):
            names, dest = devices_of(number), work / f"evidence-{number}"
            below = str(dest if trial.folder == "evidence" else work / "quota")
            # The command only: what it runs inherits it.
            run = Whole(facts, names, dest, {**trial.variables, "FAULT_BELOW": below, "LD_PRELOAD": str(shim)})
            outcome = run.ended()
            trial.tracebacks += outcome.traceback
            complete(facts, names, dest, trial, outcome)
            shutil.rmtree(dest, ignore_errors=True)
            shutil.rmtree(work / "quota", ignore_errors=True)
            if not trial.clean or only:
                print(f"  {trial}\n    {outcome.message[-600:] if only else ''}", flush=True)
    print(f"{len(wanted)} refusals of the disk in {time.monotonic() - began:.0f} s: {total(list(wanted))}")
    return all(trial.clean for trial in wanted)
