# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the first host of a fleet does for all of its hosts: one collection, with its own credentials."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible.utils.display import Display

from ansible_collections.secops.defender.plugins.module_utils._fleet import look
from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Fleet
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import Resolved, resolve
from ansible_collections.secops.defender.plugins.module_utils._tasks import collect_package, fetch_package
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import CollectOptions
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context
from ansible_collections.secops.defender.plugins.module_utils._tasks.job import Found, Job, refused
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import Asked, names
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed
from ansible_collections.secops.defender.plugins.module_utils._tasks.packages import carry_out
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine, duration
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._action import surroundings
from ansible_collections.secops.defender.plugins.plugin_utils._progress import DisplayReporter
from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request, Sheet
from ansible_collections.secops.defender.plugins.plugin_utils._role_variables import Said

# More reports than this are named in each host's result only: AWX empties large events.
_REPORTS = 50


class FleetReporter(DisplayReporter):
    """Progress of one fleet of several, each line with its tenant. tenant: None if there is only one fleet."""

    def __init__(self, secrets: Secrets, launched_by: Mapping[str, str], tenant: str | None) -> None:
        super().__init__(Display(), secrets, launched_by=launched_by)
        self._tenant = tenant

    def _clean(self, text: str) -> str:
        return super()._clean(f"tenant {self._tenant}: {text}" if self._tenant else text)


@dataclass(frozen=True)
class Work:
    """One fleet's work. own_environ: what the play says of the environment, which libraries read themselves.

    machines: those that the hosts led to, by ID, once it is known what there is of each.
    """

    sheet: Sheet
    said: Said
    context: Context
    own_environ: Mapping[str, str]
    machines: dict[str, Machine] = field(default_factory=dict)

    def result(self) -> Result:
        """That of the task, with one of C(packages) for each request, in their order. Raises no DefenderError."""
        if self.sheet.refusal:
            return refuse(self.sheet.requests, OptionsError(self.sheet.refusal))
        try:
            asked = [Asked(each.device, names([each.device])[0], each.wish) for each in self.sheet.requests]
            job = self._job(asked)
        except DefenderError as failure:
            return refuse(self.sheet.requests, failure)
        with surroundings(self.own_environ):
            result = carry_out(replace(job, find=self._find(asked), look=self._look(job)), self.context)
        result = t.cast(Result, self.context.secrets.scrub(result))
        self._tell_of_twins(result)
        return result

    def _job(self, asked: Sequence[Asked]) -> Job:
        """Raises OptionsError."""
        options = self.said.options
        if isinstance(options, CollectOptions):
            # The limit was seen to: it is one of hosts, over all fleets.
            return collect_package.job(replace(options, max_machines=0).for_requests(asked))
        dests = [each.wish.dest for each in asked if each.wish.dest]
        return replace(fetch_package.job(options), asked=[each.text for each in asked], dests=dests)

    def _look(self, job: Job) -> t.Callable[[Fleet, Context], None]:
        """The first look, and whether as much would be started as was approved."""
        planned = self.said.planned

        def first_look(fleet: Fleet, context: Context) -> None:
            job.look(fleet, context)
            self.machines.update({device.machine.id: device.machine for device in fleet.devices})
            if planned is None or context.check_mode or not isinstance(self.said.options, CollectOptions):
                return
            starts = look.plan(fleet.api.session.budget, fleet.devices).starts
            if starts > planned + leeway(planned):
                raise OptionsError(
                    f"{count(starts, 'collection')} would be started, but the plan that was approved has {planned} "
                    f"(collect_package_planned), and no more than {leeway(planned)} above that are allowed.",
                    advice="Have it planned and approved anew. Nothing was started.",
                    code="MoreThanPlanned",
                )

        return first_look

    def _find(self, asked: Sequence[Asked]) -> t.Callable[[Api], list[Found]]:
        """The devices of all hosts, and whether the second names of some lead to the same ones."""
        twice = [each for each in self.sheet.requests if each.also]

        def find(api: Api) -> list[Found]:
            wanted = [each.name for each in asked]
            resolved = resolve(
                api,
                [*wanted, *names([each.also for each in twice])],
                self.said.options.on_ambiguous,
            )
            devices = dict(zip((each.host for each in self.sheet.requests), resolved, strict=False))
            for request, other in zip(twice, resolved[len(wanted) :], strict=True):
                self._require_same(request, devices[request.host], other)
            return [Found(each, own.wish) for each, own in zip(resolved, asked, strict=False)]

        return find

    def plan(self, result: Result) -> str:
        """What approving a plan starts, in a sentence for the one who approves it. result: that of check mode."""
        summary = result["summary"]
        starts, seconds = summary["would_start"], summary["plan"]["seconds"]
        words = [f"Approving starts {count(starts, 'collection')}" if starts else "Approving starts nothing"]
        goes_on = summary["already_running"] + summary["resumed"] + summary["reused"]
        if goes_on:
            words.append(f"takes {goes_on} that are there already")
        if seconds:
            words.append(f"at least {duration(seconds)}")
        inactive = sum(machine.health_status not in (None, "", "Active") for machine in self.machines.values())
        if inactive:
            words.append(f"{count(inactive, 'device')} inactive")
        if summary["failed"]:
            words.append(f"{summary['failed']} of {count(summary['requested'], 'device')} cannot be collected from")
        return f"{', '.join(words)}."

    def _require_same(self, request: Request, one: Resolved, other: Resolved) -> None:
        if other.machine is None:
            self.context.reporter.trouble(
                f"{request.host}: collect_package_machine says {request.also}, which leads to no device; "
                f"defender_machine_id {request.device} is taken."
            )
        elif one.machine and one.machine.id != other.machine.id:
            raise OptionsError(
                f"The host {request.host} leads to two devices: by defender_machine_id to {one.machine.label} "
                f"({one.machine.id}), by collect_package_machine to {other.machine.label} ({other.machine.id}).",
                advice="Correct the one that is wrong, or renew the inventory. Nothing was started.",
            )

    def _tell_of_twins(self, result: Result) -> None:
        """Hosts that are one device have one collection and one package, and want the same of it."""
        hosts: dict[str, list[str]] = {}
        for request, row in zip(self.sheet.requests, result["packages"], strict=True):
            hosts.setdefault(row["machine_id"] or request.host, []).append(request.host)
        for machine_id, named in hosts.items():
            if len(named) > 1:
                self.context.reporter.say(f"{listed(named)} are one device, {machine_id}: it was asked for once.")


def leeway(planned: int) -> int:
    """How many more than were approved may be started: the fleet may have grown a little in the meantime."""
    return max(5, planned // 10)


def refuse(requests: Sequence[Request], error: DefenderError) -> Result:
    """The result of a fleet that was not begun."""
    result = refused({"machines": [{"machine": each.device} for each in requests]}, error)
    return {**result, "failed": True, "msg": str(error)}


def artifact(sheet: Sheet, result: Result, plan: str | None) -> dict[str, t.Any]:
    """What AWX is handed of a fleet. A list: what several fleets and batches hand over is put together, and numbers are added.

    plan: what a plan says to the one who approves it. A plan that could not be made has no number.
    """
    failed: dict[str, list[str]] = {}
    for request, row in zip(sheet.requests, result["packages"], strict=True):
        if row["failed"]:
            failed.setdefault(row["error"]["code"], []).append(request.host)
    told = {
        **result["summary"],
        "msg": result["msg"],
        "summary_text": result["summary_text"],
        "planned": plan,
        "tenant": sheet.requests[0].tenant,
        "report": result["report"],
        "reports": dict(list(result["reports"].items())[:_REPORTS]),
        "failed_hosts": failed,
    }
    data: dict[str, t.Any] = {"collect_package_summary": [told]}
    if plan is not None:
        data["collect_package_planned"] = result["summary"]["would_start"]
    return {"data": data, "per_host": False, "aggregate": True}
