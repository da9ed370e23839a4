# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules' pages say, against their specs and what they return."""

from __future__ import annotations

import importlib
import typing as t

import pytest
import yaml

from ansible_collections.secops.defender.plugins.module_utils._service.settings import connection_spec
from ansible_collections.secops.defender.plugins.module_utils._tasks.access_token import TASK as TOKEN
from ansible_collections.secops.defender.plugins.module_utils._tasks.alert_requests import TASK as ALERTS
from ansible_collections.secops.defender.plugins.module_utils._tasks.cancel_action import TASK as CANCEL
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.plugins.module_utils._tasks.compare_evidence import TASK as COMPARE
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.extract_evidence import TASK as EXTRACT
from ansible_collections.secops.defender.plugins.module_utils._tasks.fetch_package import TASK as FETCH
from ansible_collections.secops.defender.plugins.module_utils._tasks.isolate_machine import TASK as ISOLATE
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_action_info import TASK as ACTIONS
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_info import TASK as MACHINES
from ansible_collections.secops.defender.plugins.module_utils._tasks.package_info import TASK as INFO
from ansible_collections.secops.defender.plugins.module_utils._tasks.search_evidence import TASK as SEARCH
from ansible_collections.secops.defender.plugins.module_utils._tasks.verify_evidence import TASK as VERIFY
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import ask

TASKS = [TOKEN, ALERTS, CANCEL, COLLECT, FETCH, ISOLATE, ACTIONS, MACHINES, VERIFY, INFO, SEARCH, EXTRACT, COMPARE]
# Kept by Ansible itself.
_CORES = {"changed", "failed", "msg"}


def page(task: Task) -> t.Any:
    return importlib.import_module(f"ansible_collections.secops.defender.plugins.modules.{task.name}")


def rows(returned: t.Mapping[str, t.Any], key: str) -> set[str]:
    return set(returned[key]["contains"])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_documentation_names_the_options_and_their_defaults(task: Task) -> None:
    documented = yaml.safe_load(page(task).DOCUMENTATION).get("options", {})
    shared = set(connection_spec()) if "tenant" in task.spec else set()
    own = {name: option for name, option in task.spec.items() if name not in shared}
    # machines and on_ambiguous stand in a fragment where they mean the same for several modules.
    assert set(documented) <= set(own)
    for name in documented:
        option = own[name]
        for key in ("type", "elements", "choices"):
            assert documented[name].get(key) == option.get(key), (name, key)
        assert str(documented[name].get("default")) == str(option.get("default")), name
        assert documented[name].get("required", False) == option.get("required", False), name
        assert sorted(documented[name].get("aliases", [])) == sorted(option.get("aliases", [])), name


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_documentation_names_what_is_returned(task: Task) -> None:
    result = ask(task, {"zzz": 1})
    returned = yaml.safe_load(page(task).RETURN)
    documented = set(returned) - ({"access_token"} if task is TOKEN else set())
    # validate-modules takes no key of that name: it is documented as the other name of rare.
    documented |= {"items"} if task is COMPARE else set()
    assert set(result) - _CORES == documented - _CORES


@pytest.mark.parametrize("task", [COLLECT, FETCH], ids=lambda task: task.name)
def test_the_documentation_names_what_a_package_has(task: Task) -> None:
    returned = yaml.safe_load(page(task).RETURN)
    result = ask(task, {"machines": ["pc01"], "zzz": 1})
    assert rows(returned, "packages") == set(result["packages"][0])
    package = returned["packages"]["contains"]
    assert set(package["error"]["contains"]) == set(result["packages"][0]["error"])
    assert set(package["package"]["contains"]) == {"path", "size", "sha256", "downloaded"}
    assert set(package["action"]["contains"]) == {"id", "status", "requestor", "comment", "created", "updated"}
    assert rows(returned, "summary") == set(result["summary"])


@pytest.mark.parametrize("task", [task for task in TASKS if task is not TOKEN], ids=lambda task: task.name)
def test_the_examples_are_understood(task: Task) -> None:
    for example in yaml.safe_load(page(task).EXAMPLES):
        for name in (task.called, f"secops.defender.{task.name}"):
            if name in example:
                known = {alias for key, option in task.spec.items() for alias in (key, *option.get("aliases", ()))}
                assert set(example[name] or {}) <= known
