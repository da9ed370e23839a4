# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices that are left to a person, by name, tag or device group, whatever a list of devices or an alert says."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.resolve import Name, search
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import names, names_option
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import listed
from ansible_collections.secops.defender.plugins.module_utils._words.errors import MachineError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec, shown
from ansible_collections.secops.defender.plugins.module_utils._words.reporter import Reporter

_SEPARATORS = re.compile(r"[,;\r\n]+")


def spec() -> Spec:
    """What excludes."""
    return {
        "exclude": names_option(aliases=[]),
        "exclude_tags": {"type": "list", "elements": "str"},
        "exclude_groups": {"type": "list", "elements": "str"},
    }


@dataclass(frozen=True)
class Exclusions:
    """names: devices by themselves. tags, groups: in lower case, as the separators of a list leave them."""

    names: tuple[Name, ...] = ()
    tags: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

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

    def reasons(self, api: Api, machines: t.Iterable[Machine], reporter: Reporter) -> dict[str, MachineError]:
        """Why some of the machines are excluded, by device ID. Raises what Api raises."""
        named = self._named(api, reporter) if self.names else {}
        reasons = {}
        for machine in machines:
            why = self._why(machine, named)
            if why:
                reasons[machine.id] = MachineError(
                    f"{machine.label} is excluded from being isolated: {why}.",
                    advice="Nothing was asked for. Decide this one by hand; who is sure takes it out of the exclusions.",
                    code="Excluded",
                )
        return reasons

    def _named(self, api: Api, reporter: Reporter) -> dict[str, str]:
        """Every device that a name fits, and every record that one is merged into: rather one too many."""
        rows, missing = search(api, self.names)
        if missing:
            reporter.warn(f"exclude has names that no device is known by: {listed(missing)}. They exclude nothing.")
        named = {}
        for row in rows:
            for machine_id in (row.get("id"), row.get("mergedIntoMachineId")):
                if machine_id:
                    named[str(machine_id).lower()] = str(row.get("computerDnsName") or row["id"])
        return named

    def _why(self, machine: Machine, named: t.Mapping[str, str]) -> str | None:
        tags = self.tags_of(machine)
        if machine.id in named:
            return f"exclude names it ({named[machine.id]})"
        if tags:
            return f"it has the tag {', '.join(tags)} of exclude_tags"
        if self.has_group_of(machine):
            return f"its device group {machine.group} is one of exclude_groups"
        return None


def _texts(option: str, given: Given) -> frozenset[str]:
    strange = [each for each in given[option] or () if not isinstance(each, str)]
    if strange:
        raise OptionsError(f"{option} holds {shown(strange[0])}, which is no text.", advice="Give a list of texts.")
    return frozenset(each.strip().lower() for each in given[option] or ())


def _is_in(text: str, excluded: frozenset[str]) -> bool:
    # A list separates its texts at commas, so one with a comma in it is excluded by its parts.
    parts = {part.strip().lower() for part in _SEPARATORS.split(text) if part.strip()}
    return bool(parts) and parts <= excluded
