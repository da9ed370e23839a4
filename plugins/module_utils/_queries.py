# Copyright: (c) 2026, secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it from other collections or standalone plugins/modules!

"""The smaller modules: looking at machines and actions, cancelling, and the token itself."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.secops.defender.plugins.module_utils import _auth
from ansible_collections.secops.defender.plugins.module_utils._api import Api, literal
from ansible_collections.secops.defender.plugins.module_utils._clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._connection import READ, Connection, Reporter
from ansible_collections.secops.defender.plugins.module_utils._errors import (
    AuthError,
    DefenderError,
    OptionsError,
    ReplyLost,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._models import COLLECT, Action, iso, parse_time
from ansible_collections.secops.defender.plugins.module_utils._resolve import (
    Resolved,
    by_chains,
    find_actions,
    parse_action_ids,
    parse_names,
    resolve,
    search,
)
from ansible_collections.secops.defender.plugins.module_utils._secrets import Secrets
from ansible_collections.secops.defender.plugins.module_utils._spec import require_positive, seconds

_WORD_END = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Cancel machine action API, Permissions: any of these will do.
_CANCEL = (
    (
        _auth.COLLECT_PERMISSION,
        "Machine.Isolate",
        "Machine.RestrictExecution",
        "Machine.Scan",
        "Machine.Offboard",
        "Machine.StopAndQuarantine",
        "Machine.LiveResponse",
    ),
    _auth.READ_PERMISSIONS,
)


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


def list_machines(api: Api, tag: str | None, query: str | None) -> list[dict[str, t.Any]]:
    """Machines by tag, by OData filter, or all; by both, those of the filter that have the tag. Raises what Api raises."""
    if tag and not query:
        return [row for row in api.machines_by_tag(tag) if isinstance(row, dict) and row.get("id")]
    rows = api.machines(query)
    return [row for row in rows if tag in (row.get("machineTags") or [])] if tag else rows


def machine_info(
    options: t.Mapping[str, t.Any], check_mode: bool, reporter: Reporter, secrets: Secrets, clock: Clock | None = None
) -> dict[str, t.Any]:
    """defender_machine_info. Raises no DefenderError: it is in the result."""

    def work() -> dict[str, t.Any]:
        names = parse_names(options["machines"]) if options["machines"] else []
        api = Connection(options, reporter, secrets, clock or Clock()).sign_in(READ)
        missing: list[str] = []
        if names:
            rows, missing = search(api, names)
        else:
            rows = list_machines(api, options["tag"], options["filter"])
        return {
            "msg": _found(len(rows), "machine", missing),
            "machines": [machine_variables(row) for row in rows],
            "not_found": missing,
        }

    return _result(work, {"machines": [], "not_found": []}, secrets)


def machine_action_info(
    options: t.Mapping[str, t.Any], check_mode: bool, reporter: Reporter, secrets: Secrets, clock: Clock | None = None
) -> dict[str, t.Any]:
    """defender_machine_action_info, likewise."""
    clock = clock or Clock()

    def work() -> dict[str, t.Any]:
        names = parse_names(options["machines"]) if options["machines"] else []
        action_ids = parse_action_ids(options["action_ids"] or [])
        common = _common_terms(options, clock)
        api = Connection(options, reporter, secrets, clock).sign_in(READ)
        terms = [f"id eq {literal(action_id)}" for action_id in action_ids]
        missing: list[str] = []
        if names:
            machines, missing = search(api, names)
            terms += [f"machineId eq {literal(str(row['id']).lower())}" for row in machines]
        found: dict[str, Action] = {}

        def ask(chain: str) -> None:
            either = [f"({chain})" if " or " in chain and common else chain] if chain else []
            found.update((action.id.lower(), action) for action in api.actions(" and ".join(either + common) or None))

        if terms:
            by_chains(terms, ask)
        elif not names:
            ask("")
        missing += [action_id for action_id in action_ids if action_id not in found]
        actions = sorted(found.values(), key=lambda each: each.created_at, reverse=True)
        return {
            "msg": _found(len(actions), "machine action", missing),
            "machine_actions": [snake_case(action.raw) for action in actions],
            "not_found": missing,
        }

    return _result(work, {"machine_actions": [], "not_found": []}, secrets)


def _common_terms(options: t.Mapping[str, t.Any], clock: Clock) -> list[str]:
    """Filter terms that every wanted action must fulfil."""
    terms = []
    if options["type"]:
        terms.append(f"type eq {literal(options['type'])}")
    if options["status"]:
        words = " or ".join(f"status eq {literal(word)}" for word in options["status"])
        terms.append(f"({words})" if len(options["status"]) > 1 else words)
    if options["since"]:
        since = str(options["since"])
        moment = parse_time(since if "T" in since else f"{since}T00:00:00Z")
        terms.append(f"creationDateTimeUtc ge {iso(moment or clock.wall() - seconds('since', since))}")
    return terms


def cancel_action(
    options: t.Mapping[str, t.Any], check_mode: bool, reporter: Reporter, secrets: Secrets, clock: Clock | None = None
) -> dict[str, t.Any]:
    """defender_cancel_action, likewise."""
    clock = clock or Clock()
    rows: list[_Cancel] = []

    def work() -> dict[str, t.Any]:
        if not options["comment"].strip():
            raise OptionsError("comment is empty.", advice="Say why the action is cancelled: it stays with the action.")
        require_positive(options, "wait_timeout", "poll_interval")
        names = parse_names(options["machines"]) if options["machines"] else []
        action_ids = parse_action_ids(options["action_ids"] or [])
        api = Connection(options, reporter, secrets, clock).sign_in(_CANCEL)
        rows.extend(_Cancel(each, each.action) for each in find_actions(api, action_ids))
        rows.extend(_running_on(api, resolve(api, names, "fail") if names else []))
        todo = [row for row in rows if row.action and not row.action.final]
        for row in todo:
            if not check_mode:
                row.ask(api, options["comment"])
            row.changed = row.error is None
        if options["wait"] and not check_mode:
            _wait_for_cancels(api, [row for row in todo if row.changed], options, clock)
        failures = [row.error for row in rows if row.error]
        changed = sum(row.changed for row in rows)
        counts = {("would be cancelled" if check_mode else "cancelled"): changed, "failed": len(failures)}
        counts["not running"] = len(rows) - sum(counts.values())
        words = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"
        reason = f" {failures[0]}" if len(failures) == 1 else ""
        return {
            "changed": changed > 0,
            "failed": bool(failures),
            "msg": f"{_count(len(rows), 'action')}: {words}.{reason}",
        }

    result = _result(work, {}, secrets)
    result["actions"] = secrets.scrub([row.as_result() for row in rows])
    return result


class _Cancel:
    """One requested cancellation."""

    def __init__(self, resolved: Resolved, action: Action | None) -> None:
        self.asked = resolved.asked
        self.machine = resolved.machine
        self.action = action
        self.error: DefenderError | None = resolved.error
        self.changed = False

    def ask(self, api: Api, comment: str) -> None:
        action = t.cast(Action, self.action)
        try:
            self.action = api.cancel(action.id, comment, self.machine.label if self.machine else action.id)
        except (ReplyLost, ServiceError) as failure:
            # It may have ended meanwhile, or have been cancelled although the reply was lost.
            self.action = api.action(action.id)
            if not self.action.final:
                self.error = failure

    def as_result(self) -> dict[str, t.Any]:
        return {
            "asked": self.asked,
            "machine_id": self.machine.id if self.machine else None,
            "computer_dns_name": self.machine.dns_name if self.machine else None,
            "status": self.action.status if self.action else None,
            "changed": self.changed,
            "failed": self.error is not None,
            "error": self.error.as_result() if self.error else None,
            "action": self.action.as_result() if self.action else None,
        }


def _running_on(api: Api, resolved: list[Resolved]) -> t.Iterator[_Cancel]:
    """The running collection of each device, by one list a status for all of them."""
    running: dict[str, Action] = {}
    if any(each.machine for each in resolved):
        for status in ("Pending", "InProgress"):
            for action in api.actions(f"type eq {literal(COLLECT)} and status eq {literal(status)}"):
                running[action.machine_id] = action
    for each in resolved:
        yield _Cancel(each, running.get(each.machine.id) if each.machine else None)


def _wait_for_cancels(api: Api, rows: list[_Cancel], options: t.Mapping[str, t.Any], clock: Clock) -> None:
    deadline = clock.monotonic() + options["wait_timeout"]
    while waiting := {row.action.id.lower(): row for row in rows if row.action and not row.action.final}:
        left = deadline - clock.monotonic()
        if left <= 0:
            for action_id, row in waiting.items():
                status = row.action.status if row.action else ""
                row.error = DefenderError(
                    f"The action {action_id} is still {status} after {options['wait_timeout']:g} seconds.",
                    advice="The service has taken the cancellation and may still carry it out: look again later.",
                    code="NotCancelledInTime",
                )
            return
        clock.sleep(min(options["poll_interval"], left))
        for each in find_actions(api, list(waiting)):
            if each.action:
                waiting[each.action.id.lower()].action = each.action


def access_token(
    options: t.Mapping[str, t.Any], check_mode: bool, reporter: Reporter, secrets: Secrets, clock: Clock | None = None
) -> dict[str, t.Any]:
    """defender_access_token, likewise. The token itself is in the result only if C(return_token) asks for it."""
    clock = clock or Clock()
    token: list[str] = []

    def work() -> dict[str, t.Any]:
        connection = Connection(options, reporter, secrets, clock)
        token.append(connection.tokens.get())
        claims = _auth.Claims.of(token[0])
        if claims.permissions is None and options["required_permissions"]:
            raise AuthError(
                "The token cannot be read, so its permissions are not known.",
                advice="Leave out required_permissions, or give a token for the Defender API.",
            )
        required = [(permission,) for permission in options["required_permissions"] or ()]
        _auth.check_claims(claims, connection.where, required, clock.wall(), 0.0)
        expires = claims.expires
        return {
            "msg": f"The token is good until {iso(expires)}." if expires else "The token does not say when it ends.",
            "audience": claims.audience,
            "permissions": sorted(claims.permissions or ()),
            "delegated": claims.delegated,
            "tenant": claims.tenant,
            "client_id": claims.app_id,
            "expires": iso(expires) if expires else None,
            "expires_in": int(expires - clock.wall()) if expires else None,
        }

    keys = ("audience", "permissions", "delegated", "tenant", "client_id", "expires", "expires_in")
    result = _result(work, dict.fromkeys(keys), secrets)
    if options["return_token"] and token and not result["failed"]:
        # Asked for, so it is not scrubbed; but no callback may show it.
        result.update(access_token=token[0], _ansible_no_log=True)
    return result


def _result(work: t.Callable[[], dict[str, t.Any]], empty: dict[str, t.Any], secrets: Secrets) -> dict[str, t.Any]:
    """The result of the work, or of its failure with the same keys."""
    result = {"changed": False, "failed": False, "error": None, **empty}
    try:
        result.update(work())
    except DefenderError as failure:
        result.update(failed=True, msg=str(failure), error=failure.as_result())
    return t.cast("dict[str, t.Any]", secrets.scrub(result))


def _found(number: int, noun: str, missing: list[str]) -> str:
    return f"{_count(number, noun)} found{', not found: ' + ', '.join(missing) if missing else ''}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
