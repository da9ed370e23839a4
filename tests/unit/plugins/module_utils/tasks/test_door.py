# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import typing as t
from dataclasses import dataclass

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.text.converters import to_bytes

from ansible_collections.secops.defender.plugins.module_utils._tasks import door as _module
from ansible_collections.secops.defender.plugins.module_utils._tasks.access_token import TASK as TOKEN
from ansible_collections.secops.defender.plugins.module_utils._tasks.cancel_action import TASK as CANCEL
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task, run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.fetch_package import TASK as FETCH
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_action_info import TASK as ACTIONS
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_info import TASK as MACHINES
from ansible_collections.secops.defender.plugins.module_utils._tasks.verify_evidence import TASK as VERIFY
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, secret_names
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Result, Teller, ask

TASKS = [TOKEN, CANCEL, COLLECT, FETCH, ACTIONS, MACHINES, VERIFY]
CONNECTED = [task for task in TASKS if "tenant" in task.spec]
SECRET = "s3cr3t-of-the-app"


@dataclass(frozen=True)
class Options:
    comment: str
    password: str | None

    @classmethod
    def of(cls, given: Given) -> Options:
        if given["comment"] == "bad":
            raise OptionsError("comment is bad.", advice="Give a good one.")
        return cls(given["comment"], given["password"])


class Work:
    """A module's work that writes down what it was given."""

    def __init__(self, **result: t.Any) -> None:
        self.result = {"changed": True, "failed": False, "msg": "1 device: 1 started.", **result}
        self.options: Options | None = None
        self.context: Context | None = None

    def __call__(self, options: Options, context: Context) -> Result:
        self.options, self.context = options, context
        return dict(self.result)


def task_of(work: Work) -> Task:
    spec: dict[str, dict[str, t.Any]] = {
        "comment": {"type": "str", "required": True, "aliases": ["why"]},
        "password": {"type": "str", "no_log": True, "fallback": (None, ["DEFENDER_PASSWORD"])},
        "machines": {"type": "list"},
        "action_ids": {"type": "list"},
    }
    return Task("some_module", spec, Options.of, work, lambda args, error: {"packages": [], "error": error.as_result()})


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> t.Callable[..., tuple[int, Result]]:
    """A module as Ansible runs it: arguments in, one JSON object out."""

    def main(task: Task, **args: t.Any) -> tuple[int, Result]:
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", to_bytes(json.dumps({"ANSIBLE_MODULE_ARGS": args})))
        # ansible-core 2.19 and later ask for it.
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit) as caught:
            run_module(task)
        out, err = capsys.readouterr()
        assert not err
        return int(t.cast(int, caught.value.code) or 0), json.loads(out)

    return main


@pytest.mark.parametrize(("failed", "code"), [(True, 1), (False, 0)])
def test_a_result_ends_the_module_in_its_way(run: t.Any, failed: bool, code: int) -> None:
    work = Work(failed=failed, packages=[])
    ended, result = run(task_of(work), comment="Alert 4711")
    assert ended == code
    assert result.pop("failed", False) is failed
    result.pop("invocation", None)
    assert result == {"msg": "1 device: 1 started.", "changed": True, "packages": []}


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_work_gets_what_ansible_knows(run: t.Any, check_mode: bool) -> None:
    work = Work()
    run(task_of(work), why="Alert 4711", _ansible_check_mode=check_mode)
    assert work.options == Options("Alert 4711", None)
    assert work.context and work.context.check_mode is check_mode
    assert work.context.node == os.uname().nodename


def test_the_module_leaves_its_arguments_to_the_door(run: t.Any) -> None:
    """Ansible's own validation would keep one of two names of an option, and speak of classes."""
    work = Work()
    for args, said in (
        ({"comment": "x", "why": "y"}, "comment and why are two names of one option, and both are given."),
        ({}, "secops.defender.some_module needs comment, and it is not given."),
        ({"coment": "x"}, "secops.defender.some_module has no option coment. Did you mean comment?"),
        ({"comment": "bad"}, "comment is bad. Give a good one."),
        ({"comment": ["x"]}, "comment takes one value, but was given a list."),
    ):
        ended, result = run(task_of(work), **args)
        assert ended == 1 and result["failed"] and result["msg"].startswith(said)
        assert (result["packages"], result["error"]["code"]) == ([], "InvalidOptions")
    assert work.options is None


@pytest.mark.parametrize("args", [{"comment": "x"}, {"coment": "x"}])
def test_a_modules_secret_is_nowhere_in_what_it_says(run: t.Any, args: dict[str, str]) -> None:
    for shape in (SECRET, [SECRET], {"a": SECRET}):
        _ended, result = run(task_of(Work(echo=f"said {SECRET} aloud")), password=shape, **args)
        assert SECRET not in json.dumps(result)


def test_what_the_work_says_is_scrubbed_but_for_the_token_that_was_asked_for() -> None:
    result = ask(task_of(Work(access_token=SECRET, msg=f"{SECRET} it is")), {"comment": "x", "password": SECRET})
    assert result["access_token"] == SECRET and SECRET not in result["msg"]
    result = ask(task_of(Work(msg=f"{SECRET} it is")), {"comment": "x"}, environ={"DEFENDER_PASSWORD": SECRET})
    assert SECRET not in result["msg"]


def test_variables_that_nobody_reads_are_warned_of() -> None:
    teller = Teller()
    ask(task_of(Work()), {"comment": "x"}, teller=teller, environ={"DEFENDER_PASSWROD": "x", "OTHER": "y"})
    assert teller.told("warn") == [
        "The environment variable DEFENDER_PASSWROD is not read by anything. Did you mean DEFENDER_PASSWORD?"
    ]


def test_a_module_passes_on_warnings_and_is_silent_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    warnings: list[str] = []

    class Module:
        def warn(self, text: str) -> None:
            warnings.append(text)

    reporter = _module.ModuleReporter(Module())  # type: ignore[arg-type]
    nothing: t.Any = None
    reporter.plan(nothing)
    reporter.device(nothing, "failed", "detail")
    reporter.trouble("text")
    reporter.say("text")
    reporter.detail("text")
    reporter.http("text")
    reporter.warn("The quota is not shared.")
    assert reporter.tick(nothing) == float("inf")
    assert not reporter.live
    assert warnings == ["The quota is not shared."]
    # A module's standard output is its result and nothing else.
    assert capsys.readouterr() == ("", "")


# ---- what holds for every module ----


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_misspelt_option_of_any_module(task: Task) -> None:
    for name in task.spec:
        result = ask(task, {f"{name}z": "x"})
        assert result["failed"] and result["msg"].startswith(
            f"secops.defender.{task.name} has no option {name}z. Did you mean {name}?"
        )


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_two_names_of_one_option_in_any_module(task: Task) -> None:
    pairs = [(name, alias) for name, option in task.spec.items() for alias in option.get("aliases", ())]
    assert pairs
    for name, alias in pairs:
        result = ask(task, {name: "one-thing", alias: "another-thing"})
        assert f"{name} and {alias} are two names of one option, and both are given." in result["msg"]


@pytest.mark.parametrize("blank", [None, "", "  ", "\n"])
@pytest.mark.parametrize("selector", ["machines", "action_ids", "tag", "filter", "type", "status"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_blank_selector_is_refused_by_every_module(task: Task, selector: str, blank: t.Any) -> None:
    """A blank that counted as unset would select the whole tenant."""
    if selector not in task.spec:
        return
    for name in (selector, *task.spec[selector].get("aliases", ())):
        result = ask(task, {name: blank, **_needed(task, selector)})
        assert result["failed"] and not result["changed"]
        assert result["msg"].startswith(
            f"{selector} is {'null' if blank is None else 'blank'}, which could mean nothing"
        )


def _needed(task: Task, besides: str) -> dict[str, t.Any]:
    return {name: "x" for name, option in task.spec.items() if option.get("required") and name != besides}


@pytest.mark.parametrize("task", CONNECTED, ids=lambda task: task.name)
@pytest.mark.parametrize("shape", [SECRET, [SECRET], {"a": SECRET}, {"a": [{"b": SECRET}]}])
def test_no_secret_argument_is_shown_where_options_are_refused(task: Task, shape: t.Any) -> None:
    for name in sorted(secret_names(task.spec)):
        for wrong in (
            {"zzz": SECRET},
            {"timeout": SECRET},
            {"cloud": SECRET},
            {"quotas": SECRET},
            {name + "z": SECRET},
        ):
            teller = Teller()
            result = ask(task, {name: shape, **wrong, **_needed(task, "")}, teller=teller)
            assert result["failed"]
            assert SECRET not in json.dumps(result) + json.dumps(teller.lines), (name, wrong)


@pytest.mark.parametrize("task", CONNECTED, ids=lambda task: task.name)
def test_a_refused_task_has_the_keys_of_any_other(task: Task) -> None:
    refused = ask(task, {"zzz": 1})
    # No credentials: found out by the work.
    later = ask(task, _needed(task, "machines") | ({"machines": ["pc01"]} if "machines" in task.spec else {}))
    assert later["failed"] and set(refused) == set(later)
