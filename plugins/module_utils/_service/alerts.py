# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of a tenant's alerts are news: each is told once, however often the service lists it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import datetime, timezone

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.models import Alert

# Alert resource type: severity and status.
SEVERITIES = ("High", "Medium", "Low", "Informational", "UnSpecified")
STATUSES = ("New", "InProgress", "Resolved", "Unknown")

# An alert may be listed later than another that was changed after it: how much later, in seconds, is not documented.
_LATE = 3600.0


@dataclass(frozen=True)
class Choice:
    """Which alerts count, in the service's words. filter: one more condition, as an OData filter."""

    severities: tuple[str, ...]
    statuses: tuple[str, ...]
    filter: str | None = None

    def query(self, since: float | None) -> str:
        """The OData filter for those that were changed since (seconds since 1970), or for all."""
        terms = [_one_of("severity", self.severities), _one_of("status", self.statuses)]
        if since is not None:
            terms.append(
                "lastUpdateTime ge " + datetime.fromtimestamp(since, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            )
        if self.filter:
            terms.append(f"({self.filter})")
        return " and ".join(terms)

    def takes(self, alert: Alert) -> bool:
        """Whether the service gave what it was asked for."""
        return alert.severity in self.severities and alert.status in self.statuses


def _one_of(name: str, values: t.Iterable[str]) -> str:
    return "(" + " or ".join(f"{name} eq '{value}'" for value in values) + ")"


class Watch:
    """What has been told already, kept in memory alone.

    The first look is at all alerts that count: those changed since look_back (seconds) before the start are news, the others are
    only counted.
    After it an alert is news when it comes to count for the first time, because it is new or because it was raised. Where to go
    on from is the newest change that was seen, so no clock but the service's own record matters.
    """

    def __init__(self, choice: Choice, look_back: float, clock: Clock) -> None:
        self._choice = choice
        self._clock = clock
        # The first look may succeed long after the start, and nothing that came meanwhile is old.
        self._from = clock.monotonic() - look_back
        self._known: set[str] = set()
        self._newest: float | None = None
        self._looked = False
        # Alerts that counted at the first look but were older than look_back.
        self.older = 0

    def look(self, api: Api) -> list[Alert]:
        """The news since the last look, the oldest first. Raises as Api.alerts, and then nothing is lost."""
        floor = None if self._newest is None else self._newest - _LATE
        found = [alert for alert in api.alerts(self._choice.query(floor)) if self._choice.takes(alert)]
        now = api.session.now()
        news = [alert for alert in found if alert.id not in self._known]
        if not self._looked:
            # What has no time that can be read may be new.
            since = now - (self._clock.monotonic() - self._from)
            recent = [alert for alert in news if not 0.0 < alert.changed_at < since]
            self.older = len(news) - len(recent)
            news = recent
            self._looked = True
        self._known.update(alert.id for alert in found)
        # One row from the future must not hide all that is changed until then.
        changes = [min(alert.changed_at, now) for alert in found if alert.changed_at]
        self._newest = max([*changes, self._newest or 0.0]) or None
        return sorted(news, key=lambda alert: (alert.created or "", alert.id))
