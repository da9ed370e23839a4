# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collecting and fetching packages, from validated options to the result: the one way that modules and action plugins share."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence import container as _container
from ansible_collections.secops.defender.plugins.module_utils._evidence import custody as _custody
from ansible_collections.secops.defender.plugins.module_utils._evidence import report as _report
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._fleet.run import (
    ALREADY_RUNNING,
    DONE,
    RESUMED,
    REUSED,
    STARTED,
    WOULD_START,
    Device,
    Fleet,
    Options,
    Plan,
)
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.connection import (
    COLLECT_AND_READ,
    READ,
    Connection,
    Reporter,
)
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import (
    Resolved,
    find_actions,
    parse_action_ids,
    parse_names,
    resolve,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import require_positive, seconds
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    MachineError,
    OptionsError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import COLLECT, SUCCEEDED, duration, iso
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


class Job(t.Protocol):
    """What one module does with the fleet; everything else is the same for all."""

    module: str
    permissions: tuple[tuple[str, ...], ...]
    asked: list[str]
    options: Options
    # What the sentence about the run counts, of what a request can be.
    counted: tuple[str, ...]

    def find(self, api: Api) -> list[Resolved]:
        """The devices. Raises what the API raises."""

    def look(self, fleet: Fleet, check_mode: bool) -> None:
        """What there is for them already. Nothing is changed anywhere."""


class CollectJob:
    """defender_collect_package. Raises OptionsError for bad options."""

    module = "defender_collect_package"
    permissions: tuple[tuple[str, ...], ...] = COLLECT_AND_READ
    counted: tuple[str, ...] = (STARTED, ALREADY_RUNNING, REUSED, RESUMED)

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        if not options["comment"].strip():
            raise OptionsError(
                "comment is empty.",
                advice="Say why the package is collected: it stays with the action, for the audit trail.",
            )
        require_positive(options, "wait_timeout", "poll_interval", "downloads")
        if options["report"] and not options["dest"]:
            raise OptionsError(
                "report is true, but there is no dest.", advice="Give dest: the report is kept with the evidence."
            )
        self.options = Options(
            comment=options["comment"],
            wait=options["wait"],
            wait_timeout=options["wait_timeout"],
            cancel_on_timeout=options["cancel_on_timeout"],
            poll_interval=options["poll_interval"],
            reuse_within=seconds("reuse_within", options["reuse_within"]),
            downloads=options["downloads"],
        )
        self.asked = options["machines"]
        self._names = parse_names(self.asked)
        self._on_ambiguous = options["on_ambiguous"]
        count, most = len({name.value for name in self._names}), options["max_machines"]
        if 0 < most < count:
            raise OptionsError(
                f"{count} machines were named, but max_machines is {most}.",
                advice="Name fewer, or raise max_machines if so many are meant. Nothing was started.",
            )

    def find(self, api: Api) -> list[Resolved]:
        return resolve(api, self._names, self._on_ambiguous)

    def look(self, fleet: Fleet, check_mode: bool) -> None:
        fleet.look(all_ages=check_mode)


class FetchJob:
    """defender_fetch_package. Raises OptionsError for bad options."""

    module = "defender_fetch_package"
    permissions: tuple[tuple[str, ...], ...] = READ
    # Every package it fetches was there before.
    counted: tuple[str, ...] = ()

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        require_positive(options, "downloads")
        self.options = Options(comment="", wait=True, downloads=options["downloads"])
        self._max_age = seconds("max_age", options["max_age"])
        self._newest_only = options["newest_only"]
        self._action_ids = parse_action_ids(options["action_ids"] or [])
        self._names = parse_names(options["machines"]) if options["machines"] else []
        self._on_ambiguous = options["on_ambiguous"]
        self.asked = [*(options["machines"] or ()), *(options["action_ids"] or ())]

    def find(self, api: Api) -> list[Resolved]:
        found = resolve(api, self._names, self._on_ambiguous) if self._names else []
        return found + [_with_package(each) for each in find_actions(api, self._action_ids)]

    def look(self, fleet: Fleet, check_mode: bool) -> None:
        fleet.look_for_packages(self._max_age, self._newest_only)


def _with_package(named: Resolved) -> Resolved:
    """An action that was named by its ID, if it is one that makes packages."""
    if named.action is None or named.action.type == COLLECT:
        return named
    error = MachineError(
        f"The action {named.asked} is of the type {named.action.type or 'unknown'} and makes no package.",
        advice=f"Name an action of the type {COLLECT}.",
        code="NoPackage",
    )
    return Resolved(named.asked, None, error)


def collect_package(
    options: t.Mapping[str, t.Any], check_mode: bool, reporter: Reporter, secrets: Secrets, clock: Clock | None = None
) -> dict[str, t.Any]:
    """defender_collect_package, from its validated options to its result. Raises no DefenderError: it is in the result."""
    return _carry_out(lambda: CollectJob(options), options, check_mode, reporter, secrets, clock or Clock())


def fetch_package(
    options: t.Mapping[str, t.Any], check_mode: bool, reporter: Reporter, secrets: Secrets, clock: Clock | None = None
) -> dict[str, t.Any]:
    """defender_fetch_package, likewise."""
    return _carry_out(lambda: FetchJob(options), options, check_mode, reporter, secrets, clock or Clock())


def refused(asked: t.Sequence[str], message: str) -> dict[str, t.Any]:
    """The result of a task whose options Ansible has refused: the same keys as any other."""
    return {**_Work(0.0, 0.0, False).outcome(asked, OptionsError(message), 0.0), "report": None}


def _carry_out(
    make_job: t.Callable[[], Job],
    options: t.Mapping[str, t.Any],
    check_mode: bool,
    reporter: Reporter,
    secrets: Secrets,
    clock: Clock,
) -> dict[str, t.Any]:
    work = _Work(clock.monotonic(), clock.wall(), check_mode)
    report: dict[str, str] | None = None
    fatal: DefenderError | None = None
    folder: Folder | None = None
    try:
        job = work.job = make_job()
        connection = Connection(options, reporter, secrets, clock)
        folder = Folder(options["dest"], clock, check_mode, reporter.launched_by) if options["dest"] else None
        warning = _container.warning_about(options["dest"]) if options["dest"] else None
        if warning:
            reporter.warn(warning)
        api = work.api = connection.sign_in(job.permissions)
        service = _service(connection, options) if options["report"] else {}
        work.resolved = job.find(api)
        for each in work.resolved:
            if each.error:
                reporter.trouble(each.error.message)

        def tell(folder: Folder) -> None:
            nonlocal report
            facts = secrets.scrub(_facts(work, options, service))
            report = _report.write(folder, facts, work.started)

        pool = ThreadPoolExecutor(max_workers=job.options.downloads + 6)
        try:
            fleet = work.fleet = Fleet(api, _devices(work.resolved), job.options, pool, reporter, folder)
            if fleet.devices:
                job.look(fleet, check_mode)
                ahead = fleet.plan()
                work.plan = ahead.as_result()
                connection.check_lifetime(work.plan["seconds"])
                reporter.plan(ahead)
            if check_mode:
                fleet.predict()
            elif fleet.devices or options["report"]:
                _run(fleet, tell if options["report"] else None)
        finally:
            # Whatever still waits or downloads when the task is interrupted is let go, and resumed by the next run.
            clock.stop()
            pool.shutdown(wait=False, cancel_futures=True)
        fatal = fleet.fatal
    except DefenderError as failure:
        fatal = failure
    finally:
        if folder:
            folder.close()
    asked = work.job.asked if work.job else [*(options["machines"] or ()), *(options.get("action_ids") or ())]
    result = {**work.outcome(asked, fatal, clock.monotonic()), "report": report}
    return t.cast("dict[str, t.Any]", secrets.scrub(result))


@dataclass
class _Work:
    """One task on its way, as far as it has got. began: monotonic; started: since 1970."""

    began: float
    started: float
    check_mode: bool
    job: Job | None = None
    api: Api | None = None
    fleet: Fleet | None = None
    resolved: list[Resolved] = field(default_factory=list)
    plan: dict[str, t.Any] = field(default_factory=Plan().as_result)

    def rows(self, asked: t.Sequence[str]) -> list[tuple[Resolved, Device | None]]:
        """What was asked for, in that order, and the devices that it led to."""
        keys = dict.fromkeys(each.key for each in self.resolved if each.machine)
        devices = dict(zip(keys, self.fleet.devices, strict=True)) if self.fleet else {}
        rows = self.resolved or [Resolved(name, None) for name in asked]
        return [(row, devices.get(row.key)) for row in rows]

    def outcome(self, asked: t.Sequence[str], fatal: DefenderError | None, now: float) -> dict[str, t.Any]:
        """The result so far."""
        packages = [_package(row, device, fatal) for row, device in self.rows(asked)]
        summary = _summary(packages)
        calls = self.api.session.api_calls if self.api else 0
        summary.update(plan=self.plan, duration=round(now - self.began, 3), api_calls=calls)
        return {
            "changed": any(package["changed"] for package in packages),
            "failed": fatal is not None or any(package["failed"] for package in packages),
            "msg": str(fatal) if fatal else _sentence(packages, summary, self.check_mode, self.job),
            "summary": summary,
            "packages": packages,
        }


def _service(connection: Connection, options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Where the packages come from, for the report."""
    claims = connection.tokens.claims()
    return {
        "api_url": connection.where.api_url,
        "tenant": claims.tenant or options["tenant"],
        "client_id": claims.app_id or options["client_id"],
    }


def _facts(work: _Work, options: t.Mapping[str, t.Any], service: dict[str, t.Any]) -> dict[str, t.Any]:
    """What the report tells, after the work and before its end is in the log."""
    job, fleet, api = t.cast(Job, work.job), t.cast(Fleet, work.fleet), t.cast(Api, work.api)
    folder = t.cast(Folder, fleet.folder)
    budget, clock = api.session.budget, api.session.clock
    outcome = work.outcome(job.asked, fleet.fatal, clock.monotonic())
    devices = outcome["packages"]
    for (_row, device), package in zip(work.rows(job.asked), devices, strict=True):
        package["times"] = {
            "requested": iso(device.posted) if device and device.posted else None,
            "accepted": iso(device.accepted) if device and device.accepted else None,
            "ready": iso(device.ready) if device and device.ready else None,
            "stored": device.package.downloaded if device and device.package else None,
            "ended": iso(device.ended) if device and device.ended else None,
        }
    return {
        "module": f"secops.defender.{job.module}",
        "comment": job.options.comment,
        "asked_by": folder.custody.asked_by,
        "asked_for": job.asked,
        "service": service,
        "dest": str(folder.path),
        "started": iso(work.started),
        "written": iso(clock.wall()),
        "msg": outcome["msg"],
        "error": fleet.fatal.as_result() if fleet.fatal else None,
        "summary": outcome["summary"],
        "quota": [
            {
                "endpoint": endpoint,
                "calls": calls,
                "limits": [f"{limit.calls:,} in {limit.seconds:,g} s" for limit in budget.limits(endpoint)],
            }
            for endpoint, calls in sorted(api.session.calls_by_endpoint.items())
        ],
        "devices": devices,
    }


def _devices(resolved: list[Resolved]) -> list[Device]:
    """Each device once (by action ID: each action once), in the order in which they were first named."""
    devices: dict[str, Device] = {}
    for each in resolved:
        if each.machine and each.key not in devices:
            devices[each.key] = Device(len(devices), each.asked, each.machine, action=each.action)
    return list(devices.values())


def _run(fleet: Fleet, tell: t.Callable[[Folder], None] | None = None) -> None:
    """tell: writes the report, which is the last thing before the run's end."""
    if fleet.folder:
        _report.complete(fleet.folder)
        fleet.folder.custody.begin(
            asked_by=fleet.folder.custody.asked_by,
            comment=fleet.options.comment,
            devices=len(fleet.devices),
        )
    fleet.run()
    if fleet.folder is None:
        return
    if fleet.fatal:
        with suppress(DefenderError):
            if tell:
                tell(fleet.folder)
        with suppress(DefenderError):
            fleet.folder.custody.append(
                _custody.RUN_ABORTED,
                code=fleet.api.scrub(fleet.fatal.code),
                message=fleet.api.scrub(fleet.fatal.message),
            )
    else:
        if tell:
            tell(fleet.folder)
        fleet.folder.custody.append(
            _custody.RUN_ENDED,
            stored=sum(device.package is not None for device in fleet.devices),
            failed=sum(device.error is not None for device in fleet.devices),
        )


def _package(row: Resolved, device: Device | None, fatal: DefenderError | None) -> dict[str, t.Any]:
    error = row.error or (device.error if device else None)
    if error is None and (device is None or device.phase != DONE):
        error = fatal
    action = device.action if device else None
    return {
        "machine": row.asked,
        "machine_id": row.machine.id if row.machine else None,
        "computer_dns_name": (row.machine.dns_name if row.machine else None) or (action.dns_name if action else None),
        "request": device.request if device else None,
        "status": action.status if action else None,
        "changed": device is not None and _changed(device),
        "failed": error is not None,
        "error": error.as_result() if error else None,
        "action": action.as_result() if action else None,
        "package": device.package.as_result() if device and device.package else None,
    }


def _changed(device: Device) -> bool:
    """Something was started for it, or written (or would be)."""
    return device.request in (STARTED, WOULD_START) or device.wrote


def _summary(packages: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """Counts of devices, each once, but of several packages each; a name that fits none counts as one that failed."""
    devices = {
        (package["machine_id"] or f"?{package['machine']}", (package["action"] or {}).get("id")): package
        for package in packages
    }.values()
    counts: dict[str, t.Any] = {"requested": len(devices)}
    for request in (STARTED, ALREADY_RUNNING, REUSED, RESUMED, WOULD_START):
        counts[request] = sum(package["request"] == request for package in devices)
    counts["succeeded"] = sum(package["status"] == SUCCEEDED for package in devices)
    counts["downloaded"] = sum(package["package"] is not None for package in devices)
    counts["failed"] = sum(package["failed"] for package in devices)
    return counts


def _sentence(packages: list[dict[str, t.Any]], summary: dict[str, t.Any], check_mode: bool, job: Job | None) -> str:
    fetching = isinstance(job, FetchJob)
    words = [f"{summary[key]} {key.replace('_', ' ')}" for key in (job.counted if job else ()) if summary[key]]
    if check_mode and summary[WOULD_START]:
        words.insert(0, f"{summary[WOULD_START]} would be started")
    elif check_mode and fetching and summary["plan"]["links"]:
        words.append(f"{summary['plan']['links']} would be downloaded")
    if summary["downloaded"]:
        noun = "" if fetching else "package " if summary["downloaded"] == 1 else "packages "
        words.append(f"{summary['downloaded']} {noun}verified")
    if summary["failed"]:
        words.append(f"{summary['failed']} failed")
    noun = "package" if fetching else "device"
    count = f"1 {noun}" if summary["requested"] == 1 else f"{summary['requested']} {noun}s"
    sentence = f"{count}: {', '.join(words) or 'nothing to do'}."
    if check_mode and summary["plan"]["seconds"]:
        plan = summary["plan"]
        sentence += f" It would take {plan['starts']} starts and {plan['links']} links, {duration(plan['seconds'])} at the least."
    failures = [package for package in packages if package["failed"]]
    if len(failures) == 1:
        error = failures[0]["error"]
        tracking = f"Tracking ID: {error['tracking_id']}." if error["tracking_id"] else ""
        sentence = " ".join(part for part in (sentence, error["message"], tracking, error["advice"]) if part)
    elif failures:
        listed = ", ".join(f"{package['machine']} ({package['error']['code']})" for package in failures[:10])
        sentence += f" Failed: {listed}{f' and {len(failures) - 10} more' if len(failures) > 10 else ''}."
    return sentence
