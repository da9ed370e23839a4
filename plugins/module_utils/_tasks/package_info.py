# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_package_info: what packages hold, without unpacking them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import facts as package_facts
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import whose
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.facts import Facts
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.packages import Package
from ansible_collections.secops.defender.plugins.module_utils._tasks import reading
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, failures_told
from ansible_collections.secops.defender.plugins.module_utils._tasks.reading import Chosen, Logs, Reading
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    EvidenceError,
    printable,
)
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec

_NAME = "defender_package_info"
_NOT_RECORDED = "NotRecorded"


def spec() -> Spec:
    """What the module takes."""
    return reading.reading_spec()


@dataclass(frozen=True)
class Options:
    """Which packages are looked into."""

    reading: Reading

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        return cls(Reading.of(given))


@dataclass(frozen=True)
class _Read:
    digest: str
    facts: Facts


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    try:
        chosen = reading.choose(options.reading)
        recorded = reading.record(_NAME, chosen, context, {})
    except DefenderError as failure:
        return {**_failed(failure), "node": context.node}
    rows = _rows(options, chosen, context)
    for package, why in chosen.unread:
        rows.append(_unread(package, None, EvidenceError(f"{package.path} was not read: {why}.", code="NotRecorded")))
    for row in rows:
        _warn_of_strangers(row, context)
    unread = [row for row in rows if row["error"]]
    # What has no record was left out by the user's own choice, unless nothing else is there.
    broken = [row for row in unread if row["error"]["code"] != _NOT_RECORDED or len(unread) == len(rows)]
    return {
        "changed": False,
        "failed": bool(broken),
        "msg": printable(_sentence(rows, chosen, context.node) + failures_told(unread, "path")),
        "error": None,
        "packages": rows,
        "not_found": chosen.not_found,
        "summary": {
            "packages": len(rows),
            "read": len(rows) - len(unread),
            "older": chosen.older,
            "entries": sum(len(row["entries"]) for row in rows),
        },
        "recorded": recorded,
        "node": context.node,
    }


def _rows(options: Options, chosen: Chosen, context: Context) -> list[Result]:
    logs = Logs(chosen.packages)

    def read(package: Package, still: t.Callable[[], None]) -> _Read:
        with reading.opened(package, logs, options.reading.limits, still) as (file, digest, meter):
            return _Read(digest, package_facts.read(file, meter))

    found = reading.in_order(reading.each(chosen.packages, read, context, "read"))
    return [_row(package, outcome) for package, outcome in zip(chosen.packages, found, strict=True)]


def _row(package: Package, outcome: _Read | BaseException) -> Result:
    error = outcome.error if isinstance(outcome, reading.NotRead) else outcome
    if isinstance(error, DefenderError):
        return _unread(package, None, error)
    if not isinstance(outcome, _Read):
        return _unread(
            package,
            None,
            EvidenceError(
                f"{package.path} cannot be read: {type(outcome).__name__}: {outcome}.", advice="Report it as a bug."
            ),
        )
    facts = outcome.facts
    names = sorted(map(printable, facts.computer_names), key=lambda name: (name.lower(), name))
    return {
        **_unread(package, outcome.digest, None),
        "verified": package.is_verified,
        "os": facts.system.value,
        "entries": [{**row, "name": printable(row["name"])} for row in facts.entries],
        "artefacts": facts.artefacts,
        "missing": facts.missing,
        "empty": facts.empty,
        "computer_names": names,
        "strangers": whose.strangers(names, package.computer_dns_name),
        "not_read": [
            {"entry": None if entry is None else printable(entry), "artefact": kind, "why": printable(why)}
            for entry, kind, why in facts.not_read
        ],
    }


def _unread(package: Package, digest: str | None, error: DefenderError | None) -> Result:
    name = package.computer_dns_name
    return {
        "machine_id": package.machine_id,
        "computer_dns_name": printable(name) if name else None,
        "path": printable(str(package.path)),
        "sha256": digest,
        "collected": package.collected,
        "verified": False,
        "error": error.as_result() if error else None,
        "os": "unknown",
        "entries": [],
        "artefacts": {},
        "missing": [],
        "empty": [],
        "computer_names": [],
        "strangers": [],
        "not_read": [],
    }


def _warn_of_strangers(row: Result, context: Context) -> None:
    if row["strangers"]:
        context.reporter.warn(
            f"{row['path']} is recorded as the package of {row['computer_dns_name']}, but its files name "
            f"{', '.join(row['strangers'][:5])}: was the device renamed, or is it another device's package?"
        )


def _sentence(rows: list[Result], chosen: Chosen, node: str) -> str:
    read = [row for row in rows if not row["error"]]
    lacking = sum(bool(row["missing"]) for row in read)
    parts = [
        f"{count(len(read), 'package')} on {node}: {count(sum(len(row['entries']) for row in read), 'entry')}".replace(
            "entrys", "entries"
        )
    ]
    if lacking:
        parts.append(f"{lacking} lack kinds of artefact that such a package always has")
    if chosen.older:
        parts.append(f"{count(chosen.older, 'older package')} left out (packages: all reads them)")
    if chosen.not_found:
        parts.append(f"no package of {', '.join(chosen.not_found[:10])}")
    return "; ".join(parts) + "."


def _failed(error: DefenderError) -> Result:
    """The result where nothing could be read, with the same keys."""
    return {
        "changed": False,
        "failed": True,
        "msg": str(error),
        "error": error.as_result(),
        "packages": [],
        "not_found": [],
        "summary": dict.fromkeys(("packages", "read", "older", "entries"), 0),
        "recorded": False,
        "node": None,
    }


TASK = Task(_NAME, spec(), Options.of, work, refused=lambda args, error: _failed(error))
