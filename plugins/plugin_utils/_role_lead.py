# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the first host of a fleet does for all of its hosts: one collection, with its own credentials."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ansible.utils.display import Display

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import Resolved, parse_names, resolve
from ansible_collections.secops.defender.plugins.module_utils._tasks import collect_package
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import CollectOptions
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context
from ansible_collections.secops.defender.plugins.module_utils._tasks.job import Found, refused
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import Asked
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, listed
from ansible_collections.secops.defender.plugins.module_utils._tasks.packages import carry_out
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._progress import DisplayReporter
from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request, Sheet

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
    """One fleet's work. own_environ: what the play says of the environment, which libraries read themselves."""

    sheet: Sheet
    options: CollectOptions
    context: Context
    own_environ: Mapping[str, str]

    def result(self) -> Result:
        """That of the task, with one of C(packages) for each request, in their order. Raises no DefenderError."""
        if self.sheet.refusal:
            return refuse(self.sheet.requests, OptionsError(self.sheet.refusal))
        try:
            asked = [Asked(each.device, parse_names([each.device])[0], each.wish) for each in self.sheet.requests]
            # The limit was seen to: it is one of hosts, over all fleets.
            options = replace(self.options, max_machines=0).for_requests(asked)
        except DefenderError as failure:
            return refuse(self.sheet.requests, failure)
        with _environment(self.own_environ):
            result = carry_out(replace(collect_package.job(options), find=self._find(options)), self.context)
        result = t.cast(Result, self.context.secrets.scrub(result))
        self._tell_of_twins(result)
        return result

    def _find(self, options: CollectOptions) -> t.Callable[[Api], list[Found]]:
        """The devices of all hosts, and whether the second names of some lead to the same ones."""
        twice = [each for each in self.sheet.requests if each.also]

        def find(api: Api) -> list[Found]:
            names = [each.name for each in options.asked]
            resolved = resolve(
                api,
                [*names, *parse_names([str(each.also) for each in twice])] if twice else names,
                options.on_ambiguous,
            )
            devices = dict(zip((each.host for each in self.sheet.requests), resolved, strict=False))
            for request, other in zip(twice, resolved[len(names) :], strict=True):
                self._require_same(request, devices[request.host], other)
            return [Found(each, asked.wish) for each, asked in zip(resolved, options.asked, strict=False)]

        return find

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


def refuse(requests: Sequence[Request], error: DefenderError) -> Result:
    """The result of a fleet that was not begun."""
    result = refused({"machines": [{"machine": each.device} for each in requests]}, error)
    return {**result, "failed": True, "msg": str(error)}


def artifact(sheet: Sheet, result: Result) -> dict[str, t.Any]:
    """What AWX is handed of a fleet. A list: what several fleets and batches hand over is put together."""
    failed: dict[str, list[str]] = {}
    for request, row in zip(sheet.requests, result["packages"], strict=True):
        if row["failed"]:
            failed.setdefault(row["error"]["code"], []).append(request.host)
    told = {
        **result["summary"],
        "msg": result["msg"],
        "tenant": sheet.requests[0].tenant,
        "report": result["report"],
        "reports": dict(list(result["reports"].items())[:_REPORTS]),
        "failed_hosts": failed,
    }
    return {"data": {"collect_package_summary": [told]}, "per_host": False, "aggregate": True}


@contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
