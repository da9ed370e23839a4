# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_machine_action_info: machine actions by ID, device, type, status and age."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api, literal
from ansible_collections.secops.defender.plugins.module_utils._service.connection import READ, Connection
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import (
    DEVICE_ID,
    Name,
    by_chains,
    find_actions,
    merged_into,
    parse_action_ids,
    search,
)
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_info import snake_case
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import names, names_option, words
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, found, settled
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import (
    FINAL,
    IN_PROGRESS,
    PENDING,
    TYPES,
    Action,
    iso,
    parse_time,
)
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec, near, seconds

EMPTY: Result = {"machine_actions": [], "not_found": []}
_DAY = re.compile(r"^\d{4}-\d\d-\d\d$")
# How far the clocks of those who write times may be ahead. Seconds.
_AHEAD = 86400.0
_BARE_NUMBER = re.compile(r"^\s*\d+(\.\d+)?\s*$")
_STATUSES = {word.lower(): word for word in (PENDING, IN_PROGRESS, *sorted(FINAL))}
_TYPES = {word.lower(): word for word in TYPES}


def spec() -> Spec:
    """Credentials and connection, and what selects machine actions."""
    return {
        **connection_spec(),
        "machines": names_option(),
        "action_ids": {"type": "list", "elements": "str", "aliases": ["action_id"]},
        "type": {"type": "str"},
        "status": {"type": "list", "elements": "str"},
        "since": {"type": "str"},
    }


@dataclass(frozen=True)
class Options:
    """since: a moment (ISO 8601) or an age, as it was written. unknown_type: a word that is sent as it is, and warned of."""

    settings: Settings
    names: t.Sequence[Name] | None
    action_ids: t.Sequence[str] | None
    type: str | None
    status: t.Sequence[str] | None
    since: str | None
    unknown_type: bool

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        named, ids, since = given["machines"], given["action_ids"], given["since"]
        if since:
            moment(since, Clock())
        word = given["type"]
        return cls(
            Settings.of(given),
            None if named is None else names(named),
            parse_action_ids(words("action_ids", ids)) if ids else ids,
            _type(word) if word else None,
            None if given["status"] is None else _words(words("status", given["status"])),
            since,
            bool(word) and word.strip().lower() not in _TYPES,
        )

    @property
    def selects_nothing(self) -> str | None:
        """The option whose empty list selects nothing."""
        if self.status is not None and not self.status:
            return "status"
        lists = {"machines": self.names, "action_ids": self.action_ids}
        named = [name for name, value in lists.items() if value is not None]
        # Either adds to the other, so it is the last one that decides.
        return None if any(lists[name] for name in named) else next(iter(named), None)


def _words(words: t.Sequence[str]) -> list[str]:
    unknown = [word for word in words if word.lower() not in _STATUSES]
    if unknown:
        raise OptionsError(
            f"status has {', '.join(map(repr, unknown))}, which no machine action ever has.",
            advice=f"{''.join(near(word, _STATUSES.values()) for word in unknown)}Give {', '.join(_STATUSES.values())}.",
        )
    return list(dict.fromkeys(_STATUSES[word.lower()] for word in words))


def _type(word: str) -> str:
    """A type as the service writes it. Raises OptionsError for one that is near a known one; others may be new."""
    text = word.strip()
    known = _TYPES.get(text.lower())
    hint = "" if known else near(text, TYPES)
    if hint:
        raise OptionsError(f"type is {word!r}, which is none.", advice=f"{hint}Known types: {', '.join(TYPES)}.")
    return known or text


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""

    def look() -> Result:
        if options.selects_nothing:
            return {
                "msg": f"{options.selects_nothing} is an empty list, which selects nothing: no action was asked for."
            }
        if options.unknown_type:
            context.reporter.warn(f"type is {options.type}, which this collection does not know: it is sent as it is.")
        wanted = _Wanted(options, context.clock)
        if wanted.is_ahead:
            context.reporter.warn(f"since is {options.since}, which is still to come: no action is that young.")
        connection = Connection(options.settings, context.reporter, context.secrets, context.clock)
        actions, missing = _find(connection.sign_in(READ), options, wanted)
        return {
            "msg": found(len(actions), "machine action", missing),
            "machine_actions": [snake_case(action.raw) for action in actions],
            "not_found": list(dict.fromkeys(missing)),
        }

    return settled(look, EMPTY)


def _find(api: Api, options: Options, wanted: _Wanted) -> tuple[list[Action], list[str]]:
    """The actions, newest first, and what was asked for by ID or name and is not there."""
    actions: dict[str, Action] = {}
    missing: list[str] = []
    for each in find_actions(api, options.action_ids or ()):
        if each.action is None:
            missing.append(each.asked)
        elif wanted.fits(each.action):
            actions[each.action.id.lower()] = each.action
    if options.names:
        of_machines, unknown = _of_machines(api, options.names, wanted)
        actions.update(of_machines)
        missing += unknown
    if options.names is None and options.action_ids is None:
        actions.update((action.id.lower(), action) for action in api.actions(wanted.query() or None))
    return sorted(actions.values(), key=lambda each: each.created_at, reverse=True), missing


def _of_machines(api: Api, names: t.Sequence[Name], wanted: _Wanted) -> tuple[dict[str, Action], list[str]]:
    rows, unknown = search(api, names)
    # The actions of a device outlive its entry in the list of devices.
    gone = {name.value: name.asked for name in names if name.kind == DEVICE_ID and name.asked in unknown}
    actions: dict[str, Action] = {}
    ids = dict.fromkeys([*(str(row["id"]).lower() for row in rows), *merged_into(api, rows), *gone])
    by_chains(
        [f"machineId eq {literal(machine_id)}" for machine_id in ids],
        lambda chain: actions.update((action.id.lower(), action) for action in api.actions(wanted.query(chain))),
    )
    acted = {gone[action.machine_id] for action in actions.values() if action.machine_id in gone}
    return actions, [asked for asked in unknown if asked not in acted]


class _Wanted:
    """What every wanted action must be: C(type), C(status) and C(since). is_ahead: nothing can be as young as that."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._type = options.type or ""
        self._status = options.status or ()
        self._since = moment(options.since, clock) if options.since else None
        self.is_ahead = self._since is not None and self._since > clock.wall() + _AHEAD

    def query(self, chain: str = "") -> str:
        """As a filter, for those that a chain of C(or) selects."""
        terms = []
        if self._type:
            terms.append(f"type eq {literal(self._type)}")
        if self._status:
            words = " or ".join(f"status eq {literal(word)}" for word in self._status)
            terms.append(f"({words})" if len(self._status) > 1 else words)
        if self._since is not None:
            terms.append(f"creationDateTimeUtc ge {iso(self._since)}")
        if chain:
            terms.insert(0, f"({chain})" if " or " in chain and terms else chain)
        return " and ".join(terms)

    def fits(self, action: Action) -> bool:
        return (
            self._type in ("", action.type)
            and (not self._status or action.status in self._status)
            and (self._since is None or action.created_at >= int(self._since))
        )


def moment(since: str, clock: Clock) -> float:
    """Seconds since 1970 of a time, or of an age before now.

    YAML reads a time that is not quoted, and gives it back with a space instead of the T; C(12:00) it reads as the number 720.
    So a bare number is refused. Raises OptionsError.
    """
    text = since.strip()
    found_time = parse_time(f"{text}T00:00:00Z" if _DAY.match(text) else text.replace(" ", "T", 1))
    if found_time:
        return found_time
    advice = (
        "Give a time in quotes (ISO 8601, such as '2026-11-23T08:00:00Z'), or an age with its unit such as 4h or 90m."
    )
    if _BARE_NUMBER.match(text):
        raise OptionsError(f"since is {text}, a bare number: YAML reads 12:00 as 720, too.", advice=advice)
    try:
        return clock.wall() - seconds("since", text)
    except OptionsError as failure:
        raise OptionsError(failure.message, advice=advice) from None


TASK = Task(
    "defender_machine_action_info",
    spec(),
    Options.of,
    work,
    refused=lambda args, error: {**EMPTY, "error": error.as_result()},
)
