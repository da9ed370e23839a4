# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_isolate_machine: isolate devices or release them, where that is asked only when their evidence is safe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._fleet import contain
from ansible_collections.secops.defender.plugins.module_utils._fleet.contain import ISOLATED, RELEASED, Isolation
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Pace, Phase, Request, Wish
from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Fleet
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.connection import ISOLATE_AND_READ
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import resolve
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._tasks import evidence_gate, exclusions
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.evidence_gate import Evidence, Gate
from ansible_collections.secops.defender.plugins.module_utils._tasks.exclusions import Exclusions
from ansible_collections.secops.defender.plugins.module_utils._tasks.job import Found, Job, Work, asked_for
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import (
    WISHES,
    Asked,
    names_option,
    refuse_too_many,
    requests,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import (
    Result,
    count,
    failures_told,
    listed,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks.packages import carried_out
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError
from ansible_collections.secops.defender.plugins.module_utils._words.kinds import ISOLATIONS, RELEASE
from ansible_collections.secops.defender.plugins.module_utils._words.models import SUCCEEDED, Action, duration
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec

# What one machine may want otherwise than the others of its task.
_WISHES: Spec = {name: WISHES[name] for name in ("comment", "wait_timeout")}


def spec() -> Spec:
    """Credentials and connection, and what is isolated or released on which conditions."""
    return {
        **connection_spec(),
        "machines": names_option(required=True),
        "comment": {"type": "str", "required": True},
        "state": {"type": "str", "default": ISOLATED, "choices": [ISOLATED, RELEASED]},
        "isolation_type": {"type": "str", "default": "full", "choices": list(ISOLATIONS)},
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "str", "default": "3600"},
        "poll_interval": {"type": "str", "default": "15"},
        "on_ambiguous": {"type": "str", "default": "fail", "choices": ["fail", "newest"]},
        "max_machines": {"type": "int", "default": 20},
        **evidence_gate.spec(),
        **exclusions.spec(),
    }


@dataclass(frozen=True)
class Options:
    """What is isolated or released. gate: what is required before, if anything is."""

    settings: Settings
    asked: tuple[Asked, ...]
    state: str
    comment: str
    pace: Pace
    on_ambiguous: str
    gate: Gate | None
    exclusions: Exclusions

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        isolates = given["state"] == ISOLATED
        wish = Wish(
            comment=given["comment"],
            wait_timeout=given.positive("wait_timeout"),
            kind=ISOLATIONS[given["isolation_type"]] if isolates else RELEASE,
        )
        asked = tuple(requests(given, wish, _WISHES))
        refuse_too_many(asked, given["max_machines"])
        gate, excluded = Gate.of(given), Exclusions.of(given)
        return cls(
            Settings.of(given),
            asked,
            given["state"],
            wish.comment,
            Pace(wait=given["wait"], poll_interval=given.positive("poll_interval")),
            given["on_ambiguous"],
            # They are there to hold an isolation back; a release is never held back.
            gate if isolates else None,
            excluded if isolates else Exclusions(),
        )


@dataclass
class _Containing:
    """What was found out about the devices before anything is started. known: their actions, by device ID."""

    options: Options
    known: dict[str, list[Action]] = field(default_factory=dict)
    evidence: dict[str, Evidence] = field(default_factory=dict)

    def find(self, api: Api) -> list[Found]:
        resolved = resolve(api, [each.name for each in self.options.asked], self.options.on_ambiguous)
        return [Found(each, asked.wish) for each, asked in zip(resolved, self.options.asked, strict=True)]

    def look(self, fleet: Fleet, context: Context) -> None:
        """Who is excluded, what is so already, and whose evidence is safe: in this order, each of those who are left."""
        machines = [device.machine for device in fleet.devices]
        excluded = self.options.exclusions.reasons(fleet.api, machines, context.reporter)
        for device in fleet.devices:
            if device.machine.id in excluded:
                _refuse(device, excluded[device.machine.id])
        self.known = contain.containing(fleet.api)
        now = fleet.api.session.now()
        contain.look(fleet.devices, self.known, now)
        # What runs already is followed from the same phase on.
        starting = [device for device in fleet.devices if device.phase is Phase.START and device.request is None]
        if self.options.gate and starting:
            self.evidence = self.options.gate.look([device.machine for device in starting], now)
            for device in starting:
                evidence = self.evidence[device.machine.id]
                if evidence.error:
                    _refuse(device, evidence.error)
                elif not evidence.verified:
                    context.reporter.warn(f"{device.label} is isolated without evidence. {evidence.message}")

    def row(self, work: Work, found: Found, now: float) -> Result:
        device = work.device(found)
        machine = found.resolved.machine
        action = device.action if device else None
        known = self.known.get(machine.id, []) if machine else []
        evidence = self.evidence.get(machine.id) if machine else None
        return {
            **_row(found.resolved.asked),
            "machine_id": machine.id if machine else None,
            "computer_dns_name": (machine.dns_name if machine else None) or (action.dns_name if action else None),
            "request": str(device.request) if device and device.request else None,
            "status": action.status if action else None,
            **Isolation.of([*known, *([action] if action else [])], now).as_result(),
            "evidence": evidence.as_result() if evidence else None,
            "changed": device is not None and device.request in (Request.STARTED, Request.WOULD_START),
            "action": action.as_result() if action else None,
            **_failure(_error(found, device, work.fatal)),
        }


def _refuse(device: Device, error: DefenderError) -> None:
    device.phase, device.error = Phase.DONE, error


def _error(found: Found, device: Device | None, fatal: DefenderError | None) -> DefenderError | None:
    error = found.resolved.error or (device.error if device else None)
    return error or (fatal if device is None or not device.done else None)


def _failure(error: DefenderError | None) -> Result:
    return {"failed": error is not None, "error": error.as_result() if error else None}


def _row(asked: str, error: DefenderError | None = None) -> Result:
    """The result of a device of which nothing is known."""
    return {
        "asked": asked,
        "machine_id": None,
        "computer_dns_name": None,
        "request": None,
        "status": None,
        "isolation": None,
        "isolation_source": None,
        "evidence": None,
        "changed": False,
        **_failure(error),
        "action": None,
    }


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    containing = _Containing(options)
    job = Job(
        module="defender_isolate_machine",
        permissions=ISOLATE_AND_READ,
        settings=options.settings,
        pace=options.pace,
        asked=[each.text for each in options.asked],
        comment=options.comment,
        noun="device",
        counted=(Request.STARTED, Request.ALREADY_RUNNING),
        find=containing.find,
        look=containing.look,
    )
    done = carried_out(job, context)
    now = done.api.session.now() if done.api else 0.0
    rows = [containing.row(done, found, now) for found in done.found]
    if not rows:
        rows = [_row(name, done.fatal) for name in job.asked]
    return {
        "changed": any(row["changed"] for row in rows),
        "failed": done.fatal is not None or any(row["failed"] for row in rows),
        "msg": str(done.fatal) if done.fatal else _sentence(options, rows, done, context.check_mode),
        "error": done.fatal.as_result() if done.fatal else None,
        "actions": rows,
    }


def _sentence(options: Options, rows: list[Result], done: Work, check_mode: bool) -> str:
    """Each device counts once, also one that was named twice."""
    if not rows:
        return f"An empty list selects nothing: no device was {options.state}."
    once = list({row["machine_id"] or f"?{row['asked']}": row for row in rows}.values())
    words = Counter(_outcome(row, options.state) for row in once)
    told = ", ".join(f"{number} {word}" for word, number in sorted(words.items(), key=lambda each: each[0] == "failed"))
    without = [row for row in once if row["evidence"] and not row["failed"] and not row["evidence"]["verified"]]
    sentence = f"{count(len(once), 'device')}: {told}."
    if without:
        sentence += f" Without evidence: {listed(row['computer_dns_name'] or row['machine_id'] for row in without)}."
    if check_mode and (seconds := done.plan.as_result()["seconds"]):
        sentence += f" It would take {count(done.plan.starts, 'start')}, {duration(seconds)} at the least."
    return sentence + failures_told([row for row in once if row["failed"]], "asked")


def _outcome(row: Result, state: str) -> str:
    """What became of a device, in the words of the sentence."""
    if row["failed"]:
        return "failed"
    if row["request"] == str(Request.WOULD_START):
        return f"would be {state}"
    if row["request"] is None:
        return "isolated already" if state == ISOLATED else "not isolated"
    if row["status"] == SUCCEEDED:
        return state
    return f"asked to be {state}" if row["request"] == str(Request.STARTED) else f"being {state} already"


TASK = Task(
    "defender_isolate_machine",
    spec(),
    Options.of,
    work,
    refused=lambda args, error: {
        "error": error.as_result(),
        "actions": [_row(name, error) for name in asked_for(args)],
    },
    if_blank={
        "state": "the devices are isolated",
        "require_evidence": "no evidence is required",
        "evidence_max_age": "evidence of any age will do",
    },
)
