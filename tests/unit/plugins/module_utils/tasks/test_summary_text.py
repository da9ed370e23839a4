# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._tasks.summary_text import of_packages, plain
from ansible_collections.secops.defender.tests.report import sample


def _result(devices: list[dict[str, t.Any]], reports: t.Any = None) -> dict[str, t.Any]:
    return {"summary": sample.facts(devices)["summary"], "packages": devices, "reports": reports or {}}


def test_a_run_in_a_few_lines() -> None:
    good, bad = sample.device(1, "good.contoso.com", failed=False), sample.device(2, "bad.contoso.com", failed=True)
    text = of_packages(_result([good, bad], {"/e": {"html": "/e/report.html", "json": "/e/report.json"}}))
    lines = text.splitlines()
    assert lines[0] == "**Evidence of 2 devices: 1 started, 1 with a verified package, 1 failed**"
    assert "| bad.contoso.com | OsPlatformNotSupported |" in text and "by other means" in text
    assert "Packages: good.contoso.com" in lines and "Report: /e/report.html" in lines


def test_a_fleet_stays_a_message() -> None:
    text = of_packages(_result([sample.device(number, failed=True) for number in range(2000)]))
    assert "| and 1980 more | | |" in text and len(text) < 8000
    assert "| Device |" not in of_packages(_result([sample.device(number, failed=False) for number in range(2000)]))


def test_nothing_to_do_is_said() -> None:
    assert of_packages(_result([])) == "**Evidence of 0 devices: nothing to do**\n"


def test_a_name_is_no_markup_and_mentions_nobody() -> None:
    text = of_packages(_result([sample.device(2, "@here](http://evil.example)|<b>", failed=True)]))
    assert "\\@here\\]\\(hxxp://evil.example\\)\\|\\<b\\>" in text


def test_a_path_can_be_copied_from_it() -> None:
    assert plain("/srv/evidence/incident-4711/pc1.contoso.com") == "/srv/evidence/incident-4711/pc1.contoso.com"
    assert plain("- a point of a list") == "\\- a point of a list"
