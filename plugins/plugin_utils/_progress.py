# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person sees while the work goes on."""

from __future__ import annotations

import time
import typing as t

from ansible import constants as C
from ansible import template as ansible_template
from ansible.utils.display import Display

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Plan, Progress
from ansible_collections.secops.defender.plugins.module_utils._words.errors import printable
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# Seconds between two summary lines: a watched job is never silent for a minute, and a long one fills no log.
_PACE = 30.0
# Whoever waits for a single device sits in front of it, and sees sooner that something goes on.
_FIRST_OF_ONE = 10.0
# Up to so many devices each gets a line when its package is stored; in larger fleets only what needs attention does.
_SMALL_FLEET = 30

# From ansible-core 2.19 on what an action warns of becomes part of its result, as a module's warnings always did.
_CORE_KEEPS_WARNINGS = hasattr(ansible_template, "trust_as_template")

# Callbacks whose output is read by people, line by line.
_FOR_PEOPLE = frozenset(
    (
        "default",
        "minimal",
        "oneline",
        "debug",
        "yaml",
        "unixy",
        "dense",
        "diy",
        "selective",
        "awx_display",
        "timestamp",
        "tree",
    )
)

_VERBOSE = {
    "started": "{noun} started",
    "already_running": "its {noun} is running already and is followed",
    "reused": "a recent package is reused",
    "resumed": "an interrupted request is resumed",
    "reply_lost": "the reply to the start was lost, looking whether it was carried out",
    "ready": "package is ready",
    "status": "status",
    "retry": "trying again",
    "expired": "its package is gone at the service, a new one is collected",
}


class DisplayReporter:
    """Progress lines through Ansible's display. In AWX a line is an event without a host, so each names its device."""

    live = True

    def __init__(
        self,
        display: Display,
        secrets: Secrets,
        clock: t.Callable[[], float] = time.monotonic,
        launched_by: t.Mapping[str, str] | None = None,
    ) -> None:
        self.launched_by = launched_by or {}
        # For the result. Ansible shows a warning once, however often it is told.
        self.warnings: list[str] = []
        self._display = display
        self._secrets = secrets
        self._clock = clock
        self._next_summary = clock() + _PACE
        self._devices = 0

    def plan(self, plan: Plan) -> None:
        self._devices = plan.devices
        if plan.devices == 1:
            self._next_summary = self._clock() + _FIRST_OF_ONE
        words = [f"{plan.starts} to start" if plan.starts else "none to start"]
        if plan.running:
            words.append(f"{plan.running} running already")
        if plan.links:
            words.append(f"{plan.links} to download")
        least = []
        if plan.start_seconds >= 1:
            least.append(f"starts take at least {duration(plan.start_seconds)}")
        if plan.link_seconds >= 1:
            least.append(f"package links at least {duration(plan.link_seconds)}")
        quota = f"; by the quota {', '.join(least)}" if least else ""
        self._say(f"{_devices(plan.devices)}: {', '.join(words)}{quota}")

    def device(self, device: Device, what: str, detail: str = "") -> None:
        if what == "failed":
            self._say(detail)
        elif what == "done" and device.package:
            # Ansible shows nothing of a result that has not failed, so a single device's line is all that is seen of it.
            where = f"{device.package.path}, " if self._devices == 1 else ""
            text = (
                f"{device.label}: package verified, {where}{size(device.package.size)}, SHA-256 {device.package.sha256}"
            )
            self._say(text) if self._devices <= _SMALL_FLEET else self.detail(text)
        elif what in _VERBOSE:
            said = _VERBOSE[what].format(noun=device.wish.kind.noun)
            self.detail(f"{device.label}: {said}{': ' + detail if detail else ''}")

    def tick(self, fleet: Progress) -> float:
        now = self._clock()
        if now >= self._next_summary:
            self._next_summary = now + _PACE
            self._say(self._summary(fleet))
        return self._next_summary - now

    def trouble(self, text: str) -> None:
        self._say(text)

    def say(self, text: str) -> None:
        self._say(text)

    def detail(self, text: str) -> None:
        if self._display.verbosity >= 1:
            self._display.v(self._clean(text))

    def http(self, text: str) -> None:
        if self._display.verbosity >= 3:
            self._display.vvv(self._clean(text))

    def warn(self, text: str) -> None:
        warning = printable(self._secrets.scrub(text))
        self._display.warning(warning)
        if not _CORE_KEEPS_WARNINGS:
            self.warnings.append(warning)

    def end(self, sentence: str) -> None:
        """The result in a sentence. A single device has had its own line, and a failure is shown by Ansible itself."""
        if self._devices > 1:
            self._say(sentence)

    def _summary(self, fleet: Progress) -> str:
        counts = fleet.counts()
        named = (
            ("to_start", "to start"),
            ("running", "running"),
            ("ready", "waiting for a link"),
            ("fetching", "downloading"),
        )
        words = [f"{counts[key]} {word}" for key, word in named if counts[key]]
        words.append(f"{counts['done']} done")
        if counts["failed"]:
            words.append(f"{counts['failed']} failed")
        left = max(fleet.forecast())
        return f"{_devices(len(fleet.devices))}: {', '.join(words)}" + (
            f"; at least {duration(left)} left" if left >= 1 else ""
        )

    def _say(self, text: str) -> None:
        self._display.display(self._clean(text), stderr=not _written_for_people())

    def _clean(self, text: str) -> str:
        # AWX shows the first kilobyte of an event.
        return f"secops.defender: {printable(self._secrets.scrub(text))}"[:1000]


def _written_for_people() -> bool:
    """Whether standard output is a text for people; a callback such as json owns it, and lines of ours would break it."""
    return str(getattr(C, "DEFAULT_STDOUT_CALLBACK", "default")).rpartition(".")[2] in _FOR_PEOPLE


def size(count: int) -> str:
    """Bytes as a person says them."""
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
