# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader

from ansible_collections.secops.defender.plugins.action.defender_collect_package import ActionModule
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK, CollectOptions
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context
from ansible_collections.secops.defender.plugins.plugin_utils import _action, _progress

SECRET = "s3cr3t-of-the-app"
BASE = "/playbooks"


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
    stub: Any = SimpleNamespace(
        args=args,
        action="secops.defender.defender_collect_package",
        async_val=task.get("async_val", 0),
        check_mode=task.get("check_mode", False),
        delegate_to=task.get("delegate_to"),
        until=task.get("until", []),
        retries=task.get("retries"),
        _uuid="0242ac11-0002",
        no_log=False,
        environment=task.get("environment", []),
        diff=False,
        become=False,
    )
    connection: Any = Unreachable()
    loader: Any = SimpleNamespace(get_basedir=lambda: BASE)
    templar: Any = Templar()
    plugin = ActionModule(stub, connection, PlayContext(), loader, templar, None)
    # The loader gives a plugin its name; ansible-core before 2.19 puts it into messages.
    plugin._load_name = stub.action
    return plugin


def _args(**more: Any) -> dict[str, Any]:
    return {"machines": ["pc01"], "comment": "Alert 4711", "client_secret": SECRET, **more}


class Work:
    """What the plugin is asked to carry out, in the work's place."""

    def __init__(self) -> None:
        self.options: CollectOptions | None = None
        self.context: Context | None = None
        self.environ: dict[str, str] = {}

    def __call__(self, options: CollectOptions, context: Context) -> dict[str, Any]:
        self.options, self.context = options, context
        self.environ = dict(os.environ)
        reporter = context.reporter
        reporter.say(f"the secret is {SECRET}")
        reporter.detail(f"still {SECRET}")
        reporter.http(f"GET {SECRET}")
        reporter.warn(f"beware of {SECRET}")
        return {"changed": True, "failed": False, "msg": "1 device: 1 started.", "packages": []}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    stub = Work()
    monkeypatch.setattr(ActionModule, "TASK", replace(TASK, work=stub))
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
    assert ActionModule.TASK is TASK


@pytest.mark.parametrize("delegate_to", [None, "localhost", "127.0.0.1", "::1"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_it_works_on_the_control_node_and_leaves_the_connection_alone(
    work: Work, display: StubDisplay, executed: list[dict[str, Any]], delegate_to: str | None, check_mode: bool
) -> None:
    result = _plugin(_args(), delegate_to=delegate_to, check_mode=check_mode).run(None, {})
    assert result["msg"] == "1 device: 1 started."
    assert work.context and work.context.check_mode is check_mode
    assert work.context.node == os.uname().nodename
    assert work.options and [each.text for each in work.options.asked] == ["pc01"]
    assert work.options.settings.timeout == 60.0
    assert not executed


@pytest.mark.parametrize("how", [{"delegate_to": "jumphost"}, {"async_val": 600}])
def test_elsewhere_it_is_an_ordinary_module(
    work: Work, display: StubDisplay, executed: list[dict[str, Any]], how: dict[str, Any]
) -> None:
    result = _plugin(_args(tenant=""), **how).run(None, {"some": "variable"})
    assert result["from"] == "the module"
    assert executed == [
        {
            "task_vars": {"some": "variable"},
            "wrap_async": "async_val" in how,
            # The module finds out for itself that what is blank is unset.
            "args": _args(tenant=""),
        }
    ]
    assert work.options is None
    assert not display.lines


def test_empty_options_count_as_not_given(work: Work, display: StubDisplay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFENDER_TENANT", "contoso.onmicrosoft.com")
    monkeypatch.setenv("DEFENDER_CLIENT_SECRET", "")
    monkeypatch.setenv("AZURE_SECRET", "from-the-awx-credential")
    given = {"tenant": "", "secret": " ", "region": "", "reuse_within": "", "downloads": None}
    _plugin({"machines": ["pc01"], "comment": "x", **given}).run(None, {})
    assert work.options
    assert work.options.settings.tenant == "contoso.onmicrosoft.com"
    assert work.options.settings.client_secret == "from-the-awx-credential"
    assert work.options.settings.region is None
    assert (work.options.asked[0].wish.reuse_within, work.options.pace.downloads) == (0, 4)


@pytest.mark.parametrize(
    ("variables", "launched_by"),
    [
        ({}, {}),
        ({"awx_user_name": "", "tower_user_name": "analyst"}, {"awx_user": "analyst"}),
        ({"awx_user_name": "jane", "tower_user_name": "analyst"}, {"awx_user": "jane"}),
    ],
)
def test_who_launched_the_job_is_known(
    work: Work, display: StubDisplay, variables: dict[str, str], launched_by: dict[str, str]
) -> None:
    _plugin(_args()).run(None, variables)
    assert work.context and work.context.reporter.launched_by == launched_by


def test_a_secret_from_the_environment_is_known_as_one(
    work: Work, display: StubDisplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFENDER_CLIENT_SECRET", SECRET)
    _plugin({"machines": ["pc01"], "comment": "Alert 4711"}).run(None, {})
    assert len(display.lines) == 4
    assert SECRET not in "".join(display.lines)


@pytest.mark.parametrize("name", ["client_secret", "secret", "password", "access_token", "certificate_password"])
def test_secrets_are_scrubbed_from_every_line(work: Work, display: StubDisplay, name: str) -> None:
    _plugin({"machines": ["pc01"], "comment": "Alert 4711", name: SECRET}).run(None, {})
    assert len(display.lines) == 4
    assert SECRET not in "".join(display.lines)


def test_arguments_that_do_not_fit_are_refused_before_anything_else(work: Work, display: StubDisplay) -> None:
    result = _plugin({"machines": ["pc01"], "client_secret": SECRET}).run(None, {})
    assert result["failed"] is True and result["msg"] == (
        "secops.defender.defender_collect_package needs comment, and it is not given. Say in comment why this is done: it "
        "stays with the action, for the audit trail. Nothing was started."
    )
    assert SECRET not in str(result)
    assert work.options is None
    assert [package["error"]["code"] for package in result["packages"]] == ["InvalidOptions"]
    assert result["summary"]["failed"] == 1 and result["report"] is None


def test_a_secret_in_the_wrong_place_is_not_told(work: Work, display: StubDisplay) -> None:
    result = _plugin({**_args(on_ambiguous=SECRET), "secret": SECRET, "client_secret": None}).run(None, {})
    assert result["failed"] is True and "on_ambiguous" in result["msg"]
    assert SECRET not in str(result)


def test_an_unknown_argument_is_refused(work: Work, display: StubDisplay) -> None:
    result = _plugin(_args(machnies=["pc02"])).run(None, {})
    assert result["failed"] is True and "has no option machnies. Did you mean machines?" in result["msg"]
    assert work.options is None


def test_a_failure_of_the_task_is_the_results(display: StubDisplay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    result = _plugin(_args(comment=" ")).run(None, {})
    assert result["failed"] is True
    assert result["msg"].startswith("secops.defender.defender_collect_package needs comment, but it is blank.")
    assert [package["machine"] for package in result["packages"]] == ["pc01"]
    assert SECRET not in str(result)


def test_the_connection_plugins_that_windows_hosts_have_are_not_needed() -> None:
    # A play's hosts may use any of them, and the plugin may not require one to be usable here.
    assert ActionModule._requires_connection is False
    assert connection_loader is not None


# ---- the environment of play and task ----


def test_the_environment_of_play_and_task_is_read(
    work: Work, display: StubDisplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Core gives it to modules only; here it is as if it did. What is nearest wins."""
    monkeypatch.setenv("DEFENDER_TENANT", "from the process")
    monkeypatch.setenv("DEFENDER_REGION", "us")
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    play = {"DEFENDER_TENANT": "from the play", "DEFENDER_CLIENT_ID": "of the play", "HTTPS_PROXY": "http://p:1"}
    task = {"DEFENDER_TENANT": "from the task", "DEFENDER_REGION": None, "AZURE_SECRET": SECRET}
    before = dict(os.environ)
    result = _plugin({"machines": ["pc01"], "comment": "x"}, environment=[play, None, task]).run(None, {})
    assert not result["failed"], result["msg"]
    settings = work.options and work.options.settings
    assert settings and (settings.tenant, settings.client_id) == ("from the task", "of the play")
    assert (settings.client_secret, settings.region) == (SECRET, None)
    assert settings.origins["client_secret"] == "AZURE_SECRET"
    # What is read at a distance sees it, too, but only while the work goes on.
    assert work.environ["HTTPS_PROXY"] == "http://p:1" and work.environ["DEFENDER_TENANT"] == "from the task"
    assert dict(os.environ) == before
    assert SECRET not in "".join(display.lines)


def test_an_environment_that_is_one_mapping(work: Work, display: StubDisplay) -> None:
    _plugin(_args(), environment={"DEFENDER_TENANT": 4711}).run(None, {})
    assert work.options and work.options.settings.tenant == "4711"


def test_a_misspelt_variable_in_the_environment_is_warned_of(work: Work, display: StubDisplay) -> None:
    _plugin(_args(), environment=[{"DEFENDER_TENANT_ID": "b"}]).run(None, {})
    assert any(
        "DEFENDER_TENANT_ID is not read by anything. Did you mean DEFENDER_TENANT?" in line for line in display.lines
    )


@pytest.mark.parametrize("by_core", [False, True])
def test_a_warning_is_part_of_the_result_on_every_core(
    work: Work, display: StubDisplay, monkeypatch: pytest.MonkeyPatch, by_core: bool
) -> None:
    monkeypatch.setattr(_progress, "_CORE_KEEPS_WARNINGS", by_core)
    result = _plugin(_args(), environment=[{"DEFENDER_TENANT_ID": "b"}]).run(None, {})
    (warned,) = [line for line in display.lines if "DEFENDER_TENANT_ID" in line]
    assert (warned in result.get("warnings", [])) is not by_core


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("HTTPS_PROXY", "http://jane:p%40ss-word@proxy:3128", ["p%40ss-word", "p@ss-word"]),
        ("https_proxy", "http://proxy:3128", []),
        ("NO_PROXY", "localhost,127.0.0.1", []),
        ("DEFENDER_FEDERATED_TOKEN_FILE", "/run/token", []),
        ("DEFENDER_PASSWORD", "correct horse", ["correct horse"]),
        ("MY_API_KEY", "4711-4712", ["4711-4712"]),
        ("DEFENDER_TENANT", "contoso.com", []),
    ],
)
def test_what_of_the_environment_is_a_secret(name: str, value: str, secrets: list[str]) -> None:
    """Too little would be shown, too much would blot out ordinary words."""
    assert _action._secrets_of(name.upper(), value) == secrets


# ---- paths ----


def test_relative_paths_are_the_playbooks_folders(work: Work, display: StubDisplay) -> None:
    machines = [{"machine": "pc01", "dest": "own"}, "pc02", {"machine": "pc03", "dest": "/srv/e"}]
    _plugin(_args(machines=machines, dest="evidence", ca_path="ca.pem")).run(None, {})
    assert work.options
    assert [each.wish.dest for each in work.options.asked] == [f"{BASE}/own", f"{BASE}/evidence", "/srv/e"]
    assert work.options.settings.ca_path == f"{BASE}/ca.pem"


@pytest.mark.parametrize("how", [{"delegate_to": "jumphost"}, {"async_val": 600}])
def test_relative_paths_are_the_playbooks_folders_elsewhere_as_well(
    executed: list[dict[str, Any]], how: dict[str, Any]
) -> None:
    for machines in (
        [{"machine": "pc01", "dest": "own"}, "pc02"],
        json.dumps([{"machine": "pc01", "dest": "own"}, "pc02"]),
    ):
        _plugin(_args(machines=machines, dest="evidence", ca_path="~/ca.pem"), **how).run(None, {})
        args = executed.pop()["args"]
        assert (args["dest"], args["ca_path"]) == (f"{BASE}/evidence", "~/ca.pem")
        assert args["machines"] == [{"machine": "pc01", "dest": f"{BASE}/own"}, "pc02"]


def test_what_is_wrong_is_left_to_the_module(executed: list[dict[str, Any]]) -> None:
    _plugin(_args(machines='["pc01"', dest=["x"], zzz=1), delegate_to="jumphost").run(None, {})
    assert executed[0]["args"] == _args(machines='["pc01"', dest=["x"], zzz=1)


def test_all_tries_of_a_task_are_one_request(work: Work) -> None:
    told = []
    for plugin in (_plugin(_args(), until=["collected is succeeded"]), _plugin(_args())):
        for _try in range(2):
            plugin.run(task_vars={})
            assert work.context
            told.append(work.context.task)
    assert told[0] is not None and told == [told[0], told[0], None, None]
