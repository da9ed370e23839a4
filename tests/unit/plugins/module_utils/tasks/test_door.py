# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.secops.defender.plugins.module_utils._tasks import door as _module
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


class Ended(Exception):
    """A module ends its process where it ends."""


class StubModule:
    """AnsibleModule as far as the door uses it."""

    check_mode = False

    def __init__(self, **kwargs: Any) -> None:
        self.made_with = kwargs
        self.params = {"comment": "Alert 4711"}
        self.warnings: list[str] = []
        StubModule.last = self

    last: StubModule

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def fail_json(self, **result: Any) -> None:
        raise Ended("failed", result)

    def exit_json(self, **result: Any) -> None:
        raise Ended("ok", result)


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> type[StubModule]:
    monkeypatch.setattr(_module, "AnsibleModule", StubModule)
    return StubModule


@pytest.mark.parametrize(("failed", "end"), [(True, "failed"), (False, "ok")])
def test_a_result_ends_the_module_in_its_way(failed: bool, end: str) -> None:
    def task(options: Any, check_mode: bool, reporter: Any, secrets: Secrets) -> dict[str, Any]:
        return {"failed": failed, "msg": "1 device: 1 started.", "changed": True, "packages": []}

    with pytest.raises(Ended) as caught:
        _module.run_module({}, task)
    # fail_json sets failed itself, and would stumble over it as an argument of exit_json's.
    assert caught.value.args == (end, {"msg": "1 device: 1 started.", "changed": True, "packages": []})


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_task_gets_what_ansible_knows(monkeypatch: pytest.MonkeyPatch, check_mode: bool) -> None:
    monkeypatch.setattr(StubModule, "check_mode", check_mode)
    seen: list[Any] = []

    def task(options: Any, check_mode: bool, reporter: Any, secrets: Secrets) -> dict[str, Any]:
        seen.extend([options, check_mode, type(secrets)])
        return {"failed": False, "msg": "."}

    with pytest.raises(Ended):
        _module.run_module({"comment": {"type": "str"}}, task, {"required_one_of": [["machines", "action_ids"]]})
    assert seen == [{"comment": "Alert 4711"}, check_mode, Secrets]
    assert StubModule.last.made_with == {
        "argument_spec": {"comment": {"type": "str"}},
        "supports_check_mode": True,
        "required_one_of": [["machines", "action_ids"]],
    }


def test_a_module_passes_on_warnings_and_is_silent_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    module = StubModule()
    reporter = _module.ModuleReporter(module)  # type: ignore[arg-type]
    nothing: Any = None
    reporter.plan(nothing)
    reporter.device(nothing, "failed", "detail")
    reporter.trouble("text")
    reporter.say("text")
    reporter.detail("text")
    reporter.http("text")
    reporter.warn("The quota is not shared.")
    assert reporter.tick(nothing) == float("inf")
    assert not reporter.live
    assert module.warnings == ["The quota is not shared."]
    # A module's standard output is its result and nothing else.
    assert capsys.readouterr() == ("", "")
