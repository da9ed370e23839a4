# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door on the control node: the same work as the module of the same name, done here, with progress."""

from __future__ import annotations

import typing as t

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import Rules, drop_empty, secret_names
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._progress import DisplayReporter


class DefenderAction(ActionBase):
    """Runs a task here, whatever the play's host is; one that is delegated to another host, or asynchronous, as a module there."""

    _supports_check_mode = True
    _supports_async = True
    # The hosts may be Windows machines that nobody can reach from here.
    _requires_connection = False

    SPEC: dict[str, dict[str, t.Any]]
    RULES: t.ClassVar[Rules] = {}
    TASK: t.ClassVar[Task]

    @staticmethod
    def refused(asked: t.Sequence[str], message: str) -> dict[str, t.Any]:
        """What else the result has where the options are refused: of what was asked for, and why."""
        return {}

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._task.args = drop_empty(self._task.args, self.SPEC)
        if self._task.async_val or self._task.delegate_to not in (None, *C.LOCALHOST):
            result.update(self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val)))
            return result
        secrets = Secrets()
        try:
            validation, options = self.validate_argument_spec(self.SPEC, **self.RULES)
        except AnsibleActionFail as failure:
            # It would be shown with the task's arguments, secrets among them (ansible-core 2.19 on), or with a traceback.
            secrets.add(*(str(value) for name, value in self._task.args.items() if name in secret_names(self.SPEC)))
            message = secrets.scrub(failure.message)
            result.update(self.refused(_asked(self._task.args), message), failed=True, msg=message)
            return result
        secrets.add(*validation._no_log_values)
        reporter = DisplayReporter(Display(), secrets, launched_by=_launched_by(task_vars or {}))
        result.update(type(self).TASK(options, bool(self._task.check_mode), reporter, secrets))
        reporter.end(result["msg"])
        return result


def _launched_by(variables: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Who has launched the job, which AWX tells as a variable; the process is the same user's for all jobs."""
    name = variables.get("awx_user_name") or variables.get("tower_user_name")
    return {"awx_user": str(name)} if name else {}


def _asked(args: t.Mapping[str, t.Any]) -> list[str]:
    """The machines and actions that a task names, whatever else is wrong with it."""
    asked: list[str] = []
    for name in ("machines", "machine", "machine_id", "action_ids", "action_id"):
        named = args.get(name)
        listed = named if isinstance(named, list) else str(named).split(",") if named is not None else []
        asked += [str(each).strip() for each in listed]
    return asked
