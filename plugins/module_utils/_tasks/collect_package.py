# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_collect_package: start collections, wait for them, download and verify the packages."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.secops.defender.plugins.module_utils._fleet import look
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Pace, Request, Wish
from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Fleet
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.connection import COLLECT_AND_READ
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import resolve
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.job import Found, Job, refused
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import (
    WISHES,
    Asked,
    names_option,
    refuse_too_many,
    requests,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result
from ansible_collections.secops.defender.plugins.module_utils._tasks.packages import carry_out
from ansible_collections.secops.defender.plugins.module_utils._tasks.sealing import Sealing, sealing_spec
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec


def spec() -> Spec:
    """Credentials and connection, and what is collected how."""
    return {
        **connection_spec(),
        "machines": names_option(required=True),
        "comment": {"type": "str", "required": True},
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "str", "default": "3600"},
        "cancel_on_timeout": {"type": "bool", "default": False},
        "poll_interval": {"type": "str", "default": "15"},
        "dest": {"type": "path"},
        "reuse_within": {"type": "str", "default": "0"},
        "resume_within": {"type": "str", "default": "1d"},
        "on_ambiguous": {"type": "str", "default": "fail", "choices": ["fail", "newest"]},
        "max_machines": {"type": "int", "default": 0},
        "downloads": {"type": "int", "default": 4},
        "report": {"type": "bool", "default": False},
        **sealing_spec(),
    }


@dataclass(frozen=True)
class CollectOptions:
    """What is collected how. max_machines: 0 for no limit. blank_dest: the task names dest, but says none."""

    settings: Settings
    asked: tuple[Asked, ...]
    comment: str
    pace: Pace
    on_ambiguous: str
    max_machines: int
    report: bool
    sealing: Sealing
    blank_dest: bool = False

    @classmethod
    def of(cls, given: Given) -> CollectOptions:
        """Raises OptionsError."""
        wish = Wish(
            comment=given["comment"],
            wait_timeout=given.positive("wait_timeout"),
            cancel_on_timeout=given["cancel_on_timeout"],
            reuse_within=given.seconds("reuse_within"),
            dest=given["dest"],
        )
        pace = Pace(
            wait=given["wait"],
            poll_interval=given.positive("poll_interval"),
            downloads=int(given.positive("downloads")),
            resume_within=given.seconds("resume_within"),
        )
        asked = tuple(requests(given, wish, WISHES))
        if "wait" in given.origins and not given["wait"] and any(each.wish.dest for each in asked):
            raise OptionsError(
                "wait is false, but there is a dest: a package can be stored only when its collection has ended.",
                advice="Take out one of the two. Nothing was started.",
            )
        options = cls(
            Settings.of(given),
            asked,
            wish.comment,
            pace,
            given["on_ambiguous"],
            given["max_machines"],
            given["report"],
            Sealing.of(given),
            "dest" in given.blank,
        )
        options.check()
        return options

    def check(self) -> None:
        """Raises OptionsError for what contradicts itself."""
        if not self.asked:
            raise OptionsError("machines is empty.", advice="Name at least one device. Nothing was started.")
        stored = any(each.wish.dest for each in self.asked)
        if self.report and not stored:
            raise OptionsError(
                "report is true, but there is no dest.", advice="Give dest: the report is kept with the evidence."
            )
        if self.sealing and not stored:
            raise OptionsError(
                f"{self.sealing.called} is given, but there is no dest.",
                advice="Give dest: what is sealed is the evidence.",
            )
        refuse_too_many(self.asked, self.max_machines)

    def for_requests(self, asked: t.Iterable[Asked]) -> CollectOptions:
        """The same for other requests. Raises OptionsError."""
        options = replace(self, asked=tuple(asked))
        options.check()
        return options


def job(options: CollectOptions) -> Job:
    """What is to be carried out. Nothing is asked of the service yet."""

    def find(api: Api) -> list[Found]:
        resolved = resolve(api, [each.name for each in options.asked], options.on_ambiguous)
        return [Found(each, asked.wish) for each, asked in zip(resolved, options.asked, strict=True)]

    def first_look(fleet: Fleet, context: Context) -> None:
        look.let_orphans_end(fleet.devices, context.clock)
        look.look(fleet.api, fleet.devices, fleet.pace, all_ages=context.check_mode)

    return Job(
        module="defender_collect_package",
        permissions=COLLECT_AND_READ,
        settings=options.settings,
        pace=options.pace,
        asked=[each.text for each in options.asked],
        dests=[each.wish.dest for each in options.asked if each.wish.dest],
        report=options.report,
        sealing=options.sealing,
        comment=options.comment,
        noun="device",
        counted=(Request.STARTED, Request.ALREADY_RUNNING, Request.REUSED, Request.RESUMED),
        find=find,
        look=first_look,
    )


def work(options: CollectOptions, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    if options.blank_dest and not all(each.wish.dest for each in options.asked):
        context.reporter.warn("dest is blank, so no package is downloaded. Leave dest out if that is meant.")
    return carry_out(job(options), context)


TASK = Task(
    "defender_collect_package", spec(), CollectOptions.of, work, refused, if_blank={"max_machines": "there is no limit"}
)
