# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings of all packages together: per indicator, per device, and how much of the devices was read."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.packages import Package
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import Indicator, Type
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.scan import Found, can_show
from ansible_collections.secops.defender.plugins.module_utils._words.errors import printable

Row = dict[str, t.Any]

# Entries that are named of one kind and reason in one package; the others are counted.
_NAMED = 20


@dataclass
class _Device:
    package: Package
    unread: bool = False
    partly: list[str | None] = field(default_factory=list)
    read: bool = False
    vouched_for: bool = False


@dataclass
class _Told:
    """An indicator's figures. listed: device to its hits that are listed."""

    hits: int = 0
    allowed: int = 0
    devices: dict[str, set[str]] = field(default_factory=dict)
    listed: dict[str, list[Row]] = field(default_factory=dict)
    total: int = 0


class Findings:
    """Takes each package's findings in the order of the packages; memory is bound by max_hits and the number of devices."""

    def __init__(self, indicators: t.Sequence[Indicator], max_hits: int) -> None:
        self._indicators = indicators
        self._max_hits = max_hits
        self._told = [_Told() for _each in indicators]
        self._devices: dict[str, _Device] = {}
        self.not_searched: list[Row] = []
        self.logs: list[Row] = []
        # Package and prefetch file to the times at which its program ran.
        self.runs: dict[tuple[str, str], tuple[str, ...]] = {}
        self.size = 0
        self.packages = 0

    def unread(self, package: Package, why: str) -> None:
        """A package of which nothing was read."""
        device = self._devices.setdefault(package.device, _Device(package))
        device.unread = True
        self.not_searched.append(_not_searched(package, None, None, why, 1))

    def without_package(self, name: str) -> None:
        """A device that was asked for and has no package here."""
        nowhere = Package(Path(name), name, None, None)
        self._devices.setdefault(f"?{name.lower()}", _Device(nowhere, unread=True))
        row = _not_searched(nowhere, None, None, "there is no package of it", 1)
        self.not_searched.append({**row, "computer_dns_name": printable(name), "package": None})

    def take(self, package: Package, found: Found, verified: bool) -> None:
        """A package's findings."""
        device = self._devices.setdefault(package.device, _Device(package))
        device.read |= bool(found.read)
        device.unread |= not found.read
        device.partly += [kind for _entry, kind, _why in found.not_searched]
        self.packages += 1
        self.size += found.size
        self.not_searched += _grouped(package, found)
        self.logs += [{**_where(package), **row} for row in found.logs]
        self.runs.update({(printable(str(package.path)), entry): times for entry, times in found.runs.items()})
        for index, number in found.counts.items():
            told = self._told[index]
            told.hits += number
            told.devices.setdefault(package.device, set()).update(found.artefacts[index])
        for index, number in found.allowed.items():
            self._told[index].allowed += number
        if verified and found.counts:
            device.vouched_for = True
        self._list(package, found, verified)

    def _list(self, package: Package, found: Found, verified: bool) -> None:
        for hit in found.hits:
            told = self._told[hit.indicator]
            mine = told.listed.setdefault(package.device, [])
            if mine and told.total >= self._max_hits:
                continue
            told.total += 1
            mine.append(
                {
                    **_where(package),
                    "entry": hit.entry,
                    "artefact": hit.artefact,
                    "indicator": self._indicators[hit.indicator].value,
                    "type": self._indicators[hit.indicator].type.value,
                    "offset": hit.offset,
                    "line": hit.line,
                    "record": hit.record,
                    "time": hit.time,
                    "dated": hit.time is not None,
                    "excerpt": hit.excerpt,
                    "collected": package.collected,
                    "verified": verified,
                }
            )

    # ---- results ----

    @property
    def complete(self) -> bool:
        return not self.not_searched and bool(self._devices)

    @property
    def devices(self) -> int:
        return len(self._devices)

    def rows(self) -> list[Row]:
        """The indicators, in the order asked."""
        return [
            {
                "value": indicator.value,
                "type": indicator.type.value,
                "note": indicator.note,
                "devices": len(told.devices),
                "hits": told.hits,
                "allowed": told.allowed,
                "searched": self._searched(indicator.type),
            }
            for indicator, told in zip(self._indicators, self._told, strict=True)
        ]

    def _searched(self, kind: Type) -> dict[str, int]:
        figures = {"whole": 0, "partly": 0, "none": 0}
        for device in self._devices.values():
            if not device.read:
                figures["none"] += 1
            elif device.unread or any(each is None or can_show(kind, each) for each in device.partly):
                figures["partly"] += 1
            else:
                figures["whole"] += 1
        return figures

    def labels(self, number: int) -> list[str]:
        """The devices that show an indicator, by name."""
        return [self._devices[device].package.label for device in self._told[number].devices]

    def hits(self) -> list[Row]:
        return [row for told in self._told for rows in told.listed.values() for row in rows]

    def machines(self) -> list[Row]:
        """The devices with a hit, in the order in which their packages were read."""
        rows = []
        for name, device in self._devices.items():
            mine = [
                (indicator, told.devices[name])
                for indicator, told in zip(self._indicators, self._told, strict=True)
                if name in told.devices
            ]
            if mine:
                rows.append(
                    {
                        "machine_id": device.package.machine_id,
                        "computer_dns_name": _printable(device.package.computer_dns_name),
                        "indicators": [indicator.value for indicator, _kinds in mine],
                        "artefacts": sorted(set().union(*(kinds for _indicator, kinds in mine))),
                        "verified": device.vouched_for,
                    }
                )
        return rows

    def figures(self) -> Row:
        """For C(summary): devices by how they were read."""
        any_type = self._searched(Type.TEXT)
        return {
            "devices": self.devices,
            "packages": self.packages,
            "devices_with_hits": len({device for told in self._told for device in told.devices}),
            "hits": sum(told.hits for told in self._told),
            "allowed": sum(told.allowed for told in self._told),
            "searched": any_type,
            "unpacked_bytes": self.size,
        }


def _printable(text: str | None) -> str | None:
    return printable(text) if text else None


def _where(package: Package) -> Row:
    return {
        "machine_id": package.machine_id,
        "computer_dns_name": _printable(package.computer_dns_name),
        "package": printable(str(package.path)),
    }


def _not_searched(package: Package, entry: str | None, kind: str | None, why: str, entries: int) -> Row:
    return {
        **_where(package),
        "entry": _printable(entry),
        "artefact": kind,
        "why": printable(why),
        "entries": entries,
    }


def _grouped(package: Package, found: Found) -> list[Row]:
    """What was not searched in one package; of many entries with one reason some are named and the others counted."""
    groups: dict[tuple[str | None, str], list[str | None]] = {}
    for entry, kind, why in found.not_searched:
        groups.setdefault((kind, why), []).append(entry)
    rows = []
    for (kind, why), entries in groups.items():
        named = entries if len(entries) <= _NAMED else entries[:_NAMED]
        if kind == "prefetch" and len(entries) > 1:
            rows.append(_not_searched(package, f"{entries[0]} and {len(entries) - 1} more", kind, why, len(entries)))
            continue
        rows += [_not_searched(package, entry, kind, why, 1) for entry in named]
        if len(entries) > len(named):
            rows.append(_not_searched(package, None, kind, why, len(entries) - len(named)))
    return rows
