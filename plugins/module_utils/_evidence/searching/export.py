# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings as files beside the evidence folder: JSON lines, CSV, and what Timesketch takes.

Timesketch wants C(message), C(datetime) (ISO 8601 with a zone) and C(timestamp_desc) in each line, a JSON object, and the ending
C(.jsonl) (its user guide, "Create timeline from JSONL or CSV file").
"""

from __future__ import annotations

import csv
import io
import json
import re
import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.beside import write_file
from ansible_collections.secops.defender.plugins.module_utils._words.models import parse_time

Row = dict[str, t.Any]
# Package and prefetch file, as hits name them, to the times at which its program ran, the newest first.
Runs = t.Mapping[tuple[str, str], t.Sequence[str]]

_COLUMNS = (
    "indicator", "type", "machine_id", "computer_dns_name", "package", "entry", "artefact", "offset", "line", "record", "time", "dated",
    "excerpt", "collected", "verified",
)  # fmt: skip
# What makes a spreadsheet take a cell for a formula, in full width as well; a tab or the end of a line before it does not help.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# What of a hit goes with a line of the timeline.
_WITH_IT = (
    "indicator", "type", "machine_id", "computer_dns_name", "entry", "artefact", "record", "package", "verified",
)  # fmt: skip
_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?Z$")


def write(folder: Path, hits: t.Sequence[Row], runs: Runs) -> list[str]:
    """Writes the findings in all forms; returns their paths. Raises OSError."""
    files = {
        "hits.jsonl": _lines(hits),
        "hits.csv": _table(hits),
        "timesketch.jsonl": _lines(sorted(_dated(hits, runs), key=lambda row: str(row["datetime"]))),
    }
    return [write_file(folder / name, content) for name, content in files.items()]


def _lines(rows: t.Iterable[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


# ---- the table ----


def _table(hits: t.Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(hit[column]) for column in _COLUMNS] for hit in hits)
    return text.getvalue()


def _cell(value: t.Any) -> str:
    # Before Python 3.11, csv reads no NUL.
    text = "" if value is None else str(value).replace("\0", "\ufffd")
    return f"'{text}" if text.startswith(_FORMULA) else text


# ---- the timeline: facts whose time has a known zone, and no others ----


def _dated(hits: t.Iterable[Row], runs: Runs) -> t.Iterator[Row]:
    packages: dict[str, Row] = {}
    for hit in hits:
        packages.setdefault(hit["package"], hit)
        said = f"{hit['indicator']} in {hit['entry']} of {_device(hit)}"
        described = "Event record written" if hit["record"] is not None else "Line of a log written"
        yield from _row(hit["time"], described, f"{said}: {hit['excerpt']}", hit, _WITH_IT)
        if hit["artefact"] == "prefetch" and hit["offset"] is None:
            for number, time in enumerate(runs.get((hit["package"], hit["entry"]), ())):
                described = "Previous Last Time Executed" if number else "Last Time Executed"
                yield from _row(time, described, f"The program ran: {said}", hit, _WITH_IT)
    for hit in packages.values():
        message = f"Collecting an investigation package from {_device(hit)} was asked for"
        whose = ("machine_id", "computer_dns_name", "package", "verified")
        yield from _row(hit["collected"], "Collection requested", message, hit, whose)


def _device(hit: Row) -> str:
    return str(hit["computer_dns_name"] or hit["machine_id"] or hit["package"])


def _row(time: t.Any, described: str, message: str, hit: Row, keys: t.Iterable[str]) -> t.Iterator[Row]:
    """None for a time that is not known, or whose zone is not."""
    match = _TIME.match(time) if isinstance(time, str) else None
    if match and parse_time(match[0]):
        moment = f"{match[1]}.{(match[2] or '').ljust(6, '0')}+00:00"
        more = {key: hit[key] for key in keys if hit[key] is not None}
        yield {"datetime": moment, "timestamp_desc": described, "message": message, **more}
