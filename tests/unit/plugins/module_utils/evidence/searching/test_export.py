# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
import io
import json
import re
import tempfile
import typing as t
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.beside import folder_beside
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching import export

HIT: dict[str, t.Any] = {
    "indicator": "203.0.113.7", "type": "ip", "machine_id": "ab", "computer_dns_name": "pc1", "package": "/e/pc1/1.zip",
    "entry": "Network Connections/Arp.txt", "artefact": "network_connections", "offset": 5, "line": 1, "record": None, "time": None,
    "dated": False, "excerpt": "203.0.113.7", "collected": None, "verified": True,
}  # fmt: skip


def written(hits: list[dict[str, t.Any]], runs: export.Runs | None = None) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as room:
        folder = folder_beside(Path(room, "evidence"), 1795424400.0, "search")
        paths = export.write(folder, hits, runs or {})
        return {Path(path).name: Path(path).read_bytes() for path in paths}


def timeline(hits: list[dict[str, t.Any]], runs: export.Runs | None = None) -> list[dict[str, t.Any]]:
    return [json.loads(line) for line in written(hits, runs)["timesketch.jsonl"].decode("ascii").splitlines()]


CELLS = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.sampled_from(
        ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1", "a,b", 'a"b', "a\nb", "a\rb", "'=1", "", "\uff1d1", ";=1"]
    ),
)


@given(st.lists(st.fixed_dictionaries({"excerpt": CELLS, "entry": CELLS, "package": CELLS}), max_size=5))
@example([{"excerpt": "=cmd|'/c calc'!A0", "entry": "-2+3", "package": "@x"}])
def test_csv_reads_every_cell_as_it_was_and_no_cell_is_a_formula(changes: list[dict[str, str]]) -> None:
    hits = [{**HIT, **change} for change in changes]
    text = written(hits)["hits.csv"].decode("utf-8")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == list(HIT)
    assert len(rows) == len(hits) + 1
    for row, hit in zip(rows[1:], hits, strict=True):
        for cell, (_key, value) in zip(row, hit.items(), strict=True):
            said = "" if value is None else str(value)
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
            assert cell == said or (cell == f"'{said}" and said[0] in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


@given(st.lists(st.fixed_dictionaries({"excerpt": CELLS, "entry": CELLS, "package": CELLS}), max_size=5))
def test_json_lines_have_one_object_a_line(changes: list[dict[str, str]]) -> None:
    hits = [{**HIT, **change} for change in changes]
    assert [json.loads(line) for line in written(hits)["hits.jsonl"].decode("ascii").splitlines()] == hits


def test_strange_records_do_no_harm() -> None:
    files = written([{**HIT, "collected": "\ud800\0", "machine_id": "\0"}])
    assert b"\\ud800" in files["hits.csv"] and files["timesketch.jsonl"] == b""


def test_what_is_dated_is_in_the_timeline_in_order_and_nothing_else_is() -> None:
    event = {**HIT, "artefact": "event_log", "record": 102, "line": None, "time": "2026-11-23T09:00:00.123456Z"}
    line = {**HIT, "artefact": "defender_logs", "time": "2026-11-23T08:00:00.5Z"}
    name = {**HIT, "artefact": "prefetch", "entry": "Prefetch/CMD.EXE-1.pf", "offset": None, "line": None}
    taken = {**HIT, "collected": "2026-11-23T10:15:00.1234567Z"}
    runs = {("/e/pc1/1.zip", "Prefetch/CMD.EXE-1.pf"): ("2026-11-23T07:00:00Z", "2026-11-22T07:00:00Z")}
    rows = timeline([taken, event, line, name, HIT], runs)
    assert [(row["datetime"], row["timestamp_desc"]) for row in rows] == [
        ("2026-11-22T07:00:00.000000+00:00", "Previous Last Time Executed"),
        ("2026-11-23T07:00:00.000000+00:00", "Last Time Executed"),
        ("2026-11-23T08:00:00.500000+00:00", "Line of a log written"),
        ("2026-11-23T09:00:00.123456+00:00", "Event record written"),
        ("2026-11-23T10:15:00.123456+00:00", "Collection requested"),
    ]
    assert (
        rows[3]["record"] == 102
        and rows[3]["message"] == "203.0.113.7 in Network Connections/Arp.txt of pc1: 203.0.113.7"
    )
    assert all(None not in row.values() for row in rows)


def test_a_package_is_asked_for_once() -> None:
    hits = [{**HIT, "collected": "2026-11-23T10:15:00Z"}] * 3 + [
        {**HIT, "collected": "2026-11-23T11:15:00Z", "package": "/e/pc2/1.zip"}
    ]
    assert [row["datetime"][11:16] for row in timeline(hits)] == ["10:15", "11:15"]


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-23T09:00:00",
        "2026-11-23 09:00:00",
        "23.11.2026 09:00",
        "2026-13-23T09:00:00Z",
        "2026-11-23T09:00:00+01:00",
        "",
        5,
    ],
)
def test_a_time_without_a_known_zone_is_no_time(time: t.Any) -> None:
    assert timeline([{**HIT, "time": time, "collected": time}]) == []


@given(st.datetimes(), CELLS)
def test_timesketch_s_rules(moment: t.Any, excerpt: str) -> None:
    hits = [{**HIT, "record": 1, "time": moment.isoformat(timespec="microseconds") + "Z", "excerpt": excerpt}]
    for row in timeline(hits):
        assert all(isinstance(row[key], str) and row[key] for key in ("message", "datetime", "timestamp_desc"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", row["datetime"])
        # Of these, Timesketch makes something else.
        assert not {"tag", "timestamp", "_id", "_type", "_index", "_source"} & set(row)
