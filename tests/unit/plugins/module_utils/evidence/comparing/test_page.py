# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import re
import typing as t
from pathlib import Path

import pytest
from hypothesis import given

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing import page
from ansible_collections.secops.defender.tests.report import sample
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.page_world import (
    HARMLESS,
    Reader,
    bare,
    swap,
    texts,
)

BESIDE = Path(sample.DEST).with_name("incident-4711-compare-20261123T120000Z-1f2e3d4c")
RESULTS = {"rare": sample.rare(6), "diff": sample.diff()}
# Words that the page takes for a choice of its own, and never shows as they came.
_CHOICES = ("mode", "artefact", "side", "collected")


def _html(result: t.Mapping[str, t.Any]) -> str:
    return page.html(result, BESIDE, "2026-11-23T12:04:00Z")


def test_what_is_rare_comes_first_and_leads_to_its_device() -> None:
    written = _html(sample.rare(400))
    assert re.findall(r'<section id="([\w-]+)"', written) == [
        "processes", "services", "autoruns", "devices", "not-comparable", "reading",
    ]  # fmt: skip
    reader = Reader(written)
    anchors = {dict(attrs).get("id") for tag, attrs in reader.tags if tag == "bdi"}
    led = [str(dict(attrs)["href"]) for tag, attrs in reader.tags if tag == "a"]
    inner = [each.removeprefix("#") for each in led if each.startswith("#device-")]
    assert len(inner) == 400 and set(inner) <= anchors
    assert "Not verified: it has no record, or the custody log does not know it" in reader.text


def test_a_change_is_one_row_with_both_sides() -> None:
    text = Reader(_html(sample.diff())).text
    assert "ChangedUpdater" in text and text.index("Updater | Stopped") < text.index("Updater | Running")
    assert "Trace of the collecting itself" in text and "it is encrypted" in text


def test_nothing_found_says_where_to_look() -> None:
    nothing = {**sample.rare(2), "items": []}
    assert "None. See below what could not be compared." in Reader(_html(nothing)).text
    same = {**sample.diff(), "only_before": [], "only_after": []}
    assert "None in what was compared." in Reader(_html(same)).text


@pytest.mark.parametrize("mode", RESULTS)
@given(name=texts.filter(bool))
def test_nothing_that_devices_say_ever_creates_a_tag(mode: str, name: str) -> None:
    result = _named(copy.deepcopy(RESULTS[mode]))
    harmless, hostile = Reader(_html(swap(result, "NAME", HARMLESS))), Reader(_html(swap(result, "NAME", name)))
    assert [bare(tag) for tag in hostile.tags] == [bare(tag) for tag in harmless.tags]
    assert not hostile.open


def _named(value: t.Any, key: str = "") -> t.Any:
    """The same structure with C(NAME) for each text that comes from outside; a line is never its own item."""
    if key == "text":
        return "NAME | line"
    if isinstance(value, dict):
        return {name: _named(each, name) for name, each in value.items()}
    if isinstance(value, list) and key != "compared":
        return [_named(each) for each in value]
    return "NAME" if isinstance(value, str) and key not in _CHOICES else value
