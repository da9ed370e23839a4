# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door for ordinary modules: where a task was delegated or is asynchronous, and nobody can be shown progress."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Device, Fleet, Plan
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


class Task(t.Protocol):
    """One of the functions of _tasks."""

    def __call__(
        self, options: t.Mapping[str, t.Any], check_mode: bool, reporter: t.Any, secrets: Secrets
    ) -> dict[str, t.Any]:
        """Returns the result, with C(failed) and C(msg)."""


class ModuleReporter:
    """Passes on warnings; everything else has no way out of a module before its end."""

    live = False
    launched_by: t.ClassVar[dict[str, str]] = {}

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def plan(self, plan: Plan) -> None:
        pass

    def device(self, device: Device, what: str, detail: str = "") -> None:
        pass

    def trouble(self, text: str) -> None:
        pass

    def tick(self, fleet: Fleet) -> float:
        return float("inf")

    def say(self, text: str) -> None:
        pass

    def detail(self, text: str) -> None:
        pass

    def http(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self._module.warn(text)


def run_module(spec: dict[str, dict[str, t.Any]], task: Task, rules: t.Mapping[str, t.Any] | None = None) -> t.NoReturn:
    """Validate, work, and end the module with its result. rules: what has to hold between options, see _spec."""
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **(rules or {}))
    result = task(module.params, module.check_mode, ModuleReporter(module), Secrets())
    if result.pop("failed"):
        module.fail_json(**result)
    module.exit_json(**result)
