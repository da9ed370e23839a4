# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a result says: counts, plurals, and the one sentence about what failed and what to do."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError

Result = dict[str, t.Any]

# Names that a sentence lists before it says how many more there are.
_LISTED = 10


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 device, 2 devices."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: t.Iterable[str]) -> str:
    """Names with commas between them, each once; of many only the first."""
    once = list(dict.fromkeys(names))
    more = f" and {len(once) - _LISTED} more" if len(once) > _LISTED else ""
    return ", ".join(once[:_LISTED]) + more


def found(number: int, noun: str, missing: t.Sequence[str]) -> str:
    """What a search has brought, and what it has not."""
    return f"{count(number, noun)} found{', not found: ' + listed(missing) if missing else ''}."


def settled(work: t.Callable[[], Result], empty: Result) -> Result:
    """The result of some work, or of its failure with the same keys."""
    result: Result = {"changed": False, "failed": False, "error": None, **empty}
    try:
        result.update(work())
    except DefenderError as failure:
        result.update(failed=True, msg=str(failure), error=failure.as_result())
    return result


def failures_told(failures: t.Sequence[Result], name: str) -> str:
    """Why rows failed, beginning with a space: one in full, several with what to do first and then by name and code.

    failures: rows with an C(error). name: the key under which a row says what was asked for.
    """
    if not failures:
        return ""
    if len(failures) == 1:
        return f" {error_told(failures[0]['error'])}"
    advice = dict.fromkeys(row["error"]["advice"] for row in failures if row["error"]["advice"])
    names = listed(f"{row[name]} ({row['error']['code']})" for row in failures)
    first = next(iter(advice), "")
    rest = (
        f" Each has its own advice in the result; of the first: {first}"
        if len(advice) > 1
        else f" {first}"
        if first
        else ""
    )
    return f" Failed: {names}.{rest}"


def error_told(error: t.Mapping[str, t.Any]) -> str:
    """An error of a row in a sentence or two: what happened, the tracking ID, what to do."""
    tracking = f"Tracking ID: {error['tracking_id']}." if error["tracking_id"] else ""
    return " ".join(part for part in (error["message"], tracking, error["advice"]) if part)
