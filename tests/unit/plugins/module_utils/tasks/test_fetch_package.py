# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence import files as _files
from ansible_collections.secops.defender.plugins.module_utils._evidence import records as _records
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting import store as _store
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import verify
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.plugins.module_utils._tasks.fetch_package import TASK
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Result, Tenant
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device
from simulator.devices import PastAction
from simulator.packages import package

TWIN = "twin.contoso.com"
NOBODY = "00000000-0000-4000-8000-000000000000"


class Archive:
    """Somebody who fetches; by default with an app that may read and nothing else."""

    def __init__(self, tenant: Tenant, dest: Path) -> None:
        self.tenant = tenant
        self.simulator = tenant.simulator
        self.dest = dest

    def __call__(self, **given: t.Any) -> Result:
        self.simulator.reset_log()
        given = {"app": "secops-reader", "dest": str(self.dest), **given}
        result = self.tenant(TASK, **given)
        assert self.tenant.posts() == [], "something was started"
        return result

    def ids(self, name: str) -> list[str]:
        """Of the device's collections, the oldest first."""
        machine = self.simulator.device(name).id
        rows = [row for row in self.simulator.actions if row["machineId"] == machine]
        return [row["id"] for row in sorted(rows, key=lambda row: row["creationDateTimeUtc"])]

    def served(self, name: str, action_id: str) -> str:
        device = self.simulator.device(name)
        content = package(1, action_id, device.name, device.os_platform, device.package_size)
        return hashlib.sha256(b"".join(content.chunks())).hexdigest()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in (self.dest / "custody.jsonl").read_bytes().splitlines()]

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.dest)) for path in self.dest.rglob("*") if path.is_file())


@pytest.fixture
def archive(simulate: t.Any, clock: VirtualClock, tmp_path: Path) -> Archive:
    simulator = simulate(
        Device("old.contoso.com", history=(PastAction(age=9 * 3600.0), PastAction(age=5 * 3600.0))),
        Device("young.contoso.com", "recent", recent_age=600.0),
        Device("busy.contoso.com", "running", collect_seconds=(90000.0, 90000.0)),
        Device("failed.contoso.com", history=(PastAction(status="Failed", age=300.0),)),
        Device("never.contoso.com", history=(PastAction("RunAntiVirusScan"),)),
        Device("mixed.contoso.com", history=(PastAction(age=7200.0), PastAction(status="Pending", age=60.0))),
        Device(TWIN, history=(PastAction(),), last_seen=9000.0),
        Device(TWIN, history=(PastAction(),), last_seen=60.0),
    )
    return Archive(Tenant(simulator, clock), tmp_path / "evidence")


def codes(result: Result) -> list[str | None]:
    return [(row["error"] or {}).get("code") for row in result["packages"]]


def test_by_machine_the_newest_package(archive: Archive) -> None:
    result = archive(machines=["old", "YOUNG.contoso.com"])
    assert (result["changed"], result["failed"]) == (True, False), result["msg"]
    assert result["msg"] == "2 packages: 2 verified. The oldest package is 4 h 59 min old."
    for row, name in zip(result["packages"], ("old.contoso.com", "young.contoso.com"), strict=True):
        assert row["action"]["id"] == archive.ids(name)[-1]
        assert (row["request"], row["status"], row["changed"], row["failed"]) == ("reused", "Succeeded", True, False)
        assert row["package"]["sha256"] == archive.served(name, row["action"]["id"])
        assert Path(row["package"]["path"]).parent == archive.dest / name
    assert [row["machine"] for row in result["packages"]] == ["old", "YOUNG.contoso.com"]
    assert verify(archive.dest).findings == []


@pytest.mark.parametrize("name", ["pc01.contoso.com", "oldname.contoso.com"], ids=["same name", "renamed"])
@pytest.mark.parametrize("by", ["id", "name"])
def test_the_newest_action_may_be_a_former_records(
    simulate: t.Any, clock: VirtualClock, tmp_path: Path, by: str, name: str
) -> None:
    """Under the device's own record stands an older package, and under the one that was merged into it what was asked for since."""
    new = Device("pc01.contoso.com", history=(PastAction(age=9000.0),))
    old = Device(name, id="0" * 39 + "1", merged_into=new.id, history=(PastAction(status="Pending", age=600.0),))
    archive = Archive(Tenant(simulate(new, old), clock), tmp_path / "evidence")
    result = archive(machines=[getattr(old, by)])
    assert codes(result) == ["NoPackage"] and " is Pending, and the package of " in result["msg"]
    # Its package is the device's, too.
    old = Device(name, id="0" * 39 + "1", merged_into=new.id, history=(PastAction(age=600.0),))
    archive = Archive(Tenant(simulate(new, old), clock), tmp_path / "evidence")
    result = archive(machines=[getattr(old, by)])
    (fetched,) = result["packages"]
    assert (fetched["failed"], fetched["machine_id"], fetched["age"]) == (False, new.id, 510), result["msg"]
    assert Path(fetched["package"]["path"]).parent == archive.dest / "pc01.contoso.com"
    assert verify(archive.dest).findings == []


def test_an_older_package_than_asked_for(archive: Archive) -> None:
    older, newest = archive.ids("mixed.contoso.com")
    result = archive(machines=["mixed", "young"])
    assert result["node"] == "control"
    assert [row["failed"] for row in result["packages"]] == [True, False]
    error = result["packages"][0]["error"]
    assert error["code"] == "NoPackage"
    assert f"to fetch: the newest action {newest} of " in error["message"]
    assert f" is Pending, and the package of {older} is older, from " in error["message"]
    assert not list(archive.dest.glob("mixed*"))
    # Asked for the newest that there is, one learns that another is to come.
    result = archive(machines=["mixed"], newest_only=False)
    assert not result["failed"] and result["packages"][0]["action"]["id"] == older
    assert " The newest action has no package: mixed.contoso.com (Pending)." in result["msg"]
    (line,) = archive.tenant.teller.told("trouble")
    assert f"the newest action {newest} is Pending; the package is of an older one, from " in line


def test_a_record_with_one_word_exchanged_vouches_for_nothing(archive: Archive) -> None:
    (row,) = archive(machines=["young"])["packages"]
    record = Path(row["package"]["path"]).with_suffix(".json")
    record.write_text(record.read_text().replace("young.contoso.com", "other.contoso.com"))
    again = archive(machines=["young"])
    assert codes(again) == ["EvidenceAltered"] and "has a record that is not the one that was written" in again["msg"]


def test_a_secret_that_the_service_says_back_is_in_no_record(archive: Archive) -> None:
    secret = archive.tenant.connection("secops-reader")["client_secret"]
    assert not archive.tenant(COLLECT, machines=["never"], comment=f"Asked with {secret}", wait=True)["failed"]
    assert not archive(machines=["never"])["failed"]
    (record,) = archive.dest.glob("never*/*.json")
    assert "Asked with ***" in record.read_text() and secret not in record.read_text()


def test_a_report_that_cannot_be_written_fails_the_run_and_loses_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_facts: object) -> t.NoReturn:
        raise EvidenceError("The report cannot be written: File too large.", advice="Make room.")

    monkeypatch.setattr(_store, "write", full)
    result = archive(machines=["young"], report=True)
    (row,) = result["packages"]
    assert result["failed"] and "The report cannot be written" in result["msg"]
    assert not row["failed"] and Path(row["package"]["path"]).is_file()
    assert archive.events()[-1] == "run_aborted"


def test_a_later_run_for_others_names_what_nobody_has_picked_up(archive: Archive) -> None:
    given: dict[str, t.Any] = {"comment": "x", "dest": str(archive.dest), "wait_timeout": 5, "poll_interval": 1}
    assert archive.tenant(COLLECT, machines=["busy"], **given)["failed"]
    assert not archive(machines=["young"])["failed"]
    (said,) = [line for line in archive.tenant.teller.told("say") if "without an end" in line]
    assert "1 request of earlier runs without an end: busy.contoso.com." in said


def test_the_result_has_the_keys_of_collecting(archive: Archive) -> None:
    fetched = archive(machines=["young", "ghost"])
    collected = archive.tenant(COLLECT, machines=["young", "ghost"], comment="x", check_mode=True)
    assert set(fetched) == set(collected)
    assert set(fetched["summary"]) == set(collected["summary"])
    for mine, theirs in zip(fetched["packages"], collected["packages"], strict=True):
        assert set(mine) == set(theirs)


def test_by_action_id_several_of_one_machine(archive: Archive) -> None:
    first, second = archive.ids("old.contoso.com")
    result = archive(action_ids=[second, first])
    assert [row["action"]["id"] for row in result["packages"]] == [second, first]
    assert [row["machine_id"] for row in result["packages"]] == [archive.simulator.device("old.contoso.com").id] * 2
    assert (result["summary"]["requested"], result["summary"]["downloaded"]) == (2, 2)
    assert len(list(archive.dest.glob("old.contoso.com/*.zip"))) == 2
    assert verify(archive.dest).findings == []


def test_machines_and_action_ids_together_come_in_that_order(archive: Archive) -> None:
    first = archive.ids("old.contoso.com")[0]
    result = archive(machines=["old"], action_ids=[first])
    assert [row["machine"] for row in result["packages"]] == ["old", first]
    assert [row["action"]["id"] for row in result["packages"]] == archive.ids("old.contoso.com")[::-1]


def test_named_twice_is_fetched_once(archive: Archive) -> None:
    action_id = archive.ids("young.contoso.com")[0]
    result = archive(action_ids=[action_id, action_id.upper()])
    assert len(result["packages"]) == 2 and result["summary"]["requested"] == 1
    assert archive.tenant.calls("package_link") == 1


def test_one_of_the_two_must_be_given(archive: Archive) -> None:
    result = archive()
    assert result["msg"] == (
        "secops.defender.defender_fetch_package needs one of machines, action_ids, and none is given. Give one of them."
    )
    assert archive.simulator.requests == []


@pytest.mark.parametrize("named", [{"action_ids": []}, {"machines": []}, {"machines": [], "action_ids": "[]"}])
def test_an_empty_list_selects_nothing_and_says_so(archive: Archive, named: dict[str, t.Any]) -> None:
    result = archive(**named)
    assert (result["changed"], result["failed"], result["packages"]) == (False, False, [])
    assert result["msg"] == "An empty list selects nothing: no package was asked for."


def test_again_is_unchanged_and_costs_no_link(archive: Archive) -> None:
    first = archive(machines=["young"])
    again = archive(machines=["young"])
    assert (again["changed"], again["failed"]) == (False, False)
    assert again["packages"][0]["package"] == first["packages"][0]["package"]
    assert archive.tenant.calls("package_link") == 0


@pytest.mark.parametrize(
    ("max_age", "expected"),
    [("0", [None, None]), ("1h", ["NoPackage", None]), ("60s", ["NoPackage", "NoPackage"]), ("6h", [None, None])],
)
def test_max_age(archive: Archive, max_age: str, expected: list[str | None]) -> None:
    result = archive(machines=["old", "young"], max_age=max_age)
    assert codes(result) == expected
    for row in result["packages"]:
        if row["error"]:
            assert (
                "older than max_age" in row["error"]["message"] and "defender_collect_package" in row["error"]["advice"]
            )


@pytest.mark.parametrize("blank", ["", None, "  "])
def test_a_blank_dest_is_none(archive: Archive, blank: str | None) -> None:
    result = archive(machines=["young"], dest=blank)
    assert result["msg"].startswith("secops.defender.defender_fetch_package needs dest, but it is blank.")
    assert archive.simulator.requests == []


def test_a_device_that_was_renamed_is_stored_once(archive: Archive) -> None:
    """The list of machines has its new name, its actions still have the former one."""
    action_id = archive.ids("young.contoso.com")[0]
    for row in archive.simulator.fleet.machine_entities:
        if row["computerDnsName"] == "young.contoso.com":
            row["computerDnsName"] = "renamed.contoso.com"
    result = archive(machines=["renamed"], action_ids=[action_id])
    assert not result["failed"], result["msg"]
    assert len({row["package"]["path"] for row in result["packages"]}) == 1
    assert archive.tenant.calls("package_link") == 1


def test_max_age_holds_for_action_ids_as_well(archive: Archive) -> None:
    result = archive(action_ids=[*archive.ids("old.contoso.com"), *archive.ids("young.contoso.com")], max_age="6h")
    assert codes(result) == ["NoPackage", None, None]


def test_a_bad_max_age(archive: Archive) -> None:
    result = archive(machines=["old"], max_age="soon")
    assert result["failed"] and "max_age is 'soon'" in result["msg"]
    assert archive.simulator.requests == []


def test_what_is_not_ready_says_why_and_the_others_are_fetched(archive: Archive) -> None:
    result = archive(machines=["busy", "failed", "never", "ghost", TWIN, "young"])
    assert codes(result) == ["NoPackage", "NoPackage", "NoPackage", "MachineNotFound", "MachineAmbiguous", None]
    messages = [(row["error"] or {}).get("message", "") for row in result["packages"]]
    assert "is InProgress" in messages[0] and "is Failed" in messages[1] and "no collection is known" in messages[2]
    assert [row["status"] for row in result["packages"]] == ["InProgress", "Failed", None, None, None, "Succeeded"]
    assert result["failed"] and result["changed"]
    assert result["msg"].startswith(
        "6 packages: 1 verified, 5 failed. The package is 10 min old. Failed: busy (NoPackage)"
    )


def test_a_newer_action_that_is_not_ready_hides_no_package_where_any_will_do(archive: Archive) -> None:
    result = archive(machines=["mixed"], newest_only=False)
    assert result["packages"][0]["action"]["id"] == archive.ids("mixed.contoso.com")[0]


def test_ambiguous_names(archive: Archive) -> None:
    result = archive(machines=[TWIN], on_ambiguous="newest")
    twins = [device for device in archive.simulator.fleet.devices if device.name == TWIN]
    newest = min(twins, key=lambda device: float(device.last_seen))
    assert not result["failed"] and result["packages"][0]["machine_id"] == newest.id


def test_ids_that_are_none_and_actions_that_make_no_package(archive: Archive) -> None:
    scan = archive.ids("never.contoso.com")[0]
    result = archive(action_ids=[NOBODY, scan, *archive.ids("busy.contoso.com")])
    assert codes(result) == ["ActionNotFound", "NoPackage", "NoPackage"]
    assert "RunAntiVirusScan" in result["packages"][1]["error"]["message"]
    assert archive.tenant.calls("package_link") == 0


def test_malformed_ids(archive: Archive) -> None:
    result = archive(action_ids=["5382f7ea"])
    assert result["failed"] and "'5382f7ea'" in result["msg"]
    assert archive.simulator.requests == []


def test_check_mode_predicts_and_writes_nothing(archive: Archive) -> None:
    result = archive(machines=["old", "young", "busy"], check_mode=True)
    assert [row["changed"] for row in result["packages"]] == [True, True, False]
    assert result["changed"] and result["summary"]["plan"]["links"] == 2
    assert result["msg"].startswith("3 packages: 2 would be downloaded, 1 failed.")
    assert not archive.dest.exists()
    assert archive.tenant.calls("package_link") == 0
    archive(machines=["old", "young"])
    later = archive(machines=["old", "young"], check_mode=True)
    assert not later["changed"] and later["summary"]["plan"]["links"] == 0


def test_reading_is_enough_and_starting_is_not(archive: Archive) -> None:
    result = archive(machines=["young"], app="secops-starter")
    assert result["failed"] and "Machine.Read.All" in result["msg"]
    assert result["packages"][0]["error"]["code"] == "MissingPermission"
    assert not any(entry.endpoint.startswith("machine") for entry in archive.simulator.requests)


def test_no_secret_gets_out(archive: Archive) -> None:
    result = archive(machines=["old", "young"])
    text = json.dumps(result) + json.dumps(archive.tenant.teller.lines) + (archive.dest / "custody.jsonl").read_text()
    assert archive.simulator.secrets
    assert not [secret for secret in archive.simulator.secrets if secret in text]


def test_a_download_that_breaks_off_is_carried_out_by_the_next_run(archive: Archive) -> None:
    archive.simulator.add_fault("download", "truncate", count=0)
    result = archive(machines=["young"])
    assert result["failed"] and not result["packages"][0]["package"]
    assert not [name for name in archive.files() if name.endswith(".zip")]
    archive.simulator.faults.reset()
    result = archive(machines=["young"])
    assert not result["failed"] and result["changed"], result["msg"]
    # What nobody vouches for is not built upon.
    assert [entry.status for entry in archive.simulator.requests if entry.endpoint == "download"] == [200]
    assert result["packages"][0]["package"]["sha256"] == archive.served(
        "young.contoso.com", result["packages"][0]["action"]["id"]
    )
    assert verify(archive.dest).findings == []


@pytest.mark.parametrize("step", ["store", "_announce_stored", "rename"])
def test_killed_between_the_last_steps(archive: Archive, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """The next run completes it, without another download."""

    def die(*args: t.Any, **kwargs: t.Any) -> t.NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "_announce_stored":
            patch.setattr(Folder, step, die)
        elif step == "rename":
            patch.setattr(_files.Dir, "rename", die)
        else:
            patch.setattr(_records, step, die)
        with pytest.raises(KeyboardInterrupt):
            archive(machines=["young"])
    result = archive(machines=["young"])
    assert not result["failed"], result["msg"]
    # A link is needed to learn that nothing is left to download, unless the package has its name already.
    assert archive.tenant.calls("download") == 0
    assert verify(archive.dest).findings == []
    assert archive.events().count("package_stored") == 1


def test_a_package_that_was_altered_is_not_overwritten(archive: Archive) -> None:
    path = Path(archive(machines=["young"])["packages"][0]["package"]["path"])
    path.write_bytes(b"altered")
    result = archive(machines=["young"])
    assert codes(result) == ["EvidenceAltered"] and path.read_bytes() == b"altered"


def test_the_links_quota_is_kept(archive: Archive, clock: VirtualClock) -> None:
    began = clock.now
    result = archive(
        machines=["old", "young", "mixed"], newest_only=False, action_ids=archive.ids("old.contoso.com")[:1]
    )
    assert result["summary"]["downloaded"] == 4
    assert archive.simulator.throttled() == {}
    assert clock.now - began >= 60


def test_collecting_and_fetching_share_a_folder(archive: Archive) -> None:
    """What is fetched with no comment is nobody's unfinished request."""
    archive(machines=["young"])
    collected = archive.tenant(COLLECT, machines=["young"], comment="x", dest=str(archive.dest), reuse_within="1h")
    assert not collected["failed"] and collected["packages"][0]["request"] == "reused"
    assert not collected["changed"]
    assert verify(archive.dest).findings == []
