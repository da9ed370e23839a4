# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door on the control node: the same work as the module of the same name, done here, with progress."""

from __future__ import annotations

import os
import typing as t
from contextlib import contextmanager
from urllib.parse import unquote

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task, open_door
from ansible_collections.secops.defender.plugins.module_utils._tasks.master import (
    leave_here,
    leave_with_all,
    parent_gone,
    read_by,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import is_action_id
from ansible_collections.secops.defender.plugins.module_utils._words.options import as_list, as_paths
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
        # An ad hoc command's is the current folder, by a relative name that means another one elsewhere.
        base = os.path.abspath(self._loader.get_basedir())
        if self._task.async_val or self._task.delegate_to not in (None, *C.LOCALHOST):
            self._task.args = with_whole_paths(self._task.args, self.TASK, base)
            leave = leave_here if self._connection.transport == "local" else leave_with_all
            with read_by(parent_gone(), leave):
                result.update(self._execute_module(task_vars=task_vars, wrap_async=bool(self._task.async_val)))
            return result
        secrets = Secrets()
        environ = task_environment(self, secrets)
        reporter = DisplayReporter(Display(), secrets, launched_by=launched_by(task_vars or {}))
        # The tries of a task with until are made by one process, which nothing but they have in common.
        tries = f"{os.getppid()}-{os.getpid()}-{self._task._uuid}" if self._task.until or self._task.retries else None
        context = Context(bool(self._task.check_mode), reporter, secrets, os.uname().nodename, task=tries)
        with surroundings(environ):
            result.update(open_door(self.TASK, self._task.args, environ, base, context))
        result["msg"] += self._elsewhere(context.node, task_vars or {})
        if reporter.warnings:
            result["warnings"] = reporter.warnings
        reporter.end(result["msg"])
        return result

    def _elsewhere(self, node: str, variables: t.Mapping[str, t.Any]) -> str:
        """That a folder was looked at here, where who wrote C(hosts: fileserver) may mean the host's, which may be there as well."""
        host = variables.get("inventory_hostname")
        local = self._task.delegate_to or self._connection.transport == "local" or host in (None, *C.LOCALHOST)
        if local or "path" not in self.TASK.spec:
            return ""
        return f" This was done on {node}, not on {host}: with delegate_to: {host} it is done there."


def task_environment(action: ActionBase, secrets: Secrets) -> dict[str, str]:
    """The process's environment with what C(environment) of play, block, role and task add to it, as a module would see it.

    Core does not hand it to action plugins (ansible issues 40630 and 26312). Its values may be secrets, so they are scrubbed.
    """
    given = action._task.environment or ()
    added: dict[str, str] = {}
    for each in given if isinstance(given, (list, tuple)) else [given]:
        templated = action._templar.template(each)
        if isinstance(templated, dict):
            added.update({str(name): "" if value is None else str(value) for name, value in templated.items()})
    secrets.add(*(text for name, value in added.items() for text in _secrets_of(name.upper(), value)))
    return {**os.environ, **added}


def _secrets_of(name: str, value: str) -> list[str]:
    """What of an environment variable is a secret, by its name: the whole, a proxy's password, or nothing."""
    if name.endswith("_PROXY"):
        password = value.rpartition("@")[0].rpartition("//")[2].partition(":")[2]
        return [password, unquote(password)] if password else []
    if name.endswith(("_FILE", "_PATH", "_DIR", "_URL")):
        return []
    return [value] if any(word in name for word in ("SECRET", "PASSWORD", "TOKEN", "KEY")) else []


@contextmanager
def surroundings(environ: t.Mapping[str, str]) -> t.Iterator[None]:
    """This process with another environment: what is found out at a distance, such as proxies, is read from there.

    A worker is a process of its own for one task, so nobody else sees it.
    """
    before = dict(os.environ)
    os.environ.update(environ)
    try:
        yield
    finally:
        for name in environ.keys() - before.keys():
            os.environ.pop(name, None)
        os.environ.update(before)


def with_whole_paths(args: t.Mapping[str, t.Any], task: Task, base: str) -> dict[str, t.Any]:
    """Arguments whose relative paths are below the playbook's folder, as M(ansible.builtin.fetch) has it.

    So are those in the mappings of a list: a request of C(machines) may have a C(dest) of its own.
    """
    names = {alias: name for name, option in task.spec.items() for alias in (name, *option.get("aliases", ()))}

    def whole(name: str, value: t.Any) -> t.Any:
        option = task.spec[names[name]] if name in names else {}
        may_be_path = names.get(name) in task.paths_or_ids and not is_action_id(str(value))
        if option.get("type") == "path" or may_be_path:
            return _whole_path(value, base)
        if option.get("type") != "list" or not value:
            return value
        of_paths = option.get("elements") == "path"
        try:
            elements = as_paths(name, value) if of_paths else as_list(name, value)
        except OptionsError:
            # The module says what is wrong with it.
            return value
        return [_whole_element(element, base, of_paths) for element in elements]

    return {name: whole(name, value) for name, value in args.items()}


def _whole_element(element: t.Any, base: str, is_path: bool) -> t.Any:
    if isinstance(element, dict):
        return {key: _whole_path(each, base) if key == "dest" else each for key, each in element.items()}
    return _whole_path(element, base) if is_path else element


def _whole_path(value: t.Any, base: str) -> t.Any:
    if not isinstance(value, str) or not value.strip() or value.startswith(("~", "$")):
        return value
    return os.path.join(base, value)


def launched_by(variables: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Who has launched the job, which AWX tells as a variable; the process is the same user's for all jobs."""
    name = variables.get("awx_user_name") or variables.get("tower_user_name")
    return {"awx_user": str(name)} if name else {}
