# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module's description, and the way from a task's arguments to its result, which both doors take.

The doors are the ordinary module (L(run_module)) and the action plugin of the same name (plugin_utils). Options are read once
and typed here; behind the door nothing is looked up by name any more, and nothing but a result comes out.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.secops.defender.plugins.module_utils._tasks.master import parent_gone, reader_gone, watched
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import (
    Given,
    Rules,
    Spec,
    read,
    secrets_in,
    unknown_variables,
)
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

if t.TYPE_CHECKING:  # pragma: no cover
    from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Observer
    from ansible_collections.secops.defender.plugins.module_utils._words.reporter import Reporter

    class FleetReporter(Reporter, Observer, t.Protocol):
        """Who is told of a task, and of the devices of a fleet."""


O_contra = t.TypeVar("O_contra", contravariant=True)


@dataclass(frozen=True)
class Context:
    """What a task has besides its options. node: the computer that it works on, as a person calls it.

    task: the same for all tries of a task with C(until), which are one request.
    """

    check_mode: bool
    reporter: FleetReporter
    secrets: Secrets
    node: str
    clock: Clock = field(default_factory=Clock)
    task: str | None = None
    master_gone: t.Callable[[], bool] = field(default_factory=parent_gone)


class Work(t.Protocol[O_contra]):
    """A module's work: from typed options to the result. Raises no DefenderError once anything has begun."""

    def __call__(self, options: O_contra, context: Context, /) -> Result:
        """The result, with C(failed), C(changed) and C(msg)."""


@dataclass(frozen=True)
class Task:
    """A module, described once for both of its doors and for the tests of its documentation.

    options: types what was given, and refuses what cannot be meant (OptionsError). refused: what else the result has where
    the options are refused, from the task's raw arguments, so that every path has the same keys. paths_or_ids: options of the type
    str that name a file, unless they are the ID of an action. if_blank: what it means that an option which holds something back is
    blank, and so unset: it is said.
    """

    name: str
    spec: Spec
    options: t.Callable[[Given], t.Any]
    work: Work[t.Any]
    refused: t.Callable[[t.Mapping[str, t.Any], DefenderError], Result] = lambda args, error: {}
    rules: Rules = field(default_factory=dict)
    paths_or_ids: frozenset[str] = frozenset()
    if_blank: t.Mapping[str, str] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """The module's full name."""
        return f"secops.defender.{self.name}"


def open_door(
    task: Task, args: t.Mapping[str, t.Any], environ: t.Mapping[str, str], base: str | None, context: Context
) -> Result:
    """From a task's arguments to its result. base: the folder of relative paths. Raises nothing that a user can cause."""
    secrets = context.secrets
    secrets.add(*secrets_in(args, task.spec))
    try:
        given = read(args, task.spec, environ, called=task.called, base=base)
        secrets.add(*secrets_in(given.values, task.spec))
        _check_rules(task, given)
        options = task.options(given)
    except DefenderError as failure:
        result = {"changed": False, "failed": True, "msg": str(failure), **task.refused(args, failure)}
    else:
        for sentence in unknown_variables(environ, task.spec):
            context.reporter.warn(sentence)
        for name, meaning in task.if_blank.items():
            if name in given.blank:
                context.reporter.warn(f"{name} is blank, so {meaning}. Leave {name} out if that is meant.")
        with watched(context.clock, context.master_gone):
            result = task.work(options, context)
    kept = result.pop("access_token", None)
    result = t.cast(Result, secrets.scrub(result))
    return result if kept is None else {**result, "access_token": kept}


def _check_rules(task: Task, given: Given) -> None:
    for names in task.rules.get("mutually_exclusive", ()):
        both = [name for name in names if name in given.origins]
        if len(both) > 1:
            raise OptionsError(
                f"{' and '.join(both)} exclude each other, and both are given.", advice="Give one. Nothing was started."
            )
    for names in task.rules.get("required_one_of", ()):
        if not any(name in given.origins for name in names):
            raise OptionsError(
                f"{task.called} needs one of {', '.join(names)}, and none is given.", advice="Give one of them."
            )


class ModuleReporter:
    """Passes on warnings; everything else has no way out of a module before its end."""

    live = False

    def __init__(self, module: AnsibleModule) -> None:
        self.launched_by: t.Mapping[str, str] = {}
        self._module = module

    def plan(self, plan: object) -> None:
        pass

    def device(self, device: object, what: str, detail: str = "") -> None:
        pass

    def trouble(self, text: str) -> None:
        pass

    def tick(self, fleet: object) -> float:
        return float("inf")

    def say(self, text: str) -> None:
        pass

    def detail(self, text: str) -> None:
        pass

    def http(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self._module.warn(text)


class _Module(AnsibleModule):
    """Leaves the arguments to open_door, which says in the user's words what is wrong with them."""

    args: t.Mapping[str, t.Any]

    def _load_params(self) -> None:
        super()._load_params()
        self.args = {name: value for name, value in self.params.items() if not name.startswith("_ansible_")}
        # Ansible's own validation would speak before ours, and keep only one of two names for an option.
        self.params = {name: value for name, value in self.params.items() if name not in self.args}
        self.argument_spec = {name: _optional(option) for name, option in self.argument_spec.items()}


def _optional(option: dict[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in option.items() if key not in ("required", "default")}


def run_module(task: Task) -> t.NoReturn:
    """The ordinary module: where a task was delegated or is asynchronous, and nobody can be shown progress."""
    module = _Module(argument_spec=task.spec, supports_check_mode=True)
    module.no_log_values.update(value for value in secrets_in(module.args, task.spec) if value)
    context = Context(
        module.check_mode, ModuleReporter(module), Secrets(), os.uname().nodename, master_gone=reader_gone()
    )
    result = open_door(task, module.args, os.environ, os.getcwd(), context)
    if result.pop("failed"):
        module.fail_json(**result)
    module.exit_json(**result)
