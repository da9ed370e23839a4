# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that says back, in every text of every reply, what it was sent: nothing of it is told or kept."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path
from urllib.parse import quote

import pytest

from ansible_collections.secops.defender.plugins.module_utils._tasks import (
    access_token,
    cancel_action,
    collect_package,
    fetch_package,
    isolate_machine,
    machine_action_info,
    machine_info,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks.alerts import open_source
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Task
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._progress import DisplayReporter
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Teller, Tenant, ask
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Alert, Device, Simulator
from simulator.devices import PastAction
from simulator.settings import App
from simulator.testing import Client

ROLES = ("Machine.CollectForensics", "Machine.Isolate", "Machine.Read.All", "Alert.Read.All")
DEVICES = (
    Device("pc01.contoso.com", tags=("tier0",), history=(PastAction(age=600.0), PastAction("Isolate", age=3600.0))),
    Device("pc02.contoso.com", "running"),
    Device("pc03.contoso.com", "fails"),
    Device("pc04.contoso.com", "offline"),
)
# Without these the work comes to no end, well or badly.
NEEDED = ("id", "machineId", "status", "type")
LIST_ENDPOINTS = ("machines", "find_by_ip", "find_by_tag", "machine_actions", "alerts")
ENDPOINTS = (*LIST_ENDPOINTS, "machine", "machine_action", "collect", "cancel", "isolate", "unisolate", "package_link")


class Screen:
    """A display at the highest verbosity, that keeps all it is told to show."""

    verbosity = 4

    def __init__(self) -> None:
        self.said: list[str] = []

    def __getattr__(self, _name: str) -> t.Callable[..., None]:
        return lambda text, *_args, **_more: self.said.append(text)


class Echoing:
    """A tenant whose service says everything back, in all fields but some, and what a task leaves behind there."""

    def __init__(self, tenant: Tenant, folder: Path) -> None:
        self.tenant = tenant
        self.simulator = tenant.simulator
        self.folder = folder
        self.screen = Screen()

    def say_back(self, *but: str, also: t.Sequence[str] = ()) -> None:
        self.simulator.faults.reset()
        for endpoint in ENDPOINTS:
            kept = (*but, "value") if endpoint == "package_link" and but else but
            self.simulator.add_fault(endpoint, "say_back", count=0, but=kept, also=[self.app.secret, *also])

    @property
    def app(self) -> t.Any:
        return self.simulator.app("everything")

    def __call__(self, task: Task, **given: t.Any) -> t.Any:
        secrets = Secrets()
        reporter = DisplayReporter(t.cast(t.Any, self.screen), secrets)
        args = {**self.tenant.connection("everything"), **given}
        result = ask(task, args, teller=reporter, secrets=secrets, clock=self.tenant.clock)
        self.tenant.clock.start_again()
        return result

    def require_silence(self, *told: t.Any) -> None:
        """No secret of the tenant in what was told, shown or written, file names included."""
        files = [path for path in self.folder.rglob("*") if path.suffix != ".zip"]
        texts = [json.dumps(told, default=str), *self.screen.said, *map(str, files)]
        texts += [path.read_text(errors="replace") for path in files if path.is_file()]
        # A text may be cut somewhere, and its letters may be made small: a part of a token is too much as well.
        parts = {secret[:60].lower() for secret in self.simulator.secrets if len(secret) > 8}
        for part in {*parts, *(quote(part, safe="") for part in parts)}:
            for text in texts:
                at = text.lower().find(part.lower())
                assert at < 0, text[max(0, at - 300) : at + 200]


@pytest.fixture
def echoing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Echoing]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    clock, apps = VirtualClock(), [App("everything", roles=ROLES)]
    alerts = [Alert("pc01.contoso.com", age=60.0)]
    simulator = Simulator(DEVICES, apps=apps, alerts=alerts, clock=clock.wall).start()
    yield Echoing(Tenant(simulator, clock), tmp_path)
    simulator.stop()


def _tasks(echoing: Echoing) -> t.Iterator[tuple[Task, dict[str, t.Any]]]:
    """Every task that speaks with the service, with what it may be asked for."""
    ids = [device.id for device in DEVICES]
    dest = {"dest": str(echoing.folder / "evidence"), "report": True, "poll_interval": 1.0, "wait_timeout": 60}
    yield machine_info.TASK, {"machines": ids}
    yield machine_info.TASK, {"tag": "tier0"}
    yield machine_action_info.TASK, {"machines": ids}
    yield machine_action_info.TASK, {"since": "1d"}
    yield fetch_package.TASK, {"machines": ids[0], "dest": str(echoing.folder / "fetched")}
    yield collect_package.TASK, {"machines": ids, "comment": "Incident", **dest}
    yield collect_package.TASK, {"machines": ["pc01", "nosuch", "10.9.9.9"], "comment": "Again", **dest}
    yield cancel_action.TASK, {"machines": ids[3], "comment": "Enough", "wait": True, "wait_timeout": 5}
    yield isolate_machine.TASK, {"machines": ids, "comment": "Alert", "wait": True, "wait_timeout": 60}
    yield access_token.TASK, {}


@pytest.mark.parametrize("but", [NEEDED, ("id", "status"), ()], ids=["works", "half works", "everything"])
def test_what_was_sent_and_is_said_back_is_neither_told_nor_kept(but: tuple[str, ...], echoing: Echoing) -> None:
    echoing.say_back(*but)
    told = [echoing(task, **given) for task, given in _tasks(echoing)]
    echoing.require_silence(told)
    assert any("********" in json.dumps(each, default=str) for each in told)
    if but == NEEDED:
        collected = told[5]
        assert collected["summary"]["downloaded"] == 2, collected["msg"]
        assert list((echoing.folder / "evidence").rglob("report-*.html"))


def test_a_link_that_stands_in_another_reply_is_neither_told_nor_kept(echoing: Echoing) -> None:
    """Lists and actions that name a package's link, this one's or another's, to somebody who never asked for it."""
    action = echoing.simulator.actions[0]["id"]
    link = Client(echoing.simulator).link(action)
    echoing.say_back(*NEEDED, also=[link])
    echoing.require_silence([echoing(task, **given) for task, given in _tasks(echoing)])


def test_events_of_alerts_tell_nothing_that_is_said_back(echoing: Echoing) -> None:
    echoing.say_back("id", "machineId", "severity", "status", "lastUpdateTime", "alertCreationTime")
    teller = Teller()
    given = echoing.tenant.connection("everything")
    source = open_source(given, {}, lambda secrets: teller, echoing.tenant.clock)
    events, _pause = source.turn()
    assert len(events) == 1 and "********" in events[0]["alert"]["title"]
    echoing.require_silence(events, teller.lines)
