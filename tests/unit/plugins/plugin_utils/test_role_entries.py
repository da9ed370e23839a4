# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two ways into the role collect_package, and what a plan says to the one who approves it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.secops.defender.plugins.module_utils._tasks.fetch_package import Options as FetchOptions
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine
from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request, Sheet
from ansible_collections.secops.defender.plugins.plugin_utils._role_lead import Work, artifact, leeway
from ansible_collections.secops.defender.plugins.plugin_utils._role_variables import (
    COLLECT,
    FETCH,
    Entry,
    Said,
    Surroundings,
    listen,
    request,
)


def surroundings(entry: Entry, defaults: dict[str, Any] | None = None, **variables: Any) -> Surroundings:
    named = {f"collect_package_{name}": value for name, value in variables.items() if not name.startswith("awx_")}
    others = {name: value for name, value in variables.items() if name.startswith("awx_")}
    given = {"inventory_hostname": "pc1", "collect_package_tenant": "contoso.com", **named, **others}
    return Surroundings(lambda value: value, given, defaults or {}, {}, "/base", False, entry)


def said(entry: Entry, **variables: Any) -> Said:
    return listen(surroundings(entry, **variables))


def test_fetching_reads_its_own_options_and_passes_over_those_of_collecting() -> None:
    heard = said(FETCH, dest="evidence", max_age="2d", comment="worm", reuse_within="4h", wait=True)
    assert isinstance(heard.options, FetchOptions)
    assert (heard.options.max_age, heard.wish.dest, heard.limit) == (172800.0, "/base/evidence", 100)


def test_collecting_refuses_what_only_fetching_reads() -> None:
    with pytest.raises(OptionsError, match="knows no variable collect_package_max_age"):
        said(COLLECT, comment="worm", max_age="2d")


@pytest.mark.parametrize("entry", [COLLECT, FETCH])
def test_both_map_a_host_to_its_device_alike(entry: Entry) -> None:
    variables = surroundings(entry, comment="worm", dest="evidence", machine="pc2").variables
    stale = {**variables, "defender_machine_id": "a" * 40}
    around = Surroundings(lambda value: value, stale, {}, {}, "/base", False, entry)
    asked = request("pc1", listen(around), around, 1, True)
    assert (asked.device, asked.also) == ("a" * 40, "pc2")


def test_the_fleets_of_both_entries_are_not_one() -> None:
    around = [surroundings(entry, comment="worm", dest="evidence") for entry in (COLLECT, FETCH)]
    one, other = (request("pc1", listen(each), each, 1, True).fleet for each in around)
    assert one != other


def test_module_defaults_are_those_of_the_entrys_module() -> None:
    assert listen(surroundings(FETCH, {"max_age": "1h", "dest": "/e"})).options.wish.dest == "/e"
    with pytest.raises(OptionsError, match="no option of secops.defender.defender_fetch_package"):
        listen(surroundings(FETCH, {"comment": "worm", "dest": "/e"}))


@pytest.mark.parametrize(("planned", "more"), [(0, 5), (10, 5), (59, 5), (60, 6), (380, 38)])
def test_a_fleet_may_have_grown_a_little_since_its_plan(planned: int, more: int) -> None:
    assert leeway(planned) == more


def test_planned_is_a_number() -> None:
    assert said(COLLECT, comment="worm", planned="380").planned == 380
    with pytest.raises(OptionsError, match="collect_package_planned is 'many'"):
        said(COLLECT, comment="worm", planned="many")


SUMMARY = {
    "would_start": 380,
    "already_running": 2,
    "resumed": 0,
    "reused": 1,
    "failed": 3,
    "requested": 386,
    "plan": {"starts": 380, "links": 380, "seconds": 12000.0},
}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            "Approving starts 380 collections, takes 3 that are there already, at least 3 h 20 min, 12 devices inactive, "
            "3 of 386 devices cannot be collected from.",
        ),
        (
            {"would_start": 0, "failed": 0, "plan": {"seconds": 0}},
            "Approving starts nothing, takes 3 that are there already, 12 devices inactive.",
        ),
    ],
)
def test_what_a_plan_says(changes: dict[str, Any], sentence: str) -> None:
    machines = {
        str(number): Machine(str(number), f"pc{number}", health_status="Inactive" if number < 12 else "Active")
        for number in range(380)
    }
    work = Work(Sheet("f", ()), said(COLLECT, comment="worm"), None, {}, machines)  # type: ignore[arg-type]
    assert work.plan({"summary": {**SUMMARY, **changes}}) == sentence


def test_a_plan_that_could_not_be_made_hands_no_number_on() -> None:
    result: dict[str, Any] = {
        "summary": SUMMARY,
        "packages": [],
        "msg": "380 devices.",
        "summary_text": "",
        "report": None,
        "reports": {},
    }
    sheet = Sheet("f", (Request("pc1", "f"),))
    result["packages"] = [{"failed": False}]
    handed_on = artifact(sheet, result, "Approving starts 380 collections.")["data"]
    assert handed_on["collect_package_planned"] == 380
    assert "collect_package_planned" not in artifact(sheet, result, None)["data"]
