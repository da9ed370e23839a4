# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door on the control node: the same work as the module of the same name, done here, with progress."""

from __future__ import annotations

import os
import typing as t

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task, open_door
from ansible_collections.secops.defender.plugins.module_utils._words.options import Spec
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._progress import DisplayReporter


class DefenderAction(ActionBase):
    """Runs a task here, whatever the play's host is; one that is delegated to another host, or asynchronous, as a module there."""

    _supports_check_mode = True
    _supports_async = True
    # The hosts may be Windows machines that nobody can reach from here.
    _requires_connection = False

    TASK: t.ClassVar[Task]

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        base = self._loader.get_basedir()
        if self._task.async_val or self._task.delegate_to not in (None, *C.LOCALHOST):
            self._task.args = with_whole_paths(self._task.args, self.TASK.spec, base)
            result.update(self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val)))
            return result
        secrets = Secrets()
        environ = task_environment(self, secrets)
        reporter = DisplayReporter(Display(), secrets, launched_by=launched_by(task_vars or {}))
        context = Context(bool(self._task.check_mode), reporter, secrets, os.uname().nodename)
        result.update(open_door(self.TASK, self._task.args, environ, base, context))
        reporter.end(result["msg"])
        return result


def task_environment(action: ActionBase, secrets: Secrets) -> dict[str, str]:
    """The process's environment with what C(environment) of play, block, role and task add to it, as a module would see it.

    Core does not hand it to action plugins (ansible issues 40630 and 26312). Its values may be secrets, so they are scrubbed.
    """
    added: dict[str, str] = {}
    for each in action._task.environment or ():
        templated = action._templar.template(each)
        if isinstance(templated, dict):
            added.update({str(name): str(value) for name, value in templated.items()})
    secrets.add(*(value for name, value in added.items() if _may_be_secret(name)))
    return {**os.environ, **added}


def _may_be_secret(name: str) -> bool:
    return any(word in name.upper() for word in ("SECRET", "PASSWORD", "TOKEN", "PROXY"))


def with_whole_paths(args: t.Mapping[str, t.Any], spec: Spec, base: str) -> dict[str, t.Any]:
    """Arguments whose relative paths are below the playbook's folder, as M(ansible.builtin.fetch) has it."""
    paths = {
        each
        for name, option in spec.items()
        if option.get("type") == "path"
        for each in (name, *option.get("aliases", ()))
    }
    return {
        name: os.path.join(base, value)
        if name in paths and isinstance(value, str) and value.strip() and not value.startswith(("~", "$"))
        else value
        for name, value in args.items()
    }


def launched_by(variables: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Who has launched the job, which AWX tells as a variable; the process is the same user's for all jobs."""
    name = variables.get("awx_user_name") or variables.get("tower_user_name")
    return {"awx_user": str(name)} if name else {}
