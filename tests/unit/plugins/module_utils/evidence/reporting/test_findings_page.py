# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import re
import typing as t
from pathlib import Path

import pytest
from hypothesis import given

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting import findings_page
from ansible_collections.secops.defender.tests.report import sample
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.page_world import (
    HARMLESS,
    Reader,
    bare,
    swap,
    texts,
)

BESIDE = Path(sample.DEST).with_name("incident-4711-search-20261123T120000Z-1f2e3d4c")
BY = {"user": "awx", "host": "ir-control-1", "tool": "secops.defender/1.0.0", "awx_job_id": "8123", "awx_user": "jane"}


def _page(result: dict[str, t.Any]) -> str:
    return findings_page.page(result, BESIDE, BY, "2026-11-23T12:00:00Z", "2026-11-23T12:04:00Z")


def test_coverage_stands_before_what_was_found() -> None:
    text = Reader(_page(sample.findings(400, found=3))).text
    assert text.count("Found on 3 of 400 devices, but not everything could be searched") == 1
    assert "Searched whole371Partly26Not3With hits3" in text
    sections = re.findall(r'<section id="([\w-]+)"', _page(sample.findings(4, found=1)))
    assert sections == ["coverage", "indicators", "devices", "hits", "left-out", "event-logs", "reading"]


def test_nothing_found_is_not_called_clean() -> None:
    text = Reader(_page(sample.findings(400, found=0))).text
    assert "Nothing found on 400 devices, but not everything could be searched" in text
    assert "it is encrypted" in text and "None." in text
    assert (
        "Nothing found on 400 devices, but"
        not in Reader(_page({**sample.findings(400, found=0), "complete": True})).text
    )


def test_a_hit_says_where_and_leads_to_its_package() -> None:
    result = sample.findings(4, found=1)
    [hit] = result["hits"]
    reader = Reader(_page(result))
    for word in (hit["entry"], hit["excerpt"], "record 48,151", "2026-11-23 09:14:10 UTC", "1 of 17 hits are listed"):
        assert word in reader.text
    links = [dict(attrs)["href"] for tag, attrs in reader.tags if tag == "a" and "rel" in dict(attrs)]
    assert links == ["../incident-4711/" + str(Path(hit["package"]).relative_to(sample.DEST))]


@given(texts.filter(bool))
def test_nothing_that_devices_or_feeds_say_ever_creates_a_tag(name: str) -> None:
    result = sample.findings(2, found=1)
    for rows in ("indicators", "hits", "not_searched", "machines", "event_logs"):
        for row in result[rows]:
            row.update({key: "NAME" for key, value in row.items() if isinstance(value, str)})
            row.update({key: ["NAME"] for key, value in row.items() if isinstance(value, list)})
    result["msg"] = "NAME"
    harmless = Reader(_page(swap(copy.deepcopy(result), "NAME", HARMLESS)))
    hostile = Reader(_page(swap(copy.deepcopy(result), "NAME", name)))
    assert [bare(tag) for tag in hostile.tags] == [bare(tag) for tag in harmless.tags]
    assert not hostile.open


@pytest.mark.parametrize("hits", [0, 6000])
def test_a_browser_can_still_open_it(hits: int) -> None:
    result = sample.findings(2, found=1)
    result["hits"] = result["hits"] * hits
    page = _page(result)
    assert len(page) < 6_000_000
    assert ("And 1,000 more" in page) == (hits == 6000)
