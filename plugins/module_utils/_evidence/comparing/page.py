# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was compared as a page beside the evidence: what is rare first, by artefact, and the devices; or what is new and gone."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing import rows
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.beside import (
    folder_beside,
    write_file,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.frame import Page, Section
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.markup import (
    file_link,
    moment,
    table,
    terms,
    text,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso
from ansible_collections.secops.defender.plugins.module_utils._words.version import VERSION

Row = t.Mapping[str, t.Any]

_WORDS = {
    "processes": "Processes",
    "services": "Services",
    "scheduled_tasks": "Scheduled tasks",
    "autoruns": "Autoruns",
    "installed_programs": "Installed programs",
    "users_and_groups": "Users and groups",
    "dns_cache": "DNS cache",
    "arp": "ARP cache",
    "network_connections": "Network connections",
    "prefetch": "Prefetch",
    "smb_sessions": "SMB sessions",
    "temp_directories": "Temporary folders",
}
# A table with more rows can be sorted and filtered.
_SORTED = 10
_HOW = (
    "A snapshot: connections, processes, the DNS and the ARP cache show the moment of the collection. Names in angle brackets, such "
    "as <number>, stand for what differs everywhere; below an item stands the line as it was. A trace of the collecting itself is "
    "what Defender leaves when it collects, or what looks like it. Characters that cannot be seen are spelled out, such as \\u202e."
)


def write(evidence: Path, result: Row, now: float) -> dict[str, str]:
    """Writes the page and its JSON into a new folder beside the evidence. Returns their paths as C(html) and C(json).

    now: seconds since 1970. Raises OSError.
    """
    folder = folder_beside(evidence, now, "compare")
    return {
        "html": write_file(folder / "compare.html", html(result, folder, iso(now))),
        "json": write_file(folder / "compare.json", json.dumps(result, indent=2) + "\n"),
    }


def html(result: Row, folder: Path, now: str) -> str:
    """The page. folder: that it is in. now: ISO 8601 UTC."""
    is_diff = result["mode"] == "diff"
    heading = f"Before and after: {rows.label(result['before'])}" if is_diff else "What is rare"
    page = Page("Comparison of evidence", now, heading, result["msg"], folder.name, now, f"secops.defender {VERSION}")
    sections = _diff(result, folder) if is_diff else _rare(result, folder)
    return page.html([*sections, *_not_comparable(result["not_comparable"]), _reading(result)])


def _by_artefact(found: t.Iterable[Row]) -> dict[str, list[Row]]:
    by: dict[str, list[Row]] = {}
    for row in found:
        by.setdefault(row["artefact"], []).append(row)
    return by


def _item(row: Row, line: str) -> str:
    mark = "<small>Trace of the collecting itself</small>" if row["collector"] else ""
    same = line.strip().lower() == row["value"].lower()
    return f"<code>{text(row['value'])}</code>{mark}{'' if same else f'<small><code>{text(line)}</code></small>'}"


# ---- rare ----


def _rare(result: Row, folder: Path) -> list[Section]:
    devices: dict[str, list[Row]] = {}
    for row in result["items"]:
        for machine in row["machines"]:
            devices.setdefault(_key(machine), []).append({**row, "machine": machine})
    anchors = {key: f"device-{number}" for number, key in enumerate(devices, 1)}
    sections = [
        Section(artefact, _WORDS[artefact], _rare_table(found, anchors), len(found))
        for artefact, found in _by_artefact(result["items"]).items()
    ]
    if not sections:
        sections = [Section("items", "Rare items", "<p>None. See below what could not be compared.</p>", 0)]
    return [*sections, Section("devices", "Devices", _devices(devices, anchors, folder), len(devices))]


def _key(machine: Row) -> str:
    return machine["machine_id"] or machine["package"]


def _rare_table(found: list[Row], anchors: t.Mapping[str, str]) -> str:
    caption, lines = "On few devices only, the traces of the collector last", []
    for row in found:
        machines = "".join(
            f'<div><a href="#{anchors[_key(each)]}"><bdi>{text(rows.label(each))}</bdi></a></div>'
            for each in row["machines"]
        )
        item = _item(row, row["machines"][0]["text"])
        lines.append([item, machines, f"{len(row['machines']):,} of {row['of']:,} devices"])
    sorts = [("Item", "th"), ("Device", "td")] if len(lines) > _SORTED else []
    return table(caption, ("Item, and its line", "On", "How many"), lines, "devices items", sorts)


def _devices(devices: t.Mapping[str, list[Row]], anchors: t.Mapping[str, str], folder: Path) -> str:
    lines = []
    for key, found in devices.items():
        machine = found[0]["machine"]
        name = f'<bdi id="{anchors[key]}">{text(rows.label(machine))}</bdi>'
        whose = (
            ""
            if machine["verified"]
            else '<small class="code">Not verified: it has no record, or the custody log does not know it</small>'
        )
        listed = "".join(
            f"<div><small>{text(_WORDS[row['artefact']])}</small><code>{text(row['value'])}</code></div>"
            for row in found
        )
        lines.append(
            [
                f"{name}<small><code>{text(machine['machine_id'] or 'unknown')}</code></small>{whose}",
                listed,
                f"{file_link(Path(machine['package']), folder)}<small>Collected {_collected(machine)}</small>",
            ]
        )
    return table("Devices with rare items, and all of their rare items", ("Device", "Items", "Package"), lines)


def _collected(side: Row) -> str:
    return moment(side["collected"].partition(".")[0]) if side["collected"] else "at an unknown time"


# ---- diff ----


def _diff(result: Row, folder: Path) -> list[Section]:
    facts = [
        (
            word,
            f"{_collected(side)}<br>{file_link(Path(side['package']), folder)}"
            + ("" if side["verified"] else '<br><span class="code">not verified</span>'),
        )
        for word, side in (("Before", result["before"]), ("After", result["after"]))
    ]
    compared = ", ".join(_WORDS[name] for name in result["compared"])
    head = terms([*facts, ("Compared", text(compared) if compared else "nothing")])
    gone, new = _by_artefact(result["only_before"]), _by_artefact(result["only_after"])
    sections = [Section("summary", "Summary", head)]
    for artefact, word in _WORDS.items():
        lines = _changes(gone.get(artefact, []), new.get(artefact, []))
        if lines:
            body = table(
                "New and changed first, then what is gone", ("What", "Before", "After"), lines, "devices changes"
            )
            sections.append(Section(artefact, word, body, len(lines)))
    if len(sections) == 1:
        sections.append(Section("changes", "Changes", "<p>None in what was compared.</p>", 0))
    return sections


def _changes(gone: list[Row], new: list[Row]) -> list[list[str]]:
    """A row for each thing: what has changed (it has the same name on both sides), what is new, and what is gone."""
    names = {_name(row) for row in gone}
    before: dict[str, list[Row]] = {}
    for row in gone:
        before.setdefault(_name(row), []).append(row)
    lines = []
    for row in new:
        was = before.get(_name(row), [])
        word = "Changed" if _name(row) in names else "New"
        left = _item(was[0], was.pop(0)["text"]) if was else "" if word == "Changed" else "not there"
        lines.append([f"{word}<small>{text(_name(row))}</small>", left, _item(row, row["text"])])
    for name, rest in before.items():
        lines += [[f"Gone<small>{text(name)}</small>", _item(row, row["text"]), "not there"] for row in rest]
    return lines


def _name(row: Row) -> str:
    return row["value"].partition(" | ")[0]


# ---- both ----


def _not_comparable(found: t.Sequence[Row]) -> list[Section]:
    if not found:
        return []
    lines = []
    for row in found:
        what = text(_WORDS[row["artefact"]]) if row["artefact"] else "The package"
        where = f"<small><code>{text(row['entry'] or row['package'] or '')}</code></small>"
        side = f"<small>{row['side']}</small>" if row["side"] else ""
        device = text(rows.label(row)) if row["package"] or row["computer_dns_name"] else "all devices"
        lines.append([f"{what}{side}", f"<bdi>{device}</bdi>{where}", text(row["why"])])
    body = table("Of these nothing is said", ("Artefact", "Device", "Why"), lines)
    return [Section("not-comparable", "Not comparable", body, len(found))]


def _reading(result: Row) -> Section:
    figures = result["summary"]
    terms_of = [
        ("Devices", f"{figures['devices']:,}"),
        ("Packages", f"{figures['packages']:,}"),
        ("Not listed", f"{figures['unlisted']:,} items, by max_items" if figures["unlisted"] else ""),
        ("Read on", text(result["node"] or "")),
    ]
    return Section("reading", "How to read this", f"<p>{text(_HOW)}</p>{terms(terms_of)}")
