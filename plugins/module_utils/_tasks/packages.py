# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What collecting, fetching and containing share: from a job to the devices, their folders, the fleet and the reports."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

from ansible_collections.secops.defender.plugins.module_utils._evidence import container
from ansible_collections.secops.defender.plugins.module_utils._fleet import look
from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Fleet
from ansible_collections.secops.defender.plugins.module_utils._service.connection import Connection
from ansible_collections.secops.defender.plugins.module_utils._tasks import folders as evidence
from ansible_collections.secops.defender.plugins.module_utils._tasks.contents import Contents
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context
from ansible_collections.secops.defender.plugins.module_utils._tasks.job import Job, Work
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError


def carry_out(job: Job, context: Context) -> Result:
    """The job, from its devices to its result. Raises no DefenderError: it is in the result."""
    return carried_out(job, context).outcome()


def carried_out(job: Job, context: Context) -> Work:
    """The job when all of its devices have come to their end. Raises no DefenderError: it is C(fatal)."""
    work = Work(job, context)
    try:
        with ExitStack() as opened:
            _work(work, opened)
    except DefenderError as failure:
        work.fatal = failure
    return work


def _work(work: Work, opened: ExitStack) -> None:
    job, context = work.job, work.context
    connection = Connection(job.settings, context.reporter, context.secrets, context.clock)
    work.folders = evidence.open_all(job.dests, context, opened)
    for dest in work.folders:
        warning = container.warning_about(dest)
        if warning:
            context.reporter.warn(warning)
    api = work.api = connection.sign_in(job.permissions)
    service = evidence.service(connection, job.settings)
    evidence.require_tenant(work.folders, service)
    devices = work.take_in(job.find(api))
    for each in work.found:
        if each.resolved.error:
            context.reporter.trouble(each.resolved.error.message)
        elif each.resolved.note and not context.check_mode:
            context.reporter.trouble(each.resolved.note)
    pool = ThreadPoolExecutor(max_workers=job.pace.downloads + 6)
    try:
        if job.report and not context.check_mode:
            work.contents = Contents(context.reporter, context.clock)
            opened.callback(work.contents.close)
        observer = work.contents or context.reporter
        fleet = work.fleet = Fleet(api, devices, replace(job.pace, task=context.task), pool, observer)
        if devices:
            job.look(fleet, context)
            work.plan = look.plan(api.session.budget, devices)
            connection.check_lifetime(work.plan.as_result()["seconds"])
            context.reporter.plan(work.plan)
        if context.check_mode:
            look.predict(devices, job.pace)
            _tell_what_would_happen(work)
        elif devices or job.report:
            evidence.run(work, service)
    finally:
        # Whatever still waits or downloads when the task is interrupted is let go, and resumed by the next run.
        context.clock.stop()
        pool.shutdown(wait=False, cancel_futures=True)


def _tell_what_would_happen(work: Work) -> None:
    """Check mode: what each name led to, and what a run would do with it."""
    for row, each in zip(work.rows(), work.found, strict=True):
        machine = each.resolved.machine
        if machine:
            would = (
                row["error"]["message"] if row["error"] else str(row["request"] or "nothing to do").replace("_", " ")
            )
            name = "" if machine.label.lower() == row["machine"].lower() else f"{machine.label}, "
            note = f" {each.resolved.note}" if each.resolved.note else ""
            work.context.reporter.say(f"{row['machine']}: {name}{machine.id}, {machine.condition}; {would}{note}")
