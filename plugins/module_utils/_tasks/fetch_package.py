# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_fetch_package: download and verify packages that exist already; nothing is started."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._fleet import look
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Pace, Wish
from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Fleet
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.connection import READ
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import (
    Name,
    Resolved,
    find_actions,
    parse_action_ids,
    resolve,
)
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.job import Found, Job, refused
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import names, names_option, words
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result
from ansible_collections.secops.defender.plugins.module_utils._tasks.packages import carry_out
from ansible_collections.secops.defender.plugins.module_utils._tasks.sealing import Sealing, sealing_spec
from ansible_collections.secops.defender.plugins.module_utils._words.errors import MachineError
from ansible_collections.secops.defender.plugins.module_utils._words.models import COLLECT
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec


def spec() -> Spec:
    """Credentials and connection, and which packages go where."""
    return {
        **connection_spec(),
        "machines": names_option(),
        "action_ids": {"type": "list", "elements": "str", "aliases": ["action_id"]},
        "dest": {"type": "path", "required": True},
        "max_age": {"type": "str", "default": "0"},
        "newest_only": {"type": "bool", "default": True},
        "on_ambiguous": {"type": "str", "default": "fail", "choices": ["fail", "newest"]},
        "downloads": {"type": "int", "default": 4},
        "report": {"type": "bool", "default": False},
        **sealing_spec(),
    }


@dataclass(frozen=True)
class Options:
    """max_age: seconds that a package may be old; 0 for any age. newest_only: none that a newer action came after."""

    settings: Settings
    texts: tuple[str, ...]
    names: tuple[Name, ...]
    action_ids: tuple[str, ...]
    wish: Wish
    pace: Pace
    max_age: float
    newest_only: bool
    on_ambiguous: str
    report: bool
    sealing: Sealing

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        named = names(given["machines"] or ())
        ids = words("action_ids", given["action_ids"] or ())
        return cls(
            Settings.of(given),
            (*(name.asked for name in named), *ids),
            tuple(named),
            tuple(parse_action_ids(ids)),
            Wish(dest=given["dest"]),
            Pace(wait=True, downloads=int(given.positive("downloads"))),
            given.seconds("max_age"),
            given["newest_only"],
            given["on_ambiguous"],
            given["report"],
            Sealing.of(given),
        )


def job(options: Options) -> Job:
    """What is to be carried out. Nothing is asked of the service yet."""

    def find(api: Api) -> list[Found]:
        found = resolve(api, options.names, options.on_ambiguous) if options.names else []
        actions = [_with_package(each) for each in find_actions(api, options.action_ids)]
        return [Found(each, options.wish) for each in [*found, *_without_twins(actions, found)]]

    def first_look(fleet: Fleet, context: Context) -> None:
        look.look_for_packages(
            fleet.api, fleet.devices, context.reporter, options.max_age, newest_only=options.newest_only
        )

    return Job(
        module="defender_fetch_package",
        permissions=READ,
        settings=options.settings,
        pace=options.pace,
        asked=options.texts,
        dests=[options.wish.dest] if options.wish.dest else [],
        report=options.report,
        sealing=options.sealing,
        comment="",
        noun="package",
        # Every package that it fetches was there before.
        counted=(),
        find=find,
        look=first_look,
    )


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    return carry_out(job(options), context)


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


def _without_twins(actions: t.Sequence[Resolved], found: t.Sequence[Resolved]) -> list[Resolved]:
    """Actions with the machine as the list of machines has it: a device that was renamed since has one folder, not two."""
    machines = {each.machine.id: each.machine for each in found if each.machine}
    return [
        Resolved(each.asked, machines.get(each.machine.id, each.machine), each.error, each.action)
        if each.machine
        else each
        for each in actions
    ]


TASK = Task(
    "defender_fetch_package",
    spec(),
    Options.of,
    work,
    refused,
    rules={"required_one_of": [["machines", "action_ids"]]},
)
