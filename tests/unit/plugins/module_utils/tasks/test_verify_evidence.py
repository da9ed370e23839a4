# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
import shutil
import typing as t
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence import verify as _verify
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._tasks import verify_evidence as _module
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.plugins.module_utils._tasks.verify_evidence import TASK
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Result, Teller, Tenant, ask
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device, Simulator

KEYS = ["changed", "error", "failed", "findings", "head", "head_compared", "interrupted", "msg", "node", "packages", "seals", "summary",
        "tenant", "verified", "without_package"]  # fmt: skip
DEVICES = [Device(f"pc0{number}.contoso.com", package_size=3000 + number) for number in (1, 2, 3)]
NO_HEAD = "No head was given to compare with, so events cut off the end would not show."


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Path]:
    """What a run has left: three packages and a report. Nobody may change it."""
    home = tmp_path_factory.mktemp("evidence")
    clock = VirtualClock()
    with Simulator(DEVICES, clock=clock.wall) as simulator:
        collected = Tenant(simulator, clock)(
            COLLECT,
            machines=["pc01", "pc02", "pc03"],
            comment="Alert 4711",
            dest=str(home / "real"),
            quota_dir=str(home / "quota"),
            report=True,
        )
        assert collected["summary"]["downloaded"] == 3, collected["msg"]
        yield home / "real"


@pytest.fixture
def folder(real: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(real, tmp_path / "evidence"))


def packages_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.zip"))


def events_of(folder: Path) -> int:
    return len((folder / "custody.jsonl").read_bytes().splitlines())


def check(folder: Path | str, **given: t.Any) -> Result:
    teller = Teller()
    result = ask(TASK, {"path": str(folder), **given}, teller=teller)
    assert sorted(result) == KEYS
    assert result["changed"] is False
    assert sorted(result["summary"]) == ["events", "findings", "packages", "repaired", "verified"]
    for package in result["packages"]:
        assert sorted(package) == [
            "action_id",
            "collected",
            "downloaded",
            "machine_id",
            "path",
            "sha256",
            "size",
            "verified",
        ]
    for finding in result["findings"]:
        assert sorted(finding) == ["kind", "message", "path", "since"]
    return result


def test_the_result_of_a_whole_folder(real: Path) -> None:
    result = check(real)
    assert (result["verified"], result["failed"], result["findings"], result["error"]) == (True, False, [], None)
    events = events_of(real)
    assert result["summary"] == {"packages": 3, "verified": 3, "findings": 0, "events": events, "repaired": 0}
    # Whose folder it is: the play's host may be another computer than the one that was looked at.
    assert (result["node"], result["interrupted"]) == ("control", [])
    assert result["msg"] == (
        f"{real} on control: 3 packages and the custody log of {events} events are as they were written. {NO_HEAD}"
    )
    first = packages_of(real)[0]
    collected = result["packages"][0].pop("collected")
    assert (
        collected.startswith("2027-01-15T08:16:")
        and collected == json.loads(first.with_suffix(".json").read_bytes())["action"]["lastUpdateDateTimeUtc"]
    )
    assert result["packages"][0] == {
        "path": str(first.relative_to(real)),
        "machine_id": DEVICES[0].id,
        "action_id": first.stem.split("_")[1],
        "sha256": hashlib.sha256(first.read_bytes()).hexdigest(),
        "size": first.stat().st_size,
        "downloaded": json.loads(first.with_suffix(".json").read_bytes())["downloaded"],
        "verified": True,
    }


def test_whether_a_head_was_compared_is_said(real: Path) -> None:
    plain = check(real)
    assert plain["head_compared"] is False
    result = check(real, custody_head=f" {plain['head'].upper()} ")
    assert result["verified"] and result["head_compared"] is True
    assert result["msg"].endswith("are as they were written. The head that was given is in the log.")


def test_the_result_of_a_spoilt_folder(folder: Path) -> None:
    package = packages_of(folder)[1]
    package.write_bytes(package.read_bytes() + b"x")
    result = check(folder)
    assert (result["verified"], result["failed"]) == (False, True)
    assert result["summary"]["verified"] == 2
    # A list that grows with the fleet can be left out; what is wrong and how many there are is told all the same.
    assert check(folder, return_packages=False) == {**result, "packages": []}
    assert [finding["kind"] for finding in result["findings"]] == ["altered"]
    name, since = str(package.relative_to(folder)), result["findings"][0]["since"]
    events = events_of(folder)
    assert f"1 finding in 3 packages and {events} events. {name}: The package has the SHA-256" in result["msg"]
    assert f"It was right at {since}." in result["msg"]
    assert "Leave the folder as it is" in result["msg"]


def test_a_folder_without_a_log_may_be_the_wrong_one(folder: Path) -> None:
    for wrong in (folder.parent, packages_of(folder)[0].parent):
        result = check(wrong)
        assert result["failed"] and result["findings"][0]["message"] == "There is no custody log."
        assert (
            " Give the folder that was dest when the packages were collected. If it is this one, leave the folder as it is"
            in result["msg"]
        )


def test_many_findings_are_counted_in_the_sentence(folder: Path) -> None:
    for number in range(9):
        (folder / f"extra{number}").touch()
    result = check(folder)
    assert "9 findings" in result["msg"] and "And 4 more." in result["msg"] and "move them out" in result["msg"]
    assert len(result["findings"]) == 9


def test_what_is_unfinished_is_to_be_finished(folder: Path) -> None:
    log = folder / "custody.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    assert "run the interrupted task again" in check(folder)["msg"]


def test_who_has_no_package_is_named_in_the_sentence(folder: Path) -> None:
    with Custody(folder, Clock()) as custody:
        custody.append(
            "device_failed", machine_id="9" * 40, computer_dns_name="pc9.contoso.com", code="Forbidden", comment="x"
        )
    result = check(folder)
    assert [each["code"] for each in result["without_package"]] == ["Forbidden"]
    assert " 1 request without a package: pc9.contoso.com (Forbidden)." in result["msg"]


def test_nothing_is_not_called_verified(tmp_path: Path) -> None:
    """A log in order that tells of no package proves nothing."""
    dest = tmp_path / "empty"
    dest.mkdir(mode=0o700)
    custody = Custody(dest, VirtualClock())
    custody.begin(devices=0)
    custody.append("run_ended", stored=0, failed=0)
    custody.close()
    result = check(dest)
    assert (result["verified"], result["failed"], result["findings"]) == (False, True, [])
    assert result["msg"] == (
        f"{dest} on control: the custody log of {events_of(dest)} events is as it was written, but there is no package, so "
        "nothing is verified."
    )


@pytest.mark.parametrize("head", ["abc", "g" * 64, "0" * 63])
def test_a_head_that_is_none(real: Path, head: str) -> None:
    result = check(real, custody_head=head)
    assert result["failed"] and result["error"]["code"] == "InvalidOptions" and head in result["msg"]


def test_a_head_that_is_not_in_the_chain(real: Path) -> None:
    result = check(real, custody_head="0" * 64)
    assert [finding["kind"] for finding in result["findings"]] == ["broken_chain"]


def test_a_folder_that_is_none(real: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", real / "custody.jsonl"):
        result = check(path)
        assert result["failed"] and result["error"]["code"] == "EvidenceMissing" and str(path) in result["msg"]
        assert result["node"] == "control"


def test_what_cannot_be_read(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: t.Any) -> t.NoReturn:
        raise EvidenceError("x cannot be read: Permission denied.", code="EvidenceUnreadable")

    monkeypatch.setattr(_verify, "verify", refuse)
    result = check(real)
    assert result["error"]["code"] == "EvidenceUnreadable" and "Permission denied" in result["msg"]


def test_a_large_folder_tells_how_far_it_is(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_module, "_PACE", 0.0)
    teller = Teller()
    ask(TASK, {"path": str(real)}, teller=teller)
    assert teller.told("say") == [f"{number} of 3 packages checked" for number in range(3)]


def test_no_file_name_steers_the_terminal(folder: Path) -> None:
    (folder / "\x1b[2Jall is well").touch()
    assert check(folder)["msg"].isprintable()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"path": ""}, "needs path, but it is blank."),
        ({"path": None}, "needs path, but it is blank."),
        ({}, "needs path, and it is not given."),
        ({"path": "/srv/e", "dest": "/srv/f"}, "path and dest are two names of one option, and both are given."),
        ({"path": "/srv/e", "tenant": "contoso.com"}, "has no option tenant."),
    ],
)
def test_what_is_refused(args: dict[str, t.Any], said: str) -> None:
    result = ask(TASK, args)
    assert result["failed"] and said in result["msg"] and sorted(result) == KEYS


def test_it_needs_nobodys_credentials_and_no_network(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    assert ask(TASK, {"path": os.path.relpath(real)}, environ={})["verified"]
