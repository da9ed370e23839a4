# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader

from ansible_collections.secops.defender.plugins.action.defender_collect_package import ActionModule
from ansible_collections.secops.defender.plugins.module_utils._tasks.packages import collect_package
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import collect_spec, connection_spec
from ansible_collections.secops.defender.plugins.plugin_utils import _action

SECRET = "s3cr3t-of-the-app"


class StubDisplay:
    verbosity = 4

    def __init__(self) -> None:
        self.lines: list[str] = []

    def display(self, text: str, *args: Any, **kwargs: Any) -> None:
        self.lines.append(text)

    v = vvv = warning = display


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> StubDisplay:
    stub = StubDisplay()
    monkeypatch.setattr(_action, "Display", lambda: stub)
    return stub


class Unreachable:
    """A connection to a device that nobody can reach from here."""

    transport = "psrp"
    _shell = SimpleNamespace(tmpdir=None)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the connection was asked for {name}")


class Templar:
    def template(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return value


def _plugin(args: dict[str, Any], **task: Any) -> ActionModule:
    stub = SimpleNamespace(
        args=args,
        action="secops.defender.defender_collect_package",
        async_val=task.get("async_val", 0),
        check_mode=task.get("check_mode", False),
        delegate_to=task.get("delegate_to"),
        no_log=False,
        environment=[],
        diff=False,
        become=False,
    )
    plugin = ActionModule(stub, Unreachable(), PlayContext(), None, Templar(), None)
    # The loader gives a plugin its name; ansible-core before 2.19 puts it into messages.
    plugin._load_name = stub.action
    return plugin


def _args(**more: Any) -> dict[str, Any]:
    return {"machines": ["pc01"], "comment": "Alert 4711", "client_secret": SECRET, **more}


class Task:
    """What the plugin is asked to carry out, in the task's place."""

    def __init__(self) -> None:
        self.options: dict[str, Any] | None = None
        self.check_mode: bool | None = None

    def __call__(self, options: Any, check_mode: bool, reporter: Any, secrets: Any) -> dict[str, Any]:
        self.options, self.check_mode = options, check_mode
        self.launched_by = dict(reporter.launched_by)
        reporter.say(f"the secret is {SECRET}")
        reporter.detail(f"still {SECRET}")
        reporter.http(f"GET {SECRET}")
        reporter.warn(f"beware of {SECRET}")
        return {"changed": True, "failed": False, "msg": "1 device: 1 started.", "packages": []}


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    stub = Task()
    monkeypatch.setattr(ActionModule, "TASK", stub)
    return stub


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The modules that were executed on some host."""
    calls: list[dict[str, Any]] = []

    def execute(self: Any, **kwargs: Any) -> dict[str, Any]:
        calls.append({**kwargs, "args": dict(self._task.args)})
        return {"changed": True, "from": "the module"}

    monkeypatch.setattr(ActionModule, "_execute_module", execute)
    return calls


def test_it_is_the_door_to_the_same_work_as_the_module() -> None:
    assert ActionModule.TASK is collect_package
    assert {**connection_spec(), **collect_spec()} == ActionModule.SPEC


@pytest.mark.parametrize("delegate_to", [None, "localhost", "127.0.0.1", "::1"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_it_works_on_the_control_node_and_leaves_the_connection_alone(
    task: Task, display: StubDisplay, executed: list[dict[str, Any]], delegate_to: str | None, check_mode: bool
) -> None:
    result = _plugin(_args(), delegate_to=delegate_to, check_mode=check_mode).run(None, {})
    assert result["msg"] == "1 device: 1 started."
    assert task.check_mode is check_mode
    assert task.options["machines"] == ["pc01"]
    assert task.options["timeout"] == 60.0
    assert not executed


@pytest.mark.parametrize("how", [{"delegate_to": "jumphost"}, {"async_val": 600}])
def test_elsewhere_it_is_an_ordinary_module(
    task: Task, display: StubDisplay, executed: list[dict[str, Any]], how: dict[str, Any]
) -> None:
    result = _plugin(_args(tenant=""), **how).run(None, {"some": "variable"})
    assert result["from"] == "the module"
    assert executed == [
        {
            "task_vars": {"some": "variable"},
            "wrap_async": "async_val" in how,
            # What is empty would hide the environment of the host that runs it.
            "args": _args(),
        }
    ]
    assert task.options is None
    assert not display.lines


def test_empty_connection_options_count_as_not_given(
    task: Task, display: StubDisplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFENDER_TENANT", "contoso.onmicrosoft.com")
    monkeypatch.setenv("DEFENDER_CLIENT_SECRET", "")
    monkeypatch.setenv("AZURE_SECRET", "from-the-awx-credential")
    _plugin({"machines": ["pc01"], "comment": "", "tenant": "", "secret": " ", "region": ""}).run(None, {})
    assert task.options["tenant"] == "contoso.onmicrosoft.com"
    assert task.options["client_secret"] == "from-the-awx-credential"
    assert task.options["region"] is None
    # Only the connection's: an empty comment is a mistake that the task tells.
    assert task.options["comment"] == ""


@pytest.mark.parametrize(
    "variables, launched_by",
    [
        ({}, {}),
        ({"awx_user_name": "", "tower_user_name": "analyst"}, {"awx_user": "analyst"}),
        ({"awx_user_name": "jane", "tower_user_name": "analyst"}, {"awx_user": "jane"}),
    ],
)
def test_who_launched_the_job_is_known(
    task: Task, display: StubDisplay, variables: dict[str, str], launched_by: dict[str, str]
) -> None:
    _plugin(_args()).run(None, variables)
    assert task.launched_by == launched_by


def test_a_secret_from_the_environment_is_known_as_one(
    task: Task, display: StubDisplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFENDER_CLIENT_SECRET", SECRET)
    _plugin({"machines": ["pc01"], "comment": "Alert 4711"}).run(None, {})
    assert len(display.lines) == 4
    assert SECRET not in "".join(display.lines)


@pytest.mark.parametrize("name", ["client_secret", "secret", "password", "access_token", "certificate_password"])
def test_secrets_are_scrubbed_from_every_line(task: Task, display: StubDisplay, name: str) -> None:
    _plugin({"machines": ["pc01"], "comment": "Alert 4711", name: SECRET}).run(None, {})
    assert len(display.lines) == 4
    assert SECRET not in "".join(display.lines)


def test_arguments_that_do_not_fit_are_refused_before_anything_else(task: Task, display: StubDisplay) -> None:
    result = _plugin({"machines": ["pc01"], "client_secret": SECRET}).run(None, {})
    assert result["failed"] is True and result["msg"] == "missing required arguments: comment"
    assert SECRET not in str(result)
    assert task.options is None
    assert [package["error"]["code"] for package in result["packages"]] == ["InvalidOptions"]
    assert result["summary"]["failed"] == 1 and result["report"] is None


def test_a_secret_in_the_wrong_place_is_not_told(task: Task, display: StubDisplay) -> None:
    result = _plugin({**_args(on_ambiguous=SECRET), "secret": SECRET, "client_secret": None}).run(None, {})
    assert result["failed"] is True and "on_ambiguous" in result["msg"]
    assert SECRET not in str(result)


def test_an_unknown_argument_is_refused(task: Task, display: StubDisplay) -> None:
    result = _plugin(_args(machnies=["pc02"])).run(None, {})
    assert result["failed"] is True and "machnies" in result["msg"]
    assert task.options is None


def test_a_failure_of_the_task_is_the_results(display: StubDisplay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    result = _plugin(_args(comment=" ")).run(None, {})
    assert result["failed"] is True
    assert result["msg"].startswith("comment is empty.")
    assert [package["machine"] for package in result["packages"]] == ["pc01"]
    assert SECRET not in str(result)


def test_the_connection_plugins_that_windows_hosts_have_are_not_needed() -> None:
    # A play's hosts may use any of them, and the plugin may not require one to be usable here.
    assert ActionModule._requires_connection is False
    assert connection_loader is not None
