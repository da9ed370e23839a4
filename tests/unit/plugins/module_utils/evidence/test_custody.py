# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import pwd
import resource
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence import chain as _chain
from ansible_collections.secops.defender.plugins.module_utils._evidence import who as _who
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody, History
from ansible_collections.secops.defender.plugins.module_utils._evidence.history import Request, RunState
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.plugins.module_utils._words.models import parse_time
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock


def _unfinished(history: History, machine_id: str, comment: str, since: float) -> Request | None:
    """The device's request that an interrupted run has left, if it is the same request and not older than that."""
    found = history.request(machine_id, comment)
    if found is None or found.requested < since or found.failed is not None:
        return None
    return None if found.stored and found.run_state is RunState.ENDED else found


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def _lines(folder: Path) -> list[bytes]:
    content = (folder / "custody.jsonl").read_bytes()
    assert content.endswith(b"\n")
    return content[:-1].split(b"\n")


def _check_chain(folder: Path, unreadable: int = 0) -> list[dict[str, Any]]:
    """The log as an auditor reads it, with nothing of the code under test: every line with its digest, each bound to the one before."""
    previous, entries, torn = "0" * 64, [], 0
    for line in _lines(folder):
        try:
            entry = json.loads(line)
            digest = entry.pop("digest")
        except (ValueError, TypeError, AttributeError, KeyError):
            torn += 1
        else:
            body = json.dumps(entry, separators=(",", ":"), ensure_ascii=True)
            assert hashlib.sha256(body.encode()).hexdigest() == digest
            assert entry["previous_sha256"] == previous
            entries.append(entry)
        previous = hashlib.sha256(line).hexdigest()
    assert torn == unreadable
    return entries


# ---- the chain ----


def test_each_line_carries_the_hash_of_the_line_before_and_its_own_digest(tmp_path: Path, clock: VirtualClock) -> None:
    custody = Custody(tmp_path, clock)
    anchors = [custody.append("run_started", comment="Prüfung \u2028 'x'"), custody.append("run_ended", stored=1)]
    entries = _check_chain(tmp_path)
    assert [entry["seq"] for entry in entries] == [1, 2]
    assert [hashlib.sha256(line).hexdigest() for line in _lines(tmp_path)] == anchors
    assert entries[0]["time"] == "2027-01-15T08:16:40Z"
    assert {entry["run"] for entry in entries} == {custody.run}
    assert all(line.isascii() for line in _lines(tmp_path))


def test_a_changed_byte_shows_wherever_it_is(tmp_path: Path, clock: VirtualClock) -> None:
    custody = Custody(tmp_path, clock)
    for number in range(3):
        custody.append("device_failed", message=f"number {number}")
    content = (tmp_path / "custody.jsonl").read_bytes()
    for place in (content.index(b"number 0"), content.index(b"number 1"), content.index(b"number 2")):
        (tmp_path / "custody.jsonl").write_bytes(content[:place] + b"X" + content[place + 1 :])
        with pytest.raises(AssertionError):
            _check_chain(tmp_path)


def test_the_log_is_for_its_owner_alone(tmp_path: Path, clock: VirtualClock) -> None:
    before = os.umask(0)
    try:
        Custody(tmp_path, clock)
    finally:
        os.umask(before)
    assert (tmp_path / "custody.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", [10, 65_000, 65_536, 200_000])
def test_long_lines_are_chained_like_short_ones(tmp_path: Path, clock: VirtualClock, length: int) -> None:
    for _each in range(3):
        # A new object each time: what it knows of the log it has read from its end.
        Custody(tmp_path, clock).append("device_failed", message="x" * length)
        Custody(tmp_path, clock).append("run_ended")
    assert [entry["seq"] for entry in _check_chain(tmp_path)] == list(range(1, 7))


def test_runs_take_turns(tmp_path: Path, clock: VirtualClock) -> None:
    first, second = Custody(tmp_path, clock), Custody(tmp_path, clock)
    for number in range(20):
        (first if number % 3 else second).append("download_started", number=number)
    entries = _check_chain(tmp_path)
    assert [entry["number"] for entry in entries] == list(range(20))
    assert [entry["seq"] for entry in entries] == list(range(1, 21))


def test_threads_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    logs = [Custody(tmp_path, Clock()) for _each in range(2)]

    def write(number: int) -> None:
        for _each in range(40):
            logs[number % 2].append("download_started", thread=number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry["seq"] for entry in _check_chain(tmp_path)] == list(range(1, 241))


def _write_many(folder: str, number: int) -> None:
    custody = Custody(Path(folder), Clock())
    for _each in range(25):
        custody.append("download_started", process=number)


def test_processes_take_turns(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_write_many, args=(str(tmp_path), number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    assert [entry["seq"] for entry in _check_chain(tmp_path)] == list(range(1, 101))


# ---- what a crash leaves ----


@pytest.mark.parametrize("filler", [0, 70_000])
def test_a_line_cut_short_anywhere_is_healed_and_stays_visible(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, filler: int
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)
    custody = Custody(tmp_path, clock)
    custody.append("run_started")
    whole = (tmp_path / "custody.jsonl").stat().st_size
    custody.append("start_requested", comment="Alert 4711", filler="x" * filler)
    content = (tmp_path / "custody.jsonl").read_bytes()
    step = 1 if not filler else 6997
    for length in range(whole + 1, len(content), step):
        (tmp_path / "custody.jsonl").write_bytes(content[:length])
        Custody(tmp_path, clock).append("run_started")
        complete = length == len(content) - 1
        entries = _check_chain(tmp_path, unreadable=0 if complete else 1)
        # Only the line feed may be missing: then nothing is lost.
        assert [entry["event"] for entry in entries] == [
            "run_started",
            *(["start_requested"] if complete else []),
            "log_repaired",
            "run_started",
        ]
        repaired = entries[-2]
        assert repaired["torn_bytes"] == length - whole
        assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))


def test_numbers_go_on_behind_a_torn_line_longer_than_what_is_read_at_first(
    tmp_path: Path, clock: VirtualClock
) -> None:
    for _each in range(3):
        Custody(tmp_path, clock).append("run_started")
    with open(tmp_path / "custody.jsonl", "ab") as log:
        log.write(b'{"seq":4,"x":"' + b"x" * ((1 << 17) - 50))
    Custody(tmp_path, clock).append("run_started")
    assert [entry["seq"] for entry in _check_chain(tmp_path, unreadable=1)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff\n{}\n[1]\n" + b"\x80" * 100_000,
        b"[" * 200_000 + b"\n",
        b"{" * 2_000_000,
        b'{"seq":1,"event":"run_started","time":"2026-11-23T10:00:00Z"}\n',
        b'{"a":' * 900 + b"1" + b"}" * 900 + b"\n",
    ],
    ids=["garbage", "deep", "endless", "without a digest", "nested"],
)
def test_e2_a_log_that_is_none_is_refused_and_not_touched(tmp_path: Path, clock: VirtualClock, content: bytes) -> None:
    (tmp_path / "custody.jsonl").write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(EvidenceError) as caught:
            Custody(tmp_path, clock, read_only)
        assert caught.value.code == "EvidenceAltered"
        assert "defender_verify_evidence" in caught.value.advice
        if content.endswith(b"\n") or not read_only:
            assert (tmp_path / "custody.jsonl").read_bytes()[: len(content)] == content


@pytest.mark.parametrize("how", ["changed", "removed", "repeated", "swapped", "made anew"])
def test_e2_a_log_whose_chain_is_broken_is_not_written_to(tmp_path: Path, clock: VirtualClock, how: str) -> None:
    with Custody(tmp_path, clock) as custody:
        for number in range(5):
            custody.append("device_failed", message=f"number {number}")
    lines = _lines(tmp_path)
    if how == "changed":
        lines[2] = lines[2].replace(b"number 2", b"number 7")
    elif how == "removed":
        del lines[2]
    elif how == "repeated":
        lines.insert(2, lines[2])
    elif how == "swapped":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines[2] = _chain.with_digest({**json.loads(lines[2]), "message": "another story"}).encode()
    content = b"".join(line + b"\n" for line in lines)
    (tmp_path / "custody.jsonl").write_bytes(content)
    with pytest.raises(EvidenceError, match="cannot be gone on with: line [34]|line 2") as caught:
        Custody(tmp_path, clock)
    assert caught.value.code == "EvidenceAltered"
    assert (tmp_path / "custody.jsonl").read_bytes() == content


@pytest.mark.parametrize("how", ["cut off", "changed", "foreign line"])
def test_e2_a_log_that_is_spoilt_under_a_run_stops_it_for_good(tmp_path: Path, clock: VirtualClock, how: str) -> None:
    custody = Custody(tmp_path, clock)
    for number in range(3):
        custody.append("device_failed", message=f"number {number}")
    content = (tmp_path / "custody.jsonl").read_bytes()
    if how == "cut off":
        os.truncate(tmp_path / "custody.jsonl", content.index(b"\n") + 1)
    elif how == "changed":
        with open(tmp_path / "custody.jsonl", "r+b") as log:
            log.write(content.replace(b"number 2", b"number 7"))
    else:
        with open(tmp_path / "custody.jsonl", "ab") as log:
            log.write(b"# checked\n")
    spoilt = (tmp_path / "custody.jsonl").read_bytes()
    for _each in range(3):
        with pytest.raises(EvidenceError) as caught:
            custody.append("run_ended")
        assert caught.value.code == "EvidenceAltered"
    assert (tmp_path / "custody.jsonl").read_bytes() == spoilt


def test_a_log_that_is_replaced_under_a_run_stops_it(tmp_path: Path, clock: VirtualClock) -> None:
    custody = Custody(tmp_path, clock)
    custody.append("run_started")
    shutil.copy(tmp_path / "custody.jsonl", tmp_path / "copy")
    os.replace(tmp_path / "copy", tmp_path / "custody.jsonl")
    with pytest.raises(EvidenceError, match="was replaced while this run wrote to it"):
        custody.append("run_ended")


def test_a_run_knows_whether_it_is_alone(tmp_path: Path, clock: VirtualClock) -> None:
    first, second, third = (Custody(tmp_path, clock) for _each in range(3))
    first.begin()
    second.begin()
    first.close()
    second.close()
    third.begin()
    started = [json.loads(line) for line in _lines(tmp_path) if b'"run_started"' in line]
    assert [entry["alone"] for entry in started] == [True, False, True]


def test_an_interrupted_run_is_told_of_once(tmp_path: Path, clock: VirtualClock) -> None:
    with Custody(tmp_path, clock) as killed:
        killed.begin()
    for _later in range(2):
        with Custody(tmp_path, clock) as custody:
            custody.begin()
            custody.append("run_ended")
    told = [json.loads(line) for line in _lines(tmp_path) if b'"run_interrupted"' in line]
    assert [each["interrupted_run"] for each in told] == [killed.run]


@pytest.mark.parametrize(
    "entry",
    [
        {"event": "package_verified", "path": "x", "size": "many"},
        {"event": "package_verified", "path": [], "size": [1]},
        {"event": "action_known", "machine_id": None, "action_id": {}},
        {"event": ["run_ended"], "run": {}},
        {"event": "start_requested", "time": 7},
    ],
)
def test_lines_of_another_make_do_not_stop_a_run(tmp_path: Path, clock: VirtualClock, entry: dict[str, Any]) -> None:
    line = _chain.with_digest({"seq": 1, **entry, "previous_sha256": "0" * 64})
    (tmp_path / "custody.jsonl").write_text(line + "\n")
    Custody(tmp_path, clock).append("run_started")


# ---- a disk that is full ----


@pytest.mark.parametrize("written", [0, 1, 50])
def test_a_full_disk_in_the_middle_of_a_line_leaves_a_valid_log(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    custody = Custody(tmp_path, clock)
    custody.append("run_started")
    plain = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) > written and written:
            plain(file, data[:written])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(EvidenceError) as caught:
            custody.append("start_requested")
    assert caught.value.code == "DiskFull"
    assert caught.value.message == f"The evidence folder {tmp_path} cannot be written: No space left on device."
    assert len(_check_chain(tmp_path)) == 1
    custody.append("run_ended")
    assert [entry["event"] for entry in _check_chain(tmp_path)] == ["run_started", "run_ended"]


def test_a_disk_that_fails_to_sync_leaves_a_valid_log(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody = Custody(tmp_path, clock)
    custody.append("run_started")

    def fail(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(EvidenceError) as caught:
            custody.append("start_requested")
    assert caught.value.code == "DestNotWritable"
    custody.append("run_ended")
    assert [entry["event"] for entry in _check_chain(tmp_path)] == ["run_started", "run_ended"]


def test_a_disk_that_is_full_while_a_torn_line_is_healed_leaves_a_valid_log(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody = Custody(tmp_path, clock)
    custody.append("run_started")
    with open(tmp_path / "custody.jsonl", "ab") as log:
        log.write(b'{"seq":2,"ev')

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(EvidenceError):
            custody.append("start_requested")
    # Space again: the same run goes on, say in another thread.
    custody.append("run_ended")
    entries = _check_chain(tmp_path, unreadable=1)
    assert [entry["event"] for entry in entries] == ["run_started", "log_repaired", "run_ended"]


def test_a_file_size_limit_in_the_middle_of_a_line_leaves_a_valid_log(tmp_path: Path) -> None:
    custody = Custody(tmp_path, Clock())
    custody.append("run_started")
    size = (tmp_path / "custody.jsonl").stat().st_size

    def child() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, size + 40))
        try:
            custody.append("start_requested")
        except EvidenceError:
            os._exit(7)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode == 7
    custody.append("run_ended")
    assert [entry["event"] for entry in _check_chain(tmp_path)] == ["run_started", "run_ended"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_log_that_cannot_be_opened_says_so(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(EvidenceError) as caught:
        Custody(tmp_path, clock)
    assert caught.value.code == "DestNotWritable"
    assert {errno.EACCES: "Permission denied", errno.EROFS: "mounted read-only"}[number] in caught.value.message


# ---- read_only ----


def test_read_only_makes_no_log_and_knows_what_is_in_one(tmp_path: Path, clock: VirtualClock) -> None:
    assert Custody(tmp_path, clock, read_only=True).history.requests == {}
    assert not (tmp_path / "custody.jsonl").exists()
    Custody(tmp_path, clock).append("start_requested", machine_id="m", comment="c")
    content = (tmp_path / "custody.jsonl").read_bytes() + b'{"torn'
    (tmp_path / "custody.jsonl").write_bytes(content)
    assert _unfinished(Custody(tmp_path, clock, read_only=True).history, "m", "c", 0.0)
    assert (tmp_path / "custody.jsonl").read_bytes() == content


# ---- what a run resumes from ----

_T0 = "2026-11-23T10:00:00Z"


def _history(*entries: tuple[str, str, dict[str, Any]]) -> History:
    history = History()
    for run, event, facts in entries:
        # Comments stand in requests and actions only, as the fleet writes them.
        base: dict[str, Any] = {"time": _T0, "run": run, "event": event, "machine_id": "m1"}
        history.read({**base, **facts})
    return history


def _requested(run: str, comment: str = "c") -> tuple[str, str, dict[str, Any]]:
    return run, "start_requested", {"comment": comment}


def _known(run: str, request: str, action: str = "a1", comment: str = "c") -> tuple[str, str, dict[str, Any]]:
    return run, "action_known", {"action_id": action, "request": request, "comment": comment}


def _stored(run: str, action: str = "a1") -> tuple[str, str, dict[str, Any]]:
    return run, "package_stored", {"action_id": action, "path": f"pc/{action}.zip"}


def _failed(run: str) -> tuple[str, str, dict[str, Any]]:
    return run, "device_failed", {"code": "Failed"}


def _ended(run: str) -> tuple[str, str, dict[str, Any]]:
    return run, "run_ended", {}


@pytest.mark.parametrize(
    ("entries", "action"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([_requested("r1")], "?", id="killed before the reply"),
        pytest.param([_requested("r1"), _known("r1", "started")], "a1", id="killed while it ran"),
        pytest.param([_known("r1", "already_running")], "a1", id="killed while somebody else's ran"),
        pytest.param([_known("r1", "reused")], "a1", id="killed before a reused one was downloaded"),
        pytest.param([_requested("r1"), _known("r1", "started"), _stored("r1")], "a1", id="stored, then killed"),
        pytest.param(
            [_requested("r1"), _known("r1", "started"), _stored("r1"), _ended("r1")], None, id="stored and ended"
        ),
        pytest.param([_requested("r1"), _known("r1", "started"), _ended("r1")], "a1", id="not finished in time"),
        pytest.param([_requested("r1"), _failed("r1")], None, id="refused"),
        pytest.param([_requested("r1"), _known("r1", "started"), _failed("r1")], None, id="failed"),
        pytest.param([_requested("r1", "other"), _known("r1", "started", comment="other")], None, id="other comment"),
        pytest.param(
            [_requested("r1"), _known("r1", "started"), _known("r2", "resumed"), _known("r3", "resumed")],
            "a1",
            id="resumed several times",
        ),
        pytest.param(
            [_requested("r1"), _known("r1", "started"), _known("r2", "resumed"), _stored("r2"), _ended("r2")],
            None,
            id="resumed and ended",
        ),
        pytest.param(
            [_requested("r1"), _known("r1", "started"), _stored("r1"), _known("r2", "resumed"), _ended("r2")],
            None,
            id="stored, killed, resumed and ended",
        ),
        pytest.param(
            [_requested("r1"), _known("r1", "started"), _stored("r1"), _ended("r1"), _requested("r2")],
            "?",
            id="a second request, killed",
        ),
        pytest.param(
            [_requested("r1"), _known("r1", "started"), _failed("r1"), _requested("r2"), _known("r2", "started", "a2")],
            "a2",
            id="a second request after a failure",
        ),
        pytest.param(
            [_requested("r1"), _known("r1", "started"), _requested("r2", "other"), _stored("r2", "a2"), _ended("r2")],
            "a1",
            id="another request in between",
        ),
        pytest.param(
            [
                _known("r1", "already_running"),
                _known("r2", "already_running", comment="other"),
                _stored("r2"),
                _ended("r2"),
                _ended("r1"),
            ],
            None,
            id="two requests of one action, stored for the other",
        ),
    ],
)
def test_what_is_unfinished(entries: list[tuple[str, str, dict[str, Any]]], action: str | None) -> None:
    found = _unfinished(_history(*entries), "m1", "c", 0.0)
    assert (found and (found.action_id or "?")) == action


def test_a_package_that_is_there_ends_every_request_for_its_action() -> None:
    """Reused or resumed: what is stored already is not announced again."""
    history = _history(
        _requested("r1"), _known("r1", "started"), _stored("r1"), _known("r2", "reused", comment="other")
    )
    assert history.open_requests() == []
    history = _history(_requested("r1"), _known("r1", "started"), _stored("r1"), _known("r2", "resumed"), _failed("r2"))
    assert [each.failed for each in history.without_package()] == ["Failed"]


def test_two_actions_of_one_device_in_one_run_end_by_themselves() -> None:
    """Fetching by action IDs: one comment, one device, two requests."""
    begun = [_known("r1", "reused", "a1", ""), _known("r1", "reused", "a2", "")]
    failed = ("r1", "device_failed", {"code": "PackageBroken", "action_id": "a1"})
    history = _history(*begun, failed, _stored("r1", "a2"), _ended("r1"))
    assert [each.action_id for each in history.without_package()] == ["a1"]
    assert history.open_requests() == []


def test_blanks_around_a_comment_and_the_case_of_an_id_make_no_other_request() -> None:
    """Also in a log that was written before comments were trimmed."""
    history = _history(_requested("r1", " c\n"))
    for machine_id, comment in (("m1", "c"), ("M1", "c "), ("m1", "\tc")):
        assert history.request(machine_id, comment), (machine_id, comment)
    assert history.request("m1", "C") is None


def test_one_package_in_two_folders_is_no_duplicate_and_that_of_another_action_is() -> None:
    """A device may have been renamed between two fetches."""

    def stored(path: str, action: str) -> tuple[str, str, dict[str, Any]]:
        return "r1", "package_stored", {"action_id": action, "path": path, "sha256": "5" * 64}

    history = _history(stored("pc/a1.zip", "a1"), stored("renamed/a1.zip", "a1"), stored("other/a2.zip", "a2"))
    assert history.duplicate_of("pc/a1.zip") is None and history.duplicate_of("renamed/a1.zip") is None
    twin = history.duplicate_of("other/a2.zip")
    assert twin and twin.path == "pc/a1.zip"


def test_a_start_that_is_sent_again_is_the_same_request_and_as_old() -> None:
    """Its first reply was lost, and what came of it may be the first one's."""
    history = _history(_requested("r1"))
    again = {"run": "r1", "event": "start_requested", "machine_id": "m1", "comment": "c"}
    history.read({**again, "time": "2026-11-23T10:05:00Z"})
    assert [each.requested for each in history.begun("m1", "c")] == [parse_time(_T0)]


def test_another_machines_request_is_not_this_ones() -> None:
    assert _unfinished(_history(_requested("r1")), "m2", "c", 0.0) is None


def test_a_request_is_unfinished_for_so_long_only() -> None:
    history = _history(_requested("r1"))
    requested = parse_time(_T0)
    assert _unfinished(history, "m1", "c", requested)
    assert _unfinished(history, "m1", "c", requested + 1) is None


def test_resuming_does_not_make_a_request_younger() -> None:
    history = _history(_requested("r1"), _known("r1", "started"))
    late = {"action_id": "a1", "request": "resumed", "comment": "c", "time": "2026-11-25T10:00:00Z"}
    history.read({"run": "r2", "event": "action_known", "machine_id": "m1", **late})
    assert _unfinished(history, "m1", "c", parse_time(_T0) + 1) is None


_WORDS = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.sampled_from(["run_ended", "start_requested", "action_known", "package_verified", "package_stored"]),
    facts=st.dictionaries(st.sampled_from(["run", "machine_id", "comment", "size", "path", "time", "request"]), _WORDS),
)
def test_no_entry_is_too_odd_to_be_read(events: str, facts: dict[str, Any]) -> None:
    History().read({"event": events, **facts})


# ---- who ----


def test_who_asked_is_the_user_even_without_an_entry_in_the_user_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setenv("JOB_ID", "42")
    who = _who.asked_by()
    assert (who["user"], who["awx_job_id"]) == (str(os.getuid()), "42")
    assert who["tool"].startswith("secops.defender/")


@pytest.mark.parametrize("job", ["", "x", "4 2", "42\n", "\x1b[2J", "1" * 19, "-1", "٤٢", "0x2a"])
def test_e12_who_asked_is_not_what_the_environment_claims(monkeypatch: pytest.MonkeyPatch, job: str) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "\x1b[31mceo")
    monkeypatch.setenv("JOB_ID", job)
    who = _who.asked_by({"awx_user": "al\x1b[2Jice"})
    assert who["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert "awx_job_id" not in who
    assert who["awx_user"] == "al\ufffd[2Jice"
    assert all(value.isprintable() for value in who.values())
