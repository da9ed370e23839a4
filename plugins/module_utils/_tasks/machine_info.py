# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_machine_info: machines by name, tag or filter, as the service knows them."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._fleet import contain
from ansible_collections.secops.defender.plugins.module_utils._fleet.contain import Isolation
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.connection import READ, Connection
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import Name, search
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import names, names_option
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, found, settled
from ansible_collections.secops.defender.plugins.module_utils._words.errors import ReplyLost, ServiceError
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec
from ansible_collections.secops.defender.plugins.module_utils._words.reporter import Reporter

_WORD_END = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
EMPTY: Result = {"machines": [], "not_found": []}


def spec() -> Spec:
    """Credentials and connection, and what selects machines."""
    return {**connection_spec(), "machines": names_option(), "tag": {"type": "str"}, "filter": {"type": "str"}}


@dataclass(frozen=True)
class Options:
    """names: None where machines is not given, which selects all that tag and filter leave."""

    settings: Settings
    names: t.Sequence[Name] | None
    tag: str | None
    filter: str | None

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        named = None if given["machines"] is None else names(given["machines"])
        tag = given["tag"].strip() if given["tag"] else None
        return cls(Settings.of(given), named, tag, given["filter"])


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""

    def look() -> Result:
        if options.names is not None and not options.names:
            return {"msg": "machines is an empty list, which selects nothing: no machine was asked for."}
        connection = Connection(options.settings, context.reporter, context.secrets, context.clock)
        api = connection.sign_in(READ)
        if options.names is not None:
            rows, missing = search(api, options.names)
        else:
            rows, missing = _selected(api, options), []
        none = f" No machine has the tag {options.tag}." if options.tag and not rows else ""
        return {
            "msg": found(len(rows), "machine", missing) + none,
            "machines": [machine_variables(row) for row in with_isolation(api, rows, context.reporter)],
            "not_found": list(dict.fromkeys(missing)),
        }

    return settled(look, EMPTY)


def _selected(api: Api, options: Options) -> list[dict[str, t.Any]]:
    try:
        return api.every_machine(options.filter, options.tag)
    except ServiceError as failure:
        if failure.status == 400 and options.filter:
            failure.advice = (
                f"Check filter, which is {options.filter!r}: the properties' names, the operators, quotes around texts and "
                "none around times."
            )
        raise


def with_isolation(api: Api, rows: list[dict[str, t.Any]], reporter: Reporter) -> list[dict[str, t.Any]]:
    """Machines with what is known of their isolation. Raises what Api raises, but no ServiceError: it is unknown then, and that is said."""
    known: dict[str, list[Action]] = {}
    try:
        known = contain.containing(api) if rows else {}
    except (ServiceError, ReplyLost) as failure:
        reporter.warn(f"Which devices are isolated is not known. {failure}")
    now = api.session.now()
    return [{**row, **Isolation.of(known.get(str(row["id"]).lower(), ()), now).as_result()} for row in rows]


def snake_case(value: t.Any) -> t.Any:
    """What the API sent, with its keys in snake_case at every depth. OData's own keys are left out."""
    if isinstance(value, list):
        return [snake_case(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {_WORD_END.sub("_", key).lower(): snake_case(each) for key, each in value.items() if not key.startswith("@")}


def machine_variables(row: dict[str, t.Any]) -> dict[str, t.Any]:
    """A machine as the API sent it, in snake_case; its id also under the name that the other results have for it."""
    return {**snake_case(row), "machine_id": str(row["id"]).lower()}


TASK = Task(
    "defender_machine_info",
    spec(),
    Options.of,
    work,
    refused=lambda args, error: {**EMPTY, "error": error.as_result()},
    rules={"mutually_exclusive": [["machines", "tag"], ["machines", "filter"]]},
)
