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
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import Report, verify, verify_evidence
from ansible_collections.secops.defender.plugins.module_utils._tasks.packages import collect_package
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import collect_spec, verify_spec
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.service_world import VirtualClock
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Teller, Tenant, options
from simulator import Device, Simulator

# Small, so that every byte of them can be tried.
EVENTS = 19
DEVICES = [Device(f"pc0{number}.contoso.com", package_size=3000 + number) for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a run has left: three packages and a report. Nobody may change it; see copy_of."""
    home = tmp_path_factory.mktemp("evidence")
    clock = VirtualClock()
    simulator = Simulator(DEVICES, clock=clock.wall).start()
    try:
        folder = home / "real"
        result = Tenant(simulator, clock)(
            collect_package,
            collect_spec(),
            machines=["pc01", "pc02", "pc03"],
            comment="Alert 4711",
            dest=str(folder),
            quota_dir=str(home / "quota"),
            report=True,
        )
        assert result["summary"]["downloaded"] == 3, result["msg"]
        yield folder
    finally:
        simulator.stop()


def packages_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.zip"))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


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


# ---- crashes ----


def carry_on(folder: Path, clock: VirtualClock) -> None:
    """What the next run does first, and that it ends."""
    custody = Custody(folder, clock)
    custody.append("run_started", asked_by={}, comment="x", devices=0)
    custody.append("run_ended", stored=0, failed=0)
    custody.close()


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
    first.begin(asked_by={}, comment="x", devices=1)
    second.begin(asked_by={}, comment="y", devices=1)
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
    carry_on(folder, clock)
    report = verify(folder)
    assert _verify.ALTERED in kinds(report) and not report.repaired


def test_a_run_that_was_interrupted_is_no_finding_once_another_has_ended(
    folder: Path, log: Path, clock: VirtualClock
) -> None:
    custody = Custody(folder, clock)
    custody.append("run_started", asked_by={}, comment="x", devices=1)
    custody.close()
    assert kinds(verify(folder)) == {_verify.UNFINISHED}
    carry_on(folder, clock)
    assert verify(folder).findings == []


# ---- the task ----

KEYS = ["changed", "error", "failed", "findings", "head", "msg", "packages", "summary", "verified"]


def check(folder: Path | str, **given: t.Any) -> dict[str, t.Any]:
    result = verify_evidence(options(verify_spec(), path=str(folder), **given), False, Teller(), Secrets())  # type: ignore[arg-type]
    assert sorted(result) == KEYS
    assert result["changed"] is False
    assert sorted(result["summary"]) == ["events", "findings", "packages", "repaired", "verified"]
    for package in result["packages"]:
        assert sorted(package) == ["action_id", "downloaded", "machine_id", "path", "sha256", "size", "verified"]
    for finding in result["findings"]:
        assert sorted(finding) == ["kind", "message", "path", "since"]
    return result


def test_the_result_of_a_whole_folder(real: Path) -> None:
    result = check(real)
    assert (result["verified"], result["failed"], result["findings"], result["error"]) == (True, False, [], None)
    assert result["summary"] == {"packages": 3, "verified": 3, "findings": 0, "events": EVENTS, "repaired": 0}
    assert result["msg"] == f"{real}: 3 packages and the custody log of {EVENTS} events are as they were written."
    first = packages_of(real)[0]
    assert result["packages"][0] == {
        "path": str(first.relative_to(real)),
        "machine_id": DEVICES[0].id,
        "action_id": first.stem.split("_")[1],
        "sha256": hashlib.sha256(first.read_bytes()).hexdigest(),
        "size": first.stat().st_size,
        "downloaded": json.loads(first.with_suffix(".json").read_bytes())["downloaded"],
        "verified": True,
    }
    assert check(real, custody_head=f" {result['head'].upper()} ")["verified"]


def test_the_result_of_a_spoilt_folder(folder: Path) -> None:
    package = packages_of(folder)[1]
    package.write_bytes(package.read_bytes() + b"x")
    result = check(folder)
    assert (result["verified"], result["failed"]) == (False, True)
    assert result["summary"]["verified"] == 2
    assert [finding["kind"] for finding in result["findings"]] == ["altered"]
    name, since = str(package.relative_to(folder)), result["findings"][0]["since"]
    assert f"1 finding in 3 packages and {EVENTS} events. {name}: The package has the SHA-256" in result["msg"]
    assert f"It was right at {since}." in result["msg"]
    assert "Leave the folder as it is" in result["msg"]


def test_many_findings_are_counted_in_the_sentence(folder: Path) -> None:
    for number in range(9):
        (folder / f"extra{number}").touch()
    result = check(folder)
    assert "9 findings" in result["msg"] and "And 4 more." in result["msg"] and "move them out" in result["msg"]
    assert len(result["findings"]) == 9


def test_what_is_unfinished_is_to_be_finished(folder: Path, log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-9])
    result = check(folder)
    assert "run the interrupted task again" in result["msg"]


def test_a_repair_is_mentioned(folder: Path, log: Path, clock: VirtualClock) -> None:
    log.write_bytes(log.read_bytes()[:-9])
    carry_on(folder, clock)
    result = check(folder)
    assert result["summary"]["repaired"] == 1 and result["msg"].endswith("A line that a crash cut short was repaired.")


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


def test_what_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> t.NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(_verify, "hash_file", refuse)
    result = check(folder)
    assert result["error"]["code"] == "EvidenceUnreadable" and "Permission denied" in result["msg"]


def test_a_folder_in_it_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to look is not to find nothing."""
    real_scandir = os.scandir

    def scandir(path: t.Any) -> t.Any:
        if str(path).endswith("pc02.contoso.com"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(EvidenceError, match="pc02.contoso.com cannot be read"):
        verify(folder)


def test_a_large_folder_tells_how_far_it_is(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_verify, "_PACE", 0.0)
    teller = Teller()
    verify_evidence(options(verify_spec(), path=str(real)), False, teller, Secrets())  # type: ignore[arg-type]
    assert teller.told("say") == [f"{number} of 3 packages checked" for number in range(3)]


def test_a_report_that_is_no_file_is_not_waited_for(folder: Path, log: Path) -> None:
    custody = Custody(folder, VirtualClock())
    custody.append("report_stored", path="report-x.html", sha256="0" * 64)
    os.mkfifo(folder / "report-x.html")
    assert {"missing", "not_recorded"} & kinds(verify(folder))


def test_no_file_name_steers_the_terminal(folder: Path) -> None:
    (folder / "\x1b[2Jall is well").touch()
    assert verify_evidence({"path": str(folder), "custody_head": None}, False, Teller(), Secrets())["msg"].isprintable()
