# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module's task, called as its doors call it: options through the argument spec, a reporter that writes down what it is told."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task, open_door
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Simulator

if t.TYPE_CHECKING:
    from ansible_collections.secops.defender.plugins.module_utils._tasks.door import FleetReporter


class Teller:
    """What a door would have shown."""

    def __init__(self, live: bool = True) -> None:
        self.live = live
        self.launched_by: t.Mapping[str, str] = {}
        self.lines: list[tuple[str, str]] = []

    def plan(self, plan: t.Any) -> None:
        self.lines.append(("plan", repr(plan)))

    def device(self, device: t.Any, what: str, detail: str = "") -> None:
        self.lines.append(("device", f"{device.label} {what} {detail}"))

    def tick(self, fleet: t.Any) -> float:
        return float("inf")

    def trouble(self, text: str) -> None:
        self.lines.append(("trouble", text))

    def say(self, text: str) -> None:
        self.lines.append(("say", text))

    def detail(self, text: str) -> None:
        self.lines.append(("detail", text))

    def http(self, text: str) -> None:
        self.lines.append(("http", text))

    def warn(self, text: str) -> None:
        self.lines.append(("warn", text))

    def told(self, how: str) -> list[str]:
        return [text for kind, text in self.lines if kind == how]


# Of a connection option: leave it out of the arguments.
LEFT_OUT = object()

Result = dict[str, t.Any]
Ask = t.Callable[..., Result]


def ask(
    task: Task,
    args: t.Mapping[str, t.Any],
    check_mode: bool = False,
    teller: FleetReporter | None = None,
    secrets: Secrets | None = None,
    clock: Clock | None = None,
    environ: t.Mapping[str, str] | None = None,
    master_gone: t.Callable[[], bool] = lambda: False,
) -> dict[str, t.Any]:
    """A task, asked as its doors ask it."""
    context = Context(
        check_mode,
        teller or Teller(),
        secrets or Secrets(),
        "control",
        clock or Clock(),
        master_gone=master_gone,
    )
    return open_door(task, args, environ or {}, None, context)


class Tenant:
    """A simulated tenant and the way in; an app of it by its name."""

    def __init__(self, simulator: Simulator, clock: VirtualClock) -> None:
        self.simulator = simulator
        self.clock = clock
        self.teller = Teller()
        self.secrets = Secrets()

    def connection(self, app: str = "secops-collector") -> dict[str, t.Any]:
        registered = self.simulator.app(app)
        return {
            "tenant": self.simulator.tenant,
            "client_id": registered.client_id,
            "client_secret": registered.secret,
            "login_url": self.simulator.login_url,
            "api_url": self.simulator.api_url,
            "ca_path": self.simulator.ca_path,
            "timeout": 10.0,
        }

    def __call__(
        self,
        task: Task,
        *,
        app: str = "secops-collector",
        check_mode: bool = False,
        live: bool = True,
        clock: Clock | None = None,
        **given: t.Any,
    ) -> dict[str, t.Any]:
        """The result. A clock that a run has stopped is set going again."""
        self.teller = Teller(live)
        self.secrets = Secrets()
        self.clock.start_again()
        connection = self.connection(app) if "tenant" in task.spec else {}
        args = {name: value for name, value in {**connection, **given}.items() if value is not LEFT_OUT}
        return ask(task, args, check_mode, self.teller, self.secrets, clock or self.clock)

    def posts(self) -> list[str]:
        """What was sent that changes something; signing in does not."""
        return [
            entry.endpoint
            for entry in self.simulator.requests
            if entry.method == "POST" and entry.endpoint in ("collect", "cancel", "isolate", "unisolate")
        ]

    def calls(self, endpoint: str) -> int:
        return sum(entry.endpoint == endpoint for entry in self.simulator.requests)
