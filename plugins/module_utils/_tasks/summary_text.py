# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A result as a short text in Markdown, for chats and tickets."""

from __future__ import annotations

import re
import typing as t
from collections import Counter

from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed

# Lines of a table; a chat message is no report.
_ROWS, _REASONS = 20, 8
# Characters of an item in a cell.
_CELL = 200
# A hyphen is markup at the beginning of a line alone, and stands in every path.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#!|~@]|^[+-])")


def plain(text: object) -> str:
    """A text that Markdown takes for nothing but itself; nobody is mentioned and nothing linked by what devices say."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split())).replace("http", "hxxp")


def of_search(result: Result) -> str:
    """What was searched for, where it was found, and first of how many devices that can be said."""
    figures = result["summary"]
    searched = figures["searched"]
    lines = [
        f"**Search of evidence: {'found' if result['found'] else 'nothing found'}"
        f"{'' if result['complete'] else ', but not everything could be searched'}**",
        "",
        f"{count(figures['devices'], 'device')}: {searched['whole']} searched whole, {searched['partly']} partly, {searched['none']} not.",
        "",
    ]
    hit = [row for row in result["indicators"] if row["devices"]]
    if hit:
        rows = [(plain(row["value"]), row["type"], row["devices"], row["hits"]) for row in hit]
        lines += _table(("Indicator", "Type", "Devices", "Hits"), rows)
        names = (row["computer_dns_name"] or row["machine_id"] or "?" for row in result["machines"])
        lines += ["", f"Devices: {plain(listed(names))}"]
    rest = len(result["indicators"]) - len(hit)
    if rest:
        lines += ["", f"On no device: {count(rest, 'indicator')}."]
    lines += _left_out(result["not_searched"])
    return "\n".join(lines).strip() + "\n"


# What is counted of a run, in the words of its sentence.
_COUNTED = {
    "would_start": "would be started",
    "started": "started",
    "already_running": "running already",
    "resumed": "resumed",
    "reused": "taken as they were",
    "downloaded": "with a verified package",
    "failed": "failed",
}


def of_packages(result: Result) -> str:
    """What came of collecting or fetching: counts, and for each device that failed why and what to do."""
    figures = result["summary"]
    words = [f"{figures[key]} {word}" for key, word in _COUNTED.items() if figures[key]]
    lines = [f"**Evidence of {count(figures['requested'], 'device')}: {', '.join(words) or 'nothing to do'}**"]
    failed = [row for row in result["packages"] if row["failed"]]
    if failed:
        rows = [
            (
                plain(row["computer_dns_name"] or row["machine"]),
                plain(row["error"]["code"]),
                plain(row["error"]["advice"] or ""),
            )
            for row in failed
        ]
        lines += ["", *_table(("Device", "Failed", "What to do"), rows)]
    stored = [row["computer_dns_name"] or row["machine"] for row in result["packages"] if row["package"]]
    if stored:
        lines += ["", f"Packages: {plain(listed(stored))}"]
    reports = [report["html"] for report in result["reports"].values()]
    if reports:
        lines += ["", f"Report: {plain(listed(reports))}"]
    return "\n".join(lines) + "\n"


def _left_out(rows: t.Sequence[Result]) -> list[str]:
    reasons: Counter[str] = Counter()
    for row in rows:
        reasons[row["why"]] += row["entries"]
    return _reasons("Not searched:", reasons)


def of_compare(result: Result) -> str:
    """What few devices have, or what changed on one; and what could not be compared."""
    figures = result["summary"]
    if result["mode"] == "diff":
        name = result["after"]["computer_dns_name"] or result["after"]["machine_id"] or result["after"]["package"]
        lines = [f"**Before and after on {plain(name)}: {count(figures['found'], 'change')}**", ""]
        lines += [f"From {plain(result['before']['collected'])} to {plain(result['after']['collected'])}.", ""]
        found = [("New", row) for row in result["only_after"]] + [("Gone", row) for row in result["only_before"]]
        lines += _compared(
            ("Change", "Artefact", "Item"), [(word, row["artefact"], row["value"]) for word, row in found]
        )
    else:
        lines = [
            f"**Rare in the evidence: {count(figures['found'], 'item')}, {count(figures['devices'], 'device')} compared**",
            "",
        ]
        few = [
            (row["artefact"], row["value"], listed(_device(each) for each in row["machines"]))
            for row in sorted(result["items"], key=lambda row: row["collector"])
        ]
        lines += _compared(("Artefact", "Item", "On"), few)
    if figures["collector"]:
        lines += ["", f"{figures['collector']} of them may be traces of Defender's own collecting."]
    return "\n".join(lines + _not_compared(result["not_comparable"])).strip() + "\n"


def _device(machine: Result) -> str:
    return machine["computer_dns_name"] or machine["machine_id"] or machine["package"]


def _compared(heads: t.Sequence[str], rows: t.Sequence[t.Sequence[str]]) -> list[str]:
    if not rows:
        return ["None in what was compared."]
    return _table(heads, [[plain(cell[:_CELL]) for cell in row] for row in rows])


def _not_compared(rows: t.Sequence[Result]) -> list[str]:
    return _reasons("Not comparable:", Counter(f"{row['artefact'] or 'package'}: {row['why']}" for row in rows))


def _table(heads: t.Sequence[str], rows: t.Sequence[t.Sequence[object]]) -> list[str]:
    """rows: their cells are Markdown already."""
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows[:_ROWS]]
    return lines + ([f"| and {len(rows) - _ROWS} more |{' |' * (len(heads) - 1)}"] if len(rows) > _ROWS else [])


def _reasons(heading: str, reasons: Counter[str]) -> list[str]:
    """The most frequent ones, with their numbers."""
    if not reasons:
        return []
    lines = ["", heading, "", *(f"- {number} x: {plain(why)}" for why, number in reasons.most_common(_REASONS))]
    return lines + ([f"- and {len(reasons) - _REASONS} more reasons"] if len(reasons) > _REASONS else [])
