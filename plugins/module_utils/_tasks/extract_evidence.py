# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_extract_evidence: chosen artefacts of packages as files, for the tools that read them."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.extracting import extract
from ansible_collections.secops.defender.plugins.module_utils._evidence.extracting.extract import Extracted, Target
from ansible_collections.secops.defender.plugins.module_utils._evidence.extracting.manifest import (
    FOLDER,
    MANIFEST,
    Dest,
    require_outside,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.extracting.names import safe_name
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import unwritable
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.packages import Package
from ansible_collections.secops.defender.plugins.module_utils._tasks import reading
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import (
    Result,
    count,
    failures_told,
    listed,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks.reading import Chosen, Logs, Reading
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    EvidenceError,
    printable,
)
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec

_NAME = "defender_extract_evidence"
_UNRECORDED = "unrecorded"
_NO_RECORD = "NotRecorded"


def spec() -> Spec:
    """What the module takes."""
    given = reading.reading_spec()
    # Here it is where files go to.
    given["path"] = {**given["path"], "aliases": ["evidence"]}
    return {
        **given,
        "dest": {"type": "path", "required": True},
        "artefacts": {"type": "list", "elements": "str", "default": ["event_log"]},
        "require_complete": {"type": "bool", "default": False},
    }


@dataclass(frozen=True)
class Options:
    """artefacts: kinds that are extracted. dest: the folder that they are extracted into."""

    reading: Reading
    dest: Path
    artefacts: frozenset[str]
    require_complete: bool

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        artefacts = reading.artefacts(given["artefacts"])
        return cls(Reading.of(given), Path(given["dest"]), artefacts, given["require_complete"])


Place = tuple[str, str]


@dataclass(frozen=True)
class _Job:
    """The packages that belong into one folder; nearly always one."""

    place: Place
    packages: list[Package] = field(default_factory=list)


@dataclass(frozen=True)
class _One:
    """What came of one package."""

    digest: str | None
    extracted: Extracted
    error: DefenderError | None = None


def _place(package: Package) -> Place:
    if package.sha256 is None:
        # Without a record nothing else tells two packages of one name apart.
        digest = hashlib.sha256(str(package.path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return _UNRECORDED, f"{safe_name(package.path.stem)}-{digest}"
    device = package.computer_dns_name or package.machine_id or _UNRECORDED
    return safe_name(device), safe_name(package.action_id or package.path.stem)


def _jobs(found: t.Sequence[Package]) -> list[_Job]:
    jobs: dict[Place, _Job] = {}
    for package in found:
        place = _place(package)
        jobs.setdefault((place[0].lower(), place[1].lower()), _Job(place)).packages.append(package)
    return list(jobs.values())


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    try:
        require_outside(options.dest)
        chosen = reading.choose(options.reading)
        jobs = _jobs(chosen.packages)
        for job in jobs:
            require_outside(options.dest.joinpath(*job.place))
        with Dest.open(options.dest, context.check_mode, context.reporter.warn) as dest:
            facts = {"artefacts": sorted(options.artefacts), "dest": str(options.dest)}
            recorded = reading.record(_NAME, chosen, context, facts)
            extraction = _Extraction(options, chosen, context, dest)
            extraction.run(jobs)
    except DefenderError as failure:
        return {**_failed(failure), "node": context.node}
    return extraction.result(recorded)


class _Extraction:
    def __init__(self, options: Options, chosen: Chosen, context: Context, dest: Dest) -> None:
        self._options = options
        self._chosen = chosen
        self._context = context
        self._dest = dest
        self._rows: list[Result] = []
        self._files: list[Result] = []
        self._left: list[Result] = []

    def run(self, jobs: t.Sequence[_Job]) -> None:
        """Raises EvidenceError where the manifest cannot be written."""
        logs = Logs(self._chosen.packages)

        def one(job: _Job, still: t.Callable[[], None]) -> list[_One]:
            return [self._extract(package, job.place, logs, still) for package in job.packages]

        came: dict[int, list[_One]] = {}
        for index, outcome in reading.each(jobs, one, self._context, "extracted"):
            came[index] = outcome if isinstance(outcome, list) else _broken(jobs[index], outcome)
            self._note(jobs[index], came[index])
        for index in sorted(came):
            for package, each in zip(jobs[index].packages, came[index], strict=True):
                self._take(package, jobs[index].place, each)
        for package, why in self._chosen.unread:
            error = EvidenceError(f"{package.path} was not read: {why}.", code=_NO_RECORD)
            self._take(package, _place(package), _One(None, Extracted(), error))
        for name in self._chosen.not_found:
            self._left.append(_left(None, name, None, None, "there is no package of it"))

    def _extract(self, package: Package, place: Place, logs: Logs, still: t.Callable[[], None]) -> _One:
        digest = None
        try:
            with reading.opened(package, logs, self._options.reading.limits, still) as (file, digest, meter):
                target = Target(self._options.dest, self._dest.dir, place, dry=self._context.check_mode)
                return _One(digest, extract.extract(file, meter, self._options.artefacts, target))
        except reading.NotRead as failure:
            return _One(failure.digest, Extracted(), failure.error)
        except DefenderError as failure:
            return _One(digest, Extracted(), failure)

    def _note(self, job: _Job, came: t.Sequence[_One]) -> None:
        """The files of a job in the manifest, at once: a run that is killed leaves little that is not in it."""
        for each in came:
            lines = {"/".join((*job.place, file.name)): file.sha256 for file in each.extracted.files}
            try:
                differing = set(self._dest.add(lines))
            except OSError as failure:
                raise unwritable(self._options.dest / MANIFEST, failure, what=FOLDER) from None
            wrong = [file for file in each.extracted.files if "/".join((*job.place, file.name)) in differing]
            each.extracted.occupied += [f"{file.name} (by the manifest)" for file in wrong]
            each.extracted.files = [file for file in each.extracted.files if file not in wrong]

    def _take(self, package: Package, place: Place, came: _One) -> None:
        found, folder = came.extracted, self._options.dest.joinpath(*place)
        error = came.error
        if found.occupied:
            error = EvidenceError(
                f"{count(len(found.occupied), 'file')} in {folder} with other content than {package.path} has: "
                f"{listed(found.occupied)}. Nothing of that was touched.",
                advice="Move what stands there away, or give another dest: nothing is overwritten.",
                code="NotOverwritten",
            )
        self._rows.append(
            {
                **_whose(package),
                "path": printable(str(package.path)),
                "sha256": came.digest,
                "collected": package.collected,
                "verified": came.error is None and package.is_verified,
                "folder": str(folder) if found.files else None,
                "files": len(found.files),
                "error": error.as_result() if error else None,
            }
        )
        for file in found.files:
            self._files.append(
                {
                    **_whose(package),
                    "path": str(folder / file.name),
                    "entry": printable(file.entry),
                    "artefact": file.kind,
                    "size": file.size,
                    "sha256": file.sha256,
                    "written": file.written,
                }
            )
        for entry, kind, why in found.left:
            self._left.append(_left(package, None, entry, kind, why))
        if error:
            self._left.append(_left(package, None, None, None, error.message))

    def result(self, recorded: bool) -> Result:
        """What was extracted, what was not, and why."""
        unread = [row for row in self._rows if row["error"]]
        # What has no record was left out by the user's own choice, unless nothing else is there.
        failures = [row for row in unread if row["error"]["code"] != _NO_RECORD or len(unread) == len(self._rows)]
        written = sum(file["written"] for file in self._files)
        message = self._sentence(written)
        if self._options.require_complete and self._left:
            message += " require_complete is set, and not everything was extracted: see not_searched."
        return {
            "changed": written > 0,
            "failed": bool(failures) or (self._options.require_complete and bool(self._left)),
            "msg": printable(message + failures_told(unread, "path")),
            "error": None,
            "complete": not self._left,
            "dest": str(self._options.dest),
            "manifest": str(self._options.dest / MANIFEST) if self._files else None,
            "packages": self._rows,
            "files": self._files,
            "not_searched": self._left,
            "not_found": self._chosen.not_found,
            "summary": {
                "packages": len(self._rows),
                "read": len(self._rows) - len(unread),
                "older": self._chosen.older,
                "files": len(self._files),
                "written": written,
                "bytes": sum(file["size"] for file in self._files),
            },
            "recorded": recorded,
            "node": self._context.node,
        }

    def _sentence(self, written: int) -> str:
        would = "would be " if self._context.check_mode else ""
        there = len(self._files) - written
        where = f"to {self._options.dest} on {self._context.node}"
        parts = [f"{count(written, 'file')} of {count(len(self._rows), 'package')} {would}extracted {where}"]
        if there:
            parts.append(f"{there} there already, with the same bytes")
        if self._left:
            parts.append(f"{len(self._left)} left out (not_searched says what and why)")
        if not self._options.artefacts:
            parts.append("artefacts is empty, which selects nothing")
        if self._chosen.older:
            parts.append(f"{count(self._chosen.older, 'older package')} left out (packages: all takes them)")
        return "; ".join(parts) + "."


def _broken(job: _Job, failure: t.Any) -> list[_One]:
    """Of a process that has died, or a bug."""
    return [
        _One(
            None,
            Extracted(),
            EvidenceError(
                f"{package.path} could not be extracted: {type(failure).__name__}: {failure}.",
                advice="Run again; if it comes back, report it as a bug.",
            ),
        )
        for package in job.packages
    ]


def _whose(package: Package) -> Result:
    name = package.computer_dns_name
    return {"machine_id": package.machine_id, "computer_dns_name": printable(name) if name else None}


def _left(package: Package | None, name: str | None, entry: str | None, kind: str | None, why: str) -> Result:
    """A row of what was left out. name: of a device without a package."""
    whose = _whose(package) if package else {"machine_id": None, "computer_dns_name": printable(name or "")}
    return {
        **whose,
        "package": printable(str(package.path)) if package else None,
        "entry": None if entry is None else printable(entry),
        "artefact": kind,
        "why": printable(why),
        "entries": 1,
    }


def _failed(error: DefenderError) -> Result:
    """The result where nothing was extracted, with the same keys."""
    return {
        "changed": False,
        "failed": True,
        "msg": str(error),
        "error": error.as_result(),
        "complete": False,
        "dest": None,
        "manifest": None,
        "packages": [],
        "files": [],
        "not_searched": [],
        "not_found": [],
        "summary": dict.fromkeys(("packages", "read", "older", "files", "written", "bytes"), 0),
        "recorded": False,
        "node": None,
    }


TASK = Task(_NAME, spec(), Options.of, work, refused=lambda args, error: _failed(error))
