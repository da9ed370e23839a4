# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the processes of a play's hosts meet."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.plugin_utils._role_desk import Desk
from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request, Sheet, judge


def sheets(requests: list[Request]) -> list[Sheet]:
    return judge(requests, lambda tenant, login: None)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(str(tmp_path), "entry")


def test_the_first_host_of_a_fleet_leads_and_the_others_have_nothing_to_do(desk: Desk) -> None:
    for host in ("pc1", "pc2", "pc3"):
        desk.ask(Request(host, "one", host))
    desk.ask(Request("pc4", "two", "pc4"))
    sheet = desk.lead("pc2", sheets)
    assert sheet and [each.host for each in sheet.requests] == ["pc1", "pc2", "pc3"] and sheet.fleets == 2
    assert desk.lead("pc1", sheets) is None and desk.lead("pc3", sheets) is None
    other = desk.lead("pc4", sheets)
    assert other and [each.host for each in other.requests] == ["pc4"]


def test_an_answer_is_taken_once(desk: Desk) -> None:
    desk.ask(Request("pc1", "one", "pc1"))
    desk.answer("pc1", {"failed": False})
    assert desk.asked("pc1") == "one"
    assert desk.take("pc1") == {"failed": False}
    assert desk.take("pc1") is None and desk.asked("pc1") is None


def test_nothing_of_an_earlier_round_is_taken_for_this_one(desk: Desk) -> None:
    desk.ask(Request("pc1", "one", "pc1", comment="first"))
    assert desk.lead("pc1", sheets)
    desk.answer("pc1", {"round": 1})
    desk.ask(Request("pc1", "one", "pc1", comment="second"))
    assert desk.take("pc1") is None
    desk.ask(Request("pc1", "one", "pc1", comment="third"))
    sheet = desk.lead("pc1", sheets)
    assert sheet and [each.comment for each in sheet.requests] == ["third"]


def test_entries_and_names_are_apart(tmp_path: Path) -> None:
    one, other = Desk(str(tmp_path), "one"), Desk(str(tmp_path), "other")
    for host in ("a/../b", "ü" * 300, ""):
        one.ask(Request(host, "fleet", "pc1"))
        assert one.asked(host) == "fleet" and other.asked(host) is None


def test_nobody_else_reads_it(desk: Desk, tmp_path: Path) -> None:
    os.umask(0o022)
    desk.ask(Request("pc1", "one", "pc1"))
    desk.answer("pc1", {})
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def _ask_and_lead(root: str, number: int, ready: object, led: object) -> None:
    desk = Desk(root, "entry")
    desk.ask(Request(f"pc{number}", f"fleet{number % 3}", f"pc{number}", comment="x" * 5000))
    ready.wait()  # type: ignore[attr-defined]
    sheet = desk.lead(f"pc{number}", sheets)
    led.put([each.host for each in sheet.requests] if sheet else [])  # type: ignore[attr-defined]


def test_many_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, led = context.Barrier(12), context.Queue()
    workers = [context.Process(target=_ask_and_lead, args=(str(tmp_path), number, ready, led)) for number in range(12)]
    for worker in workers:
        worker.start()
    answers = [led.get(timeout=60) for _worker in workers]
    for worker in workers:
        worker.join()
    assert sorted(len(answer) for answer in answers) == [0] * 9 + [4] * 3
    assert sorted(host for answer in answers for host in answer) == sorted(f"pc{number}" for number in range(12))
