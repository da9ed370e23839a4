# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The smaller modules: looking at machines and actions, cancelling, and the token itself."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.secops.defender.plugins.module_utils._service import sign_in as _auth
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api, literal
from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.connection import READ, Connection, Reporter
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import (
    DEVICE_ID,
    Resolved,
    by_chains,
    find_actions,
    parse_action_ids,
    parse_names,
    resolve,
    search,
)
from ansible_collections.secops.defender.plugins.module_utils._service.session import Http
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import require_positive, seconds
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AuthError,
    DefenderError,
    NetworkError,
    OptionsError,
    ReplyLost,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import (
    CANCELLED,
    COLLECT,
    FINAL,
    IN_PROGRESS,
    PENDING,
    Action,
    iso,
    parse_time,
)
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# Seconds between two lines of progress.
_PACE = 30.0
# How often a cancellation is sent whose reply is lost, and the first pause in seconds; each later one doubles.
_TRIES = 3
_PAUSE = 2.0
_DAY = re.compile(r"^\d{4}-\d\d-\d\d$")
_STATUS_WORDS = {word.lower(): word for word in (PENDING, IN_PROGRESS, *FINAL)}
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


def machine_info(
    options: t.Mapping[str, t.Any], check_mode: bool, reporter: Reporter, secrets: Secrets, clock: Clock | None = None
) -> dict[str, t.Any]:
    """defender_machine_info. Raises no DefenderError: it is in the result."""

    def work() -> dict[str, t.Any]:
        names = parse_names(options["machines"]) if options["machines"] else []
        api = Connection(options, reporter, secrets, clock or Clock()).sign_in(READ)
        missing: list[str] = []
        if options["machines"] is not None:
            # An empty list asks for none, not for all.
            rows, missing = search(api, names)
        else:
            try:
                rows = api.every_machine(options["filter"], options["tag"])
            except ServiceError as failure:
                if failure.status == 400 and options["filter"]:
                    failure.advice = (
                        f"Check filter, which is {options['filter']!r}: the properties' names, the operators, quotes around "
                        "texts and none around times."
                    )
                raise
        return {
            "msg": _found(len(rows), "machine", missing),
            "machines": [machine_variables(row) for row in rows],
            "not_found": list(dict.fromkeys(missing)),
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
        wanted = _Wanted(options, clock)
        api = Connection(options, reporter, secrets, clock).sign_in(READ)
        found: dict[str, Action] = {}
        missing: list[str] = []
        for each in find_actions(api, action_ids):
            if each.action is None:
                missing.append(each.asked)
            elif wanted.fits(each.action):
                found[each.action.id.lower()] = each.action
        if names:
            rows, unknown = search(api, names)
            # The actions of a device outlive its entry in the list of devices.
            gone = {name.value: name.asked for name in names if name.kind == DEVICE_ID and name.asked in unknown}
            machine_ids = [str(row["id"]).lower() for row in rows] + list(gone)
            of_machines: dict[str, Action] = {}
            by_chains(
                [f"machineId eq {literal(machine_id)}" for machine_id in machine_ids],
                lambda chain: of_machines.update(
                    (action.id.lower(), action) for action in api.actions(wanted.query(chain))
                ),
            )
            found.update(of_machines)
            acted = {action.machine_id for action in of_machines.values()}
            missing += [asked for asked in unknown if asked not in {gone[each] for each in acted & set(gone)}]
        if options["machines"] is None and options["action_ids"] is None:
            found.update((action.id.lower(), action) for action in api.actions(wanted.query() or None))
        actions = sorted(found.values(), key=lambda each: each.created_at, reverse=True)
        return {
            "msg": _found(len(actions), "machine action", missing),
            "machine_actions": [snake_case(action.raw) for action in actions],
            "not_found": list(dict.fromkeys(missing)),
        }

    return _result(work, {"machine_actions": [], "not_found": []}, secrets)


class _Wanted:
    """What every wanted action must be: C(type), C(status) and C(since). Raises OptionsError."""

    def __init__(self, options: t.Mapping[str, t.Any], clock: Clock) -> None:
        self._type = (options["type"] or "").strip()
        if self._type.lower() == COLLECT.lower():
            self._type = COLLECT
        words = [word.strip() for word in options["status"] or ()]
        self._status = list(dict.fromkeys(_STATUS_WORDS.get(word.lower(), word) for word in words))
        self._since = _moment(options["since"], clock) if (options["since"] or "").strip() else None

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


def _moment(since: str, clock: Clock) -> float:
    """A time, or an age; YAML reads a time that is not quoted, and gives it back with a space instead of the T."""
    text = since.strip()
    moment = parse_time(f"{text}T00:00:00Z" if _DAY.match(text) else text.replace(" ", "T", 1))
    if moment:
        return moment
    try:
        return clock.wall() - seconds("since", text)
    except OptionsError as failure:
        failure.advice = "Give a time (ISO 8601, such as 2026-11-23T08:00:00Z), or an age such as 4h or 90m."
        raise


def cancel_action(
    options: t.Mapping[str, t.Any], check_mode: bool, reporter: Reporter, secrets: Secrets, clock: Clock | None = None
) -> dict[str, t.Any]:
    """defender_cancel_action, likewise."""
    clock = clock or Clock()
    asked: list[tuple[Resolved, _Cancel | None]] = []

    def work() -> dict[str, t.Any]:
        if not options["comment"].strip():
            raise OptionsError("comment is empty.", advice="Say why the action is cancelled: it stays with the action.")
        require_positive(options, "wait_timeout", "poll_interval")
        names = parse_names(options["machines"]) if options["machines"] else []
        action_ids = parse_action_ids(options["action_ids"] or [])
        api = Connection(options, reporter, secrets, clock).sign_in(_CANCEL)
        resolved = find_actions(api, action_ids) + _running_on(api, resolve(api, names, "fail") if names else [])
        targets: dict[str, _Cancel] = {}
        for each in resolved:
            action = each.action
            asked.append((each, targets.setdefault(action.id.lower(), _Cancel(action)) if action else None))
        todo = [target for target in targets.values() if not target.action.final]
        if check_mode:
            for target in todo:
                target.changed = True
        else:
            _cancel(api, todo, options, reporter)
            if options["wait"]:
                _wait_for_cancels(api, [target for target in todo if target.changed], options, reporter)
        return {}

    result = _result(work, {}, secrets)
    if not asked:
        asked.extend(
            (Resolved(name, None), None) for name in [*(options["action_ids"] or ()), *(options["machines"] or ())]
        )
    rows = [_cancel_row(each, target, result["error"]) for each, target in asked]
    result["changed"] = any(row["changed"] for row in rows)
    if not result["failed"]:
        result["failed"] = any(row["failed"] for row in rows)
        result["msg"] = _cancel_sentence(rows, check_mode)
    result["actions"] = rows
    return t.cast("dict[str, t.Any]", secrets.scrub(result))


class _Cancel:
    """One action to cancel, however often it was asked for."""

    def __init__(self, action: Action) -> None:
        self.action = action
        self.changed = False
        self.error: DefenderError | None = None

    @property
    def label(self) -> str:
        return self.action.dns_name or self.action.machine_id

    def ask(self, api: Api, comment: str) -> None:
        """Raises AuthError, NetworkError: every further one would fail alike."""
        clock = api.session.clock
        for attempt in range(_TRIES):
            try:
                self.action = api.cancel(self.action.id, comment, self.label)
                self.changed = True
                return
            except ReplyLost as failure:
                refusal: DefenderError = failure
            except ServiceError as failure:
                refusal = _explained(failure)
            if self._settled(api, comment):
                return
            if not isinstance(refusal, ReplyLost) or attempt == _TRIES - 1:
                break
            # Sent twice it does no harm: the second is refused, or changes nothing.
            clock.sleep(clock.jitter(_PAUSE * 2**attempt))
        self.error = refusal

    def _settled(self, api: Api, comment: str) -> bool:
        """Whether it has ended meanwhile, or was cancelled although the reply was lost."""
        try:
            action = api.action(self.action.id)
        except (ReplyLost, ServiceError):
            return False
        self.action = action
        taken = action.raw.get("cancellationDateTimeUtc") or action.status == CANCELLED
        self.changed = bool(taken) and action.raw.get("cancellationComment") == comment
        return action.final or self.changed


def _explained(failure: ServiceError) -> ServiceError:
    if failure.status == 403:
        failure.advice = (
            f"{_auth.COLLECT_PERMISSION} should suffice, but the service has been seen to refuse it for cancelling "
            "(MicrosoftDocs/microsoft-365-docs issue 6062): if the app has it, add one of "
            f"{', '.join(_CANCEL[0][1:-1])} or {_CANCEL[0][-1]} as well, with admin consent. With a user's token, check that the "
            "user may see the device's group and has the role Alerts Investigation."
        )
    return failure


def _cancel(api: Api, todo: list[_Cancel], options: t.Mapping[str, t.Any], reporter: Reporter) -> None:
    clock = api.session.clock
    next_line = clock.monotonic() + _PACE
    for number, target in enumerate(todo):
        target.ask(api, options["comment"])
        if target.changed:
            reporter.detail(f"{target.label}: action {target.action.id} is being cancelled")
        elif target.error and len(todo) > 1:
            reporter.trouble(target.error.message)
        if clock.monotonic() >= next_line:
            next_line = clock.monotonic() + _PACE
            reporter.say(f"{_count(len(todo), 'action')}: {number + 1} asked to be cancelled")


def _running_on(api: Api, resolved: list[Resolved]) -> list[Resolved]:
    """The running collection of each device, by one list call for all of them."""
    running: dict[str, Action] = {}
    if any(each.machine for each in resolved):
        # Whatever is not final runs, also under a status word that is not known yet.
        others = " and ".join(f"status ne {literal(word)}" for word in sorted(FINAL))
        for action in api.actions(f"type eq {literal(COLLECT)} and {others}"):
            running[action.machine_id] = action
    return [
        Resolved(each.asked, each.machine, each.error, running.get(each.machine.id) if each.machine else None)
        for each in resolved
    ]


def _wait_for_cancels(api: Api, targets: list[_Cancel], options: t.Mapping[str, t.Any], reporter: Reporter) -> None:
    clock = api.session.clock
    deadline = clock.monotonic() + options["wait_timeout"]
    next_line = clock.monotonic() + _PACE
    trouble = ""
    while waiting := {target.action.id.lower(): target for target in targets if not target.action.final}:
        left = deadline - clock.monotonic()
        if left <= 0:
            for action_id, target in waiting.items():
                target.error = DefenderError(
                    f"The action {action_id} on {target.label} is still {target.action.status} after "
                    f"{options['wait_timeout']:g} seconds.{trouble}",
                    advice="The service has taken the cancellation and may still carry it out: look again later.",
                    code="NotCancelledInTime",
                )
            break
        if clock.monotonic() >= next_line:
            next_line = clock.monotonic() + _PACE
            reporter.say(f"{_count(len(targets), 'action')}: {len(targets) - len(waiting)} ended, {len(waiting)} to go")
        clock.sleep(min(options["poll_interval"], left))
        try:
            found = find_actions(api, list(waiting))
            trouble = ""
        except (NetworkError, ReplyLost, ServiceError) as failure:
            trouble = f" The last look failed: {failure.message}"
            reporter.trouble(f"{failure.message} Asking again in {options['poll_interval']:g} seconds.")
            continue
        for each in found:
            if each.action:
                waiting[each.action.id.lower()].action = each.action
    for target in targets:
        if target.action.final:
            # It may have ended by itself before the cancellation took effect.
            target.changed = target.action.status == CANCELLED


def _cancel_row(each: Resolved, target: _Cancel | None, fatal: dict[str, t.Any] | None) -> dict[str, t.Any]:
    failure = each.error or (target.error if target else None)
    error = failure.as_result() if failure else None
    if fatal and error is None and (target is None or not (target.changed or target.action.final)):
        error = fatal
    action = target.action if target else None
    name = each.machine.dns_name if each.machine else None
    return {
        "asked": each.asked,
        "machine_id": each.machine.id if each.machine else None,
        "computer_dns_name": name or (action.dns_name if action else None),
        "status": action.status if action else None,
        "changed": target is not None and target.changed,
        "failed": error is not None,
        "error": error,
        "action": action.as_result() if action else None,
    }


def _cancel_sentence(rows: list[dict[str, t.Any]], check_mode: bool) -> str:
    """Each action counts once, also one that was named twice."""
    once = {(row["action"] or {}).get("id") or f"?{row['asked']}": row for row in rows}.values()
    failures = [row for row in once if row["failed"]]
    changed = sum(row["changed"] and not row["failed"] for row in once)
    idle = len(once) - len(failures) - changed
    counts = {
        ("would be cancelled" if check_mode else "cancelled"): changed,
        "not running": idle,
        "failed": len(failures),
    }
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"
    sentence = f"{_count(len(once), 'action')}: {words}."
    if len(failures) == 1:
        error = failures[0]["error"]
        tracking = f"Tracking ID: {error['tracking_id']}." if error["tracking_id"] else ""
        return " ".join(part for part in (sentence, error["message"], tracking, error["advice"]) if part)
    if failures:
        listed = ", ".join(f"{row['asked']} ({row['error']['code']})" for row in failures[:10])
        sentence += f" Failed: {listed}{f' and {len(failures) - 10} more' if len(failures) > 10 else ''}."
        sentence += f" {failures[0]['error']['advice']}" if len({row["error"]["code"] for row in failures}) == 1 else ""
    return sentence


def access_token(
    options: t.Mapping[str, t.Any], check_mode: bool, reporter: Reporter, secrets: Secrets, clock: Clock | None = None
) -> dict[str, t.Any]:
    """defender_access_token, likewise. The token itself is in the result only if C(return_token) asks for it.

    It is then for the door to see that no callback shows it.
    """
    clock = clock or Clock()
    token: list[str] = []
    # Of a token that was refused, too: they say why.
    facts: dict[str, t.Any] = dict.fromkeys(
        ("audience", "permissions", "delegated", "tenant", "client_id", "expires", "expires_in")
    )

    def work() -> dict[str, t.Any]:
        connection = Connection(options, reporter, secrets, clock, by_device_code if options["device_code"] else None)
        token.append(connection.tokens.get())
        claims = _auth.Claims.of(token[0])
        expires = claims.expires
        facts.update(
            audience=claims.audience,
            permissions=sorted(claims.permissions or ()),
            delegated=claims.delegated,
            tenant=claims.tenant,
            client_id=claims.app_id,
            expires=iso(expires) if expires else None,
            expires_in=int(expires - clock.wall()) if expires else None,
        )
        _auth.check_claims(claims, connection.where, (), clock.wall(), 0.0)
        _check_permissions(claims, options["required_permissions"] or ())
        return {
            "msg": f"The token is good until {iso(expires)}." if expires else "The token does not say when it ends."
        }

    def by_device_code(
        options: t.Mapping[str, t.Any], where: Endpoints, http: Http, secrets: Secrets
    ) -> tuple[_auth.Tokens, str]:
        if not reporter.live:
            message = "device_code needs somebody who sees the code, but this task can show nothing before its end."
            reporter.warn(message)
            raise OptionsError(
                message, advice="Run the task on the control node: without delegate_to and without async."
            )
        return _auth.open_device_code(options, where, http, secrets, reporter.say)

    result = _result(work, {}, secrets)
    result.update(t.cast("dict[str, t.Any]", secrets.scrub(facts)))
    if options["return_token"] and token and not result["failed"]:
        # Asked for, so it is not scrubbed.
        result["access_token"] = token[0]
    return result


def _check_permissions(claims: _auth.Claims, required: t.Sequence[str]) -> None:
    """Raises AuthError that names all that are missing."""
    if not required:
        return
    if claims.permissions is None:
        raise AuthError(
            "The token cannot be read, so its permissions are not known.",
            advice="Leave out required_permissions, or give a token for the Defender API.",
        )
    missing = [permission for permission in dict.fromkeys(required) if not claims.permits(permission)]
    if missing:
        kind = "delegated" if claims.delegated else "application"
        raise AuthError(
            f"The token lacks the {kind} permission{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has "
            f"{', '.join(sorted(claims.permissions)) or 'none'}.",
            advice="Add what is missing of the API WindowsDefenderATP to the app in Entra ID, then grant admin consent, and "
            "get a new token.",
            code="MissingPermission",
        )


def _result(work: t.Callable[[], dict[str, t.Any]], empty: dict[str, t.Any], secrets: Secrets) -> dict[str, t.Any]:
    """The result of the work, or of its failure with the same keys."""
    result = {"changed": False, "failed": False, "error": None, **empty}
    try:
        result.update(work())
    except DefenderError as failure:
        result.update(failed=True, msg=str(failure), error=failure.as_result())
    return t.cast("dict[str, t.Any]", secrets.scrub(result))


def _found(number: int, noun: str, missing: list[str]) -> str:
    names = list(dict.fromkeys(missing))
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{_count(number, noun)} found{', not found: ' + ', '.join(names[:10]) + more if names else ''}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
