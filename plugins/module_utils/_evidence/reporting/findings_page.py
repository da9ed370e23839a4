# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings of a search as a page: first of how much it can be said, then what was found, and what was left out."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.frame import Page, Section
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.markup import (
    file_link,
    moment,
    table,
    terms,
    text,
)

_Row = t.Mapping[str, t.Any]

# Rows of one table: a browser must still open the page. The result has them all.
_MOST = 5000
_BAD = ' class="bad"'
_DEVICE = ("Device", ".name")

_HOW_TO_READ = """
<details>
<summary>How to read this page</summary>
<p>A device was searched <em>whole</em> if all artefacts were read that can show the indicators, <em>partly</em> if some were not, and
<em>not</em> if none was: its package could not be read, is not what was recorded, or there is none. That nothing was found on a device
that was not searched whole says nothing of what was left out. Event logs cover a span of time, often only hours: what happened before
it cannot be found in them. Times are UTC. Excerpts are what devices sent: nobody has checked them. Characters that cannot be seen are
spelled out, such as \\u202e.</p>
</details>
"""


def page(result: _Row, folder: Path, asked_by: _Row, began: str, written: str) -> str:
    """result: that of the search. folder: where the page will be. asked_by: as in custody logs. Times: ISO 8601 UTC."""
    hits, left_out = result["hits"], result["not_searched"]
    sections = [
        Section("coverage", "Coverage", _coverage(result, asked_by)),
        Section("indicators", "Indicators", _indicators(result["indicators"]), len(result["indicators"])),
        Section("devices", "Devices with hits", _devices(result["machines"]), len(result["machines"])),
        Section("hits", "Hits", _hits(hits, result["summary"]["hits"], folder), result["summary"]["hits"]),
        Section("left-out", "Not searched", _not_searched(left_out), sum(row["entries"] for row in left_out)),
        Section("event-logs", "Event logs", _event_logs(result["event_logs"]), len(result["event_logs"])),
        Section("reading", "How to read", _HOW_TO_READ),
    ]
    return Page(
        kind="Search of evidence",
        began=began,
        heading=_heading(result),
        lead=result["msg"],
        mark=f"Search of {began}",
        written=written,
        tool=asked_by["tool"],
    ).html(sections)


def _heading(result: _Row) -> str:
    """What must not be taken for more than it is: nothing found is not clean."""
    figures = result["summary"]
    word = f"Found on {figures['devices_with_hits']:,} of {figures['devices']:,} devices"
    if not result["found"]:
        word = f"Nothing found on {figures['devices']:,} devices"
    return word if result["complete"] else f"{word}, but not everything could be searched"


def _coverage(result: _Row, asked_by: _Row) -> str:
    figures = result["summary"]
    searched = figures["searched"]
    shown = (
        ("Devices", figures["devices"], ""),
        ("Searched whole", searched["whole"], ""),
        ("Partly", searched["partly"], _BAD if searched["partly"] else ""),
        ("Not", searched["none"], _BAD if searched["none"] else ""),
        ("With hits", figures["devices_with_hits"], ""),
    )
    drawn = "".join(f"<div{style}><dt>{word}</dt><dd>{int(number):,}</dd></div>" for word, number, style in shown)
    rows = [
        ("Packages", f"{figures['packages']:,} read" + _older(figures["older"])),
        ("Unpacked", f"{figures['unpacked_bytes'] / (1 << 20):,.1f} MiB"),
        ("Hits", f"{figures['hits']:,}, and {figures['allowed']:,} that were allowed and are not reported"),
        (
            "Refused",
            f"{len(result['refused']):,} indicators were not understood and not searched for"
            if result["refused"]
            else "",
        ),
        ("Asked by", f"{text(asked_by['user'])} on {text(asked_by['host'])}"),
        ("AWX job", text(asked_by.get("awx_job_id", ""))),
        ("Launched by", text(asked_by.get("awx_user", ""))),
        ("Custody log", "has a line of this search" if result["recorded"] else "has no line of this search"),
    ]
    return f'<dl class="figures">{drawn}</dl>\n{terms(rows)}'


def _older(older: int) -> str:
    return f"; {older:,} older ones left out" if older else ""


def _indicators(indicators: t.Sequence[_Row]) -> str:
    rows = [
        [
            f'<bdi class="name">{text(row["value"])}</bdi>',
            text(row["type"]),
            text(row["note"] or ""),
            f"{row['devices']:,}",
            f"{row['hits']:,}",
            _searched(row["searched"]),
        ]
        for row in sorted(indicators, key=lambda row: (not row["devices"], -row["devices"]))
    ]
    heads = ("Indicator", "Type", "Note", "Devices", "Hits", "Devices searched for it")
    sorts = [
        ("Indicator", ".name"),
        ("Type", "td:nth-child(2)"),
        ("Devices", "td:nth-child(4)"),
        ("Hits", "td:nth-child(5)"),
    ]
    return _bounded("What was looked for, found ones first", heads, rows, sorts)


def _searched(searched: _Row) -> str:
    words = (("whole", "whole"), ("partly", "partly"), ("none", "not"))
    return ", ".join(f"{searched[key]:,} {word}" for key, word in words if searched[key]) or "none"


def _devices(machines: t.Sequence[_Row]) -> str:
    rows = [[_name(row), text(", ".join(row["indicators"])), text(", ".join(row["artefacts"]))] for row in machines]
    sorts = [_DEVICE, ("Indicators", "td:nth-child(2)"), ("Artefacts", "td:nth-child(3)")]
    return _bounded("Devices on which something was found", ("Device", "Indicators", "In"), rows, sorts)


def _hits(hits: t.Sequence[_Row], number: int, folder: Path) -> str:
    rows = [
        [
            _name(hit),
            f'<bdi class="indicator">{text(hit["indicator"])}</bdi>',
            f'<span class="entry">{text(hit["entry"])}</span><small>{_place(hit)}</small>'
            f"<small>in {file_link(Path(hit['package']), folder)}{'' if hit['verified'] else ', not verified'}</small>",
            moment(hit["time"].partition(".")[0]) if hit["time"] else "undated",
            f"<code>{text(hit['excerpt'])}</code>",
        ]
        for hit in hits
    ]
    sorts = [_DEVICE, ("Indicator", ".indicator"), ("Entry", ".entry"), ("Time", "td:nth-child(4)")]
    caption = f"Where it was found: {len(hits):,} of {number:,} hits are listed"
    return _bounded(caption, ("Device", "Indicator", "Where", "Time", "Excerpt"), rows, sorts)


def _place(hit: _Row) -> str:
    words = [text(hit["artefact"])]
    words += [
        f"{word} {hit[key]:,}"
        for key, word in (("record", "record"), ("line", "line"), ("offset", "byte"))
        if hit[key] is not None
    ]
    return ", ".join(words)


def _not_searched(left_out: t.Sequence[_Row]) -> str:
    if not left_out:
        return "<p>Nothing was left out.</p>"
    reasons: dict[str, tuple[int, set[str]]] = {}
    for row in left_out:
        entries, devices = reasons.get(row["why"], (0, set()))
        reasons[row["why"]] = (entries + row["entries"], devices | {_label(row)})
    ordered = sorted(reasons.items(), key=lambda each: -each[1][0])
    summary = [[text(why), f"{entries:,}", f"{len(devices):,}"] for why, (entries, devices) in ordered]
    heads = ("Why", "Entries", "Devices")
    rows = [
        [
            _name(row),
            text(row["entry"] or "the package, or the rest of it"),
            text(row["artefact"] or ""),
            text(row["why"]),
        ]
        for row in left_out
    ]
    sorts = [_DEVICE, ("Entry", "td:nth-child(2)"), ("Artefact", "td:nth-child(3)"), ("Why", "td:nth-child(4)")]
    return _bounded("By reason", heads, summary, ()) + _bounded(
        "One by one", ("Device", "Entry", "Artefact", "Why"), rows, sorts
    )


def _event_logs(logs: t.Sequence[_Row]) -> str:
    rows = [
        [
            _name(log),
            text(log["entry"]),
            f"{log['records']:,}",
            *(moment(log[key].partition(".")[0]) if log[key] else "" for key in ("first", "last")),
        ]
        for log in logs
    ]
    numbered = ((head, f"td:nth-child({number})") for number, head in enumerate(("Records", "First", "Last"), 3))
    return _bounded("What time they cover", ("Device", "Log", "Records", "First", "Last"), rows, [_DEVICE, *numbered])


def _label(row: _Row) -> str:
    return str(row["computer_dns_name"] or row["machine_id"] or row.get("package") or "unknown")


def _name(row: _Row) -> str:
    return f'<bdi class="name">{text(_label(row))}</bdi>'


def _bounded(caption: str, heads: t.Sequence[str], rows: list[list[str]], sorts: t.Sequence[tuple[str, str]]) -> str:
    if not rows:
        return "<p>None.</p>"
    more = f"<p>And {len(rows) - _MOST:,} more, which the task's result has.</p>" if len(rows) > _MOST else ""
    return table(caption, heads, rows[:_MOST], "list", sorts) + more
