# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A result as a short text in Markdown, for chats and tickets."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed

# Lines of a table; a chat message is no report.
_ROWS, _REASONS = 20, 8
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~@-])")


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
        lines += ["| Indicator | Type | Devices | Hits |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {plain(row['value'])} | {row['type']} | {row['devices']} | {row['hits']} |" for row in hit[:_ROWS]
        ]
        lines += [f"| and {len(hit) - _ROWS} more | | | |"] if len(hit) > _ROWS else []
        names = (row["computer_dns_name"] or row["machine_id"] or "?" for row in result["machines"])
        lines += ["", f"Devices: {plain(listed(names))}"]
    rest = len(result["indicators"]) - len(hit)
    if rest:
        lines += ["", f"On no device: {count(rest, 'indicator')}."]
    lines += _left_out(result["not_searched"])
    return "\n".join(lines).strip() + "\n"


def _left_out(rows: t.Sequence[Result]) -> list[str]:
    if not rows:
        return []
    reasons: dict[str, int] = {}
    for row in rows:
        reasons[row["why"]] = reasons.get(row["why"], 0) + row["entries"]
    lines = ["", "Not searched:", ""]
    ordered = sorted(reasons.items(), key=lambda each: -each[1])
    lines += [f"- {number} x: {plain(why)}" for why, number in ordered[:_REASONS]]
    return lines + ([f"- and {len(ordered) - _REASONS} more reasons"] if len(ordered) > _REASONS else [])
