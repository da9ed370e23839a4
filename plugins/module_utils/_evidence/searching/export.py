# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings as files beside the evidence folder: JSON lines, CSV, and what Timesketch takes."""

from __future__ import annotations

import csv
import io
import json
import os
import typing as t
from datetime import datetime, timezone
from pathlib import Path

Row = dict[str, t.Any]

_COLUMNS = (
    "indicator", "type", "machine_id", "computer_dns_name", "package", "entry", "artefact", "offset", "line", "record", "time",
    "excerpt", "collected", "verified",
)  # fmt: skip
# What makes a spreadsheet take a cell for a formula; a tab or a return before it does not help.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def folder_beside(evidence: Path, now: float) -> Path:
    """A new folder beside the evidence; within, what is written would be files that nobody has recorded.

    now: seconds since 1970. Raises OSError.
    """
    moment = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    beside = evidence.with_name(f"{evidence.name}-search-{moment}-{os.urandom(4).hex()}")
    beside.mkdir(mode=0o700)
    return beside


def write(folder: Path, result: t.Mapping[str, t.Any]) -> list[str]:
    """Writes the findings in all forms; returns their paths. Raises OSError."""
    hits = result["hits"]
    files = {
        "hits.jsonl": _lines(hits),
        "hits.csv": _table(hits),
        "timesketch.jsonl": _lines(filter(None, map(_dated, hits))),
    }
    return [write_file(folder / name, content) for name, content in files.items()]


def write_file(path: Path, content: str) -> str:
    """A new file that only its owner may read; returns its path. Raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8", newline="") as text:
        text.write(content)
    return str(path)


def _lines(rows: t.Iterable[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def _table(hits: t.Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(hit[column]) for column in _COLUMNS] for hit in hits)
    return text.getvalue()


def _cell(value: t.Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _dated(hit: Row) -> Row | None:
    """A hit whose time has a known zone, as Timesketch takes it."""
    if not hit["time"]:
        return None
    described = "Event record written" if hit["record"] is not None else "Line of a log written"
    return {
        "datetime": hit["time"],
        "timestamp_desc": described,
        "message": f"{hit['indicator']} in {hit['entry']} of {hit['computer_dns_name'] or hit['machine_id'] or hit['package']}: {hit['excerpt']}",
        "indicator": hit["indicator"],
        "machine_id": hit["machine_id"],
        "computer_dns_name": hit["computer_dns_name"],
    }
