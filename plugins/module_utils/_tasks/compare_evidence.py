# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_compare_evidence: what few of many devices have, and what changed on one device between two packages."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing import (
    artefacts,
    counting,
    diff,
    items,
    masks,
    page,
    rare,
    rows,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.packages import Package
from ansible_collections.secops.defender.plugins.module_utils._tasks import reading, summary_text
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed
from ansible_collections.secops.defender.plugins.module_utils._tasks.reading import Chosen, Logs, Reading
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    EvidenceError,
    OptionsError,
    printable,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import is_action_id, parse_time
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec, near

_NAME = "defender_compare_evidence"
_RARE, _DIFF = "rare", "diff"
# Packages that a refusal lists.
_LISTED = 10


def spec() -> Spec:
    """What the module takes."""
    return {
        **reading.reading_spec(),
        "mode": {"type": "str", "choices": [_RARE, _DIFF], "default": _RARE},
        "artefacts": {"type": "list", "elements": "str"},
        "max_devices": {"type": "int", "default": 1},
        "before": {"type": "str"},
        "after": {"type": "str"},
        "masks": {"type": "list", "elements": "str"},
        "own_masks": {"type": "list", "elements": "str"},
        "max_items": {"type": "int", "default": 10_000},
        "report": {"type": "bool", "default": False},
    }


@dataclass(frozen=True)
class Options:
    """named: artefacts that were asked for. before, after: an action's ID or a package's path, None for oldest and newest."""

    reading: Reading
    mode: str
    scope: items.Scope
    named: frozenset[str]
    max_devices: int
    before: str | None
    after: str | None
    max_items: int
    report: bool

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        mode = given["mode"]
        for name in ("before", "after"):
            if given[name] is not None and mode != _DIFF:
                raise OptionsError(f"{name} is given, but mode is {mode}.", advice="Write mode: diff, or leave it out.")
        for name in ("max_devices", "max_items"):
            if given[name] < 1:
                raise OptionsError(f"{name} is below 1.", advice="Give 1 or more. Nothing was read.")
        names = _artefacts(given["artefacts"])
        wanted = masks.Wanted(_masks(given["masks"], mode), _own_masks(given["own_masks"]))
        chosen = Reading.of(given)
        return cls(
            reading=chosen if mode == _RARE else replace(chosen, newest=False),
            mode=mode,
            scope=items.Scope(artefacts.chosen(names), wanted),
            named=artefacts.chosen(names) if names else frozenset(),
            max_devices=given["max_devices"],
            before=_package(given["before"], given.base),
            after=_package(given["after"], given.base),
            max_items=given["max_items"],
            report=given["report"],
        )


def _artefacts(given: t.Sequence[t.Any] | None) -> frozenset[str] | None:
    return (
        None
        if given is None
        else _names("artefacts", given, artefacts.ARTEFACTS, "whose lines cannot be compared", "Nothing was read.")
    )


def _masks(given: t.Sequence[t.Any] | None, mode: str) -> frozenset[str]:
    if given is None:
        return frozenset(masks.NAMES if mode == _RARE else masks.OF_DIFF)
    return _names("masks", given, masks.NAMES, "which is no mask", "One of your own belongs into own_masks.")


def _names(option: str, given: t.Sequence[t.Any], known: t.Collection[str], wrong: str, advice: str) -> frozenset[str]:
    """What was named, of what is known. Raises OptionsError."""
    names = [str(each).strip().lower() for each in given]
    for name in names:
        if name not in known:
            raise OptionsError(
                f"{option} holds {name}, {wrong}.", advice=f"{near(name, known)}There are: {', '.join(known)}. {advice}"
            )
    return frozenset(names)


def _own_masks(given: t.Sequence[t.Any] | None) -> tuple[str, ...]:
    for each in given or ():
        try:
            if re.compile(str(each)).match(""):
                raise OptionsError(
                    f"own_masks holds {each!r}, which fits nothing at all.", advice="Write what it is to fit."
                )
        except re.error as failure:
            raise OptionsError(
                f"own_masks holds {each!r}, which is no regular expression: {failure}.",
                advice="Write it in the syntax of Python's re module, in single quotes. Nothing was read.",
            ) from None
    return tuple(map(str, given or ()))


def _package(value: str | None, base: str | None) -> str | None:
    if value is None or is_action_id(value):
        return value and value.strip().lower()
    text = os.path.expanduser(os.path.expandvars(value))
    return os.path.abspath(os.path.join(base, text) if base else text)


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    try:
        chosen = reading.choose(options.reading)
        if options.mode == _DIFF:
            pair = _pair(options, chosen)
            chosen = Chosen(list(pair), [], [], len(chosen.packages) - 2)
        elif len({package.device for package in chosen.packages}) < 2:
            raise _nothing_to_compare(chosen)
        facts = {"mode": options.mode, "artefacts": sorted(options.scope.artefacts)}
        recorded = reading.record(_NAME, chosen, context, facts)
        compared = _Compare(options, chosen, context)
        result = compared.moments() if options.mode == _DIFF else compared.devices()
    except DefenderError as failure:
        return {**_failed(failure), "mode": options.mode, "node": context.node}
    if not options.scope.artefacts:
        result["msg"] += " artefacts is empty, which selects nothing."
    result.update(recorded=recorded, node=context.node)
    result["summary_text"] = summary_text.of_compare(result)
    _report(options, chosen, context, result)
    return result


def _nothing_to_compare(chosen: Chosen) -> EvidenceError:
    why = f" {count(len(chosen.unread), 'package')} has no record (unrecorded: true reads it)." if chosen.unread else ""
    missing = f" There is no package of {listed(chosen.not_found)}." if chosen.not_found else ""
    return EvidenceError(
        f"There are packages of {count(len({each.device for each in chosen.packages}), 'device')} only, so nothing is rare.{why}{missing}",
        advice="Give a folder with packages of several devices, or mode: diff for two packages of one device.",
        code="NothingToCompare",
    )


# ---- which two packages ----


def _pair(options: Options, chosen: Chosen) -> tuple[Package, Package]:
    """Before and after. Raises EvidenceError."""
    if chosen.not_found:
        raise EvidenceError(f"There is no package of {listed(chosen.not_found)}.", code="EvidenceMissing")
    named = [_named(chosen, "before", options.before), _named(chosen, "after", options.after)]
    device = next((package.device for package in named if package), None)
    mine = [package for package in chosen.packages if device is None or package.device == device]
    mine.sort(key=lambda package: (parse_time(package.collected), package.name))
    if not all(named) and len({package.device for package in mine}) > 1:
        raise OptionsError(
            f"There are packages of several devices: {listed(package.label for package in mine)}.",
            advice="Say which one with machines, or both packages with before and after.",
        )
    before, after = named[0] or (mine[0] if mine else None), named[1] or (mine[-1] if mine else None)
    if before is None or after is None or before.path == after.path:
        raise EvidenceError(
            f"There is one package of {before.label if before else 'the device'} only, so there is nothing to compare it with.",
            advice="Collect from the device again with reuse_within: 0, into the same folder."
            + (" Packages without a record are read with unrecorded: true." if chosen.unread else ""),
            code="NothingToCompare",
        )
    return _in_order(before, after)


def _named(chosen: Chosen, option: str, value: str | None) -> Package | None:
    if value is None:
        return None
    for package in chosen.packages:
        if value in ((package.action_id or "").lower(), str(package.path)):
            return package
    there = ", ".join(str(package.path) for package in chosen.packages[:_LISTED])
    raise EvidenceError(
        f"{option} is {value}, which is none of the packages that were chosen.",
        advice=f"Give an action's ID or a path of these: {there}. Packages without a record need unrecorded: true.",
        code="EvidenceMissing",
    )


def _in_order(before: Package, after: Package) -> tuple[Package, Package]:
    if before.machine_id and after.machine_id and before.machine_id != after.machine_id:
        raise OptionsError(
            f"before is of {before.label}, and after is of {after.label}.",
            advice="Give two packages of one device; mode: rare compares devices.",
        )
    if 0.0 < parse_time(after.collected) < parse_time(before.collected):
        raise OptionsError(
            f"after was collected at {after.collected}, which is earlier than before ({before.collected}).",
            advice="Exchange the two.",
        )
    return before, after


# ---- reading ----


@dataclass(frozen=True)
class _Unread:
    """Why a package was not read. altered: it is not what was recorded."""

    why: str
    altered: bool = False


_R = t.TypeVar("_R")


@dataclass
class _Compare:
    options: Options
    chosen: Chosen
    context: Context

    def __post_init__(self) -> None:
        self._logs = Logs(self.chosen.packages)

    def _each(
        self, chosen: t.Sequence[Package], what: t.Callable[[items.Read], _R], said: str
    ) -> t.Iterator[tuple[Package, _R | _Unread]]:
        """Each package with what comes of it, in their order."""

        def one(package: Package, still: t.Callable[[], None]) -> _R:
            with reading.opened(package, self._logs, self.options.reading.limits, still) as (file, _digest, meter):
                return what(items.read(file, meter, self.options.scope, package.computer_dns_name))

        found = reading.in_order(reading.each(chosen, one, self.context, said))
        for package, outcome in zip(chosen, found, strict=True):
            if isinstance(outcome, reading.NotRead):
                yield package, _Unread(outcome.why, outcome.altered)
            elif isinstance(outcome, BaseException):
                yield package, _Unread(f"it could not be read: {type(outcome).__name__}: {outcome}")
            else:
                yield package, outcome

    # ---- rare ----

    def devices(self) -> Result:
        fleet = rare.Fleet(self.options.max_devices, self.options.named, self.options.max_items)
        unread: list[str] = []
        for package, counted in self._each(self.chosen.packages, counting.numbers, "counted"):
            if isinstance(counted, _Unread):
                fleet.not_comparable.append(rows.not_comparable(package, None, None, counted.why))
                unread += [str(package.path)] if counted.altered else []
            else:
                fleet.count(package, counted)
        few, devices = fleet.rare()
        again = [package for package in self.chosen.packages if package.device in devices]
        for package, seen in self._each(again, lambda read: rare.sightings(read, few), "read again"):
            if isinstance(seen, _Unread):
                fleet.not_comparable.append(rows.not_comparable(package, None, None, f"in the second pass, {seen.why}"))
            else:
                fleet.take(package, seen, package.is_verified)
        self._warn_of_altered(unread)
        self._say_not_chosen(fleet)
        return self._rare_result(fleet)

    def _say_not_chosen(self, fleet: rare.Fleet) -> None:
        fleet.say_not_comparable()
        for package, why in self.chosen.unread:
            fleet.not_comparable.append(rows.not_comparable(package, None, None, why))
        for name in self.chosen.not_found:
            row = rows.not_comparable(None, None, None, "there is no package of it")
            fleet.not_comparable.append({**row, "computer_dns_name": printable(name)})

    def _warn_of_altered(self, paths: t.Sequence[str]) -> None:
        if paths:
            self.context.reporter.warn(
                f"{count(len(paths), 'package')} not read, for it is not what was recorded: {listed(paths)}. "
                "Run secops.defender.defender_verify_evidence on the folder."
            )

    def _rare_result(self, fleet: rare.Fleet) -> Result:
        found = fleet.items()
        result = {
            **_empty(),
            "mode": _RARE,
            "items": found,
            "rare": found,
            "not_comparable": fleet.not_comparable,
            "summary": {
                "devices": fleet.devices,
                "packages": len(self.chosen.packages),
                "older": self.chosen.older,
                "found": len(found) + fleet.unlisted,
                "unlisted": fleet.unlisted,
                "collector": sum(row["collector"] for row in found),
                "not_comparable": len(fleet.not_comparable),
            },
        }
        result["msg"] = printable(_rare_sentence(result, self.options.max_devices))
        return result

    # ---- diff ----

    def moments(self) -> Result:
        sides = []
        read = self._each(self.chosen.packages, lambda each: each, "read")
        for name, (package, found) in zip(("before", "after"), read, strict=True):
            if isinstance(found, _Unread):
                raise EvidenceError(
                    f"{package.path} was not read: {found.why}.",
                    advice="Run secops.defender.defender_verify_evidence on the folder.",
                    code="EvidenceAltered" if found.altered else "EvidenceUnreadable",
                )
            sides.append(diff.Side(name, package, found))
        before, after = sides
        told = diff.diff(before, after, self.options.named)
        result = {
            **_empty(),
            "mode": _DIFF,
            "only_before": told.only_before,
            "only_after": told.only_after,
            "not_comparable": told.not_comparable,
            "compared": told.compared,
            "before": _side(before.package),
            "after": _side(after.package),
            "summary": {
                **_figures(),
                "devices": 1,
                "packages": 2,
                "older": self.chosen.older,
                "found": len(told.only_before) + len(told.only_after),
                "collector": sum(row["collector"] for row in told.only_before + told.only_after),
                "not_comparable": len(told.not_comparable),
            },
        }
        result["msg"] = printable(_diff_sentence(result, after.package))
        return result


def _side(package: Package) -> Result:
    return {
        **rows.machine(package),
        "package": printable(str(package.path)),
        "action_id": package.action_id,
        "collected": package.collected,
        "verified": package.is_verified,
    }


# ---- what is said ----


def _rare_sentence(result: Result, most: int) -> str:
    figures, found = result["summary"], result["items"]
    names = listed(rows.label(machine) for row in found for machine in row["machines"])
    by = {row["artefact"]: sum(each["artefact"] == row["artefact"] for each in found) for row in found}
    on = f"{'one' if most == 1 else f'at most {most}'} of {count(figures['devices'], 'device')}"
    parts = [f"{count(figures['found'], 'item')} on {on} only{f' ({names})' if names else ''}"]
    if by:
        parts.append(", ".join(f"{artefact} {number}" for artefact, number in by.items()))
    if figures["unlisted"]:
        parts.append(f"{figures['unlisted']} of them are not listed (max_items)")
    return "; ".join(parts + _also(result)) + "."


def _diff_sentence(result: Result, package: Package) -> str:
    parts = [
        f"{package.label}: {len(result['only_after'])} new, {len(result['only_before'])} gone "
        f"between {result['before']['collected']} and {result['after']['collected']}"
    ]
    return "; ".join(parts + _also(result)) + "."


def _also(result: Result) -> list[str]:
    """What must be known beside the figures."""
    figures = result["summary"]
    parts = []
    if figures["collector"]:
        parts.append(f"{figures['collector']} of them traces of Defender's own collecting")
    whole = [row for row in result["not_comparable"] if not row["partly"]]
    lacking = listed(row["artefact"] or "a package" for row in whole)
    if lacking:
        devices = {row["machine_id"] or row["package"] for row in whole}
        on = f" (on {count(len(devices), 'device')})" if result["mode"] == _RARE else ""
        parts.append(f"not comparable{on}: {lacking}")
    if figures["older"] and result["mode"] == _RARE:
        parts.append(f"{count(figures['older'], 'older package')} left out (packages: all compares them)")
    return parts


def _report(options: Options, chosen: Chosen, context: Context, result: Result) -> None:
    if not options.report or context.check_mode:
        return
    first = chosen.packages[0]
    folder = first.folder or first.path.parent
    try:
        result["report"] = page.write(folder, result, context.clock.wall())
    except OSError as failure:
        error = EvidenceError(
            f"The report could not be written beside {folder}: {failure.strerror}.",
            advice="Free space, or make the folder above it writable; what was found is in this result.",
            code="ExportFailed",
        )
        result.update(failed=True, error=error.as_result(), msg=f"{result['msg']} {error}")


def _figures() -> Result:
    return dict.fromkeys(("devices", "packages", "older", "found", "unlisted", "collector", "not_comparable"), 0)


def _empty() -> Result:
    """A result's keys, the same on every way."""
    return {
        "changed": False,
        "failed": False,
        "msg": "",
        "error": None,
        "mode": None,
        "items": [],
        "rare": [],
        "only_before": [],
        "only_after": [],
        "not_comparable": [],
        "compared": [],
        "before": None,
        "after": None,
        "summary": _figures(),
        "summary_text": "",
        "report": None,
        "recorded": False,
        "node": None,
    }


def _failed(error: DefenderError) -> Result:
    return {**_empty(), "failed": True, "msg": str(error), "error": error.as_result()}


TASK = Task(
    _NAME,
    spec(),
    Options.of,
    work,
    refused=lambda args, error: _failed(error),
    paths_or_ids=frozenset({"before", "after"}),
)
