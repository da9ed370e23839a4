# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The common part of the three tasks of the role collect_package, and what they read of Ansible's own objects."""

from __future__ import annotations

import os
import typing as t

from ansible import constants
from ansible import template as ansible_template
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.secops.defender.plugins.module_utils._tasks.job import refused
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import error_told
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._action import task_environment
from ansible_collections.secops.defender.plugins.plugin_utils._role_desk import Desk, Row
from ansible_collections.secops.defender.plugins.plugin_utils._role_variables import (
    ENTRIES,
    ROLE,
    Entry,
    Surroundings,
    evaluated,
)

# Its names come of configuration, and no type checker sees them.
_C: t.Any = constants
# With these all hosts have ended one task before any begins the next; with others each host goes its own way.
_IN_STEP = frozenset({"linear", "debug", "ansible.builtin.linear", "ansible.builtin.debug"})

# Jinja's lexer is made here, where ansible-playbook loads this file, and not again in each host's process.
ansible_template.Templar(loader=None).template(getattr(ansible_template, "trust_as_template", str)("{{ 1 }}"))


class RoleAction(ActionBase):
    """A task of the role: it takes no options but C(entry), and needs no connection to its host."""

    _supports_check_mode = True
    _requires_connection = False

    variables: dict[str, t.Any]
    secrets: Secrets

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self.variables = task_vars or {}
        self.secrets = Secrets()
        result.update({"changed": False, **self.work()})
        return result

    def work(self) -> dict[str, t.Any]:
        raise NotImplementedError

    @property
    def entry(self) -> Entry:
        """The way into the role: whether the hosts are collected from, or their packages fetched."""
        return ENTRIES[self._task.args.get("entry", "collect")]

    @property
    def host(self) -> str:
        return str(self.variables["inventory_hostname"])

    @property
    def in_step(self) -> bool:
        """Whether the hosts of the play go from task to task together."""
        return str(self._play.strategy) in _IN_STEP

    @property
    def everybody(self) -> list[str]:
        """All hosts of the play, those that have failed and those of other batches too."""
        return list(self.variables["ansible_play_hosts_all"])

    @property
    def knows_everybody(self) -> bool:
        """Whether all hosts that take part come at the same time."""
        return self.in_step and not self._play.serial

    @property
    def _play(self) -> t.Any:
        block: t.Any = self._task._parent
        return block._play

    def desk(self) -> Desk:
        # The role is loaded anew whenever it is included, and its tasks then hang below a block of their own.
        block: t.Any = self._task._parent
        entry = block._uuid
        return Desk(str(_C.DEFAULT_LOCAL_TMP), entry if self.in_step else f"{entry} {self.host}")

    def require_each_host(self) -> None:
        """Raises OptionsError where the role was told to work for one host in the name of others."""
        if self._runs_once():
            raise OptionsError(
                f"run_once stands on the role {ROLE}, which would leave all hosts but one without a collection.",
                advice="Take it out: the role asks the service once for all hosts. Nothing was started.",
            )
        if self._task.delegate_to not in (None, "", self.host, *_C.LOCALHOST):
            raise OptionsError(
                f"The role {ROLE} was delegated to {self._task.delegate_to}.",
                advice="Take delegate_to out: the role works on the control node, whatever its hosts are. To collect from "
                "another computer, use defender_collect_package. Nothing was started.",
            )

    def _runs_once(self) -> bool:
        # An include hands its run_once on to nobody, but has chosen one host already.
        node: t.Any = self._task
        while node is not None:
            if getattr(node, "_run_once", None) is True or (node is self._task and node.run_once):
                return True
            node = getattr(node, "_parent", None)
        return False

    def surroundings(self) -> Surroundings:
        """Raises OptionsError."""
        return Surroundings(
            template=self._templar.template,
            variables=self.variables,
            module_defaults=self._module_defaults(),
            own_environ=self._environment(),
            base=os.path.abspath(self._loader.get_basedir()),
            check_mode=bool(self._task.check_mode),
            entry=self.entry,
        )

    def _module_defaults(self) -> dict[str, t.Any]:
        """What module_defaults give to the module; core gives them to its own tasks only."""
        defaults: dict[str, t.Any] = {}
        for each in self._task.module_defaults or ():
            defaults.update(each)
        groups = [f"group/{name}" for name in (self._play._action_groups or {}).get(self.entry.called, ())]
        args: dict[str, t.Any] = {}
        for name in (*(name for name in defaults if name in groups), self.entry.called):
            given = evaluated(f"module_defaults of {name}", defaults.get(name), self._templar.template, secret=True)
            args.update(given if isinstance(given, dict) else {})
        return args

    def _environment(self) -> dict[str, str]:
        """What C(environment) of play, block, role and task changes in the process's environment."""
        try:
            whole = task_environment(self, self.secrets)
        except AnsibleError as failure:
            raise OptionsError(
                f"environment cannot be evaluated: {failure}", advice="Mend it, or leave it out. Nothing was started."
            ) from None
        return {name: value for name, value in whole.items() if os.environ.get(name) != value}


def refused_row(device: str, error: DefenderError) -> Row:
    """The answer to a request that was refused: the same keys as any other."""
    (row,) = refused({"machines": [{"machine": device}]}, error)["packages"]
    return t.cast(Row, row)


def sentence(row: Row) -> str:
    """An answer as a person says it."""
    if row["error"]:
        return error_told(row["error"])
    name = row["computer_dns_name"] or row["machine"]
    if row["package"]:
        return f"{name}: package verified, {row['package']['path']}, SHA-256 {row['package']['sha256']}."
    return f"{name}: {str(row['request'] or 'nothing to do').replace('_', ' ')}."
