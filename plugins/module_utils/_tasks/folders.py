# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evidence folders of a task: opened together, begun and ended in their logs, each with a report of its own."""

from __future__ import annotations

import resource
import typing as t
from contextlib import ExitStack, suppress

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._evidence.history import RunState
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting import store
from ansible_collections.secops.defender.plugins.module_utils._service.connection import Connection
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._tasks import sealing
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context
from ansible_collections.secops.defender.plugins.module_utils._tasks.master import nobody_waits
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    EvidenceError,
    MasterGone,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine, iso

if t.TYPE_CHECKING:  # pragma: no cover
    from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device
    from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Fleet
    from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
    from ansible_collections.secops.defender.plugins.module_utils._tasks.job import Work

# Descriptors that an open folder holds, and what the rest of the process needs beside them.
_EACH, _OTHERS = 6, 200


def open_all(dests: t.Sequence[str], context: Context, opened: ExitStack) -> dict[str, Folder]:
    """Each folder once, by its path as it was asked for; closed with C(opened). Raises EvidenceError."""
    _make_room(len(set(dests)))
    folders = {}
    for dest in dict.fromkeys(dests):
        folder = Folder(dest, context.clock, context.check_mode, context.reporter.launched_by)
        opened.callback(folder.close)
        # Some show only while the work goes on, a clock that is wrong for instance.
        opened.callback(_warn, folder, context, len(folder.warnings))
        _warn(folder, context)
        folders[dest] = folder
    return folders


def _warn(folder: Folder, context: Context, told: int = 0) -> None:
    for warning in dict.fromkeys(folder.warnings[told:]):
        context.reporter.warn(warning)


def _make_room(folders: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = folders * _EACH + _OTHERS
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise EvidenceError(
            f"{folders} evidence folders need {needed} open files, but this computer allows {hard} a process.",
            advice="Collect into fewer folders, in several runs, or raise the limit (ulimit -n). Nothing was started.",
            code="TooManyFolders",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def service(connection: Connection, settings: Settings) -> Result:
    """Where the packages come from: for logs, records and reports."""
    claims = connection.tokens.claims()
    return {
        "api_url": connection.where.api_url,
        "tenant": claims.tenant or settings.tenant,
        "client_id": claims.app_id or settings.client_id,
    }


def require_tenant(folders: t.Mapping[str, Folder], service: Result) -> None:
    """Raises EvidenceError for a folder that belongs to another tenant: before anything is started.

    A token that cannot be read is for the service to refuse first; the log refuses it when the run begins.
    """
    for folder in folders.values() if service["tenant"] else ():
        folder.require_tenant(service["tenant"])


def run(work: Work, service: Result) -> None:
    """The fleet's run, with its beginning and its end in every folder's log, and a report in each where one is wanted."""
    fleet, api = t.cast("Fleet", work.fleet), t.cast("Api", work.api)
    for folder in work.folders.values():
        store.complete(folder)
        devices = [device for device in fleet.devices if device.folder is folder]
        comments = {device.wish.comment for device in devices}
        begun = {"task": work.context.task} if work.context.task else {}
        folder.custody.begin(
            tenant=service["tenant"],
            skew=api.session.skew,
            asked_by=folder.custody.asked_by,
            comment=comments.pop() if len(comments) == 1 else None,
            devices=len(devices),
            **begun,
        )
        _tell_what_is_open(work, folder, {device.machine.id for device in devices})
    try:
        fleet.run()
        if work.contents and not fleet.fatal:
            work.contents.settle()
        # What nobody was told of is no end: who runs the task again gets these packages, and no new ones.
        work.fatal = fleet.fatal or (nobody_waits() if work.context.master_gone() else None)
    except MasterGone as failure:
        work.fatal = failure
    for dest, folder in work.folders.items():
        _end(work, dest, folder, service)
    if work.job.sealing and not isinstance(work.fatal, MasterGone):
        _seal(work)


def _seal(work: Work) -> None:
    """Last of all: an authority that is slow holds up no end of a run."""
    lost = work.fleet.lost_folders if work.fleet else {}
    for folder in work.folders.values():
        if folder not in lost:
            sealing.seal(work.job.sealing, folder.custody, work.context)


def _tell_what_is_open(work: Work, folder: Folder, machine_ids: set[str]) -> None:
    """What earlier runs have begun here and nobody has brought to an end: not what this run is about to see to."""
    left = [
        each
        for each in folder.custody.history.open_requests()
        if each.run_state is not RunState.ALIVE and not each.overtaken and each.machine_id not in machine_ids
    ]
    if left:
        names = listed(each.name or each.machine_id for each in left)
        work.context.reporter.say(
            f"{folder.path}: {count(len(left), 'request')} of earlier runs without an end: {names}. Run their task again to pick "
            "them up; every verification names them until then."
        )


def _end(work: Work, dest: str, folder: Folder, service: Result) -> None:
    fatal = work.fatal or (work.fleet.lost_folders.get(folder) if work.fleet else None)
    try:
        _tell(work, dest, folder, service)
    except DefenderError as failure:
        if not fatal:
            _abort(work, folder, failure)
            raise
    if fatal:
        _abort(work, folder, fatal)
        return
    devices = [device for _found, device in work.of_folder(dest) if device]
    folder.custody.append(
        custody.RUN_ENDED,
        stored=sum(device.package is not None for device in devices),
        failed=sum(device.error is not None for device in devices),
    )


def _abort(work: Work, folder: Folder, why: DefenderError) -> None:
    with suppress(DefenderError):
        code, message = work.context.secrets.scrub([why.code, why.message])
        folder.custody.append(custody.RUN_ABORTED, code=code, message=message)


def _tell(work: Work, dest: str, folder: Folder, service: Result) -> None:
    if work.job.report:
        facts = work.context.secrets.scrub(_facts(work, dest, folder, service))
        work.reports[dest] = store.write(folder, facts, work.started)


def _facts(work: Work, dest: str, folder: Folder, service: Result) -> Result:
    """What the report tells, after the work and before its end is in the log."""
    api = t.cast("Api", work.api)
    budget, clock = api.session.budget, work.context.clock
    outcome = work.outcome()
    rows = work.rows(dest)
    where, tenant = api.session.endpoints, service["tenant"]
    for row, (found, device) in zip(rows, work.of_folder(dest), strict=True):
        machine = found.resolved.machine
        row["comment"] = found.wish.comment or None
        row["device"] = _state(machine)
        row["links"] = {
            "device": where.device_page(machine.id, tenant) if machine else None,
            "action": where.action_center(tenant) if row["action"] else None,
        }
        row["contents"] = work.contents.of(device) if work.contents else None
        row["times"] = _times(device)
    return {
        "module": f"secops.defender.{work.job.module}",
        "comment": work.job.comment,
        "asked_by": folder.custody.asked_by,
        "asked_for": [row["machine"] for row in rows],
        "service": service,
        "dest": str(folder.path),
        "started": iso(work.started),
        "written": iso(clock.wall()),
        "msg": outcome["msg"],
        "error": work.fatal.as_result() if work.fatal else None,
        "summary": outcome["summary"],
        "quota": [
            {
                "endpoint": endpoint,
                "calls": calls,
                "limits": [f"{limit.calls:,} in {limit.seconds:,g} s" for limit in budget.limits(endpoint)],
            }
            for endpoint, calls in sorted(api.session.calls_by_endpoint.items())
        ],
        "devices": rows,
    }


def _state(machine: Machine | None) -> Result | None:
    """What the service says of a device."""
    if machine is None:
        return None
    return {
        "os": machine.os_platform,
        "health": machine.health_status,
        "last_seen": machine.last_seen,
        "ip": machine.last_ip,
        "tags": list(machine.tags),
        "risk": machine.risk_score,
        "exposure": machine.exposure,
    }


def _times(device: Device | None) -> dict[str, str | None]:
    return {
        "requested": iso(device.posted) if device and device.posted else None,
        "accepted": iso(device.accepted) if device and device.accepted else None,
        "ready": iso(device.ready) if device and device.ready else None,
        "stored": device.package.downloaded if device and device.package else None,
        "ended": iso(device.ended) if device and device.ended else None,
    }
