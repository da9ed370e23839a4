# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_cancel_action: ask the service to cancel machine actions, and say what became of them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api, literal
from ansible_collections.secops.defender.plugins.module_utils._service.connection import Connection
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import (
    Name,
    Resolved,
    find_actions,
    parse_action_ids,
    resolve,
)
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._service.token import (
    COLLECT_PERMISSION,
    READ_PERMISSIONS,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import names, names_option, words
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import (
    Result,
    count,
    failures_told,
    settled,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    NetworkError,
    ReplyLost,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import CANCELLED, COLLECT, FINAL, Action
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec

# Cancel machine action API, Permissions: any of the first will do.
CANCEL = (
    (
        COLLECT_PERMISSION,
        "Machine.Isolate",
        "Machine.RestrictExecution",
        "Machine.Scan",
        "Machine.Offboard",
        "Machine.StopAndQuarantine",
        "Machine.LiveResponse",
    ),
    READ_PERMISSIONS,
)
# Seconds between two lines of progress.
_PACE = 30.0
# How often a cancellation is sent whose reply is lost, and the first pause in seconds; each later one doubles.
_TRIES = 3
_PAUSE = 2.0


def spec() -> Spec:
    """Credentials and connection, and what is cancelled."""
    return {
        **connection_spec(),
        "machines": names_option(),
        "action_ids": {"type": "list", "elements": "str", "aliases": ["action_id"]},
        "comment": {"type": "str", "required": True},
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "str", "default": "600"},
        "poll_interval": {"type": "str", "default": "15"},
    }


@dataclass(frozen=True)
class Options:
    """What is cancelled. Times in seconds."""

    settings: Settings
    asked: tuple[str, ...]
    names: tuple[Name, ...]
    action_ids: tuple[str, ...]
    comment: str
    wait: bool
    wait_timeout: float
    poll_interval: float

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        named = names(given["machines"] or ())
        ids = words("action_ids", given["action_ids"] or ())
        return cls(
            Settings.of(given),
            (*ids, *(name.asked for name in named)),
            tuple(named),
            tuple(parse_action_ids(ids)),
            given["comment"].strip(),
            given["wait"],
            given.positive("wait_timeout"),
            given.positive("poll_interval"),
        )


@dataclass
class _Cancel:
    """One action to cancel, however often it was asked for. asked: the service has taken the cancellation."""

    action: Action
    asked: bool = False
    error: DefenderError | None = None

    @property
    def label(self) -> str:
        return self.action.dns_name or self.action.machine_id

    @property
    def outcome(self) -> str:
        """What became of it, in the words of the sentence."""
        if self.action.status == CANCELLED and self.asked:
            return "cancelled"
        if self.asked and not self.action.final:
            return "asked to be cancelled"
        return f"had ended as {self.action.status} before" if self.asked else "not running"

    @property
    def changed(self) -> bool:
        return self.asked and (not self.action.final or self.action.status == CANCELLED)


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    asked: list[tuple[Resolved, _Cancel | None]] = []

    def cancel() -> Result:
        connection = Connection(options.settings, context.reporter, context.secrets, context.clock)
        api = connection.sign_in(CANCEL)
        targets: dict[str, _Cancel] = {}
        for each in _resolved(api, options):
            action = each.action
            asked.append((each, targets.setdefault(action.id.lower(), _Cancel(action)) if action else None))
        todo = [target for target in targets.values() if not target.action.final]
        if context.check_mode:
            for target in todo:
                target.asked = True
            return {}
        _Cancelling(api, options, context, todo).carry_out()
        return {}

    result = settled(cancel, {})
    if not asked:
        asked.extend((Resolved(name, None), None) for name in options.asked)
    rows = [_row(each, target, result["error"]) for each, target in asked]
    result["changed"] = any(row["changed"] for row in rows)
    if not result["failed"]:
        result["failed"] = any(row["failed"] for row in rows)
        result["msg"] = _sentence(asked, rows, context.check_mode)
    return {**result, "actions": rows}


def _resolved(api: Api, options: Options) -> list[Resolved]:
    by_id = find_actions(api, options.action_ids)
    by_name = resolve(api, options.names, "fail") if options.names else []
    return by_id + _running_on(api, by_name)


def _running_on(api: Api, resolved: list[Resolved]) -> list[Resolved]:
    """What of collections runs on each device, by one list call for all of them.

    A record that was merged into another one may still be the one that an action is on, besides one of the other: both are meant.
    """
    running: dict[str, list[Action]] = {}
    if any(each.machine for each in resolved):
        # Whatever is not final runs, also under a status word that is not known yet.
        others = " and ".join(f"status ne {literal(word)}" for word in sorted(FINAL))
        for action in api.actions(f"type eq {literal(COLLECT)} and {others}"):
            running.setdefault(action.machine_id, []).append(action)
    found = []
    for each in resolved:
        ids = [each.machine.id, *each.records] if each.machine else []
        actions = [action for machine_id in ids for action in running.get(machine_id, ())]
        found += [Resolved(each.asked, each.machine, each.error, action) for action in actions] or [each]
    return found


@dataclass
class _Cancelling:
    """The calls: ask for each, look again where a reply was lost, and wait for the end where that is wanted."""

    api: Api
    options: Options
    context: Context
    todo: list[_Cancel]
    _next_line: float = 0.0

    def carry_out(self) -> None:
        """Raises AuthError, NetworkError: every further call would fail alike."""
        self._next_line = self.context.clock.monotonic() + _PACE
        for number, target in enumerate(self.todo):
            self._ask(target)
            if target.asked:
                self.context.reporter.detail(f"{target.label}: action {target.action.id} was asked to be cancelled")
            elif target.error and len(self.todo) > 1:
                self.context.reporter.trouble(target.error.message)
            self._tell(f"{count(len(self.todo), 'action')}: {number + 1} asked to be cancelled")
        if self.options.wait:
            self._wait([target for target in self.todo if target.asked])

    def _tell(self, line: str) -> None:
        if self.context.clock.monotonic() >= self._next_line:
            self._next_line = self.context.clock.monotonic() + _PACE
            self.context.reporter.say(line)

    def _ask(self, target: _Cancel) -> None:
        clock = self.context.clock
        for attempt in range(_TRIES):
            try:
                target.action = self.api.cancel(target.action.id, self.options.comment, target.label)
                target.asked = True
                return
            except ReplyLost as failure:
                refusal: DefenderError = failure
            except ServiceError as failure:
                refusal = _explained(failure)
            if self._settled(target):
                return
            if not isinstance(refusal, ReplyLost) or attempt == _TRIES - 1:
                break
            # Sent twice it does no harm: the second is refused, or changes nothing.
            clock.sleep(clock.jitter(_PAUSE * 2**attempt))
        target.error = refusal

    def _settled(self, target: _Cancel) -> bool:
        """Whether it has ended meanwhile, or was cancelled although the reply was lost."""
        try:
            action = target.action = self.api.action(target.action.id)
        except (ReplyLost, ServiceError):
            return False
        taken = action.raw.get("cancellationDateTimeUtc") or action.status == CANCELLED
        target.asked = bool(taken) and action.raw.get("cancellationComment") == self.options.comment
        return action.final or target.asked

    def _wait(self, targets: list[_Cancel]) -> None:
        clock, trouble = self.context.clock, ""
        deadline = clock.monotonic() + self.options.wait_timeout
        while waiting := {target.action.id.lower(): target for target in targets if not target.action.final}:
            left = deadline - clock.monotonic()
            if left <= 0:
                self._overdue(waiting, trouble)
                break
            self._tell(f"{count(len(targets), 'action')}: {len(targets) - len(waiting)} ended, {len(waiting)} to go")
            clock.sleep(min(self.options.poll_interval, left))
            trouble = self._look(waiting)

    def _look(self, waiting: dict[str, _Cancel]) -> str:
        try:
            found = find_actions(self.api, list(waiting))
        except (NetworkError, ReplyLost, ServiceError) as failure:
            self.context.reporter.trouble(f"{failure.message} Asking again in {self.options.poll_interval:g} seconds.")
            return f" The last look failed: {failure.message}"
        for each in found:
            if each.action:
                waiting[each.action.id.lower()].action = each.action
        return ""

    def _overdue(self, waiting: dict[str, _Cancel], trouble: str) -> None:
        for action_id, target in waiting.items():
            target.error = DefenderError(
                f"The action {action_id} on {target.label} is still {target.action.status} after "
                f"{self.options.wait_timeout:g} seconds.{trouble}",
                advice="The service has taken the cancellation and may still carry it out: look again later.",
                code="NotCancelledInTime",
            )


def _explained(failure: ServiceError) -> ServiceError:
    if failure.status == 403:
        failure.advice = (
            f"{CANCEL[0][0]} should suffice, but the service has been seen to refuse it for cancelling "
            "(MicrosoftDocs/microsoft-365-docs issue 6062): if the app has it, add one of "
            f"{', '.join(CANCEL[0][1:-1])} or {CANCEL[0][-1]} as well, with admin consent. With a user's token, check that the "
            "user may see the device's group and has the role Alerts Investigation."
        )
    return failure


def _row(each: Resolved, target: _Cancel | None, fatal: dict[str, t.Any] | None) -> Result:
    failure = each.error or (target.error if target else None)
    error = failure.as_result() if failure else None
    if fatal and error is None and (target is None or not (target.asked or target.action.final)):
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


def _sentence(asked: t.Sequence[tuple[Resolved, _Cancel | None]], rows: list[Result], check_mode: bool) -> str:
    """Each action counts once, also one that was named twice."""
    if not rows:
        return "An empty list selects nothing: no action was asked to be cancelled."
    once = {
        target.action.id if target else f"?{row['asked']}": (row, target)
        for (_each, target), row in zip(asked, rows, strict=True)
    }
    words: dict[str, int] = {}
    for row, target in once.values():
        word = "failed" if row["failed"] else target.outcome if target else "not running"
        if check_mode and word == "asked to be cancelled":
            word = "would be cancelled"
        words[word] = words.get(word, 0) + 1
    told = ", ".join(f"{words[word]} {word}" for word in sorted(words, key=_place))
    failures = [row for row, _target in once.values() if row["failed"]]
    return f"{count(len(once), 'action')}: {told}.{failures_told(failures, 'asked')}"


def _place(word: str) -> int:
    """Where an outcome stands in the sentence: what was done comes first, what failed last."""
    if word.endswith("cancelled"):
        return 0
    return {"not running": 2, "failed": 3}.get(word, 1)


TASK = Task(
    "defender_cancel_action",
    spec(),
    Options.of,
    work,
    refused=lambda args, error: {"error": error.as_result(), "actions": []},
    rules={"required_one_of": [["machines", "action_ids"]]},
)
