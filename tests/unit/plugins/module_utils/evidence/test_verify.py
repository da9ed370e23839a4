# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
import shutil
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence import verify as _verify
from ansible_collections.secops.defender.plugins.module_utils._evidence.chain import (
    parse_line,
    sha256_of_line,
    with_digest,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import DuplicatePackage, Folder
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting import store
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import Verdict, verify
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Machine
from ansible_collections.secops.defender.tests.report import sample
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import package_bytes
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock

TENANT = "11111111-2222-3333-4444-555555555555"
MACHINES = [Machine(f"{number:040x}", f"pc0{number}.contoso.com") for number in (1, 2, 3)]
# Of one run with three packages and a report.
EVENTS = 19


def action_of(machine: Machine, number: int = 0) -> Action:
    return Action.from_api(
        {
            "id": f"{int(machine.id, 16):08x}-0000-4000-8000-{number:012x}",
            "type": "CollectInvestigationPackage",
            "status": "Succeeded",
            "machineId": machine.id,
            "computerDnsName": machine.dns_name,
            "creationDateTimeUtc": "2026-11-23T10:15:00.1234567Z",
        }
    )


def begun(folder: Folder, machine: Machine, action: Action, comment: str = "Alert 4711", word: str = "started") -> None:
    """What the log says of a request until its package is there."""
    custody = folder.custody
    facts = {"machine_id": machine.id, "computer_dns_name": machine.dns_name, "comment": comment}
    if word == "started":
        assert custody.claim_start(machine.id, machine.dns_name, comment) is None
    custody.append("action_known", **facts, action_id=action.id, request=word)


def fetched(folder: Folder, machine: Machine, action: Action, data: bytes | None = None) -> Path:
    content = package_bytes(action.id, 3000) if data is None else data

    @contextmanager
    def stream(offset: int) -> Iterator[t.Any]:
        yield 0, len(content), iter([content])

    return folder.fetch(machine, action, {"comment": "Alert 4711"}, stream).path


def collect(dest: Path, *machines: Machine, number: int = 0, comment: str = "Alert 4711", report: bool = False) -> None:
    """What a run of the fleet does to a folder."""
    with Folder(str(dest), VirtualClock()) as folder:
        folder.custody.begin(tenant=TENANT, asked_by={}, comment=comment, devices=len(machines))
        for machine in machines:
            begun(folder, machine, action_of(machine, number), comment)
            fetched(folder, machine, action_of(machine, number))
        if report:
            store.write(folder, sample.facts([]), sample.BEGAN)
        folder.custody.append("run_ended", stored=len(machines), failed=0)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run has left: three packages and a report. Nobody may change it; see copy_of."""
    folder = tmp_path_factory.mktemp("evidence") / "real"
    collect(folder, *MACHINES, report=True)
    return folder


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def packages_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.zip"))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def kinds(verdict: Verdict) -> set[str]:
    return {finding.kind for finding in verdict.findings}


@contextmanager
def rewritten(path: Path, data: bytes) -> Iterator[None]:
    """For the property tests: copying the folder each time would take too long."""
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


@pytest.fixture
def folder(real: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(real, tmp_path / "evidence"))


@pytest.fixture
def log(folder: Path) -> Path:
    return folder / "custody.jsonl"


def lines_of(log: Path) -> list[bytes]:
    return log.read_bytes().splitlines(keepends=True)


def chained(entries: list[dict[str, t.Any]]) -> bytes:
    """A log that somebody who knows how has made anew."""
    previous, lines = "0" * 64, []
    for number, entry in enumerate(entries, 1):
        lines.append(with_digest({**entry, "seq": number, "previous_sha256": previous}).encode())
        previous = sha256_of_line(lines[-1])
    return b"".join(line + b"\n" for line in lines)


def entries_of(log: Path) -> list[dict[str, t.Any]]:
    return [json.loads(line) for line in lines_of(log)]


# ---- nothing wrong ----


def test_a_whole_folder_is_verified(real: Path) -> None:
    report = verify(real)
    assert report.findings == []
    assert len(report.packages) == 3 and all(package["verified"] for package in report.packages)
    assert report.events == len(lines_of(real / "custody.jsonl")) == EVENTS
    assert report.head == hashlib.sha256(lines_of(real / "custody.jsonl")[-1][:-1]).hexdigest()


def test_verifying_changes_nothing(folder: Path) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files_of(folder)}
    (folder / "pc01.contoso.com" / "extra").write_text("x")
    verify(folder)
    (folder / "pc01.contoso.com" / "extra").unlink()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files_of(folder)} == before


# ---- any single byte ----


def place_in(data: t.Any, size: int) -> int:
    """Anywhere, but the ends more often than chance would have it."""
    return t.cast(int, data.draw(st.one_of(st.sampled_from([0, size - 1]), st.integers(0, size - 1))))


@settings(max_examples=250)
@given(data=st.data())
def test_any_byte_changed_removed_or_inserted_is_found(real: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files_of(real)))
    content = path.read_bytes()
    at = place_in(data, len(content))
    how = data.draw(st.sampled_from(["change", "remove", "insert"]))
    byte = bytes([data.draw(st.one_of(st.sampled_from(list(b'\n\r 0"{}\0')), st.integers(0, 255)))])
    if how == "change":
        spoilt = content[:at] + byte + content[at + 1 :]
    elif how == "remove":
        spoilt = content[:at] + content[at + 1 :]
    else:
        at = data.draw(st.sampled_from([at, len(content)]))
        spoilt = content[:at] + byte + content[at:]
    if spoilt == content:
        return
    with rewritten(path, spoilt):
        report = verify(real)
    assert report.findings, f"{how} of {byte!r} at {at} of {path.name}"
    assert str(path.relative_to(real)) in {finding.path for finding in report.findings}


def test_bytes_all_over_the_log_and_a_record_count(real: Path) -> None:
    """One change each at places all over, instead of all changes at some places."""
    for path in (real / "custody.jsonl", packages_of(real)[0].with_suffix(".json")):
        content = path.read_bytes()
        for at in range(0, len(content), 11 if path.suffix == ".json" else 67):
            with rewritten(path, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]):
                assert verify(real).findings, f"byte {at} of {path.name}"


# ---- the log ----


def test_the_log_cut_off_at_any_line_and_within_is_found(real: Path) -> None:
    log = real / "custody.jsonl"
    content = log.read_bytes()
    ends = {end + step for end, byte in enumerate(content) if byte == 10 for step in (0, 1)}
    for size in sorted({*range(0, len(content), 41), *ends} - {len(content)}):
        with rewritten(log, content[:size]):
            report = verify(real)
        assert report.findings, size
        if size and not content[:size].endswith(b"\n"):
            assert _verify.TORN in kinds(report), size
        elif size:
            # Whole lines are missing: the run has no end.
            assert _verify.UNFINISHED in kinds(report), size


def test_a_line_removed(real: Path) -> None:
    log = real / "custody.jsonl"
    lines = lines_of(log)
    for number in range(len(lines) - 1):
        with rewritten(log, b"".join(lines[:number] + lines[number + 1 :])):
            report = verify(real)
        assert _verify.BROKEN_CHAIN in kinds(report)
        told = next(finding for finding in report.findings if finding.kind == _verify.BROKEN_CHAIN)
        assert told.message.startswith(f"Line {number + 1} does not follow the line before: 1 line is missing")


def test_several_lines_removed_are_counted(real: Path) -> None:
    log = real / "custody.jsonl"
    lines = lines_of(log)
    with rewritten(log, b"".join(lines[:3] + lines[7:])):
        assert any("4 lines are missing" in finding.message for finding in verify(real).findings)


def test_a_line_repeated_or_moved(real: Path) -> None:
    log = real / "custody.jsonl"
    lines = lines_of(log)
    for number in range(len(lines)):
        with rewritten(log, b"".join(lines[: number + 1] + lines[number:])):
            assert any("inserted, repeated" in finding.message for finding in verify(real).findings)
        if number:
            swapped = [*lines]
            swapped[number - 1], swapped[number] = swapped[number], swapped[number - 1]
            with rewritten(log, b"".join(swapped)):
                assert _verify.BROKEN_CHAIN in kinds(verify(real))


def test_a_line_edited_with_a_fitting_digest(real: Path) -> None:
    log = real / "custody.jsonl"
    lines = lines_of(log)
    for number, line in enumerate(lines):
        edited = with_digest({**json.loads(line), "run": "another"}).encode() + b"\n"
        with rewritten(log, b"".join([*lines[:number], edited, *lines[number + 1 :]])):
            report = verify(real)
        assert report.findings
        if number < len(lines) - 1:
            assert any(
                f"Line {number + 2} " in finding.message and "altered" in finding.message for finding in report.findings
            )


def test_an_altered_line_tells_since_when(folder: Path, log: Path) -> None:
    lines = lines_of(log)
    lines[5] = lines[5].replace(b'"event":"', b'"event":"x', 1)
    log.write_bytes(b"".join(lines))
    altered = verify(folder).findings[0]
    assert (altered.kind, altered.path) == (_verify.ALTERED, "custody.jsonl")
    assert altered.message.startswith("Line 6 ")
    assert altered.since == json.loads(lines[4])["time"]


def test_numbers_that_do_not_count_on(folder: Path, log: Path) -> None:
    entries = entries_of(log)
    previous, lines = "0" * 64, []
    for entry in entries:
        seq = entry["seq"] + (5 if entry["seq"] > 4 else 0)
        lines.append(with_digest({**entry, "seq": seq, "previous_sha256": previous}).encode())
        previous = sha256_of_line(lines[-1])
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    assert any("has the number 10 where 5 belongs" in finding.message for finding in verify(folder).findings)


def test_no_log_and_an_empty_one(folder: Path, log: Path) -> None:
    log.write_bytes(b"")
    assert _verify.MISSING in kinds(verify(folder))
    log.unlink()
    report = verify(folder)
    assert _verify.MISSING in kinds(report) and report.head is None
    assert len([finding for finding in report.findings if finding.kind == _verify.NOT_RECORDED]) == 8


@pytest.mark.parametrize("garbage", [b"[" * 200_000, b"\xff\xfe", b"{}", b'{"seq":"1"}', b"null", b""])
def test_lines_that_are_no_entries(folder: Path, log: Path, garbage: bytes) -> None:
    with open(log, "ab") as end:
        end.write(garbage + b"\n")
    assert kinds(verify(folder)) == {_verify.ALTERED}


@pytest.mark.parametrize(
    "path",
    [
        "../outside.zip",
        "/etc/passwd",
        "",
        "custody.jsonl",
        "pc01.contoso.com/../../x.zip",
        "a/b/c.zip",
        "a/\0.zip",
        None,
    ],
)
def test_a_package_where_none_can_be(folder: Path, log: Path, path: str | None) -> None:
    entries = entries_of(log)
    entries.insert(-1, {**next(entry for entry in entries if entry["event"] == "package_stored"), "path": path})
    log.write_bytes(chained(entries))
    report = verify(folder)
    assert any(
        finding.kind == _verify.ALTERED and "where none can be" in finding.message for finding in report.findings
    )
    assert len(report.packages) == 3


def test_a_package_that_is_stored_twice_with_different_content(folder: Path, log: Path) -> None:
    """A forger who makes the chain anew still has to explain why a package was overwritten."""
    entries = entries_of(log)
    stored = next(entry for entry in entries if entry["event"] == "package_stored")
    package = folder / stored["path"]
    package.write_bytes(b"something else")
    entries.insert(-1, {**stored, "sha256": hashlib.sha256(b"something else").hexdigest()})
    log.write_bytes(chained(entries))
    report = verify(folder)
    assert any("stored again with another SHA-256" in finding.message for finding in report.findings)
    assert any(finding.path == stored["path"] for finding in report.findings)


# ---- the head, noted elsewhere ----


def test_any_line_may_have_been_the_head(real: Path) -> None:
    for line in lines_of(real / "custody.jsonl"):
        assert verify(real, sha256_of_line(line[:-1]).upper()).findings == []


def test_a_log_made_anew_does_not_fit_the_records(folder: Path, log: Path) -> None:
    entries = entries_of(log)
    entries[0]["comment"] = "Another story"
    log.write_bytes(chained(entries))
    report = verify(folder)
    assert kinds(report) == {_verify.BROKEN_CHAIN} and len(report.findings) == 3
    assert not any(package["verified"] for package in report.packages)


def test_a_log_made_anew_with_its_records_is_found_by_the_head_alone(folder: Path, log: Path) -> None:
    head = verify(folder).head
    entries = entries_of(log)
    entries[0]["comment"] = "Another story"
    for number, line in enumerate(chained(entries).splitlines()):
        entries[number] = json.loads(line)
    # The records stand on lines of the log as well, so a forger writes them anew, too.
    previous = "0" * 64
    lines: list[bytes] = []
    anchors: dict[str, str] = {}
    for entry in entries:
        if entry["event"] == "package_stored":
            record = (folder / entry["path"]).with_suffix(".json")
            content = {**json.loads(record.read_bytes()), "custody_sha256": anchors[entry["path"]]}
            record.write_text(json.dumps(content))
            entry["record_sha256"] = hashlib.sha256(record.read_bytes()).hexdigest()
        line = with_digest({**entry, "previous_sha256": previous}).encode()
        previous = sha256_of_line(line)
        if entry["event"] == "package_verified":
            anchors[entry["path"]] = previous
        lines.append(line + b"\n")
    log.write_bytes(b"".join(lines))
    assert verify(folder).findings == []
    assert kinds(verify(folder, head)) == {_verify.BROKEN_CHAIN}


# ---- files ----


def test_a_file_removed(real: Path, tmp_path: Path) -> None:
    for path in files_of(real):
        folder = Path(shutil.copytree(real, tmp_path / "copy"))
        (folder / path.relative_to(real)).unlink()
        report = verify(folder)
        found = [finding for finding in report.findings if finding.path == str(path.relative_to(real))]
        assert [finding.kind for finding in found] == [_verify.MISSING], path
        if path.name != "custody.jsonl":
            assert found[0].since
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name",
    [
        "note.txt",
        "pc01.contoso.com/note.txt",
        "pc01.contoso.com/x.zip",
        ".hidden",
        ".part",
        "new/x.zip.part",
        "x.json",
        "..part",
    ],
)
def test_a_file_added(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    assert [(finding.kind, finding.path) for finding in verify(folder).findings] == [(_verify.NOT_RECORDED, name)]


def test_a_file_whose_name_is_no_text(folder: Path) -> None:
    os.close(os.open(os.fsencode(folder) + b"/\xff\xfe.zip", os.O_CREAT | os.O_WRONLY))
    (finding,) = verify(folder).findings
    assert finding.path == "\\xff\\xfe.zip"


def test_a_file_renamed(folder: Path) -> None:
    for path in (packages_of(folder)[0], packages_of(folder)[1].with_suffix(".json")):
        new = path.with_name(f"x{path.name}")
        path.rename(new)
        found = {(finding.kind, finding.path) for finding in verify(folder).findings}
        assert {
            (_verify.MISSING, str(path.relative_to(folder))),
            (_verify.NOT_RECORDED, str(new.relative_to(folder))),
        } <= found
        new.rename(path)
    assert verify(folder).findings == []


def test_files_swapped(folder: Path) -> None:
    for suffix in (".zip", ".json"):
        one, two = (path.with_suffix(suffix) for path in packages_of(folder)[:2])
        spare = folder / "spare"
        one.rename(spare), two.rename(one), spare.rename(two)
        found = {finding.path for finding in verify(folder).findings if finding.kind == _verify.ALTERED}
        assert found == {str(one.relative_to(folder)), str(two.relative_to(folder))}
        one.rename(spare), two.rename(one), spare.rename(two)


def test_devices_swapped_with_all_they_have(folder: Path) -> None:
    one, two, spare = folder / "pc01.contoso.com", folder / "pc02.contoso.com", folder / "spare"
    one.rename(spare), two.rename(one), spare.rename(two)
    report = verify(folder)
    assert [package["verified"] for package in report.packages] == [False, False, True]
    assert kinds(report) == {_verify.MISSING, _verify.NOT_RECORDED}


def test_a_link_in_place_of_a_file(folder: Path, tmp_path: Path) -> None:
    package = packages_of(folder)[0]
    shutil.move(package, tmp_path / "elsewhere.zip")
    package.symlink_to(tmp_path / "elsewhere.zip")
    assert [(finding.kind, "link" in finding.message) for finding in verify(folder).findings] == [
        (_verify.NOT_RECORDED, True)
    ]


def test_a_link_in_place_of_a_folder(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "pc01.contoso.com", tmp_path / "elsewhere")
    (folder / "pc01.contoso.com").symlink_to(tmp_path / "elsewhere")
    assert (_verify.NOT_RECORDED, "pc01.contoso.com") in {(each.kind, each.path) for each in verify(folder).findings}


def test_package_and_record_forged_together(folder: Path) -> None:
    package = packages_of(folder)[0]
    package.write_bytes(b"forged")
    record = json.loads(package.with_suffix(".json").read_bytes())
    record.update(sha256=hashlib.sha256(b"forged").hexdigest(), size=6)
    package.with_suffix(".json").write_text(json.dumps(record))
    assert {finding.path for finding in verify(folder).findings} == {
        str(package.relative_to(folder)),
        str(package.with_suffix(".json").relative_to(folder)),
    }


def test_a_record_that_the_log_knows_but_that_is_of_another_package(folder: Path, log: Path) -> None:
    entries = entries_of(log)
    last = [entry for entry in entries if entry["event"] == "package_stored"][-1]
    record = (folder / last["path"]).with_suffix(".json")
    record.write_text(json.dumps({**json.loads(record.read_bytes()), "sha256": "0" * 64}))
    last["record_sha256"] = hashlib.sha256(record.read_bytes()).hexdigest()
    log.write_bytes(chained(entries))
    assert [finding.message for finding in verify(folder).findings] == ["The package is not what its record says."]


def _removed(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    path.unlink()


def _replaced(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    path.write_bytes(data)


def _by_another_of_its_kind(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    path.write_bytes(other.read_bytes())


def _linked(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def _linked_to_another(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    path.unlink()
    path.symlink_to(other)


def _swapped(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    path.rename(elsewhere), other.rename(path), elsewhere.rename(other)


def _renamed(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    path.rename(path.with_name(f"x{path.name}"))


def _moved_to_another_device(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    path.rename(other.parent / f"x{path.name}")


def _added_beside(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    (path.parent / f"{path.stem}-2{path.suffix}").write_bytes(data)


def _a_part_of_it(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    (path.parent / f"{path.name}.part").write_bytes(path.read_bytes()[: len(data)])


def _made_a_folder(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    path.unlink()
    path.mkdir()


def _made_a_pipe(path: Path, other: Path, elsewhere: Path, data: bytes) -> None:
    path.unlink()
    os.mkfifo(path)


SPOILT = [
    _removed,
    _replaced,
    _by_another_of_its_kind,
    _linked,
    _linked_to_another,
    _swapped,
    _renamed,
    _moved_to_another_device,
    _added_beside,
    _a_part_of_it,
    _made_a_folder,
    _made_a_pipe,
]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_file_removed_replaced_added_linked_or_swapped_is_found(
    real: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = tmp_path_factory.mktemp("spoilt")
    folder = Path(shutil.copytree(real, home / "evidence"))
    path = data.draw(st.sampled_from(files_of(folder)))
    kin = [each for each in files_of(folder) if each.suffix == path.suffix and each != path]
    other = data.draw(st.sampled_from(kin or [each for each in files_of(folder) if each != path]))
    spoil = data.draw(st.sampled_from(SPOILT))
    spoil(path, other, home / "elsewhere", data.draw(st.binary(max_size=200)))
    verdict = verify(folder)
    assert verdict.findings and not verdict.verified, f"{spoil.__name__} {path.relative_to(folder)}"
    shutil.rmtree(home)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 3000), forged=st.booleans())
def test_e1_no_prefix_of_a_download_left_behind_becomes_evidence(
    tmp_path_factory: pytest.TempPathFactory, cut: int, forged: bool
) -> None:
    dest = tmp_path_factory.mktemp("parts") / "evidence"
    action = action_of(MACHINES[0])
    true, false = package_bytes(action.id, 3000), package_bytes("forged", 3000)
    part = dest / MACHINES[0].label / f"20261123T101500Z_{action.id}.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((false if forged else true)[:cut])
    collect(dest, MACHINES[0])
    assert packages_of(dest)[0].read_bytes() == true
    assert verify(dest).verified
    shutil.rmtree(dest.parent)


# ---- crashes ----


def carry_on(folder: Path, clock: VirtualClock) -> None:
    """What the next run does first, and that it ends."""
    with Custody(folder, clock) as custody:
        custody.begin(tenant=TENANT, asked_by={}, comment="x", devices=0)
        custody.append("run_ended", stored=0, failed=0)


def test_a_torn_last_line_is_told_apart_and_healed_visibly(real: Path, tmp_path: Path, clock: VirtualClock) -> None:
    content = (real / "custody.jsonl").read_bytes()
    for cut in [1, 2, 30, len(lines_of(real / "custody.jsonl")[-1]) - 1]:
        folder = Path(shutil.copytree(real, tmp_path / str(cut)))
        (folder / "custody.jsonl").write_bytes(content[:-cut])
        torn = verify(folder)
        assert _verify.TORN in kinds(torn) and not kinds(torn) & {_verify.ALTERED, _verify.BROKEN_CHAIN}
        carry_on(folder, clock)
        healed = verify(folder)
        assert healed.findings == []
        assert healed.repaired == 1
        assert b'"event":"log_repaired"' in (folder / "custody.jsonl").read_bytes()


def test_a_whole_line_without_its_end_is_torn_too(folder: Path, log: Path, clock: VirtualClock) -> None:
    log.write_bytes(log.read_bytes()[:-1])
    assert kinds(verify(folder)) == {_verify.TORN}
    carry_on(folder, clock)
    assert verify(folder).findings == []


def test_a_repair_that_was_cut_short_itself(folder: Path, log: Path, clock: VirtualClock) -> None:
    log.write_bytes(log.read_bytes()[:-40] + b'\n{"seq":19,"time":"2027-0')
    assert _verify.TORN in kinds(verify(folder))
    carry_on(folder, clock)
    report = verify(folder)
    assert report.findings == [] and report.repaired == 1
    torn = lines_of(log)[EVENTS - 1]
    assert parse_line(torn) is None
    log.write_bytes(log.read_bytes().replace(torn, b"X" + torn[1:]))
    assert _verify.ALTERED in kinds(verify(folder))


@settings(max_examples=60)
@given(data=st.data())
def test_the_traces_of_a_repair_cannot_be_changed_either(real: Path, data: st.DataObject) -> None:
    log = real / "custody.jsonl"
    before = log.read_bytes()
    try:
        log.write_bytes(before[:-50])
        carry_on(real, VirtualClock())
        healed = log.read_bytes()
        assert verify(real).findings == []
        at = data.draw(st.integers(len(before) - 300, len(healed) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda value: value != healed[at]))
        log.write_bytes(healed[:at] + bytes([byte]) + healed[at + 1 :])
        assert verify(real).findings
    finally:
        log.write_bytes(before)


def test_a_repair_explains_only_the_line_before_it(folder: Path, log: Path, clock: VirtualClock) -> None:
    """A line that was spoilt by hand is not excused because a repair comes later."""
    log.write_bytes(log.read_bytes()[:-30])
    carry_on(folder, clock)
    lines = lines_of(log)
    lines[4] = b"X" + lines[4][1:]
    log.write_bytes(b"".join(lines))
    messages = [finding.message for finding in verify(folder).findings]
    assert any(message.startswith("Line 5 is no entry") for message in messages)
    assert not any("missing" in message for message in messages)


def test_a_download_under_way_is_unfinished(folder: Path, log: Path) -> None:
    lines = lines_of(log)
    first = next(number for number, line in enumerate(lines) if b'"download_started"' in line)
    kept = list(lines[: first + 1])
    log.write_bytes(b"".join(kept))
    name = json.loads(kept[-1])["path"]
    for path in files_of(folder):
        if path != log and path != folder / name:
            path.unlink()
    (folder / name).rename(folder / f"{name}.part")
    report = verify(folder)
    assert {(finding.kind, finding.path) for finding in report.findings} == {
        (_verify.UNFINISHED, "custody.jsonl"),
        (_verify.UNFINISHED, f"{name}.part"),
    }
    assert all(finding.since for finding in report.findings)


def test_a_run_that_goes_on_beside_another_is_open_until_its_own_end(
    folder: Path, log: Path, clock: VirtualClock
) -> None:
    first, second = Custody(folder, clock), Custody(folder, clock)
    first.begin(TENANT, asked_by={}, comment="x", devices=1)
    second.begin(TENANT, asked_by={}, comment="y", devices=1)
    second.append("run_ended", stored=0, failed=0)
    second.close()
    assert kinds(verify(folder)) == {_verify.UNFINISHED}
    first.append("run_ended", stored=0, failed=0)
    first.close()
    assert verify(folder).findings == []


@pytest.mark.parametrize("line", [b"# checked by Bob\n", b'{"checked":"by Bob"}\n', b"checked by Bob"])
def test_a_line_that_no_crash_can_have_left_is_not_repaired(
    folder: Path, log: Path, clock: VirtualClock, line: bytes
) -> None:
    with open(log, "ab") as stream:
        stream.write(line)
    with pytest.raises(EvidenceError) as caught:
        carry_on(folder, clock)
    assert caught.value.code == "EvidenceAltered"
    report = verify(folder)
    assert _verify.ALTERED in kinds(report) and not report.repaired


# ---- runs that were interrupted, requests without a package ----


def interrupted(folder: Path, machine: Machine, known: bool = True) -> Action:
    """A run that was killed after it had asked for a device; returns its action."""
    action = action_of(machine, 7)
    with Folder(str(folder), VirtualClock()) as opened:
        opened.custody.begin(TENANT, asked_by={}, devices=1)
        if known:
            begun(opened, machine, action, "Alert 4712")
        else:
            opened.custody.claim_start(machine.id, machine.dns_name, "Alert 4712")
    return action


@pytest.mark.parametrize("known", [True, False])
def test_g3_interrupted_work_stays_named_after_a_run_for_others(folder: Path, known: bool) -> None:
    action = interrupted(folder, MACHINES[0], known)
    collect(folder, MACHINES[1], number=3)
    verdict = verify(folder)
    assert not verdict.verified
    assert [(each.kind, each.path) for each in verdict.findings] == [(_verify.UNFINISHED, "custody.jsonl")]
    message = verdict.findings[0].message
    assert "pc01.contoso.com" in message and "'Alert 4712'" in message and (action.id in message) == known
    assert "nobody has picked it up" in message
    assert [(each["state"], each["devices"], each["open"]) for each in verdict.interrupted] == [("gone", 1, 1)]


def test_g3_what_was_picked_up_is_no_finding_but_its_run_stays_visible(folder: Path) -> None:
    action = interrupted(folder, MACHINES[0])
    with Folder(str(folder), VirtualClock()) as opened:
        opened.custody.begin(TENANT, asked_by={}, devices=1)
        begun(opened, MACHINES[0], action, "Alert 4712", "resumed")
        fetched(opened, MACHINES[0], action)
        opened.custody.append("run_ended")
    for _later in range(2):
        verdict = verify(folder)
        assert verdict.verified and verdict.findings == []
        assert [each["open"] for each in verdict.interrupted] == [0]
        collect(folder, MACHINES[1], number=3)


def test_g3_an_aborted_run_leaves_findings(folder: Path) -> None:
    with Folder(str(folder), VirtualClock()) as opened:
        opened.custody.begin(TENANT, asked_by={}, devices=1)
        begun(opened, MACHINES[0], action_of(MACHINES[0], 7), "Alert 4712")
        opened.custody.append("run_aborted", code="Unauthorized", message="The secret was revoked.")
    verdict = verify(folder)
    assert kinds(verdict) == {_verify.UNFINISHED} and "the run gave up" in verdict.findings[0].message
    assert verdict.interrupted[0]["state"] == "aborted"


def test_g3_a_request_that_a_later_one_has_overtaken_is_told_and_no_finding(folder: Path) -> None:
    interrupted(folder, MACHINES[0])
    collect(folder, MACHINES[0], number=9, comment="Alert 4712")
    verdict = verify(folder)
    assert verdict.findings == []
    with Folder(str(folder), VirtualClock(), read_only=True) as opened:
        assert [each.overtaken for each in opened.custody.history.open_requests()] == [True]


def test_f1_a_device_that_failed_is_named_until_its_package_comes(folder: Path) -> None:
    with Folder(str(folder), VirtualClock()) as opened:
        opened.custody.begin(TENANT, asked_by={}, devices=1)
        begun(opened, MACHINES[0], action_of(MACHINES[0], 7), "Alert 4712")
        opened.custody.append(
            "device_failed", machine_id=MACHINES[0].id, code="TimeOut", message="It was not taken up.\x1b[2J"
        )
        opened.custody.append("run_ended")
    verdict = verify(folder)
    assert verdict.findings == []
    assert [(each["code"], each["message"]) for each in verdict.without_package] == [
        ("TimeOut", "It was not taken up.\ufffd[2J")
    ]
    collect(folder, MACHINES[0], number=9, comment="Alert 4712 ")
    assert verify(folder).without_package == []


def test_a_device_that_was_not_ready_in_time_is_named_and_what_is_there_is_verified(folder: Path) -> None:
    with Folder(str(folder), VirtualClock()) as opened:
        opened.custody.begin(TENANT, asked_by={}, devices=1)
        begun(opened, MACHINES[0], action_of(MACHINES[0], 7), "Alert 4712")
        opened.custody.append("run_ended")
    verdict = verify(folder)
    assert verdict.findings == []
    assert [(each["computer_dns_name"], each["code"]) for each in verdict.without_package] == [
        ("pc01.contoso.com", "NotFinishedInTime")
    ]


def test_f1_nothing_is_never_verified(tmp_path: Path) -> None:
    collect(tmp_path / "evidence")
    verdict = verify(tmp_path / "evidence")
    assert verdict.findings == [] and verdict.packages == [] and not verdict.verified


def test_a_run_that_is_alive_is_told_as_such(folder: Path) -> None:
    with Folder(str(folder), VirtualClock()) as opened:
        opened.custody.begin(TENANT, asked_by={}, devices=1)
        begun(opened, MACHINES[0], action_of(MACHINES[0], 7), "Alert 4712")
        verdict = verify(folder)
        assert len([each for each in verdict.findings if "still going on" in each.message]) == 2
        assert verdict.interrupted == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (".runs/x.lock", _verify.NOT_RECORDED),
        (".runs/more", _verify.NOT_RECORDED),
        # A run enters before it writes its first line.
        (".runs/00000000-0000-4000-8000-000000000000.lock", _verify.UNFINISHED),
    ],
)
def test_only_locks_of_known_runs_are_no_strangers(folder: Path, name: str, kind: str) -> None:
    (folder / ".runs").mkdir()
    (folder / name).touch()
    assert [(each.kind, each.path) for each in verify(folder).findings] == [(kind, name)]


def test_a_lock_is_of_whoever_has_written_a_line_and_goes_with_the_next_run(folder: Path) -> None:
    """Also of a run that has ended, but was killed while it sealed, and of a task that only noted something."""
    ended = entries_of(folder / "custody.jsonl")[0]["run"]
    with Custody(folder, VirtualClock()) as custody:
        custody.append("noted", note={})
        noted = custody.run
    (folder / ".runs").mkdir()
    for run in (ended, noted):
        (folder / ".runs" / f"{run}.lock").touch()
    assert verify(folder).findings == []
    with Custody(folder, VirtualClock()) as custody:
        custody.append("noted", note={})
    assert not (folder / ".runs").exists()


def test_a_lock_that_holds_something_is_none(folder: Path) -> None:
    interrupted(folder, MACHINES[0])
    run = entries_of(folder / "custody.jsonl")[-1]["run"]
    (folder / ".runs").mkdir()
    (folder / ".runs" / f"{run}.lock").touch()
    assert _verify.NOT_RECORDED not in kinds(verify(folder))
    (folder / ".runs" / f"{run}.lock").write_text("x")
    assert _verify.NOT_RECORDED in kinds(verify(folder))


# ---- recorded evidence is never replaced ----


def again(dest: Path, machine: Machine, data: bytes | None = None) -> Path:
    with Folder(str(dest), VirtualClock()) as opened:
        opened.custody.begin(TENANT, asked_by={})
        try:
            return fetched(opened, machine, action_of(machine), data)
        finally:
            opened.custody.append("run_ended")


@pytest.mark.parametrize("record", ["kept", "lost"])
def test_g4_a_missing_package_may_come_back_with_the_same_bytes(folder: Path, record: str) -> None:
    package = packages_of(folder)[0]
    content, written = package.read_bytes(), package.with_suffix(".json").read_bytes()
    package.unlink()
    if record == "lost":
        package.with_suffix(".json").unlink()
    assert again(folder, MACHINES[0]) == package
    assert package.read_bytes() == content
    assert (package.with_suffix(".json").read_bytes() == written) == (record == "kept")
    (restored,) = [each for each in entries_of(folder / "custody.jsonl") if each["event"] == "package_restored"]
    assert restored["record_rewritten"] == (record == "lost")
    assert verify(folder).findings == []


def test_g4_other_bytes_never_take_the_place_of_recorded_ones(folder: Path) -> None:
    package = packages_of(folder)[0]
    written = package.with_suffix(".json").read_bytes()
    package.unlink()
    other = package_bytes("other bytes", 3000)
    for _twice in range(2):
        with pytest.raises(EvidenceError) as caught:
            again(folder, MACHINES[0], other)
        assert caught.value.code == "RecordedOtherwise"
    (kept,) = package.parent.glob("*.differs-*.zip")
    assert str(kept) in caught.value.message and kept.read_bytes() == other
    assert not package.exists() and package.with_suffix(".json").read_bytes() == written
    verdict = verify(folder)
    assert [(each.kind, each.path) for each in verdict.findings] == [
        (_verify.MISSING, str(package.relative_to(folder)))
    ]
    assert kept.name in verdict.findings[0].message
    kept.write_bytes(b"x")
    assert _verify.ALTERED in kinds(verify(folder))


def test_g4_a_missing_package_with_a_forged_record_fails_before_any_byte_is_asked_for(folder: Path) -> None:
    package = packages_of(folder)[0]
    package.unlink()
    record = package.with_suffix(".json")
    record.write_bytes(record.read_bytes().replace(b"Alert 4711", b"Alert 4712"))
    before = record.read_bytes()
    with pytest.raises(EvidenceError, match="its record is not the one that was written"):
        again(folder, MACHINES[0])
    assert record.read_bytes() == before and not package.exists()


def test_g8_equal_packages_of_two_actions_are_kept_recorded_and_fail(folder: Path) -> None:
    twin = packages_of(folder)[0].read_bytes()
    action = action_of(MACHINES[1], 9)
    with Folder(str(folder), VirtualClock()) as opened:
        opened.custody.begin(TENANT, asked_by={})
        with pytest.raises(DuplicatePackage) as caught:
            fetched(opened, MACHINES[1], action, twin)
        opened.custody.append("run_ended")
    assert caught.value.code == "DuplicatePackage"
    assert caught.value.package.path.read_bytes() == twin
    assert action.id in caught.value.message and action_of(MACHINES[0]).id in caught.value.message
    with Folder(str(folder), VirtualClock()) as opened:
        assert opened.existing(MACHINES[0], action_of(MACHINES[0]))
        with pytest.raises(DuplicatePackage):
            opened.existing(MACHINES[1], action)
    verdict = verify(folder)
    name = str(caught.value.package.path.relative_to(folder))
    assert [(each.kind, each.path) for each in verdict.findings] == [(_verify.DUPLICATE, name)]
    assert action_of(MACHINES[0]).id in verdict.findings[0].message
    assert {each["path"]: each["verified"] for each in verdict.packages}[name] is False


# ---- one tenant ----


def test_e7_a_log_of_two_tenants_is_a_finding(folder: Path, log: Path) -> None:
    entries = entries_of(log)
    entries.append({**entries[0], "tenant": "another"})
    entries.append({**entries[-2]})
    log.write_bytes(chained(entries))
    assert any("of another tenant" in each.message for each in verify(folder).findings)
    assert verify(folder).tenant == TENANT


# ---- what cannot be read ----


def test_what_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int) -> t.NoReturn:
        raise PermissionError(13, "Permission denied", "pc01.contoso.com")

    monkeypatch.setattr(_verify, "hash_of", refuse)
    with pytest.raises(EvidenceError, match="pc01.contoso.com cannot be read: Permission denied") as caught:
        verify(folder)
    assert caught.value.code == "EvidenceUnreadable"


def test_a_folder_in_it_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to look is not to find nothing."""
    plain = os.open

    def refuse(path: t.Any, *args: t.Any, **kwargs: t.Any) -> int:
        if str(path).endswith("pc02.contoso.com"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(EvidenceError, match="pc02.contoso.com cannot be read"):
        verify(folder)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_folder_that_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EvidenceError) as caught:
        verify(tmp_path / name)
    assert caught.value.code == "EvidenceMissing"


def test_a_report_that_is_no_file_is_not_waited_for(folder: Path, log: Path) -> None:
    name = "report-20261123T101500Z-00000000.html"
    with Folder(str(folder), VirtualClock()) as opened:
        opened.custody.append("report_stored", path=name, sha256="0" * 64)
    os.mkfifo(folder / name)
    assert (_verify.NOT_RECORDED, name) in {(each.kind, each.path) for each in verify(folder).findings}


def test_no_file_name_steers_the_terminal(folder: Path) -> None:
    (folder / "\x1b[2Jall is well").touch()
    assert all(each.message.isprintable() for each in verify(folder).findings)
