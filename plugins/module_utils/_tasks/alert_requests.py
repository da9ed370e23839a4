# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_alert_requests: from alerts to what defender_collect_package is asked for, each device once."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import safe_name
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api, literal
from ansible_collections.secops.defender.plugins.module_utils._service.connection import READ, Connection
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import Resolved, resolve
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.exclusions import Exclusions
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import names
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed, settled
from ansible_collections.secops.defender.plugins.module_utils._words.errors import MachineError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import COLLECT, Machine, iso
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec, shown

EMPTY: Result = {"requests": [], "left_out": []}
COMMENT = "collected by secops.defender.collect_on_alert"
_HOUR = 3600.0
# Where an alert says what device it is about: the event source's key, then what other systems may only have.
_DEVICE_KEYS = ("machine_id", "machine", "computer_dns_name")


def spec() -> Spec:
    """Credentials and connection, the alerts, and the brakes."""
    return {
        **connection_spec(),
        "alerts": {"type": "list", "elements": "raw", "required": True},
        "dest": {"type": "path", "required": True},
        "comment": {"type": "str", "default": COMMENT},
        "exclude_tags": {"type": "list", "elements": "str", "default": []},
        "exclude_groups": {"type": "list", "elements": "str", "default": []},
        "max_machines_per_hour": {"type": "int", "default": 60},
    }


@dataclass(frozen=True)
class Case:
    """Why a device is collected from: C(Incident 7001), or C(Alert da637…) where there is no incident."""

    word: str
    id: str

    @property
    def folder(self) -> str:
        return safe_name(f"{self.word.lower()}-{self.id}")


@dataclass(frozen=True)
class Told:
    """An alert. device: as it names it, None where it is about none."""

    device: str | None
    case: Case
    created: str


@dataclass(frozen=True)
class Options:
    """dest: the folder with a folder for each case."""

    settings: Settings
    alerts: tuple[Told, ...]
    dest: str
    comment: str
    exclusions: Exclusions
    max_machines_per_hour: int

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        alerts = [_told(element) for element in given["alerts"]]
        if given["max_machines_per_hour"] < 0:
            raise OptionsError(
                f"max_machines_per_hour is {given['max_machines_per_hour']}.",
                advice="Give a number, or 0 for no limit.",
            )
        return cls(
            Settings.of(given),
            tuple(sorted(alerts, key=lambda alert: alert.created or "~")),
            given["dest"],
            given["comment"].strip(),
            Exclusions.of(given),
            given["max_machines_per_hour"],
        )


def _told(element: t.Any) -> Told:
    """Raises OptionsError."""
    alert = element.get("alert", element) if isinstance(element, dict) else None
    if not isinstance(alert, dict):
        raise OptionsError(
            f"alerts holds {shown(element)}, which is no alert.",
            advice="Give mappings with machine_id (or machine) and incident_id (or id), as the events of "
            "secops.defender.alerts have them. Nothing was started.",
        )
    case = next(
        (
            Case(word, said)
            for word, key in (("Incident", "incident_id"), ("Alert", "id"))
            if (said := _said(alert, key))
        ),
        None,
    )
    if case is None:
        raise OptionsError(
            "alerts has one with neither incident_id nor id: there would be no telling what its evidence is for.",
            advice="Give incident_id, or the alert's id. Nothing was started.",
        )
    device = next((said for key in _DEVICE_KEYS if (said := _said(alert, key))), None)
    return Told(device, case, str(alert.get("created") or ""))


def _said(alert: t.Mapping[str, t.Any], key: str) -> str:
    """What an alert has there, empty where it has nothing. Raises OptionsError for what is neither a text nor a number."""
    value = alert.get(key) or ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise OptionsError(
            f"{key} of an alert is {shown(value)}.", advice="Give a text or a number. Nothing was started."
        )
    return str(value).strip()


@dataclass
class Wanted:
    """A device with the cases it is in, the oldest first."""

    resolved: Resolved
    cases: dict[Case, None] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.resolved.machine.label if self.resolved.machine else self.resolved.asked

    def request(self, options: Options) -> Result:
        """What defender_collect_package takes; of a device that was not found it says why."""
        first, *others = self.cases
        also = f" (also {listed(each.id for each in others)})" if others else ""
        return {
            "machine": self.resolved.machine.id if self.resolved.machine else self.resolved.asked,
            "comment": f"{first.word} {first.id}{also}: {options.comment}",
            "dest": os.path.join(options.dest, first.folder),
        }

    def why_not(self, options: Options, doubts: t.Mapping[str, str]) -> str | None:
        """Why it is left to a person."""
        machine = self.resolved.machine
        if machine is None:
            return None
        if not machine.onboarded:
            return f"is not onboarded ({machine.onboarding_status}), so nothing can be collected from it"
        tags = options.exclusions.tags_of(machine)
        if tags:
            return f"has the tag {listed(tags)} of exclude_tags"
        if options.exclusions.has_group_of(machine):
            return f"is in the device group {machine.group} of exclude_groups"
        if machine.id in doubts:
            return f"may be meant to be excluded: {doubts[machine.id]}"
        return None


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""

    def plan() -> Result:
        about = [alert for alert in options.alerts if alert.device]
        left_out = [
            {
                "machine": None,
                "machine_id": None,
                "why": f"{each.case.word} {each.case.id} has an alert about no device",
            }
            for each in options.alerts
            if not each.device
        ]
        if not about:
            return {
                "msg": f"No alert is about a device: nothing to collect.{_told_left_out(left_out)}",
                "left_out": left_out,
            }
        asked = names([alert.device for alert in about])
        api = Connection(options.settings, context.reporter, context.secrets, context.clock).sign_in(READ)
        wanted: dict[str, Wanted] = {}
        for alert, resolved in zip(about, resolve(api, asked, "fail"), strict=True):
            wanted.setdefault(resolved.key, Wanted(resolved)).cases.setdefault(alert.case)
        taken = []
        machines = [each.resolved.machine for each in wanted.values() if each.resolved.machine]
        doubts = options.exclusions.doubts(api, machines, context.reporter)
        for each in wanted.values():
            why = each.why_not(options, doubts)
            if why is None:
                taken.append(each)
            else:
                left_out.append({"machine": each.label, "machine_id": _id(each.resolved.machine), "why": why})
        _brake(api, options, taken)
        cases = {next(iter(each.cases)) for each in taken}
        return {
            "msg": f"{count(len(taken), 'device')} to collect from, in {count(len(cases), 'folder')}.{_told_left_out(left_out)}",
            "requests": [each.request(options) for each in taken],
            "left_out": left_out,
        }

    return settled(plan, EMPTY)


def _id(machine: Machine | None) -> str | None:
    return machine.id if machine else None


def _told_left_out(rows: t.Sequence[Result]) -> str:
    if not rows:
        return ""
    return f" Left out: {listed(' '.join(filter(None, (row['machine'], row['why']))) for row in rows)}."


def _brake(api: Api, options: Options, taken: t.Sequence[Wanted]) -> None:
    """Raises MachineError where these devices would be too many, with those that were begun with in the last hour.

    The service's own list is asked, by the comment: it counts for all nodes, and whatever was killed meanwhile. A device that was
    among them counts once, so that alerts which are told again after a restart are no storm.
    """
    most = options.max_machines_per_hour
    if not most or not taken:
        return
    since = iso(api.session.now() - _HOUR)
    query = f"type eq {literal(COLLECT)} and creationDateTimeUtc ge {since}"
    begun = {
        action.machine_id
        for action in api.actions(query, "count the collections of the last hour")
        if action.type == COLLECT and (action.comment or "").strip().endswith(options.comment)
    }
    new = [each for each in taken if _id(each.resolved.machine) not in begun]
    if new and len(begun) + len(new) > most:
        raise MachineError(
            f"{count(len(new), 'device')} would be collected from on alerts, after {len(begun)} in the last hour: more than "
            f"max_machines_per_hour, which is {most}. Nothing was started on {listed(each.label for each in new)}.",
            code="StormBrake",
            advice="See whether it is a storm of false alarms. If not, collect from these devices by hand, or run "
            "secops.defender.collect_on_alert with these alerts and a higher collect_on_alert_max_machines_per_hour.",
        )


TASK = Task(
    "defender_alert_requests",
    spec(),
    Options.of,
    work,
    refused=lambda args, error: {**EMPTY, "error": error.as_result()},
)
