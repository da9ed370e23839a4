# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices that are left to a person, by name, tag or device group, whatever a list of devices or an alert says."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import IP, Name, merged_into, search
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import names, names_option
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import listed
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    MachineError,
    OptionsError,
    ReplyLost,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec, near, shown
from ansible_collections.secops.defender.plugins.module_utils._words.reporter import Reporter

_SEPARATORS = re.compile(r"[,;\r\n]+")
_DIGITS = re.compile(r"[0-9]+")


def spec() -> Spec:
    """What excludes."""
    return {
        "exclude": names_option(aliases=[]),
        "exclude_tags": {"type": "list", "elements": "str"},
        "exclude_groups": {"type": "list", "elements": "str"},
    }


@dataclass(frozen=True)
class Exclusions:
    """names: devices by themselves. tags, groups: as they were written, by their lower case, as the separators of a list leave them."""

    names: tuple[Name, ...] = ()
    tags: t.Mapping[str, str] = field(default_factory=dict)
    groups: t.Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Given) -> Exclusions:
        """Raises OptionsError."""
        tags, groups = (_texts(option, given) for option in ("exclude_tags", "exclude_groups"))
        return cls(tuple(names(given.values.get("exclude") or (), "exclude")), tags, groups)

    def tags_of(self, machine: Machine) -> list[str]:
        """The tags by which a machine is excluded."""
        return [tag for tag in machine.tags if _is_in(tag, self.tags)]

    def has_group_of(self, machine: Machine) -> bool:
        """Whether a machine is excluded by its device group."""
        return machine.group is not None and _is_in(machine.group, self.groups)

    def reasons(self, api: Api, machines: t.Sequence[Machine], reporter: Reporter) -> dict[str, MachineError]:
        """Why some of the machines are excluded, or may be meant to be, by device ID. Raises what Api raises."""
        named, lost = self._named(api)
        doubts = self.doubts(api, machines, reporter, lost)
        reasons = {}
        for machine in machines:
            why = self._why(machine, named)
            if why:
                reasons[machine.id] = MachineError(
                    f"{machine.label} is excluded from being isolated: {why}.",
                    advice="Nothing was asked for. Decide this one by hand; who is sure takes it out of the exclusions.",
                    code="Excluded",
                )
            elif machine.id in doubts:
                reasons[machine.id] = MachineError(
                    f"{machine.label} may be meant to be excluded from being isolated: {doubts[machine.id]}.",
                    advice="Nothing was asked for. Correct the exclusion; if it is right, this device is free once it is taken out.",
                    code="ExclusionUnclear",
                )
        return reasons

    def doubts(
        self, api: Api, machines: t.Sequence[Machine], reporter: Reporter, lost: t.Sequence[Name] = ()
    ) -> dict[str, str]:
        """The machines that an exclusion may mean which means no device at all, by device ID. That there is one is warned of.

        lost: the names that no device is known by. Raises what Api raises.
        """
        found: dict[str, str] = {}
        if not machines:
            return found
        tags, groups = self._unheard(api, machines, reporter)
        for texts, option, nobody in (
            ([name.asked for name in lost], "exclude", "which no device is known by"),
            (tags, "exclude_tags", "a tag that no device has"),
            (groups, "exclude_groups", "a device group that no device is in"),
        ):
            if not texts:
                continue
            reporter.warn(f"{option} has {listed(texts)}, {nobody}: this excludes nothing.")
            for machine, text, own in ((m, text, own) for m in machines for text in texts for own in _said(m, option)):
                if _alike(option, text, own):
                    found.setdefault(machine.id, f"{option} has {text}, {nobody}, and {own} is near it")
        return found

    def _unheard(self, api: Api, machines: t.Sequence[Machine], reporter: Reporter) -> tuple[list[str], list[str]]:
        """The tags and groups that no device of the tenant has. First those at hand are looked at, and tags are asked for."""
        left = {"exclude_tags": dict(self.tags), "exclude_groups": dict(self.groups)}
        for machine in machines:
            _seen(left, machine.tags, machine.group)
        try:
            for tag in list(left["exclude_tags"].values()):
                for row in api.every_machine(tag=tag):
                    _seen(left, row.get("machineTags"), None)
            # Whether the service minds case is not documented, and groups can only be read.
            for row in api.each_machine() if any(left.values()) else ():
                _seen(left, row.get("machineTags"), row.get("rbacGroupName"))
                if not any(left.values()):
                    break
        except (ServiceError, ReplyLost) as failure:
            reporter.warn(f"Whether any device has what exclude_tags and exclude_groups name is not known. {failure}")
            return [], []
        return list(left["exclude_tags"].values()), list(left["exclude_groups"].values())

    def _named(self, api: Api) -> tuple[dict[str, str], list[Name]]:
        """Every device that a name fits, and every record that one is merged into: rather one too many. And the names that fit none."""
        if not self.names:
            return {}, []
        rows, missing = search(api, self.names)
        # The address that is on record may be that of another device by now.
        for name in self.names:
            if name.kind == IP and (seen := api.machines_by_ip(name.value, api.session.clock.wall())):
                rows += seen
                missing = [asked for asked in missing if asked != name.asked]
        records = [(str(row["id"]).lower(), row) for row in rows] + list(merged_into(api, rows).items())
        named = {machine_id: str(row.get("computerDnsName") or row["id"]) for machine_id, row in records}
        return named, [name for name in self.names if name.asked in missing]

    def _why(self, machine: Machine, named: t.Mapping[str, str]) -> str | None:
        tags = self.tags_of(machine)
        if machine.id in named:
            return f"exclude names it ({named[machine.id]})"
        if tags:
            return f"it has the tag {', '.join(tags)} of exclude_tags"
        if self.has_group_of(machine):
            return f"its device group {machine.group} is one of exclude_groups"
        return None


def _texts(option: str, given: Given) -> dict[str, str]:
    strange = [each for each in given[option] or () if not isinstance(each, str)]
    if strange:
        raise OptionsError(f"{option} holds {shown(strange[0])}, which is no text.", advice="Give a list of texts.")
    return {each.strip().lower(): each.strip() for each in given[option] or ()}


def _parts(text: str) -> set[str]:
    return {part.strip().lower() for part in _SEPARATORS.split(text) if part.strip()}


def _seen(left: t.Mapping[str, dict[str, str]], tags: t.Any, group: t.Any) -> None:
    """Strike out what a device has, of what no device was seen to have."""
    for option, texts in (("exclude_tags", tags or ()), ("exclude_groups", (group,) if group else ())):
        for part in (part for text in texts for part in _parts(str(text))):
            left[option].pop(part, None)


def _is_in(text: str, excluded: t.Mapping[str, str]) -> bool:
    # A list separates its texts at commas, so one with a comma in it is excluded by its parts.
    parts = _parts(text)
    return bool(parts) and parts <= excluded.keys()


def _said(machine: Machine, option: str) -> t.Sequence[str]:
    """What a machine has of the kind that an option excludes by."""
    if option == "exclude_tags":
        return machine.tags
    if option == "exclude_groups":
        return [machine.group] if machine.group else []
    return [machine.dns_name] if machine.dns_name else []


def _alike(option: str, text: str, own: str) -> bool:
    """Whether one is the other misspelt. Another number is another word: pc-0123 is not pc-0124."""
    one, other = text.strip().lower(), own.strip().lower()
    if option == "exclude":
        one, other = one.partition(".")[0], other.partition(".")[0]
    numbers = [[int(digits) for digits in _DIGITS.findall(each)] for each in (one, other)]
    return (numbers[0] == numbers[1] or not all(numbers)) and bool(near(one, [other]))
