# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import html
import io
import json
import os
import re
import resource
import stat
import typing as t
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence import verify
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import prefetch, workers
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching import finders
from ansible_collections.secops.defender.plugins.module_utils._tasks import search_evidence
from ansible_collections.secops.defender.plugins.module_utils._tasks.compare_evidence import TASK as COMPARE
from ansible_collections.secops.defender.plugins.module_utils._tasks.extract_evidence import TASK as EXTRACT
from ansible_collections.secops.defender.plugins.module_utils._tasks.package_info import TASK as INFO
from ansible_collections.secops.defender.plugins.module_utils._tasks.search_evidence import TASK as SEARCH
from ansible_collections.secops.defender.plugins.module_utils._tasks.summary_text import plain
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.evidence_world import NETWORK, WHOLE, Evidence
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Teller, ask
from simulator import artefacts

REAL_LOG = Path(__file__).parents[1] / "evidence" / "reading" / "files" / "security.evtx"
# What stands in event logs as numbers, GUIDs, SIDs, times: it is not searched.
_BINARY = re.compile(r"(0x)?[0-9a-fA-F-]+|S-1-[\d-]+|[0-9T:. Z-]+|true|false")


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path / "evidence")


def search(
    evidence: Evidence, indicators: t.Any = "203.0.113.7", check_mode: bool = False, **more: t.Any
) -> dict[str, t.Any]:
    args = {"path": str(evidence.path), "indicators": indicators, **more}
    return ask(SEARCH, {key: value for key, value in args.items() if value is not ...}, check_mode)


HIT = {**WHOLE, NETWORK: b"TCP 10.0.0.5:52344 203.0.113.7:443"}


def test_the_sentence_of_the_contract(evidence: Evidence) -> None:
    for number in range(1, 11):
        evidence.add(f"pc{number}", HIT if number in (1, 2, 9) else WHOLE)
    evidence.add("pc11", {**WHOLE, "Prefetch Files/x.bin": b"MAM\x04"})
    broken = evidence.add("pc12")
    broken.write_bytes(broken.read_bytes() + b"x")
    result = search(evidence)
    assert result["msg"] == "203.0.113.7 on 3 of 12 devices (pc1, pc2, pc9); 11 searched whole, 1 not."
    assert (result["failed"], result["changed"], result["found"], result["complete"]) == (False, False, True, False)
    # Whose folder was read is the node's, and no host's of the play.
    assert result["node"] == "control"
    (row,) = result["indicators"]
    assert row["searched"] == {"whole": 11, "partly": 0, "none": 1}
    assert [machine["computer_dns_name"] for machine in result["machines"]] == ["pc1", "pc2", "pc9"]
    # A prefetch file's contents can show a name, but no address.
    assert (
        search(evidence, "mimikatz.exe")["msg"]
        == "mimikatz.exe on 0 of 12 devices; 10 searched whole, 1 partly, 1 not."
    )


def test_nothing_found_is_not_clean_where_it_is_not(evidence: Evidence) -> None:
    evidence.add("pc1", {"a.txt": b"MAM"}).write_bytes(b"no zip")
    result = search(evidence)
    assert result["msg"] == "203.0.113.7 on 0 of 1 device; 1 not searched."
    assert not result["complete"] and not result["found"]


def test_an_artefact_that_is_missing_or_holds_an_error_text_was_not_searched(evidence: Evidence) -> None:
    evidence.add("pc1", {path: data for path, data in WHOLE.items() if "evtx" not in path})
    evidence.add("pc2", {**WHOLE, NETWORK: b"ERROR: Access is denied."})
    evidence.add("pc3")
    result = search(evidence)
    assert result["indicators"][0]["searched"] == {"whole": 1, "partly": 2, "none": 0}
    assert [(row["computer_dns_name"], row["artefact"], row["why"]) for row in result["not_searched"]] == [
        ("pc1", "event_log", "the package has no event_log"),
        ("pc2", "network_connections", "the package holds only error texts as network_connections"),
    ]


@pytest.mark.parametrize("wanted", [["firewall_log"], "firewall_log,prefetch", []])
def test_what_was_asked_for_and_is_not_there_was_not_searched(evidence: Evidence, wanted: t.Any) -> None:
    evidence.add("pc1")
    result = search(evidence, artefacts=wanted)
    assert "on 0 of 1 device; 1 not searched." in result["msg"] and not result["complete"]
    assert ("selects nothing" in result["msg"]) is (wanted == [])
    assert result["not_searched"] and search(evidence, artefacts=wanted, require_complete=True)["failed"]
    # What is there of it is searched, and the rest is said.
    assert search(evidence, artefacts=["firewall_log", "services"])["indicators"][0]["searched"]["partly"] == 1
    assert search(evidence, artefacts=["event_log", "services"])["complete"]


def test_of_a_package_that_was_not_read_to_its_end_nobody_says_what_it_lacks(evidence: Evidence) -> None:
    evidence.add("pc1")
    (row,) = search(evidence, max_entries=2)["not_searched"]
    assert row["why"] == "the package has more than 2 entries; the rest was not read"


def encrypted(package: bytes) -> bytes:
    data = bytearray(package)
    for magic, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = data.find(magic)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(magic, at + 4)
    return bytes(data)


@pytest.mark.parametrize(
    ("package", "why"),
    [(artefacts.zipped({}), "no entries with content"), (artefacts.zipped({"a.txt": b""}), "no entries with content"),
     (encrypted(artefacts.zipped(WHOLE)), "it is encrypted")],
)  # fmt: skip
def test_a_package_of_which_nothing_was_read_was_not_searched(evidence: Evidence, package: bytes, why: str) -> None:
    path = evidence.add("pc1", recorded=False)
    path.write_bytes(package)
    result = search(evidence, unrecorded=True)
    assert result["msg"] == "203.0.113.7 on 0 of 1 device; 1 not searched." and not result["complete"]
    # One reason an entry: what is encrypted is no error text.
    assert {row["why"].partition(" as ")[0] for row in result["not_searched"]} == {
        "it has no entries with content" if "content" in why else why
    }


def test_every_device_with_a_hit_keeps_one(evidence: Evidence) -> None:
    for number in range(400):
        evidence.add(f"pc{number}", {NETWORK: b"203.0.113.7 203.0.113.7"}, logged=False)
    result = search(evidence, max_hits=1)
    assert len(result["machines"]) == len(result["hits"]) == 400
    assert result["indicators"][0]["devices"] == 400
    assert result["indicators"][0]["hits"] == 800
    assert "and 390 more" in result["msg"]


def test_a_package_that_differs_from_its_record_is_not_read_and_said(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    package = evidence.add("pc2", HIT)
    package.write_bytes(artefacts.zipped({**HIT, "more.txt": b"203.0.113.7"}))
    teller = Teller()
    result = ask(SEARCH, {"path": str(evidence.path), "indicators": ["203.0.113.7"]}, teller=teller)
    assert [machine["computer_dns_name"] for machine in result["machines"]] == ["pc1"]
    (row,) = result["not_searched"]
    assert row["package"] == str(package) and "its record says" in row["why"]
    assert any("not what was recorded" in text for text in teller.told("warn"))
    info = ask(INFO, {"path": str(evidence.path)})
    assert info["failed"]
    assert [row["error"] and row["error"]["code"] for row in info["packages"]] == [None, "EvidenceAltered"]
    assert info["packages"][1]["entries"] == []


def test_a_package_that_differs_from_the_custody_log_is_not_read(evidence: Evidence) -> None:
    package = evidence.add("pc1", HIT, logged=False)
    custody = Custody(evidence.path, Clock())
    custody.append(
        "package_stored", machine_id="x", action_id="y", path=str(package.relative_to(evidence.path)), sha256="ab" * 32
    )
    custody.close()
    assert "the custody log says" in search(evidence)["not_searched"][0]["why"]


def test_e3_a_package_whose_record_was_changed_is_not_read(evidence: Evidence, tmp_path: Path) -> None:
    """Who writes another device's name into a record would have a finding told of that one."""
    path = evidence.add("pc1", HIT).with_suffix(".json")
    evidence.add("pc2")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "computer_dns_name": "dc01", "machine_id": "d" * 40}))
    for task, more in (
        (SEARCH, {"indicators": "203.0.113.7"}),
        (INFO, {}),
        (COMPARE, {}),
        (EXTRACT, {"dest": str(tmp_path / "out")}),
    ):
        result = ask(task, {"path": str(evidence.path), **more})
        assert "of its record is not the one in the custody log" in json.dumps(result), task.name
        assert not result.get("found") and "dc01" not in str(result.get("machines"))
    assert {path.parts[-3] for path in (tmp_path / "out").rglob("*.evtx")} == {"pc2"}
    evidence.log(path.with_suffix(".zip"))
    assert not search(evidence)["not_searched"], "a record that was made anew, and logged"


def test_a_package_without_a_record_is_read_only_when_asked(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    evidence.add("pc2", HIT, recorded=False)
    result = search(evidence)
    assert result["indicators"][0]["devices"] == 1
    assert "has no record" in result["not_searched"][0]["why"]
    result = search(evidence, unrecorded=True)
    assert [(hit["computer_dns_name"], hit["verified"]) for hit in result["hits"]] == [("pc1", True), (None, False)]
    assert result["complete"]


def test_a_package_that_the_log_does_not_know_is_not_verified_and_hides_no_other(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    planted = evidence.add("pc1", WHOLE, created="2026-11-24T10:15:00Z", logged=False)
    teller = Teller()
    result = ask(SEARCH, {"path": str(evidence.path), "indicators": "203.0.113.7"}, teller=teller)
    assert result["found"] and [hit["verified"] for hit in result["hits"]] == [True]
    assert not teller.told("warn")
    info = ask(INFO, {"path": str(evidence.path), "packages": "all"}, teller=teller)
    assert [(row["verified"], row["error"]) for row in info["packages"]] == [(True, None), (False, None)]
    assert any("knows nothing of them" in text and planted.name in text for text in teller.told("warn"))


def test_a_device_whose_hits_nobody_vouches_for_is_told_apart(evidence: Evidence) -> None:
    """Whoever isolates what a search has found must not be led by a zip that somebody has put there."""
    evidence.add("pc1", HIT)
    evidence.add("dc01", HIT, logged=False)
    rows = search(evidence)["machines"]
    assert {row["computer_dns_name"]: row["verified"] for row in rows} == {"pc1": True, "dc01": False}
    evidence.add("dc01", logged=True)
    evidence.log(evidence.add("pc1", created="2026-11-24T10:15:00Z"))
    assert {row["computer_dns_name"]: row["verified"] for row in search(evidence, packages="all")["machines"]} == {
        "pc1": True,
        "dc01": False,
    }


def test_paths_that_are_no_text_are_told_all_the_same(evidence: Evidence, tmp_path: Path) -> None:
    for name in (b"a\xff.zip", b"b\xff\x1b[2J.zip"):
        Path(os.fsdecode(os.fsencode(evidence.path) + b"/" + name)).write_bytes(artefacts.zipped(HIT))
    for task, more in (
        (SEARCH, {"indicators": "203.0.113.7"}),
        (INFO, {}),
        (COMPARE, {}),
        (EXTRACT, {"dest": str(tmp_path / "out")}),
    ):
        for unrecorded in (True, False):
            result = ask(task, {"path": str(evidence.path), "unrecorded": unrecorded, **more})
            json.dumps(result, ensure_ascii=False).encode()


def test_a_path_with_a_comma_is_an_element_of_a_list(tmp_path: Path) -> None:
    folder = tmp_path / "Incident 4711, second look; again"
    Evidence(folder).add("pc1", HIT)
    other = Evidence(tmp_path / "other")
    other.add("pc2", HIT)
    assert (
        ask(SEARCH, {"path": [str(folder), str(other.path)], "indicators": "203.0.113.7"})["summary"]["packages"] == 2
    )
    assert (
        ask(SEARCH, {"path": f"{other.path}, {other.path}/pc2", "indicators": "203.0.113.7"})["summary"]["packages"]
        == 1
    )


def test_a_folder_that_is_given_twice_is_read_once(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    evidence.add("pc2", HIT, recorded=False)
    paths = [str(evidence.path), f"{evidence.path}/pc1/..", str(evidence.path / "pc1"), str(evidence.path.parent)]
    result = ask(SEARCH, {"path": paths, "indicators": "203.0.113.7", "unrecorded": True})
    assert (result["summary"]["devices"], result["summary"]["packages"], result["summary"]["older"]) == (2, 2, 0)


def test_links_and_pipes_are_not_read(evidence: Evidence, tmp_path: Path) -> None:
    package = evidence.add("pc1", HIT)
    package.rename(tmp_path / "elsewhere.zip")
    package.symlink_to(tmp_path / "elsewhere.zip")
    other = evidence.add("pc2", HIT)
    other.unlink()
    os.mkfifo(other)
    result = search(evidence)
    assert not result["found"]
    assert [row["entry"] for row in result["not_searched"]] == [None, None]


def test_each_call_adds_one_line_that_does_not_tell_what_was_looked_for(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    before = len(evidence.lines())
    result = search(evidence, ["203.0.113.7", "evil.example"])
    ask(INFO, {"path": str(evidence.path)})
    searched, told = evidence.lines()[before:]
    assert result["recorded"]
    assert searched["event"] == told["event"] == "evidence_read"
    assert searched["module"] == "secops.defender.defender_search_evidence"
    assert (searched["packages"], searched["indicators"], len(searched["indicators_sha256"])) == (1, 2, 64)
    assert searched["asked_by"]["user"]
    assert "203.0.113.7" not in json.dumps(searched)
    findings = verify.verify(evidence.path, None, lambda done, of: None).findings
    assert not [
        finding for finding in findings if finding.kind in ("broken_chain", "altered") and "custody" in finding.path
    ]


def test_the_page_of_findings_stands_beside_the_evidence_with_the_export(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    evidence.add("pc2")
    result = search(evidence, report=True, export=True)
    page = Path(result["report"]["html"])
    assert {path.name for path in page.parent.iterdir()} == {
        "findings.html",
        "hits.jsonl",
        "hits.csv",
        "timesketch.jsonl",
    }
    assert page.parent.parent == evidence.path.parent and page.stat().st_mode & 0o777 == 0o600
    text = page.read_text(encoding="utf-8")
    assert "Found on 1 of 2 devices</h1>" in text and f'href="../{evidence.path.name}/pc1/' in text
    assert not [path for path in evidence.path.rglob("*") if path.name in ("findings.html", "hits.csv")]
    alone = Path(search(evidence, report=True)["report"]["html"])
    assert [path.name for path in alone.parent.iterdir()] == ["findings.html"] and alone.parent != page.parent
    assert search(evidence)["report"] is None


def test_check_mode_reads_and_adds_no_line(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    before = evidence.lines()
    result = search(evidence, check_mode=True, export=True, report=True)
    assert result["found"] and not result["recorded"] and (result["exported"], result["report"]) == ([], None)
    assert [path.name for path in evidence.path.parent.iterdir() if "-search-" in path.name] == []
    assert evidence.lines() == before


def test_a_folder_that_cannot_be_written_is_read_all_the_same(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence.add("pc1", HIT)
    (evidence.path / "custody.jsonl").rename(evidence.path / "x")
    (evidence.path / "custody.jsonl").symlink_to(evidence.path / "x")
    teller = Teller()
    result = ask(SEARCH, {"path": str(evidence.path), "indicators": "203.0.113.7"}, teller=teller)
    assert result["found"] and not result["recorded"] and not result["failed"]
    assert any("is not in its custody log" in text for text in teller.told("warn"))


def test_a_zip_in_no_evidence_folder(tmp_path: Path) -> None:
    package = tmp_path / "inbox" / "package.zip"
    package.parent.mkdir()
    package.write_bytes(artefacts.zipped(HIT))
    teller = Teller()
    result = ask(SEARCH, {"path": [str(package)], "indicators": "203.0.113.7", "unrecorded": True}, teller=teller)
    assert result["found"] and not result["recorded"]
    assert any("in no evidence folder" in text for text in teller.told("warn"))
    assert sorted(package.parent.iterdir()) == [package]


def test_a_zip_with_a_record_in_no_evidence_folder_is_not_verified(evidence: Evidence, tmp_path: Path) -> None:
    package = evidence.add("pc1", HIT)
    (tmp_path / "inbox").mkdir()
    for path in (package, package.with_suffix(".json")):
        path.rename(tmp_path / "inbox" / path.name)
    teller = Teller()
    result = ask(SEARCH, {"path": str(tmp_path / "inbox"), "indicators": "203.0.113.7"}, teller=teller)
    assert [(hit["computer_dns_name"], hit["verified"]) for hit in result["hits"]] == [("pc1", False)]
    (warning,) = teller.told("warn")
    assert "not called verified" in warning


def test_newest_or_all(evidence: Evidence) -> None:
    evidence.add("pc1", HIT, created="2026-11-20T10:00:00Z")
    evidence.add("pc1", WHOLE, created="2026-11-23T10:00:00Z")
    newest = search(evidence)
    assert not newest["found"] and newest["summary"]["older"] == 1
    assert "1 older package left out" in newest["msg"]
    both = search(evidence, packages="all")
    assert both["indicators"][0]["devices"] == 1 and both["summary"]["devices"] == 1


@pytest.mark.parametrize(
    "wanted",
    [
        ["pc1"],
        "PC1.contoso.com",
        [{"machine_id": hashlib.sha1(b"pc1.contoso.com").hexdigest(), "computer_dns_name": "x"}],
    ],
)
def test_machines_choose(evidence: Evidence, wanted: t.Any) -> None:
    evidence.add("pc1.contoso.com", HIT)
    evidence.add("pc2.contoso.com", HIT)
    assert [row["computer_dns_name"] for row in search(evidence, machines=wanted)["machines"]] == ["pc1.contoso.com"]


def test_a_machine_without_a_package_is_not_searched_and_said(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    result = search(evidence, machines=["pc1", "pc7"])
    assert result["msg"] == "203.0.113.7 on 1 of 2 devices (pc1); 1 searched whole, 1 not."
    assert result["not_searched"][0]["computer_dns_name"] == "pc7"
    assert ask(INFO, {"path": str(evidence.path), "machines": ["pc7"]})["not_found"] == ["pc7"]


def test_no_machines_select_nothing(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    result = search(evidence, machines=[])
    assert (result["failed"], result["found"], result["complete"]) == (False, False, False)
    assert search(evidence, machines="")["failed"]


def test_all_that_is_refused_is_listed_before_anything_is_read(evidence: Evidence, tmp_path: Path) -> None:
    evidence.add("pc1", HIT)
    before = evidence.lines()
    listed = tmp_path / "indicators.txt"
    listed.write_text("203.0.113.7\nx\n203.0.113.0/20\nevil.example,foo\n", encoding="utf-8")
    result = search(evidence, ["run.sh", "203.0.113.7"], indicators_file=str(listed), allow=["y"])
    assert result["failed"] and result["error"]["code"] == "IndicatorsRefused"
    assert [row["where"] for row in result["refused"]] == [
        "indicators, element 1",
        "line 2",
        "line 3",
        "line 4",
        "allow, element 1",
    ]
    assert evidence.lines() == before
    result = search(evidence, ["run.sh", "203.0.113.7"], on_refused="continue")
    assert result["found"] and len(result["refused"]) == 1


@pytest.mark.parametrize(
    "args",
    [
        {"indicators": ...}, {"indicators": []}, {"artefacts": ["nothing"]}, {"since": "yesterday"}, {"since": 1200}, {"max_hits": 0},
        {"since": "2026-11-24", "until": "2026-11-23"}, {"max_entry": "much"}, {"indicators": [{"type": "ip"}]}, {"path": "/nowhere"},
        {"indicators": [{"value": "x", "typ": "ip"}]}, {"indicators_file": "/nowhere"}, {"indicators": " "},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(evidence: Evidence, args: dict[str, t.Any]) -> None:
    evidence.add("pc1", HIT)
    result = search(evidence, **args)
    assert result["failed"] and result["error"]["advice"]
    assert set(result) == set(search(evidence))


@pytest.mark.parametrize(
    "element", [4711, True, None, 1.5, {"value": 4624, "type": "text"}, '["evil.exe"', '{"value": "evil.exe"']
)
def test_what_is_no_text_is_refused_and_no_text(evidence: Evidence, element: t.Any) -> None:
    evidence.add("pc1", HIT)
    result = search(evidence, [element, "203.0.113.7"])
    assert result["failed"] and result["refused"][0]["where"] == "indicators, element 1"
    assert search(evidence, [element, "203.0.113.7"], on_refused="continue")["found"]


def test_a_day_is_all_of_it(evidence: Evidence) -> None:
    evidence.add("pc1", {**WHOLE, "WdSupportLogs/MPLog-1.log": b"2026-11-23T23:59:59.500Z 203.0.113.7"})
    assert search(evidence, since="2026-11-23", until="2026-11-23")["found"]
    assert not search(evidence, until="2026-11-22")["found"] and not search(evidence, since="2026-11-24")["found"]


def test_require_complete(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    assert not search(evidence, require_complete=True)["failed"]
    evidence.add("pc2", {**WHOLE, "Prefetch Files/A.EXE-12345678.pf": artefacts.prefetch()})
    result = search(evidence, require_complete=True)
    assert result["failed"] and result["found"]
    assert "MAM" in result["not_searched"][0]["why"]


def test_of_many_prefetch_files_one_row_tells(evidence: Evidence) -> None:
    evidence.add(
        "pc1", {**WHOLE, **{f"Prefetch Files/{number}.EXE-12345678.pf": artefacts.prefetch() for number in range(200)}}
    )
    (row,) = search(evidence)["not_searched"]
    assert row["entries"] == 200 and "and 199 more" in row["entry"]


def test_what_was_found_nowhere_is_counted_beside_what_was_found(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    told = "203.0.113.7 on 1 of 1 device (pc1); 1 searched whole. "
    assert search(evidence, "203.0.113.7, evil.example")["msg"] == told + "1 indicator on none."
    assert search(evidence, "203.0.113.7, evil.example, evil.exe")["msg"] == told + "2 indicators on none."


def test_without_the_package_few_indicators_only(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ahocorasick_rs", None)
    evidence.add("pc1", HIT)
    assert search(evidence)["found"]
    few = [f"203.0.113.{number}" for number in range(200)]
    assert search(evidence, few)["found"]
    # What is never reported is not looked for either.
    assert search(evidence, few, allow=["10.0.0.0/8"])["found"]
    result = search(evidence, [*few, "evil.example"])
    assert result["failed"] and result["error"]["code"] == "MissingLibrary" and finders.PACKAGE in result["msg"]


def test_5000_indicators(evidence: Evidence) -> None:
    pytest.importorskip("ahocorasick_rs")
    evidence.add("pc1", HIT)
    result = search(evidence, [f"10.{number // 250}.{number % 250}.1" for number in range(5000)] + ["203.0.113.7"])
    assert [row["value"] for row in result["indicators"] if row["devices"]] == ["203.0.113.7"]


def test_a_real_event_log_against_another_reader(evidence: Evidence) -> None:
    """Every text of a real Security log (evtx's own samples) is found, in the record and at the time that evtx says."""
    evtx = pytest.importorskip("evtx")
    log = REAL_LOG.read_bytes()
    evidence.add("pc1", {**WHOLE, "Security Event Log/Security.evtx": log})
    records = {}
    for each in evtx.PyEvtxParser(io.BytesIO(log)).records():
        moment, _dot, fraction = each["timestamp"].removesuffix(" UTC").rstrip("Z").partition(".")
        values = re.findall(r"<Data Name=[^>]*>([^<]+)</Data>", each["data"])
        texts = {html.unescape(value) for value in values if not _BINARY.fullmatch(value)}
        records[each["event_record_id"]] = (f"{moment.replace(' ', 'T')}.{fraction[:6].ljust(6, '0')}Z", texts)
    wanted = {text.strip() for _moment, texts in records.values() for text in texts if len(text.strip()) > 3}
    assert len(records) == 4 and len(wanted) > 10
    found: dict[str, set[tuple[int, str]]] = {}
    result = search(evidence, [{"value": each, "type": "text"} for each in wanted], max_hits=1000)
    for hit in result["hits"]:
        if hit["record"] is not None:
            found.setdefault(hit["indicator"], set()).add((hit["record"], hit["time"]))
    for text in wanted:
        expected = {
            (number, moment)
            for number, (moment, texts) in records.items()
            if any(text.lower() in each.lower() for each in texts)
        }
        assert expected and expected <= found.get(text, set()), text


def test_exports(evidence: Evidence) -> None:
    event = artefacts.event_log([artefacts.Event(9, data={"A": "203.0.113.7"})], "pc1")
    evidence.add(
        "=pc1", {**HIT, "Security Event Log/Security.evtx": event, "Processes/Processes.csv": b"=cmd|' 203.0.113.7"}
    )
    result = search(evidence, export=True)
    hits, table, sketch = (Path(path).read_text(encoding="utf-8") for path in result["exported"])
    assert len(hits.splitlines()) == 3
    assert "'=pc1" in table and ",'=cmd" in table and ",=" not in table
    assert [(row["datetime"], row["timestamp_desc"]) for row in map(json.loads, sketch.splitlines())] == [
        ("2026-11-23T09:00:00.000000+00:00", "Event record written"),
        ("2026-11-23T10:15:00.000000+00:00", "Collection requested"),
    ]
    assert all(stat.S_IMODE(os.stat(path).st_mode) == 0o600 for path in result["exported"])


def timesketch(result: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    (path,) = (path for path in result["exported"] if path.endswith("timesketch.jsonl"))
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_the_export_tells_when_a_program_ran_that_was_found_by_name(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dissect.util")
    ran = artefacts.ran("POWERSHELL.EXE", [artefacts.EPOCH, artefacts.EPOCH - 10_000_000])
    files = {"Prefetch Files/POWERSHELL.EXE-920BBA2A.pf": ran, "Prefetch Files/CMD.EXE-4A81B364.pf": ran}
    for number in range(4):
        evidence.add(f"pc{number}", {**WHOLE, **files})
    log = {
        "WdSupportLogs/MPLog-1.log": b"2026-11-23T08:00:00.123Z looked at powershell.exe\r\nlocal 08:00 powershell.exe\r\n"
    }
    evidence.add("pc9", {**WHOLE, **log})
    monkeypatch.setattr(workers, "processes", lambda: 2)
    rows = timesketch(search(evidence, "powershell.exe", export=True))
    assert [row["computer_dns_name"] for row in rows if row["timestamp_desc"] == "Last Time Executed"] == [
        "pc0", "pc1", "pc2", "pc3",
    ]  # fmt: skip
    assert {row["datetime"] for row in rows if row["timestamp_desc"] == "Previous Last Time Executed"} == {
        "2026-11-23T08:59:59.000000+00:00"
    }
    assert [row["datetime"] for row in rows if row["timestamp_desc"] == "Line of a log written"] == [
        "2026-11-23T08:00:00.123000+00:00"
    ]
    assert not [row for row in rows if "CMD.EXE" in row["message"]]


def test_the_package_that_run_times_need_is_named_where_it_is_missing(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "can_unpack", lambda: False)
    evidence.add("pc1", {**WHOLE, "Prefetch Files/POWERSHELL.EXE-920BBA2A.pf": artefacts.prefetch()})
    for indicator, warned in (("powershell.exe", True), ("10.0.0.5", False)):
        teller = Teller()
        args = {"path": str(evidence.path), "indicators": indicator, "export": True}
        assert ask(SEARCH, args, teller=teller)["found"]
        assert any("dissect.util" in text for text in teller.told("warn")) is warned


def test_the_summary_is_markdown_that_nothing_escapes_from(evidence: Evidence) -> None:
    evidence.add("pc1", HIT)
    text = search(evidence, ["203.0.113.7", "evil.example"])["summary_text"]
    assert "| 203.0.113.7 | ip | 1 | 1 |" in text and "On no device: 1 indicator." in text
    assert plain("a|b\n# <img> [x](http://y) @all") == "a\\|b \\# \\<img\\> \\[x\\]\\(hxxp://y\\) \\@all"


def test_many_packages_by_several_processes(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        evidence.add(f"pc{number:02}", HIT if number % 2 else WHOLE)
    alone = search(evidence)
    monkeypatch.setattr(workers, "processes", lambda: 3)
    assert search(evidence) == alone


def test_a_process_that_dies_costs_one_package(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        evidence.add(f"pc{number}", HIT)
    real = search_evidence._search_one

    def dying(package: t.Any, *more: t.Any) -> t.Any:
        if package.computer_dns_name == "pc2":
            os._exit(9)
        return real(package, *more)

    monkeypatch.setattr(search_evidence, "_search_one", dying)
    monkeypatch.setattr(workers, "processes", lambda: 2)
    result = search(evidence)
    assert len(result["machines"]) == 5
    assert [row["computer_dns_name"] for row in result["not_searched"]] == ["pc2"]
    assert "WorkerDied" in result["not_searched"][0]["why"]


def test_many_open_files_are_no_hindrance(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence.add("pc1", HIT)
    evidence.add("pc2", HIT)
    monkeypatch.setattr(workers, "processes", lambda: 2)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2000, limits[1]), limits[1]))
    opened = [os.open(os.devnull, os.O_RDONLY) for _number in range(1100)]
    try:
        assert len(search(evidence)["machines"]) == 2
    finally:
        for file in opened:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


RULES = """
import "pe"
rule Good { strings: $a = "mimikatz" nocase condition: $a and filename matches /csv$/ and extension == ".csv" and filetype == "" and owner == "" }
rule Broken { condition: nonsense }
rule Also { condition: filepath contains "Processes" }
"""


def test_yara(evidence: Evidence, tmp_path: Path) -> None:
    pytest.importorskip("yara_x")
    (tmp_path / "rules.yar").write_text(RULES, encoding="utf-8")
    evidence.add("pc1", {**HIT, "Processes/Processes.csv": b"4,Mimikatz"})
    teller = Teller()
    args = {"path": str(evidence.path), "indicators": "203.0.113.7", "yara_rules": str(tmp_path / "rules.yar")}
    result = ask(SEARCH, args, teller=teller)
    assert [(row["value"], row["type"], row["devices"]) for row in result["indicators"]] == [
        ("203.0.113.7", "ip", 1), ("Good", "yara", 1), ("Also", "yara", 1),
    ]  # fmt: skip
    (hit,) = [hit for hit in result["hits"] if hit["indicator"] == "Good"]
    assert (hit["entry"], hit["offset"], hit["excerpt"]) == ("Processes/Processes.csv", 2, "Mimikatz")
    assert any("Broken" in text or "nonsense" in text for text in teller.told("warn"))


def test_yara_is_named_where_it_is_missing(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yara_x", None)
    evidence.add("pc1", HIT)
    result = search(evidence, yara_rules="/rules.yar")
    assert result["failed"] and "yara-x" in result["msg"]


def test_what_packages_hold(evidence: Evidence) -> None:
    evidence.add("pc1.contoso.com", artefacts.seen("pc1.contoso.com"))
    evidence.add("pc2.contoso.com", artefacts.seen("other.contoso.com"))
    teller = Teller()
    result = ask(INFO, {"path": str(evidence.path)}, teller=teller)
    assert not result["failed"] and not result["changed"]
    one, two = result["packages"]
    assert (one["os"], one["verified"], one["missing"], one["strangers"]) == ("windows", True, [], [])
    assert two["strangers"] == ["OTHER", "other", "other.contoso.com"]
    assert any("other.contoso.com" in text for text in teller.told("warn"))


def test_the_same_keys_on_every_path(evidence: Evidence) -> None:
    evidence.add("pc1")
    assert set(ask(INFO, {"path": str(evidence.path)})) == set(ask(INFO, {"path": "/nowhere"})) == set(ask(INFO, {}))
    assert ask(INFO, {"path": str(evidence.path), "max_nesting": -1})["failed"]


def test_event_logs_tell_their_span(evidence: Evidence) -> None:
    evidence.add("pc1")
    (row,) = search(evidence)["event_logs"]
    assert (row["records"], row["first"]) == (1, "2026-11-23T09:00:00.000000Z")
