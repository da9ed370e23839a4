# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import struct
import subprocess
import tempfile
import typing as t
import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence import verify
from ansible_collections.secops.defender.plugins.module_utils._evidence.extracting import extract
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import kinds, workers
from ansible_collections.secops.defender.plugins.module_utils._tasks.extract_evidence import TASK as EXTRACT
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.evidence.extracting.test_names import (
    NAMES,
    harmless,
)
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.evidence_world import CREATED, WHOLE, Evidence
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Teller, ask
from simulator import artefacts

LOG = WHOLE["Security Event Log/Security.evtx"]
OTHER_LOG = artefacts.event_log([artefacts.Event(7, data={"C": "d"})], "pc")
ACTION = "5382f7ea-7557-4ab7-9782-d50480024a4e"


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path / "evidence")


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "out"


def take(evidence: Evidence | Path, dest: Path, check_mode: bool = False, **more: t.Any) -> dict[str, t.Any]:
    path = evidence if isinstance(evidence, Path) else evidence.path
    return ask(EXTRACT, {"path": str(path), "dest": str(dest), **more}, check_mode)


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_manifest(folder: Path) -> None:
    """As anybody does."""
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "manifest-sha256.txt"], cwd=folder, check=True)
    listed = {}
    for line in (folder / "manifest-sha256.txt").read_text("ascii").splitlines():
        digest, _separator, path = line.partition("  ")
        listed[path] = digest
    found = {path: hashlib.sha256(data).hexdigest() for path, data in files_below(folder).items()}
    found.pop("manifest-sha256.txt")
    assert listed == found


def zip_of(entries: t.Iterable[tuple[bytes, bytes]], attributes: int = 0) -> bytes:
    """A zip with any bytes as names, also twice the same. attributes: of Unix, such as those of a link."""
    data, directory, count = b"", b"", 0
    for name, content in entries:
        crc, size = zlib.crc32(content), len(content)
        fields = struct.pack("<HHHHHIIIHH", 20, 0x800, 0, 0, 0x5B77, crc, size, size, len(name), 0)
        made = struct.pack("<H", 3 << 8 | 20)
        directory += b"PK\x01\x02" + made + fields + struct.pack("<HHHII", 0, 0, 0, attributes << 16, len(data)) + name
        data += b"PK\x03\x04" + fields + name + content
        count += 1
    return data + directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(data), 0)


def recorded(package: Path, content: bytes) -> Path:
    """A package with other content, and a record that says so."""
    package.write_bytes(content)
    record = json.loads(package.with_suffix(".json").read_text())
    record.update(sha256=hashlib.sha256(content).hexdigest())
    package.with_suffix(".json").write_text(json.dumps(record))
    return package


def test_event_logs_of_all_devices_byte_for_byte_with_a_manifest(evidence: Evidence, dest: Path) -> None:
    package = evidence.add("pc1.contoso.com")
    evidence.rewrite(package, action={"id": ACTION, "creationDateTimeUtc": CREATED})
    evidence.add("pc2.contoso.com", {**WHOLE, "Security Event Log/Security.evtx": OTHER_LOG})
    result = take(evidence, dest)
    assert (result["failed"], result["changed"], result["complete"], result["recorded"]) == (False, True, True, True)
    assert (dest / "pc1.contoso.com" / ACTION / "Security.evtx").read_bytes() == LOG
    assert [Path(row["path"]).read_bytes() for row in result["files"]] == [LOG, OTHER_LOG]
    assert [row["sha256"] for row in result["files"]] == [hashlib.sha256(data).hexdigest() for data in (LOG, OTHER_LOG)]
    assert result["msg"] == f"2 files of 2 packages extracted to {dest} on control."
    assert result["manifest"] == str(dest / "manifest-sha256.txt")
    check_manifest(dest)
    for path in dest.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_second_run_changes_nothing_and_a_third_adds_what_is_new(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1")
    take(evidence, dest)
    before = {path: (os.stat(dest / path).st_mtime_ns, data) for path, data in files_below(dest).items()}
    again = take(evidence, dest)
    assert (again["changed"], again["failed"], again["summary"]["written"]) == (False, False, 0)
    assert "1 there already, with the same bytes" in again["msg"]
    assert {path: (os.stat(dest / path).st_mtime_ns, data) for path, data in files_below(dest).items()} == before
    evidence.add("pc2")
    assert take(evidence, dest)["summary"]["written"] == 1
    assert len((dest / "manifest-sha256.txt").read_text().splitlines()) == 2
    check_manifest(dest)


def test_what_stands_there_is_never_overwritten(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1", {**WHOLE, "Security Event Log/System.evtx": OTHER_LOG})
    evidence.add("pc2")
    path = Path(take(evidence, dest)["files"][0]["path"])
    path.write_bytes(b"mine")
    link = path.with_name("System.evtx")
    link.unlink()
    link.symlink_to(dest.parent / "elsewhere")
    result = take(evidence, dest)
    assert result["failed"] and not result["changed"]
    assert [row["error"] and row["error"]["code"] for row in result["packages"]] == ["NotOverwritten", None]
    assert path.name in result["msg"] and "System.evtx" in result["msg"]
    assert path.read_bytes() == b"mine" and link.is_symlink() and not (dest.parent / "elsewhere").exists()


@pytest.mark.parametrize("level", ["device", "action"])
def test_folders_that_are_links_are_not_followed(evidence: Evidence, dest: Path, tmp_path: Path, level: str) -> None:
    evidence.add("pc1")
    action = Path(take(evidence, dest)["files"][0]["path"]).parent
    shutil.rmtree(dest)
    link = action if level == "action" else action.parent
    link.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    link.symlink_to(tmp_path / "elsewhere")
    result = take(evidence, dest)
    assert result["failed"] and result["packages"][0]["error"]["code"] == "NotOverwritten"
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "way", ["itself", "below", "by a link", "by a link below", "up again", "a device's folder", "a bag"]
)
def test_a_dest_among_evidence_is_refused_before_anything_is_written(
    evidence: Evidence, tmp_path: Path, way: str
) -> None:
    evidence.add("pc1")
    (tmp_path / "link").symlink_to(evidence.path / "pc1")
    (tmp_path / "bag" / "data").mkdir(parents=True)
    (tmp_path / "bag" / "bagit.txt").touch()
    (tmp_path / "pc1").symlink_to(evidence.path)
    given_dest = {
        "itself": evidence.path,
        "below": evidence.path / "extracted" / "deep",
        "by a link": tmp_path / "link",
        "by a link below": tmp_path / "link" / "deep",
        "up again": tmp_path / "link" / ".." / "deep",
        # pc1's files would go into the link of that name.
        "a device's folder": tmp_path,
        "a bag": tmp_path / "bag" / "data",
    }[way]
    before, lines = files_below(tmp_path), evidence.lines()
    result = take(evidence, given_dest)
    assert result["failed"] and result["error"]["code"] == "DestInEvidence"
    assert files_below(tmp_path) == before and evidence.lines() == lines
    assert take(evidence, given_dest, check_mode=True)["error"]["code"] == "DestInEvidence"


def test_check_mode_says_what_would_be_and_writes_nothing(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1")
    lines = evidence.lines()
    checked = take(evidence, dest, check_mode=True)
    assert checked["changed"] and not checked["recorded"] and not dest.exists() and evidence.lines() == lines
    assert checked["msg"] == f"1 file of 1 package would be extracted to {dest} on control."
    done = take(evidence, dest)
    assert [checked[key] for key in ("files", "packages", "complete", "summary")] == [
        done[key] for key in ("files", "packages", "complete", "summary")
    ]
    again = take(evidence, dest, check_mode=True)
    assert not again["changed"] and again["files"][0]["written"] is False
    Path(done["files"][0]["path"]).write_bytes(b"mine")
    assert take(evidence, dest, check_mode=True)["failed"]


def test_one_line_in_the_custody_log_says_what_was_taken_out(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1")
    before = len(evidence.lines())
    take(evidence, dest)
    (line,) = evidence.lines()[before:]
    assert (line["event"], line["module"]) == ("evidence_read", "secops.defender.defender_extract_evidence")
    assert (line["packages"], line["artefacts"], line["dest"]) == (1, ["event_log"], str(dest))
    findings = verify.verify(evidence.path, None, lambda done, of: None).findings
    assert not [finding for finding in findings if "custody" in finding.path and finding.kind != "unfinished"]


def test_containers_and_their_members_by_kind(evidence: Evidence, dest: Path) -> None:
    files = artefacts.seen("pc1")
    evidence.add("pc1", files)
    result = take(evidence, dest, artefacts=["defender_logs", "prefetch"])
    taken = {row["entry"]: Path(row["path"]).read_bytes() for row in result["files"]}
    cab = "WdSupportLogs/MPSupportFiles.cab"
    assert taken[cab] == files[cab]
    assert taken[f"{cab}!/MPRegistry.txt"] == b"Current configuration options\r\n"
    assert {entry for entry in taken if entry.endswith(".pf")} == {name for name in files if name.endswith(".pf")}
    # A prefetch file is whole as it is, though its contents are not unpacked.
    assert result["complete"]
    check_manifest(dest)


def test_a_container_that_cannot_be_opened_is_extracted_all_the_same(evidence: Evidence, dest: Path) -> None:
    cab = artefacts.cabinet({"MPLog-1.log": b"x"}, kind=3)
    evidence.add("pc1", {**WHOLE, "WdSupportLogs/MPSupportFiles.cab": cab})
    result = take(evidence, dest, artefacts="defender_logs")
    assert [Path(row["path"]).read_bytes() for row in result["files"]] == [cab]
    (left,) = result["not_searched"]
    assert left["entry"] == "WdSupportLogs/MPSupportFiles.cab!/MPLog-1.log" and "LZX" in left["why"]
    assert not result["complete"] and not result["failed"]
    assert take(evidence, dest, artefacts="defender_logs", require_complete=True)["failed"]
    closed = take(evidence, dest / "closed", artefacts="defender_logs", max_nesting=0)
    assert [row["entry"] for row in closed["files"]] == ["WdSupportLogs/MPSupportFiles.cab"]


def test_what_is_damaged_or_too_large_is_left_out_without_a_trace(evidence: Evidence, dest: Path) -> None:
    content = zip_of([(b"Security Event Log/a.evtx", LOG), (b"Security Event Log/b.evtx", OTHER_LOG)])
    package = recorded(evidence.add("pc1", logged=False), content.replace(OTHER_LOG[4096:4104], b"damaged!", 2))
    evidence.add("pc2", {**WHOLE, "Security Event Log/Security.evtx": LOG + bytes(1 << 20)})
    result = take(evidence, dest, max_entry="1MiB")
    whys = [(row["package"], row["entry"], row["why"]) for row in result["not_searched"] if row["entry"]]
    assert whys == [
        (str(package), "Security Event Log/a.evtx", "it does not match its checksum"),
        (str(package), "Security Event Log/b.evtx", "it does not match its checksum"),
        (result["packages"][1]["path"], "Security Event Log/Security.evtx", "it is larger than 1 MiB"),
    ]
    assert result["files"] == [] and result["manifest"] is None
    assert files_below(dest) == {}


def test_limits_are_kept(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1")
    result = take(evidence, dest, max_entries=2)
    (first,) = result["not_searched"]
    assert (first["entry"], first["why"]) == (None, "the package has more than 2 entries; the rest was not read")


def test_what_was_asked_for_and_is_not_there_is_said(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1")
    result = take(evidence, dest, artefacts=["event_log", "firewall_log"])
    (left,) = result["not_searched"]
    assert (left["artefact"], left["why"]) == ("firewall_log", "the package has no firewall_log")
    assert len(result["files"]) == 1 and not result["complete"]
    assert "selects nothing" in take(evidence, dest, artefacts=[])["msg"]


def test_a_package_that_differs_from_its_record_is_not_touched(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1")
    package = evidence.add("pc2")
    package.write_bytes(package.read_bytes() + b"x")
    result = take(evidence, dest)
    assert result["failed"] and "EvidenceAltered" in [
        row["error"]["code"] for row in result["packages"] if row["error"]
    ]
    assert [row["computer_dns_name"] for row in result["files"]] == ["pc1"]
    assert not result["complete"]


def test_packages_without_a_record(evidence: Evidence, dest: Path, tmp_path: Path) -> None:
    evidence.add("pc1")
    for box in ("a", "b"):
        (tmp_path / box).mkdir()
        (tmp_path / box / "package.zip").write_bytes(artefacts.zipped(WHOLE))
    paths = [str(evidence.path), str(tmp_path / "a"), str(tmp_path / "b")]
    without = ask(EXTRACT, {"path": paths, "dest": str(dest)})
    assert not without["failed"] and not without["complete"] and len(without["files"]) == 1
    result = ask(EXTRACT, {"path": paths, "dest": str(dest), "unrecorded": True})
    folders = [Path(row["path"]).parent.relative_to(dest).parts for row in result["files"]]
    assert [folder[0] for folder in folders] == ["pc1", "unrecorded", "unrecorded"] and len(set(folders)) == 3
    assert [row["verified"] for row in result["packages"]] == [True, False, False]
    alone = ask(EXTRACT, {"path": paths[1], "dest": str(dest)})
    assert alone["failed"] and "has no record" in alone["msg"]


def test_two_copies_of_a_package_share_their_folder_and_two_different_ones_do_not_mix(
    evidence: Evidence, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "processes", lambda: 2)
    package = evidence.add("pc1")
    evidence.rewrite(package, action={"id": ACTION, "creationDateTimeUtc": CREATED})
    shutil.copytree(evidence.path, tmp_path / "copy")
    paths = [str(evidence.path), str(tmp_path / "copy")]
    result = ask(EXTRACT, {"path": paths, "dest": str(dest), "packages": "all"})
    assert [row["written"] for row in result["files"]] == [True, False] and not result["failed"]
    (other,) = (tmp_path / "copy" / "pc1").glob("*.zip")
    (tmp_path / "copy" / "custody.jsonl").unlink()
    recorded(other, artefacts.zipped({**WHOLE, "Security Event Log/Security.evtx": OTHER_LOG}))
    result = ask(EXTRACT, {"path": paths, "dest": str(dest), "packages": "all"})
    assert [row["error"] and row["error"]["code"] for row in result["packages"]] == [None, "NotOverwritten"]
    check_manifest(dest)


def test_many_packages_by_several_processes(evidence: Evidence, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        evidence.add(f"pc{number:02}")
    monkeypatch.setattr(workers, "processes", lambda: 3)
    result = take(evidence, dest)
    assert [row["computer_dns_name"] for row in result["files"]] == [f"pc{number:02}" for number in range(12)]
    check_manifest(dest)


def test_a_process_that_dies_costs_one_package_and_the_next_run_makes_it_good(
    evidence: Evidence, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        evidence.add(f"pc{number}")
    real = extract._Entry._put

    def dying(self: t.Any, folder: t.Any) -> None:
        if "pc2" in str(folder.path):
            os._exit(9)
        real(self, folder)

    monkeypatch.setattr(workers, "processes", lambda: 2)
    with monkeypatch.context() as patch:
        patch.setattr(extract._Entry, "_put", dying)
        result = take(evidence, dest)
    assert result["failed"] and "WorkerDied" in result["msg"] and len(result["files"]) == 3
    assert [path for path in files_below(dest) if path.endswith(".part")]
    assert take(evidence, dest)["summary"]["written"] == 1
    check_manifest(dest)


def test_a_manifest_whose_last_line_was_cut_is_mended(evidence: Evidence, dest: Path) -> None:
    for name in ("pc1", "pc2"):
        evidence.add(name)
    take(evidence, dest)
    manifest = dest / "manifest-sha256.txt"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-20])
    assert not take(evidence, dest)["failed"]
    assert manifest.read_bytes() == whole


@pytest.mark.parametrize("content", [b"notes\n", b"\xff\n", b"0" * 64 + b"  ../x/y/z\n"])
def test_a_manifest_of_something_else_is_left_alone(evidence: Evidence, dest: Path, content: bytes) -> None:
    evidence.add("pc1")
    dest.mkdir()
    (dest / "manifest-sha256.txt").write_bytes(content)
    result = take(evidence, dest)
    assert result["failed"] and result["error"]["code"] == "NotOverwritten"
    assert files_below(dest) == {"manifest-sha256.txt": content}


def test_one_run_at_a_time(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1")
    take(evidence, dest)
    with open(dest / "manifest-sha256.txt", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert take(evidence, dest)["error"]["code"] == "DestBusy"
    assert not take(evidence, dest)["failed"]


def test_a_disk_that_is_full_is_told_and_leaves_no_half_file(
    evidence: Evidence, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence.add("pc1")

    def full(_file: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(extract, "write_all", full)
    result = take(evidence, dest)
    assert result["packages"][0]["error"]["code"] == "DiskFull" and str(dest) in result["msg"]
    assert files_below(dest) == {}


@pytest.mark.parametrize(
    "args", [{"dest": "out"}, {"artefacts": "nothing"}, {"path": "/nowhere"}, {"max_entry": "much"}, {"zzz": 1}]
)
def test_what_cannot_be_meant_is_refused_with_the_same_keys(
    evidence: Evidence, dest: Path, tmp_path: Path, args: dict[str, t.Any]
) -> None:
    evidence.add("pc1")
    (tmp_path / "file").touch()
    given_args = {**args, "dest": str(tmp_path / "file")} if "dest" in args else {"dest": str(dest), **args}
    result = ask(EXTRACT, {"path": str(evidence.path), **given_args})
    assert result["failed"] and result["error"]["advice"]
    assert set(result) == set(take(evidence, dest))


def test_machines_without_a_package_are_told(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1")
    result = take(evidence, dest, machines=["pc1", "pc7"])
    assert result["not_found"] == ["pc7"] and result["not_searched"][0]["computer_dns_name"] == "pc7"
    assert not result["complete"] and not result["failed"]
    nothing = take(evidence, dest / "none", machines=[])
    assert (nothing["failed"], nothing["changed"], nothing["files"]) == (False, False, [])


def test_a_device_whose_name_is_none_for_a_folder(evidence: Evidence, dest: Path) -> None:
    package = evidence.add("pc1")
    action = {"id": "../..\n", "creationDateTimeUtc": "2026-11-23T10:15:00Z"}
    evidence.rewrite(package, computer_dns_name="../../nul", action=action)
    result = take(evidence, dest)
    assert Path(result["files"][0]["path"]).relative_to(dest).parts == ("_nul", "_", "Security.evtx")
    check_manifest(dest)


LINK = 0o120777
RAW = st.one_of(NAMES.map(lambda name: name.encode("utf-8", "surrogatepass")), st.binary(max_size=40))


@given(st.lists(st.tuples(RAW, st.binary(max_size=60)), max_size=12), st.lists(NAMES, max_size=4), st.booleans())
@example(
    [(b"../../x.evtx", b"1"), (b"..\\..\\x.evtx", b"2"), (b"/x.evtx", b"3"), (b"C:\\X.EVTX", b"4"), (b"x.evtx", b"5")],
    [],
    True,
)
@example(
    [(b"a/" * 200 + b"n" * 400 + b".evtx", b"1"), (b"nul.evtx", b"2"), (b"\xff\xfe.evtx", b"3"), (b"a\nb.evtx", b"4")],
    ["../../y", "y"],
    False,
)
def test_every_hostile_name_is_extracted_harmlessly(
    entries: list[tuple[bytes, bytes]], members: list[str], links: bool
) -> None:
    names = {name.encode("cp1252", "replace").partition(b"\0")[0].decode("cp1252", "replace"): b"m" for name in members}
    cab = artefacts.cabinet(names)
    content = zip_of([*entries, (b"WdSupportLogs/MPSupportFiles.cab", cab)], LINK if links else 0)
    with tempfile.TemporaryDirectory() as room:
        package, dest = Path(room, "in", "package.zip"), Path(room, "out")
        package.parent.mkdir()
        package.write_bytes(content)
        args = {"path": str(package), "dest": str(dest), "unrecorded": True, "artefacts": sorted(kinds.KINDS)}
        result = ask(EXTRACT, args)
        assert not result["failed"]
        found = files_below(Path(room))
        assert {path for path in found if not path.startswith("out/unrecorded/")} <= {
            "in/package.zip",
            "out/manifest-sha256.txt",
        }
        assert not [path for path in Path(room).rglob("*") if path.is_symlink()]
        listed = [Path(row["path"]) for row in result["files"]]
        assert len({str(path).lower() for path in listed}) == len(listed)
        assert all(harmless(path.name) and path.parent.parent == dest / "unrecorded" for path in listed)
        # Nothing is lost but empty entries that are folders, and what stands in not_searched.
        wanted = Counter(data for name, data in entries if data or not name.endswith((b"/", b"\\")))
        missing = wanted + Counter([cab]) - Counter(path.read_bytes() for path in listed)
        assert sum(missing.values()) <= sum(row["entry"] is not None for row in result["not_searched"])
        check_manifest(dest)
        again = ask(EXTRACT, args)
        assert not again["changed"] and not again["failed"]
        assert files_below(Path(room)) == found


def test_warnings_name_a_dest_that_others_may_write(evidence: Evidence, dest: Path) -> None:
    evidence.add("pc1")
    dest.mkdir()
    dest.chmod(0o777)
    teller = Teller()
    ask(EXTRACT, {"path": str(evidence.path), "dest": str(dest)}, teller=teller)
    assert any("The folder for extracted files" in text for text in teller.told("warn"))
