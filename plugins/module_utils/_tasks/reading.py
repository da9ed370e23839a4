# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules that read evidence have in common: which packages, within which limits, and the line in the custody log."""

from __future__ import annotations

import os
import re
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import (
    kinds,
    log_line,
    packages,
    workers,
    zips,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import Limits, Meter
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.packages import Package
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import listed
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    EvidenceError,
    OptionsError,
    PackageBroken,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec, near
from ansible_collections.secops.defender.plugins.module_utils._words.reporter import Reporter

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:i?B)?|B)?\s*$", re.IGNORECASE)
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# Seconds between two lines of progress.
_PACE = 30.0
_ALTERED = "EvidenceAltered"

J = t.TypeVar("J")
R = t.TypeVar("R")


def reading_spec() -> Spec:
    """The options of all modules that read evidence."""
    return {
        "path": {"type": "list", "elements": "path", "required": True, "aliases": ["dest", "evidence"]},
        "machines": {"type": "list", "elements": "raw", "aliases": ["machine", "machine_id"]},
        "packages": {"type": "str", "choices": ["newest", "all"], "default": "newest"},
        "unrecorded": {"type": "bool", "default": False},
        "max_entries": {"type": "int", "default": 100_000},
        "max_unpacked": {"type": "str", "default": "64GiB"},
        "max_entry": {"type": "str", "default": "4GiB"},
        "max_nesting": {"type": "int", "default": 3},
        "max_seconds": {"type": "str", "default": "1h"},
    }


@dataclass(frozen=True)
class Reading:
    """machines: names and IDs as asked, None for all. newest: of each device only the package that was collected last."""

    paths: tuple[Path, ...]
    machines: tuple[str, ...] | None
    newest: bool
    unrecorded: bool
    limits: Limits

    @classmethod
    def of(cls, given: Given) -> Reading:
        """Raises OptionsError."""
        paths = tuple(_path(each, given.base) for each in given["path"])
        if not paths:
            raise OptionsError(
                "path is empty.", advice="Give the folder that packages were collected into, or a package."
            )
        machines = None if given["machines"] is None else tuple(_machine(each) for each in given["machines"])
        if given["max_nesting"] < 0:
            raise OptionsError("max_nesting is below zero.", advice="Give 0 to open no container in a package.")
        limits = Limits(
            entries=int(given.positive("max_entries")),
            unpacked=size("max_unpacked", given["max_unpacked"]),
            entry=size("max_entry", given["max_entry"]),
            nesting=given["max_nesting"],
            seconds=given.positive("max_seconds"),
        )
        return cls(paths, machines, given["packages"] == "newest", given["unrecorded"], limits)


def _path(value: t.Any, base: str | None) -> Path:
    if not isinstance(value, str) or "\0" in value:
        raise OptionsError("path holds something that is no path.", advice="Give folders and packages by their paths.")
    text = os.path.expanduser(os.path.expandvars(value))
    return Path(os.path.join(base, text) if base else text)


def _machine(value: t.Any) -> str:
    if isinstance(value, dict):
        value = value.get("machine_id") or value.get("machine") or value.get("computer_dns_name")
    if not isinstance(value, str) or not value.strip():
        raise OptionsError(
            "machines holds something without a machine_id or a machine.",
            advice="Give device IDs, DNS names, or machines as a module has returned them. Nothing was read.",
        )
    return value.strip()


def artefacts(given: t.Sequence[t.Any]) -> frozenset[str]:
    """Kinds of artefact by their names. Raises OptionsError."""
    names = [str(each).strip().lower() for each in given]
    unknown = [name for name in names if name not in kinds.KINDS]
    if unknown:
        raise OptionsError(
            f"artefacts holds {', '.join(unknown)}, which is no kind of artefact.",
            advice=f"{near(unknown[0], kinds.KINDS)}Kinds: {', '.join(kinds.KINDS)}. Nothing was read.",
        )
    return frozenset(names)


def size(option: str, value: object) -> int:
    """Bytes of a text such as 4GiB or 500M. Raises OptionsError."""
    match = _SIZE.match(str(value))
    number = int(float(match[1]) * _UNITS.get((match[2] or "").upper(), 1)) if match else 0
    if number <= 0:
        raise OptionsError(
            f"{option} is {value!r}.", advice="Give bytes, or a number with KiB, MiB or GiB, such as 4GiB."
        )
    return number


@dataclass
class Chosen:
    """The packages to be read, those that are not (with why), names without a package, and how many older ones were left."""

    packages: list[Package] = field(default_factory=list)
    unread: list[tuple[Package, str]] = field(default_factory=list)
    not_found: list[str] = field(default_factory=list)
    older: int = 0


def choose(reading: Reading) -> Chosen:
    """Raises EvidenceError where there is nothing to read."""
    found, unread = packages.find(reading.paths, reading.unrecorded)
    where = ", ".join(map(str, reading.paths))
    if not found and not unread:
        raise EvidenceError(
            f"There is no package in {where}.",
            advice="Give the folder that packages were collected into, or a package.",
            code="EvidenceMissing",
        )
    chosen = Chosen(found, unread)
    if reading.machines is not None:
        chosen.packages, chosen.not_found = packages.of_machines(found, reading.machines)
        chosen.unread = []
    if reading.newest:
        newest = packages.newest(chosen.packages)
        chosen.older = len(chosen.packages) - len(newest)
        chosen.packages = newest
    return chosen


def record(module: str, chosen: Chosen, context: Context, facts: t.Mapping[str, t.Any]) -> bool:
    """The line in each folder's custody log, before anything is read; in check mode none. Whether all of them were written."""
    folders = {package.folder: None for package in chosen.packages if package.folder is not None}
    outside = sum(package.folder is None for package in chosen.packages)
    if context.check_mode or not chosen.packages:
        return False
    troubles = []
    unknown = [str(each.path) for each in chosen.packages if each.sha256 and each.folder and not each.is_logged]
    if unknown:
        context.reporter.warn(
            f"Not called verified, since the custody log knows nothing of them, whatever their records say: {listed(unknown)}. "
            "Run secops.defender.defender_verify_evidence on the folder."
        )
    for folder in folders:
        mine = sum(package.folder == folder for package in chosen.packages)
        troubles += log_line.write(
            [folder],
            context.clock,
            context.reporter.launched_by,
            {"module": f"secops.defender.{module}", "packages": mine, **facts},
        )
    for trouble in troubles:
        context.reporter.warn(trouble)
    if outside:
        context.reporter.warn(
            f"{outside} of the packages lie in no evidence folder: that they were read stands in no custody log, and whatever their "
            "records say, they are not called verified."
        )
    return not troubles and not outside


class Logs:
    """What the custody logs say of packages: each log is read once, before processes are made of this one."""

    def __init__(self, chosen: t.Iterable[Package]) -> None:
        folders = {package.folder for package in chosen if package.folder is not None}
        self._known = {folder: packages.logged(folder) for folder in folders}

    def of(self, package: Package) -> t.Mapping[str, packages.Logged]:
        return self._known[package.folder] if package.folder is not None else {}


# ---- one package ----


class NotRead(Exception):
    """A package was not read. why: the end of a sentence that begins with it. digest: its SHA-256, as far as that was taken."""

    def __init__(self, why: str, error: DefenderError, digest: str | None) -> None:
        # All of it: it comes from another process, where it is made again of these.
        super().__init__(why, error, digest)
        self.why = why
        self.error = error
        self.digest = digest

    @property
    def altered(self) -> bool:
        """Whether it is not what was recorded."""
        return self.error.code == _ALTERED


class Opened(t.NamedTuple):
    """A package that is what was recorded, and what bounds the reading of it."""

    file: t.BinaryIO
    digest: str
    meter: Meter


@contextmanager
def opened(package: Package, logs: Logs, limits: Limits, still: t.Callable[[], None]) -> t.Iterator[Opened]:
    """Raises NotRead, also for what goes wrong while it is read. still: raises where nobody waits for it any more."""
    digest = None
    try:
        with packages.open_ordinary(package.path) as file:
            digest, why = packages.check(package, file, logs.of(package))
            if why:
                error = EvidenceError(
                    f"{package.path} was not read: {why}.",
                    advice="Run secops.defender.defender_verify_evidence on the folder.",
                    code=_ALTERED,
                )
                raise NotRead(why, error, digest)
            yield Opened(file, digest, Meter(limits, Clock(), still))
    except zips.NoZip as failure:
        broken = PackageBroken(f"{package.path} cannot be read: {failure}.")
        raise NotRead(f"it cannot be read as a package: {failure}", broken, digest) from None
    except OSError as failure:
        said = failure.strerror or str(failure)
        unreadable = EvidenceError(
            f"{package.path} cannot be read: {said}.",
            advice="Run as a user that may read the evidence.",
            code="EvidenceUnreadable",
        )
        raise NotRead(f"it cannot be read: {said}", unreadable, digest) from None


# ---- all of them ----


def each(
    jobs: t.Sequence[J], work: t.Callable[[J, t.Callable[[], None]], R], context: Context, said: str
) -> t.Iterator[tuple[int, R | BaseException]]:
    """The number of each job with what comes of it, or with what was raised, as they come; by as many processes as there are cores.

    work: is given a job and what raises where nobody waits for it any more. said: what is done with a package, for the progress.
    """
    number = workers.processes()
    check = workers.wanted_by(context.master_gone)
    many = min(number, len(jobs)) > 1

    def one(job: J) -> R:
        return work(job, workers.still_wanted() if many else check)

    pace = Pace(context.reporter, context.clock, said)
    for came, found in enumerate(workers.each(jobs, one, number, check), 1):
        yield found
        pace(came, len(jobs))


def in_order(found: t.Iterable[tuple[int, R]]) -> t.Iterator[R]:
    """The same by their numbers, each as soon as all before it have come."""
    waiting: dict[int, R] = {}
    due = 0
    for number, outcome in found:
        waiting[number] = outcome
        while due in waiting:
            yield waiting.pop(due)
            due += 1


class Pace:
    """A line of progress now and then, with the time left."""

    def __init__(self, reporter: Reporter, clock: Clock, what: str) -> None:
        self._reporter = reporter
        self._clock = clock
        self._what = what
        self._begun = clock.monotonic()
        self._next = self._begun + _PACE

    def __call__(self, done: int, of: int) -> None:
        now = self._clock.monotonic()
        if now < self._next or not done:
            return
        self._next = now + _PACE
        left = (now - self._begun) / done * (of - done)
        self._reporter.say(f"{done} of {of} packages {self._what}, about {duration(left)} left")


def devices_told(names: t.Sequence[str]) -> str:
    return f" ({listed(names)})" if names else ""
