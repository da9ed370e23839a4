# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat
import typing as t
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing import masks
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import workers
from ansible_collections.secops.defender.plugins.module_utils._tasks.compare_evidence import TASK
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.evidence_world import Evidence
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Teller, ask
from simulator import artefacts, estate

SERVICES, PROCESSES, TASKS = "Services/Services.csv", "Processes/Processes.csv", "Scheduled Tasks/ScheduledTasks.csv"
AUTORUNS, NETWORK = "Autoruns/Autoruns.txt", "Network Connections/ActiveNetConnections.txt"
FIRST, SECOND = "2026-11-23T10:15:00Z", "2026-11-24T10:15:00Z"


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path / "evidence")


def compare(evidence: Evidence, **more: t.Any) -> dict[str, t.Any]:
    return ask(TASK, {"path": str(evidence.path), **more})


def diff(evidence: Evidence, **more: t.Any) -> dict[str, t.Any]:
    return compare(evidence, mode="diff", **more)


def table(*lines: str, heading: str = '"Name","State"') -> bytes:
    return "\r\n".join((heading, *lines)).encode("utf-16")


def values(rows: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    return [row["value"] for row in rows]


def names(row: t.Mapping[str, t.Any]) -> list[str]:
    return [machine["computer_dns_name"] for machine in row["machines"]]


# ---- rare ----


def test_twenty_oddities_among_four_hundred_devices(evidence: Evidence) -> None:
    planted = estate.planted(400)
    for number in range(400):
        device = estate.Device(number, oddities=planted.get(number, ()))
        evidence.add(device.name, device.files(), logged=False)
    result = compare(evidence)
    assert not result["failed"] and result["summary"]["devices"] == 400
    found = {(row["artefact"], tuple(names(row))) for row in result["items"]}
    wanted = {(artefact, (estate.Device(number).name,)) for number, odd in planted.items() for artefact, _what in odd}
    assert wanted <= found
    assert len(found - wanted) <= 40, sorted(found - wanted)
    assert all(row["of"] == 400 for row in result["items"])


def test_no_artefacts_select_nothing_and_it_is_said(evidence: Evidence) -> None:
    evidence.add("pc1")
    evidence.add("pc2")
    assert "artefacts is empty, which selects nothing." in compare(evidence, artefacts=[])["msg"]


def test_without_masks_nearly_everything_is_rare(evidence: Evidence) -> None:
    for number in range(3):
        device = estate.Device(number)
        evidence.add(device.name, device.files())
    masked, bare = compare(evidence), compare(evidence, masks=[])
    assert bare["summary"]["found"] > 10 * masked["summary"]["found"]


def test_the_sentence(evidence: Evidence) -> None:
    for number in range(1, 5):
        lines = ['"Sense","Running"', '"Spooler","Running"', *(['"Evil","Running"'] if number == 3 else [])]
        evidence.add(f"pc{number}", {SERVICES: table(*lines)})
    evidence.add("pc5", {SERVICES: b"ERROR: Access is denied."})
    result = compare(evidence)
    assert result["msg"] == (
        "1 item on one of 5 devices only (pc3); services 1; not comparable (on 1 device): services."
    )
    (row,) = result["items"]
    assert (row["artefact"], row["value"], row["of"], row["collector"]) == ("services", "Evil | Running", 4, False)
    (machine,) = row["machines"]
    assert (machine["text"], machine["entry"], machine["verified"]) == ("Evil,Running", SERVICES, True)
    assert "| services | Evil \\| Running | pc3 |" in result["summary_text"]
    assert "services: it holds only an error text" in result["summary_text"]


def test_on_how_many_devices(evidence: Evidence) -> None:
    for number in range(6):
        evidence.add(
            f"pc{number}", {SERVICES: table('"Sense","Running"', *(['"Two","Running"'] if number < 2 else []))}
        )
    assert compare(evidence)["items"] == []
    (row,) = compare(evidence, max_devices=2)["items"]
    assert names(row) == ["pc0", "pc1"] and row["of"] == 6
    result = compare(evidence, max_devices=6)
    assert result["items"] == []
    assert "6 of 6 devices hold it" in result["not_comparable"][0]["why"]


@pytest.mark.parametrize("heading", ['"Name","Status"', '"Nom","État"'])
def test_a_language_of_one_device_makes_nothing_rare_but_what_is(evidence: Evidence, heading: str) -> None:
    known = [f"Service{number}" for number in range(5)]
    for number in range(4):
        evidence.add(f"pc{number}", {SERVICES: table(*(f'"{name}","Running"' for name in known))})
    foreign = table(*(f'"{name}","Läuft"' for name in [*known, "Böse"]), heading=heading)
    evidence.add("pc9", {SERVICES: foreign})
    assert values(compare(evidence)["items"]) == ["Böse | Läuft"]


def test_a_state_that_one_device_has_is_rare(evidence: Evidence) -> None:
    for number in range(4):
        state = "Stopped" if number == 2 else "Running"
        lines = [
            f'"WinDefend","{state}"',
            *(f'"Service{each}","{word}"' for each, word in enumerate(("Running", "Stopped") * 2)),
        ]
        evidence.add(f"pc{number}", {SERVICES: table(*lines)})
    (row,) = compare(evidence)["items"]
    assert row["value"] == "WinDefend | Stopped" and names(row) == ["pc2"]


def test_systems_are_compared_apart(evidence: Evidence) -> None:
    for number in range(3):
        evidence.add(f"pc{number}", estate.Device(number, language="en", build="19045").files())
    evidence.add("mac", artefacts.unix("mac", "macos"))
    result = compare(evidence, artefacts=["processes"])
    assert "mac" not in [name for row in result["items"] for name in names(row)]
    assert any("(macos)" in row["why"] for row in result["not_comparable"])


def test_a_package_that_lacks_an_artefact_is_not_counted(evidence: Evidence) -> None:
    for number in range(3):
        evidence.add(f"pc{number}", {SERVICES: table('"A","b"'), PROCESSES: table('"x.exe","y"')})
    evidence.add("pc3", {SERVICES: table('"A","b"', '"C","b"')})
    result = compare(evidence)
    assert [(row["value"], row["of"]) for row in result["items"]] == [("C | b", 4)]
    (row,) = result["not_comparable"]
    assert (row["computer_dns_name"], row["artefact"], row["why"]) == (
        "pc3",
        "processes",
        "the package has no processes",
    )


def test_traces_of_the_collector_are_marked(evidence: Evidence) -> None:
    for number in range(3):
        lines = [
            '"a.exe","C:\\\\a.exe"',
            *(['"robocopy.exe","C:\\\\r"', '"SenseIR","x"', '"e.exe","x"'] if number == 1 else []),
        ]
        evidence.add(f"pc{number}", {PROCESSES: table(*lines)})
    result = compare(evidence)
    assert [row["collector"] for row in result["items"]] == [False, True, True]
    assert "2 of them traces of Defender's own collecting" in result["msg"]


def test_what_is_listed_is_bounded_and_what_is_counted_is_not(evidence: Evidence) -> None:
    for number in range(3):
        evidence.add(
            f"pc{number}", {SERVICES: table('"A","b"', *(f'"Own{"abc"[number]}{each}","b"' for each in "klmno"))}
        )
    result = compare(evidence, max_items=4)
    assert (len(result["items"]), result["summary"]["found"], result["summary"]["unlisted"]) == (4, 15, 11)
    assert "11 of them are not listed" in result["msg"]


def test_all_packages_of_a_device_are_one_device(evidence: Evidence) -> None:
    evidence.add("pc1", {SERVICES: table('"A","b"', '"Old","b"')}, FIRST)
    evidence.add("pc1", {SERVICES: table('"A","b"', '"New","b"')}, SECOND)
    for number in (2, 3):
        evidence.add(f"pc{number}", {SERVICES: table('"A","b"')})
    result = compare(evidence)
    assert values(result["items"]) == ["New | b"] and result["summary"]["older"] == 1
    result = compare(evidence, packages="all")
    assert values(result["items"]) == ["New | b", "Old | b"] and result["items"][0]["of"] == 3


def test_one_process_and_several_say_the_same(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = estate.planted(20)
    for number in range(20):
        device = estate.Device(number, oddities=planted.get(number, ()))
        evidence.add(device.name, device.files())
    found = []
    for count in (1, 3):
        monkeypatch.setattr(workers, "processes", lambda count=count: count)
        found.append({key: value for key, value in compare(evidence).items() if key != "recorded"})
    assert found[0] == found[1]


def test_what_is_shown_is_cut_and_what_is_compared_is_not(evidence: Evidence) -> None:
    common = f"chrome.exe --flags={'x' * 5000}"
    for number in range(3):
        evidence.add(
            f"pc{number}", {PROCESSES: table(f'"chrome.exe","{common}{" --evil" if number == 1 else ""}"', '"a","b"')}
        )
    (row,) = compare(evidence)["items"]
    assert names(row) == ["pc1"] and len(row["value"]) == 1024


def test_own_masks(evidence: Evidence) -> None:
    for number in range(3):
        evidence.add(f"pc{number}", {SERVICES: table('"A","b"', f'"Agent-X{number}Y","b"')})
    assert len(compare(evidence)["items"]) == 3
    assert compare(evidence, own_masks=[r"x\dy"])["items"] == []


# ---- diff ----


def test_nothing_done_between_is_nothing_changed(evidence: Evidence) -> None:
    for moment, created in enumerate((FIRST, SECOND)):
        evidence.add("pc007.contoso.com", estate.Device(7, moment=moment).files(), created)
    result = diff(evidence)
    assert result["only_before"] == []
    assert sorted(values(result["only_after"])) == ["ROBOCOPY.EXE<prefetch_hash>.pf", "XCOPY.EXE<prefetch_hash>.pf"]
    assert all(row["collector"] for row in result["only_after"])
    assert set(result["compared"]) >= {"processes", "services", "scheduled_tasks", "autoruns", "dns_cache", "arp"}


def test_what_is_new_and_what_is_gone(evidence: Evidence) -> None:
    evidence.add("pc1", {SERVICES: table('"A","Running"', '"B","Running"', '"C","Running"')}, FIRST)
    evidence.add("pc1", {SERVICES: table('"A","Running"', '"B","Stopped"', '"Evil","Running"')}, SECOND)
    result = diff(evidence)
    assert values(result["only_before"]) == ["B | Running", "C | Running"]
    assert values(result["only_after"]) == ["B | Stopped", "Evil | Running"]
    assert result["msg"] == f"pc1: 2 new, 2 gone between {FIRST} and {SECOND}."
    assert "| New | services | Evil \\| Running |" in result["summary_text"]
    assert result["before"]["collected"] == FIRST and result["after"]["verified"]


def test_an_update_is_a_change_on_one_device_and_none_among_many(evidence: Evidence) -> None:
    program = "Installed Programs/InstalledPrograms.csv"
    for created, version in ((FIRST, "120.0.1"), (SECOND, "121.0.3")):
        evidence.add("pc1", {program: table(f'"Edge","{version}"', heading='"Name","Version"')}, created)
    assert values(diff(evidence)["only_after"]) == ["Edge | 121.0.3"]
    assert diff(evidence, masks=list(masks.NAMES))["only_after"] == []
    evidence.add("pc2", {program: table('"Edge","119.9"', heading='"Name","Version"')})
    evidence.add("pc3", {program: table('"Edge","118"', heading='"Name","Version"')})
    assert compare(evidence)["items"] == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "the package has no services"),
        (b"", "it is empty"),
        (b"FEHLER: Zugriff verweigert", "it holds only an error text: FEHLER: Zugriff verweigert"),
        (table(), "it holds no items: nothing, or a message in place of it"),
    ],
)
@pytest.mark.parametrize("lacking", ["before", "after"])
def test_what_one_side_does_not_hold_is_not_comparable(
    evidence: Evidence, content: bytes | None, why: str, lacking: str
) -> None:
    whole = {SERVICES: table('"A","Running"'), PROCESSES: table('"x.exe","1"')}
    without = {**whole, SERVICES: content} if content is not None else {PROCESSES: whole[PROCESSES]}
    evidence.add("pc1", without if lacking == "before" else whole, FIRST)
    evidence.add("pc1", without if lacking == "after" else whole, SECOND)
    result = diff(evidence)
    assert result["only_before"] == result["only_after"] == []
    (row,) = result["not_comparable"]
    assert (row["artefact"], row["side"], row["why"]) == ("services", lacking, why)
    assert result["compared"] == ["processes"]
    assert "not comparable: services" in result["msg"]


def test_an_entry_of_several_that_one_side_lacks(evidence: Evidence) -> None:
    key = "HKEY_LOCAL_MACHINE\\Run{0}\r\n    A    REG_SZ    {1}\r\n"
    first, second = "Autoruns/HKLM_Run.txt", "Autoruns/HKLM_RunOnce.txt"
    evidence.add("pc1", {first: key.format(1, "a.exe").encode(), second: key.format(2, "b.exe").encode()}, FIRST)
    evidence.add("pc1", {first: key.format(1, "c.exe").encode(), second: b"ERROR: not there"}, SECOND)
    result = diff(evidence)
    assert len(result["only_before"]) == len(result["only_after"]) == 1
    (row,) = result["not_comparable"]
    assert (row["entry"], row["side"], row["partly"]) == (second, "after", True)


def test_which_two_packages(evidence: Evidence) -> None:
    paths = [evidence.add("pc1", {SERVICES: table(f'"S{each}","b"', '"A","b"')}, f"2026-11-2{number}T10:15:00Z")
             for number, each in enumerate("klm")]  # fmt: skip
    for number, path in enumerate(paths):
        record = json.loads(path.with_suffix(".json").read_text())
        evidence.rewrite(path, action={**record["action"], "id": f"0000000{number}-0000-4000-8000-000000000000"})
    assert [diff(evidence)[side]["package"] for side in ("before", "after")] == [str(paths[0]), str(paths[2])]
    result = diff(evidence, before="00000001-0000-4000-8000-000000000000", after=str(paths[2]))
    assert values(result["only_before"]) == ["Sl | b"]
    refused = diff(evidence, before=str(paths[2]), after=str(paths[1]))
    assert refused["failed"] and refused["error"]["code"] == "InvalidOptions" and "Exchange" in refused["msg"]
    assert "none of the packages" in diff(evidence, before="0000000a-0000-4000-8000-000000000000")["msg"]


def test_one_package_cannot_be_compared_with_itself(evidence: Evidence) -> None:
    evidence.add("pc1", {SERVICES: table('"A","b"')})
    result = diff(evidence)
    assert result["error"]["code"] == "NothingToCompare" and "reuse_within: 0" in result["msg"]
    assert compare(evidence)["error"]["code"] == "NothingToCompare"


def test_several_devices_are_no_before_and_after(evidence: Evidence) -> None:
    paths = [evidence.add(name, {SERVICES: table('"A","b"')}) for name in ("pc1", "pc2")]
    assert diff(evidence)["error"]["code"] == "InvalidOptions"
    assert diff(evidence, before=str(paths[0]), after=str(paths[1]))["error"]["code"] == "InvalidOptions"
    assert diff(evidence, machines=["pc3"])["error"]["code"] == "EvidenceMissing"


# ---- both ----


def test_altered_evidence_is_not_compared(evidence: Evidence) -> None:
    for number in range(3):
        package = evidence.add(f"pc{number}", {SERVICES: table('"A","b"', f'"S{"abc"[number]}","b"')})
    package.write_bytes(package.read_bytes() + b"x")
    teller = Teller()
    result = ask(TASK, {"path": str(evidence.path)}, teller=teller)
    assert values(result["items"]) == ["Sa | b", "Sb | b"]
    assert "its record says" in result["not_comparable"][0]["why"]
    assert any("not what was recorded" in text for text in teller.told("warn"))
    evidence.add("pc2", {SERVICES: table('"A","b"')}, SECOND)
    assert diff(evidence, machines="pc2")["error"]["code"] == "EvidenceAltered"


def test_packages_without_a_record(evidence: Evidence) -> None:
    for number in range(3):
        evidence.add(f"pc{number}", {SERVICES: table('"A","b"')}, recorded=number < 2)
    result = compare(evidence)
    assert result["summary"]["devices"] == 2 and "has no record" in result["not_comparable"][-1]["why"]
    result = compare(evidence, unrecorded=True)
    assert result["summary"]["devices"] == 3


def test_each_call_adds_one_line(evidence: Evidence) -> None:
    for number in range(2):
        evidence.add(f"pc{number}", {SERVICES: table('"A","b"')})
    before = len(evidence.lines())
    assert compare(evidence)["recorded"]
    (line,) = evidence.lines()[before:]
    assert (line["event"], line["module"]) == ("evidence_read", "secops.defender.defender_compare_evidence")
    assert (line["packages"], line["mode"]) == (2, "rare")
    result = ask(TASK, {"path": str(evidence.path), "report": True}, check_mode=True)
    assert not result["recorded"] and result["report"] is None and len(evidence.lines()) == before + 1


def test_the_page(evidence: Evidence) -> None:
    for number in range(3):
        lines = ['"A","b"', *(['"<script>alert(1)</script>","b"', '"x.exe","C:\\\\robocopy"'] if number == 1 else [])]
        evidence.add(f"pc{number}", {SERVICES: table(*lines)})
    result = compare(evidence, report=True)
    page, twin = Path(result["report"]["html"]), Path(result["report"]["json"])
    assert page.parent.parent == evidence.path.parent and stat.S_IMODE(os.stat(page).st_mode) == 0o600
    text = page.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in text and "<script>alert" not in text
    assert text.index('id="services"') < text.index('id="devices"')
    assert '<a href="#device-1"><bdi>pc1</bdi></a>' in text and 'id="device-1"' in text
    assert "Trace of the collecting itself" in text
    assert json.loads(twin.read_text())["items"] == result["items"]


def test_the_page_of_a_diff(evidence: Evidence) -> None:
    evidence.add("pc1", {SERVICES: table('"A","Running"', '"C","Running"'), AUTORUNS: b"HKLM\\Run"}, FIRST)
    evidence.add("pc1", {SERVICES: table('"A","Stopped"', '"Evil","Running"')}, SECOND)
    text = Path(diff(evidence, report=True)["report"]["html"]).read_text(encoding="utf-8")
    for word, name in (("Changed", "A"), ("New", "Evil"), ("Gone", "C")):
        assert f"{word}<small>{name}</small>" in text
    assert "the package has no autoruns" in text


def test_what_packages_say_is_bounded(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing import items

    monkeypatch.setattr(items, "_MOST_LINES", 10)
    monkeypatch.setattr(items, "_MOST_TEXT", 4096)
    for number in range(3):
        evidence.add(f"pc{number}", {
            SERVICES: table(*(f'"S{each}","b"' for each in range(20))),
            PROCESSES: table(*(f'"P{each}","b"' for each in range(500))),
            TASKS: table('"A","b"', f'"{"x" * 3000}","\x1b[2J"'),
        })  # fmt: skip
    result = compare(evidence)
    assert {row["artefact"] for row in result["not_comparable"]} == set()
    evidence.add(
        "pc4", {SERVICES: table('"S1","b"'), PROCESSES: table('"P1","b"'), TASKS: table('"A","b"', '"Z","\x1b[2J"')}
    )
    evidence.add("pc5", {SERVICES: table('"S1","b"'), PROCESSES: table('"P1","b"'), TASKS: table('"A","b"')})
    result = compare(evidence)
    whys = {(row["artefact"], row["why"]) for row in result["not_comparable"] if row["package"]}
    assert ("services", "it has more than 10 lines") in whys
    assert ("processes", "it is a text of more than 4096 bytes") in whys or (
        "processes",
        "it is a text of more than 4 KiB",
    ) in whys
    assert "\x1b" not in json.dumps(values(result["items"]))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"artefacts": ["event_log"]}, "lines cannot be compared"),
        ({"artefacts": ["servics"]}, "Did you mean"),
        ({"masks": ["pid"]}, "no mask"),
        ({"own_masks": ["("]}, "no regular expression"),
        ({"own_masks": ["x*"]}, "fits nothing at all"),
        ({"max_devices": 0}, "max_devices is below 1"),
        ({"before": "x.zip"}, "mode is rare"),
    ],
)
def test_refused_before_anything_is_read(evidence: Evidence, more: dict[str, t.Any], words: str) -> None:
    evidence.add("pc1", {SERVICES: table('"A","b"')})
    before = evidence.lines()
    result = compare(evidence, **more)
    assert result["failed"] and words in result["msg"]
    assert evidence.lines() == before


def test_network_connections_mean_the_caches_as_well(evidence: Evidence) -> None:
    for number in range(3):
        dns = "    a.example.org\r\n    -----\r\n" + ("    evil.example.org\r\n    -----\r\n" if number == 1 else "")
        evidence.add(
            f"pc{number}", {NETWORK: b"TCP 10.0.0.5:1 10.0.0.9:443 X", "Network Connections/DnsCache.txt": dns.encode()}
        )
    result = compare(evidence, artefacts=["network_connections"])
    assert [(row["artefact"], row["value"]) for row in result["items"]] == [("dns_cache", "evil.example.org")]
