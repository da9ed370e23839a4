# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job of collecting, fetching or containing: what was asked for, how far it has got, and what its result says of it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Pace, Plan, Request, Wish
from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Fleet
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import Resolved
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._tasks import summary_text
from ansible_collections.secops.defender.plugins.module_utils._tasks.contents import Contents
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, failures_told, listed
from ansible_collections.secops.defender.plugins.module_utils._tasks.sealing import Sealing
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import SUCCEEDED, duration
from ansible_collections.secops.defender.plugins.module_utils._words.options import as_list, shown


@dataclass(frozen=True)
class Found:
    """One element of what was asked for: what it led to, and what is wished for it."""

    resolved: Resolved
    wish: Wish


@dataclass(frozen=True)
class Job:
    """What one module does with a fleet; everything else is the same for all.

    asked: as it was written, in order. noun: what is counted. counted: what the sentence tells of how actions came about.
    find: the devices; raises what the API raises. look: what there is for them already; changes nothing. dests: evidence folders.
    """

    module: str
    permissions: tuple[tuple[str, ...], ...]
    settings: Settings
    pace: Pace
    asked: t.Sequence[str]
    comment: str
    noun: str
    counted: tuple[Request, ...]
    find: t.Callable[[Api], list[Found]]
    look: t.Callable[[Fleet, Context], None]
    dests: t.Sequence[str] = ()
    report: bool = False
    sealing: Sealing = Sealing()


def refused(args: t.Mapping[str, t.Any], error: DefenderError) -> Result:
    """The result of a task whose options were refused: the same keys as any other."""
    rows = [_row(name, None, None, error) for name in asked_for(args)]
    result: Result = {
        "changed": False,
        "summary": _summary(rows, Plan(), 0.0, 0),
        "packages": rows,
        "report": None,
        "reports": {},
        "node": None,
    }
    return {**result, "summary_text": summary_text.of_packages(result)}


def asked_for(args: t.Mapping[str, t.Any]) -> list[str]:
    """The machines and actions that a task names, whatever else is wrong with it."""
    asked: list[str] = []
    for name in ("machines", "machine", "machine_id", "action_ids", "action_id"):
        named = args.get(name)
        try:
            listed = as_list(name, [] if named is None else named)
        except OptionsError:
            listed = named if isinstance(named, list) else [named if isinstance(named, str) else shown(named)]
        for each in listed:
            text = each.get("machine_id") or each.get("machine") if isinstance(each, dict) else each
            asked += [str(text).strip()] if str(text or "").strip() else []
    return asked


@dataclass
class Work:
    """One job on its way, as far as it has got. began: monotonic seconds; started: seconds since 1970."""

    job: Job
    context: Context
    began: float = field(init=False)
    started: float = field(init=False)
    api: Api | None = None
    fleet: Fleet | None = None
    found: list[Found] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    reports: dict[str, dict[str, str]] = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    fatal: DefenderError | None = None
    contents: Contents | None = None
    _devices: dict[str, Device] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began = self.context.clock.monotonic()
        self.started = self.context.clock.wall()

    def take_in(self, found: list[Found]) -> list[Device]:
        """The devices, each once, in the order in which they were first named. Raises OptionsError for contradictions."""
        self.found = found
        first: dict[str, Found] = {}
        for each in found:
            key = each.resolved.key
            other = first.setdefault(key, each)
            if each.resolved.machine and other.wish != each.wish:
                _refuse_contradiction(other, each)
            if each.resolved.machine and key not in self._devices:
                self._devices[key] = Device(
                    len(self._devices),
                    each.resolved.asked,
                    each.resolved.machine,
                    each.wish,
                    self.folders.get(each.wish.dest or ""),
                    action=each.resolved.action,
                )
            if each.resolved.machine:
                device = self._devices[key]
                device.records = tuple(dict.fromkeys((*device.records, *each.resolved.records)))
        return list(self._devices.values())

    def rows(self, dest: str | None = None) -> list[Result]:
        """What was asked for, in that order, as the result shows it. dest: only of this folder."""
        if not self.found:
            return [_row(name, None, None, self.fatal) for name in self.job.asked]
        return [
            _row(
                each.resolved.asked,
                each.resolved,
                self.device(each),
                self.fatal,
                self.reports.get(each.wish.dest or ""),
            )
            for each in self.found
            if dest is None or each.wish.dest == dest
        ]

    def device(self, found: Found) -> Device | None:
        """The device that an element of what was asked for led to."""
        return self._devices.get(found.resolved.key)

    def of_folder(self, dest: str) -> list[tuple[Found, Device | None]]:
        """What each of the rows of one folder led to."""
        return [(each, self.device(each)) for each in self.found if each.wish.dest == dest]

    def _told(self, rows: list[Result], summary: Result) -> str:
        newer = [f"{device.label} ({device.newer})" for device in self._devices.values() if device.newer]
        told = f" The newest action has no package: {listed(newer)}." if newer else ""
        return _sentence(self.job, rows, summary, self.context.check_mode, told)

    def outcome(self) -> Result:
        """The result so far."""
        rows = self.rows()
        calls = self.api.session.api_calls if self.api else 0
        summary = _summary(rows, self.plan, self.context.clock.monotonic() - self.began, calls)
        result: Result = {
            "changed": any(row["changed"] for row in rows),
            "failed": self.fatal is not None or any(row["failed"] for row in rows),
            "msg": str(self.fatal) if self.fatal else self._told(rows, summary),
            "summary": summary,
            "packages": rows,
            "report": next(iter(self.reports.values())) if len(self.reports) == 1 else None,
            "reports": self.reports,
            "node": self.context.node,
        }
        return {**result, "summary_text": summary_text.of_packages(result)}


def _refuse_contradiction(one: Found, other: Found) -> t.NoReturn:
    differ = [name for name in vars(one.wish) if getattr(one.wish, name) != getattr(other.wish, name)]
    machine = one.resolved.machine
    raise OptionsError(
        f"{one.resolved.asked} and {other.resolved.asked} are one device, {machine.label if machine else ''} "
        f"({machine.id if machine else ''}), but want another {' and '.join(differ)}.",
        advice="Name the device once, or want the same for both. Nothing was started.",
        code="MachineNamedTwice",
    )


def _row(
    asked: str,
    resolved: Resolved | None,
    device: Device | None,
    fatal: DefenderError | None,
    report: dict[str, str] | None = None,
) -> Result:
    machine = resolved.machine if resolved else None
    error = (resolved.error if resolved else None) or (device.error if device else None)
    if error is None and (device is None or not device.done):
        error = fatal
    action = device.action if device else None
    return {
        "machine": asked,
        "machine_id": machine.id if machine else None,
        "computer_dns_name": (machine.dns_name if machine else None) or (action.dns_name if action else None),
        "request": str(device.request) if device and device.request else None,
        "status": action.status if action else None,
        "age": None if device is None or device.age is None else round(device.age),
        "changed": device is not None and (device.request in (Request.STARTED, Request.WOULD_START) or device.wrote),
        "failed": error is not None,
        "error": error.as_result() if error else None,
        "action": action.as_result() if action else None,
        "package": device.package.as_result() if device and device.package else None,
        "report": report,
    }


def _summary(rows: list[Result], plan: Plan, took: float, calls: int) -> Result:
    """Counts of devices, each once, but of several packages each; a name that fits none counts as one that failed."""
    once = list(
        {(row["machine_id"] or f"?{row['machine']}", (row["action"] or {}).get("id")): row for row in rows}.values()
    )
    counts: Result = {"requested": len(once)}
    for request in Request:
        counts[str(request)] = sum(row["request"] == str(request) for row in once)
    counts["succeeded"] = sum(row["status"] == SUCCEEDED for row in once)
    counts["downloaded"] = sum(row["package"] is not None and not row["failed"] for row in once)
    counts["failed"] = sum(row["failed"] for row in once)
    return {**counts, "plan": plan.as_result(), "duration": round(took, 3), "api_calls": calls}


def _sentence(job: Job, rows: list[Result], summary: Result, check_mode: bool, newer: str) -> str:
    if not rows:
        return f"An empty list selects nothing: no {job.noun} was asked for."
    words = [f"{summary[str(each)]} {str(each).replace('_', ' ')}" for each in job.counted if summary[str(each)]]
    links = summary["plan"]["links"]
    if check_mode and summary["would_start"]:
        words.insert(0, f"{summary['would_start']} would be started")
    elif check_mode and not job.counted and links:
        words.append(f"{links} would be downloaded")
    if summary["downloaded"]:
        noun = "" if not job.counted else "package " if summary["downloaded"] == 1 else "packages "
        words.append(f"{summary['downloaded']} {noun}verified")
    if summary["failed"]:
        words.append(f"{summary['failed']} failed")
    told = _ages(job, rows) + newer + ("" if check_mode else _not_downloaded(rows))
    sentence = f"{count(summary['requested'], job.noun)}: {', '.join(words) or 'nothing to do'}.{told}"
    if check_mode and summary["plan"]["seconds"]:
        starts = count(summary["plan"]["starts"], "start")
        least = duration(summary["plan"]["seconds"])
        sentence += f" It would take {starts} and {count(links, 'link')}, {least} at the least."
    return sentence + failures_told([row for row in rows if row["failed"]], "machine")


def _not_downloaded(rows: list[Result]) -> str:
    """That packages are still at the service alone: who forgot dest takes "1 started" with a green task for evidence."""
    ready = {
        row["machine_id"] for row in rows if row["status"] == SUCCEEDED and not row["failed"] and not row["package"]
    }
    if not ready:
        return ""
    which = (
        "Its package was"
        if len(rows) == 1
        else f"{count(len(ready), 'package')} {'was' if len(ready) == 1 else 'were'}"
    )
    return f" {which} not downloaded, for dest is not given: secops.defender.defender_fetch_package does it later."


def _ages(job: Job, rows: list[Result]) -> str:
    """How old what was not made by this run is: nobody takes last month's package for today's."""
    told = []
    for word in (Request.RESUMED, Request.REUSED):
        ages = [row["age"] for row in rows if row["request"] == str(word) and row["age"] is not None]
        if not ages:
            continue
        one, several = f"What is {word}", f"The oldest {word} action"
        if not job.counted:
            one, several = "The package", "The oldest package"
        told.append(f" {several if len(ages) > 1 else one} is {duration(max(ages))} old.")
    return "".join(told)
