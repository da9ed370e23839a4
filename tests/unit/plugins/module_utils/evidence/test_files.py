# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others put where evidence belongs, and file systems that refuse: by the letters of what was found."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import socket
import time
import typing as t
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody as _custody
from ansible_collections.secops.defender.plugins.module_utils._evidence import files as _files
from ansible_collections.secops.defender.plugins.module_utils._evidence import records as _records
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder, Package
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import verify
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Machine
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import package_bytes
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock

MACHINE = Machine("a" * 40, "pc01.contoso.com")
ACTION = Action.from_api(
    {
        "id": "5382f7ea-7557-4ab7-9782-d50480024a4e",
        "type": "CollectInvestigationPackage",
        "status": "Succeeded",
        "machineId": MACHINE.id,
        "creationDateTimeUtc": "2026-11-23T10:15:00Z",
    }
)
NAME = f"pc01.contoso.com/20261123T101500Z_{ACTION.id}.zip"
RECORD = NAME.replace(".zip", ".json")
DATA = package_bytes("evidence", 5000)


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


def open_folder(dest: Path, **more: t.Any) -> Folder:
    return Folder(str(dest), VirtualClock(), **more)


@contextmanager
def stream(offset: int) -> Iterator[tuple[int, int | None, Iterator[bytes]]]:
    yield 0, len(DATA), iter([DATA[:2000], DATA[2000:]])


def fetch(folder: Folder, open_stream: t.Any = stream) -> Package:
    return folder.fetch(MACHINE, ACTION, {"comment": "Alert 4711"}, open_stream)


def collect(dest: Path) -> Path:
    with open_folder(dest) as folder:
        folder.custody.begin(tenant="t-1")
        path = fetch(folder).path
        folder.custody.append("run_ended")
        return path


# ---- links and pipes (E4, E5) ----


def _link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def _dangling(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("nowhere"))


def _pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path, victim: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def _folder(path: Path, victim: Path) -> None:
    path.mkdir()


THINGS = [_link, _dangling, _pipe, _socket, _folder]


@pytest.mark.parametrize("put", THINGS)
@pytest.mark.parametrize("name", ["custody.jsonl", NAME, f"{NAME}.part", RECORD, f"{RECORD}.part"])
def test_e4_what_stands_in_a_files_place_is_refused_and_never_followed(
    dest: Path, tmp_path: Path, put: Callable[[Path, Path], None], name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (dest / name).parent.mkdir(parents=True)
    put(dest / name, victim)
    told = None
    try:
        with open_folder(dest) as folder:
            fetch(folder)
    except EvidenceError as failure:
        told = failure
    assert victim.read_text() == "precious"
    assert not victim.with_name("nowhere").exists()
    if name == f"{RECORD}.part" and put is not _folder:
        # Nothing of it is used: it is removed, and the record written anew.
        assert told is None and (dest / RECORD).is_file()
    elif name == RECORD and put is not _folder:
        # A name that is free to be taken: renaming puts the record there, and follows nothing.
        assert told is None and not (dest / RECORD).is_symlink()
    else:
        assert told is not None and told.code in ("EvidenceAltered", "DestNotWritable"), told
        assert os.path.lexists(dest / name)


@pytest.mark.parametrize("put", THINGS)
@pytest.mark.parametrize("name", ["custody.jsonl", NAME, RECORD])
def test_e4_a_stored_file_that_is_exchanged_is_never_reused(
    dest: Path, tmp_path: Path, put: Callable[[Path, Path], None], name: str
) -> None:
    collect(dest)
    victim = tmp_path / "victim"
    (dest / name).rename(victim)
    before = victim.read_bytes()
    put(dest / name, victim)
    for read_only in (True, False):
        with pytest.raises(EvidenceError) as caught, open_folder(dest, read_only=read_only) as folder:
            folder.existing(MACHINE, ACTION)
        assert caught.value.code == "EvidenceAltered"
    assert victim.read_bytes() == before
    assert verify(dest).findings


def test_e4_a_link_in_place_of_a_devices_folder_is_refused(dest: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    dest.mkdir()
    (dest / "pc01.contoso.com").symlink_to(tmp_path / "elsewhere")
    with open_folder(dest) as folder:
        for look in (lambda: folder.existing(MACHINE, ACTION), lambda: fetch(folder)):
            with pytest.raises(EvidenceError, match="a symbolic link is in its place"):
                look()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_e4_a_report_is_not_written_through_a_link(dest: Path, tmp_path: Path) -> None:
    from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting import store
    from ansible_collections.secops.defender.tests.report import sample

    victim = tmp_path / "victim"
    victim.write_text("precious")
    with open_folder(dest) as folder:
        name = f"report-20261123T101500Z-{folder.custody.run[:8]}.json"
        (dest / f"{name}.part").symlink_to(victim)
        store.write(folder, sample.facts([]), sample.BEGAN)
    assert victim.read_text() == "precious"
    assert (dest / name).is_file() and not (dest / name).is_symlink()


@pytest.mark.parametrize(
    ("mode", "words"), [(0o777, "its group and every user"), (0o770, "its group"), (0o702, "every user"), (0o750, "")]
)
def test_e4_a_folder_that_others_may_write_to_is_warned_of(dest: Path, mode: int, words: str) -> None:
    dest.mkdir()
    dest.chmod(mode)
    with open_folder(dest) as folder:
        assert [f"can be written by {words}:" in each for each in folder.warnings] == ([True] if words else [])
    with open_folder(dest, read_only=True) as folder:
        assert bool(folder.warnings) == bool(words)


def test_e4_a_devices_folder_that_others_may_write_to_is_warned_of(dest: Path) -> None:
    (dest / "pc01.contoso.com").mkdir(parents=True)
    (dest / "pc01.contoso.com").chmod(0o777)
    with open_folder(dest) as folder:
        fetch(folder)
        assert any("pc01.contoso.com (mode 0777)" in each for each in folder.warnings)


@pytest.mark.parametrize("read_only", [False, True])
def test_e4_a_folder_of_another_user_is_refused(dest: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool) -> None:
    dest.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    owner = dest.stat().st_uid
    if owner == 0:
        os.chown(dest, 4712, -1)
    with pytest.raises(EvidenceError) as caught:
        open_folder(dest, read_only=read_only)
    assert caught.value.code == "DestNotOwn" and "belongs to another user" in caught.value.message
    assert list(dest.iterdir()) == []


def test_e4_a_file_system_that_makes_one_owner_of_all_is_no_stranger(
    dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest.mkdir()
    plain = os.fstat

    class Mapped:
        def __init__(self, found: os.stat_result) -> None:
            self._found = found
            self.st_uid = 65534

        def __getattr__(self, name: str) -> t.Any:
            return getattr(self._found, name)

    monkeypatch.setattr(os, "fstat", lambda file: Mapped(plain(file)))
    with open_folder(dest) as folder:
        assert fetch(folder).size == len(DATA)


@pytest.mark.parametrize(
    "content",
    [b"[" * 200_000, b'{"a":' * 500 + b"1" + b"}" * 500, b"x" * (5 << 20), b'{"sha256":' + b"9" * 5000 + b"}"],
    ids=["deep", "nested", "long", "a number of 5,000 digits"],
)
def test_e5_a_hostile_record_is_no_record(dest: Path, content: bytes) -> None:
    collect(dest)
    (dest / RECORD).write_bytes(content)
    with pytest.raises(EvidenceError) as caught, open_folder(dest) as folder:
        folder.existing(MACHINE, ACTION)
    assert caught.value.code == "EvidenceAltered"
    assert {each.kind for each in verify(dest).findings} >= {"altered"}


def test_e5_what_the_service_says_of_an_action_never_makes_a_record_that_cannot_be_read(dest: Path) -> None:
    deep: t.Any = "x"
    for _each in range(3000):
        deep = {"a": deep}
    for raw in ({"id": ACTION.id, "more": deep}, {"id": ACTION.id, "more": "x" * (3 << 20)}):
        action = Action(**{**ACTION.__dict__, "raw": raw})
        path = dest / str(len(json.dumps(raw, default=str)) if raw["more"] is not deep else 0)
        with open_folder(path) as folder:
            folder.fetch(MACHINE, action, {}, stream)
            assert folder.existing(MACHINE, action)
        record = json.loads(next(path.glob("*/*.json")).read_bytes())
        assert record["action"]["id"] == ACTION.id and "too large or nested" in record["action_cut"]


# ---- file systems that cannot, or will not (E9, E10) ----


def refusing(
    patch: pytest.MonkeyPatch, owner: t.Any, name: str, number: int, when: t.Callable[..., bool] = lambda *args: True
) -> list[int]:
    """One of our own file-system calls fails so; returns how often."""
    plain, hits = getattr(owner, name), []

    def refuse(*args: t.Any, **kwargs: t.Any) -> t.Any:
        if when(*args):
            hits.append(1)
            raise OSError(number, os.strerror(number))
        return plain(*args, **kwargs)

    patch.setattr(owner, name, refuse)
    return hits


def is_folder(file: int) -> bool:
    return os.path.isdir(f"/proc/self/fd/{file}") if os.path.exists("/proc/self/fd") else True


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_e9_a_folder_that_cannot_be_synced_is_said_and_worked_with(
    dest: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with open_folder(dest) as folder:
        refusing(monkeypatch, os, "fsync", number, is_folder)
        assert fetch(folder).sha256 == hashlib.sha256(DATA).hexdigest()
        assert len([each for each in folder.warnings if "cannot sync a folder" in each]) == 1


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_e9_a_file_system_without_locks_is_said_and_worked_with(
    dest: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refusing(monkeypatch, fcntl, "flock", number)
    with open_folder(dest) as folder:
        folder.custody.begin(tenant="t-1")
        assert fetch(folder).sha256 == hashlib.sha256(DATA).hexdigest()
        assert folder.custody.claim_start(MACHINE.id, None, "c") is None
        assert len([each for each in folder.warnings if "has no locks" in each]) == 1
    started = json.loads((dest / "custody.jsonl").read_bytes().splitlines()[0])
    assert started["alone"] is None


SAID = {
    errno.ENOSPC: ("No space left on device", "DiskFull", "Free space"),
    errno.EDQUOT: ("quota of this user", "DiskFull", "Free space"),
    errno.EROFS: ("mounted read-only", "DestNotWritable", "Mount it writable"),
    errno.EIO: ("input/output error", "DestNotWritable", "do not use this disk"),
    errno.ESTALE: ("stale file handle", "DestNotWritable", "Mount the share again"),
    errno.ETXTBSY: ("in use by another program", "DestNotWritable", "scanner"),
    errno.ENAMETOOLONG: ("a name is too long", "DestNotWritable", "shorter path"),
    errno.EACCES: ("Permission denied", "DestNotWritable", "owner and permissions"),
    errno.EMFILE: ("too many files are open", "TooManyFiles", "ulimit -n"),
}
CALLS = [
    ("open", os, "open"),
    ("mkdir", os, "mkdir"),
    ("write of the log", os, "write"),
    ("write of the package", None, ""),
    ("sync", os, "fsync"),
    ("rename", os, "rename"),
    ("lock", fcntl, "flock"),
    ("stat", os, "stat"),
]


@pytest.mark.parametrize("number", SAID, ids=errno.errorcode.get)
@pytest.mark.parametrize(("what", "owner", "name"), CALLS, ids=[call[0] for call in CALLS])
def test_e9_each_failure_of_each_call_has_its_own_sentence_and_loses_nothing(
    dest: Path, monkeypatch: pytest.MonkeyPatch, what: str, owner: t.Any, name: str, number: int
) -> None:
    folder = open_folder(dest)
    folder.custody.begin(tenant="t-1")
    if what == "lock" and number in (errno.EACCES,):
        pytest.skip("of a lock this says that somebody else has it")

    @contextmanager
    def failing(offset: int) -> Iterator[t.Any]:
        def chunks() -> Iterator[bytes]:
            yield DATA[:2000]
            raise OSError(number, os.strerror(number))

        yield 0, len(DATA), chunks()

    with monkeypatch.context() as patch:
        if owner is not None:
            refusing(patch, owner, name, number)
        with pytest.raises(EvidenceError) as caught:
            fetch(folder, stream if owner is not None else failing)
    said, code, advice = SAID[number]
    assert said in caught.value.message and caught.value.code == code and advice in caught.value.advice
    assert not (dest / NAME).exists()
    # It passes: the same run goes on, and what it stores is right.
    assert fetch(folder).sha256 == hashlib.sha256(DATA).hexdigest()
    folder.custody.append("run_ended")
    folder.close()
    assert verify(dest).findings == []


def test_e9_a_file_that_cannot_be_renamed_while_it_is_open_is_closed_first(
    dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once: list[int] = []

    def first(old: str, *_args: t.Any) -> bool:
        return str(old).endswith(".zip.part") and not once and not once.append(1)  # type: ignore[func-returns-value]

    refusing(monkeypatch, os, "rename", errno.EBUSY, first)
    with open_folder(dest) as folder:
        assert fetch(folder).path.read_bytes() == DATA


def test_e10_a_part_file_that_a_scanner_removes_is_said_so(dest: Path) -> None:
    @contextmanager
    def scanned(offset: int) -> Iterator[t.Any]:
        with stream(offset) as opened:
            (dest / f"{NAME}.part").unlink()
            yield opened

    with open_folder(dest) as folder:
        with pytest.raises(EvidenceError) as caught:
            fetch(folder, scanned)
        assert caught.value.code == "PartRemoved" and "virus scanner" in caught.value.advice
        assert fetch(folder).path.read_bytes() == DATA


def test_e10_a_part_file_that_is_exchanged_is_not_stored(dest: Path) -> None:
    @contextmanager
    def exchanged(offset: int) -> Iterator[t.Any]:
        with stream(offset) as opened:
            (dest / f"{NAME}.part").unlink()
            (dest / f"{NAME}.part").write_bytes(package_bytes("forged", 5000))
            yield opened

    with open_folder(dest) as folder, pytest.raises(EvidenceError, match="was replaced while"):
        fetch(folder, exchanged)
    assert not (dest / NAME).exists()


# ---- whose folder, and whose clock (E7, E11) ----


def test_e7_log_and_record_carry_the_tenant(dest: Path) -> None:
    collect(dest)
    started = json.loads((dest / "custody.jsonl").read_bytes().splitlines()[0])
    assert started["tenant"] == json.loads((dest / RECORD).read_bytes())["tenant"] == verify(dest).tenant == "t-1"


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("tenant", ["t-2", None, ""])
def test_e7_a_folder_of_another_tenant_is_refused_before_anything_is_written(
    dest: Path, tenant: str | None, read_only: bool
) -> None:
    collect(dest)
    before = (dest / "custody.jsonl").read_bytes()
    with open_folder(dest, read_only=read_only) as folder, pytest.raises(EvidenceError) as caught:
        folder.require_tenant(tenant)
    assert caught.value.code == "WrongTenantFolder"
    assert "t-1" in caught.value.message and (tenant or "does not name") in caught.value.message
    assert f"dest: {dest}-" in caught.value.advice
    assert (dest / "custody.jsonl").read_bytes() == before
    with open_folder(dest, read_only=read_only) as folder:
        folder.require_tenant("T-1")


def test_e7_of_two_tenants_that_begin_at_once_only_the_first_gets_the_folder(dest: Path) -> None:
    with open_folder(dest) as one, open_folder(dest) as two:
        one.require_tenant("t-1")
        two.require_tenant("t-2")
        one.custody.begin()
        with pytest.raises(EvidenceError) as caught:
            two.custody.begin()
        assert caught.value.code == "WrongTenantFolder"


def test_e11_a_clock_that_contradicts_the_services_is_in_log_record_and_warnings(dest: Path) -> None:
    clock = VirtualClock()
    with Folder(str(dest), clock) as folder:
        folder.custody.begin(tenant="t-1", skew=-432000.0)
        created = "2027-01-20T08:16:40Z"
        action = Action(**{**ACTION.__dict__, "created": created})
        path = folder.fetch(MACHINE, action, {}, stream).path
        record = json.loads(path.with_suffix(".json").read_bytes())
        assert record["clock_skew_seconds"] == -432000.0
        assert "before its action was created" in record["clock_contradiction"]
        assert any("clock of this computer is 120 h 0 min behind" in each for each in folder.warnings), folder.warnings
        assert any("before the action was created" in each for each in folder.warnings)
    started = json.loads((dest / "custody.jsonl").read_bytes().splitlines()[0])
    assert started["clock_skew_seconds"] == -432000.0


def test_e11_a_clock_that_is_right_is_not_spoken_of(dest: Path) -> None:
    with open_folder(dest) as folder:
        folder.custody.begin(tenant="t-1", skew=0.4)
        path = fetch(folder).path
        assert folder.warnings == []
    assert "clock_contradiction" not in json.loads(path.with_suffix(".json").read_bytes())


# ---- runs that see each other (K2, E6) ----


def test_e6_a_run_that_has_left_is_seen_no_more_and_leaves_nothing(dest: Path) -> None:
    with open_folder(dest) as folder:
        folder.custody.begin(tenant="t-1")
        assert len(list((dest / ".runs").iterdir())) == 1
        folder.custody.append("run_ended")
    assert sorted(path.name for path in dest.iterdir()) == ["custody.jsonl"]


def test_k2_a_living_runs_request_is_claimed_and_not_started_again(dest: Path) -> None:
    with open_folder(dest) as one, open_folder(dest) as two:
        one.custody.begin(tenant="t-1")
        two.custody.begin(tenant="t-1")
        assert one.custody.claim_start("M1", "pc01", "Alert 4711") is None
        size = (dest / "custody.jsonl").stat().st_size
        claim = two.custody.claim_start("m1", "pc01", " Alert 4711 ")
        assert claim and (claim.run, claim.action_id, claim.run_state.value) == (one.custody.run, None, "alive")
        assert (dest / "custody.jsonl").stat().st_size == size
        one.custody.append("action_known", machine_id="m1", comment="Alert 4711", action_id="a1", request="started")
        claim = two.custody.claim("m1", "Alert 4711")
        assert claim and (claim.action_id, claim.word) == ("a1", "started")
        # Another device, another comment, and what the other run has given up, are free.
        assert two.custody.claim_start("m2", "pc02", "Alert 4711") is None
        assert two.custody.claim_start("m1", "pc01", "Alert 4712") is None
        one.custody.append("device_failed", machine_id="m1", action_id="a1", code="TimeOut", message="x")
        assert two.custody.claim_start("m1", "pc01", "Alert 4711") is None


def test_k2_what_a_living_run_has_merely_reused_or_stored_is_no_claim(dest: Path) -> None:
    with open_folder(dest) as one, open_folder(dest) as two:
        one.custody.begin(tenant="t-1")
        facts = {"machine_id": "m1", "comment": "c", "action_id": "a1"}
        one.custody.append("action_known", **facts, request="reused")
        assert two.custody.claim_start("m1", None, "c") is None
        one.custody.append("action_known", machine_id="m2", comment="c", action_id="a2", request="already_running")
        one.custody.append("package_stored", machine_id="m2", action_id="a2", path="x/y.zip", sha256="0" * 64)
        assert two.custody.claim_start("m2", None, "c") is None


@pytest.mark.parametrize("end", ["run_ended", "run_aborted", "closed", "killed"])
def test_k2_a_run_that_is_no_more_holds_no_claim_and_its_state_is_told(dest: Path, end: str) -> None:
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            folder = open_folder(dest)
            folder.custody.begin(tenant="t-1")
            folder.custody.claim_start("m1", "pc01", "c")
            if end.startswith("run_"):
                folder.custody.append(end)
            if end == "closed":
                folder.close()
        os._exit(0)
    os.waitpid(pid, 0)
    with open_folder(dest) as two:
        found = two.custody.history.request("m1", "c")
        assert found and found.run_state.value == {"run_ended": "ended", "run_aborted": "aborted"}.get(end, "gone")
        assert [each.machine_id for each in two.custody.history.open_requests()] == ["m1"]
        two.custody.begin(tenant="t-1")
        assert two.custody.claim_start("m1", "pc01", "c") is None
    log = (dest / "custody.jsonl").read_bytes()
    assert log.count(b'"run_interrupted"') == (end in ("closed", "killed"))
    assert not (dest / ".runs").exists()


def test_k2_only_one_of_many_processes_gets_to_start(dest: Path) -> None:
    open_folder(dest).close()
    reading, writing = os.pipe()
    pids = []
    for _each in range(8):
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException):
                folder = open_folder(dest)
                folder.custody.begin(tenant="t-1")
                os.write(writing, b"s" if folder.custody.claim_start("m1", None, "c") is None else b"f")
                # Alive until all have asked.
                time.sleep(1.5)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    os.close(writing)
    assert sorted(os.read(reading, 100)) == sorted(b"s" + b"f" * 7)


def test_several_folders_and_comments_in_one_run(tmp_path: Path) -> None:
    with open_folder(tmp_path / "a") as one, open_folder(tmp_path / "b") as two:
        for folder in (one, two):
            folder.custody.begin(tenant="t-1")
        for comment in ("x", "y"):
            assert one.custody.claim_start("m1", None, comment) is None
        assert two.custody.claim_start("m1", None, "x") is None
        one.custody.append("device_failed", machine_id="m1", comment="x", code="Failed", message="x")
        assert {each.comment for each in one.custody.history.open_requests()} == {"y"}
        assert {each.comment for each in two.custody.history.open_requests()} == {"x"}


def test_a_log_that_somebody_holds_does_not_hang_a_run(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_custody, "_LOCK_PATIENCE", 0.2)
    with open_folder(dest) as folder:
        with open(dest / "custody.jsonl", "rb") as holder:
            fcntl.flock(holder, fcntl.LOCK_EX)
            for use in (lambda: folder.custody.append("run_ended"), lambda: open_folder(dest).close()):
                with pytest.raises(EvidenceError) as caught:
                    use()
                assert caught.value.code == "EvidenceLocked"
        folder.custody.append("run_ended")


# The seams that other tests break calls at.
def test_every_byte_of_the_log_and_of_records_goes_through_its_seam() -> None:
    assert vars(_custody)["_write_all"] is _files.write_all is vars(_records)["write_all"]
