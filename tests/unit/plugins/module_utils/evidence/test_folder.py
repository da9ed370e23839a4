# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bz2
import errno
import fcntl
import hashlib
import io
import json
import lzma
import os
import random
import struct
import tracemalloc
import typing as t
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody as _custody
from ansible_collections.secops.defender.plugins.module_utils._evidence import folder as _evidence
from ansible_collections.secops.defender.plugins.module_utils._evidence import records as _records
from ansible_collections.secops.defender.plugins.module_utils._evidence import zip_check as _zip_check
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Busy, Folder, Package, safe_name
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    EvidenceError,
    PackageBroken,
    ReplyLost,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Machine
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import Killed, package_bytes
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock

MACHINE = Machine(id="a" * 40, dns_name="pc01.contoso.com")
ACTION_ID = "5382f7ea-7557-4ab7-9782-d50480024a4e"
NAME = f"pc01.contoso.com/20261123T101500Z_{ACTION_ID}.zip"
DATA = package_bytes("evidence", 10_000)
REQUEST = {"asked_for": "pc01", "request": "started", "comment": "Alert 4711"}


def _action(**facts: Any) -> Action:
    return Action.from_api(
        {
            "id": ACTION_ID,
            "type": "CollectInvestigationPackage",
            "status": "Succeeded",
            "machineId": MACHINE.id,
            "computerDnsName": MACHINE.dns_name,
            "creationDateTimeUtc": "2026-11-23T10:15:00.1234567Z",
            **facts,
        }
    )


ACTION = _action()


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "incident" / "4711"


@pytest.fixture
def folder(dest: Path) -> Folder:
    return Folder(str(dest), VirtualClock())


class Server:
    """Gives out one package, as well-behaved as it is told to be."""

    def __init__(self, data: bytes = DATA, *, ranges: bool = True, stop_after: int | None = None) -> None:
        self.data = data
        self.ranges = ranges
        self.stop_after = stop_after
        self.says_size = True
        self.offsets: list[int] = []
        self.chunk = 1000
        # Another beginning than was asked for.
        self.start: int | None = None

    @contextmanager
    def __call__(self, offset: int) -> Iterator[tuple[int, int | None, Iterator[bytes]]]:
        self.offsets.append(offset)
        start = offset if self.ranges else 0
        if self.start is not None and offset:
            start = self.start
        yield start, len(self.data) if self.says_size else None, self._chunks(start)

    def _chunks(self, start: int) -> Iterator[bytes]:
        end = len(self.data) if self.stop_after is None else start + self.stop_after
        for place in range(start, min(end, len(self.data)), self.chunk):
            yield self.data[place : min(place + self.chunk, end)]


def _fetch(folder: Folder, server: t.Any = None) -> Package:
    return folder.fetch(MACHINE, ACTION, dict(REQUEST), server or Server())


def _again(folder: Folder) -> Folder:
    """The same folder, opened by the next run after this one has left."""
    folder.close()
    return Folder(str(folder.path), VirtualClock())


def _beside(folder: Folder) -> Folder:
    """The same folder, opened by another run while this one goes on."""
    return Folder(str(folder.path), VirtualClock())


def _killed(folder: Folder) -> None:
    """What kill -9 leaves of a run: its files are closed, and nothing is tidied up."""
    presence = folder.custody._presence
    for file in [folder.custody._file, presence._file if presence else -1, folder.custody.dir.file]:
        if file >= 0:
            os.close(file)
    for part in folder._held.values():
        part.file.close()


def _events(dest: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (dest / "custody.jsonl").read_text().splitlines()]


def _files(dest: Path) -> list[str]:
    """Without the locks of runs that are going on."""
    return sorted(
        str(path.relative_to(dest)) for path in dest.rglob("*") if path.is_file() and ".runs" not in path.parts
    )


# ---- names ----


@pytest.mark.parametrize("name", ["pc01", "pc01.contoso.com", "WS-1_b", "a" * 120, "1"])
def test_a_dns_name_stays_as_it_is(name: str) -> None:
    assert safe_name(name) == name


@settings(max_examples=400)
@given(st.one_of(st.text(), st.text(alphabet="./\\-_aA~:\0 custody.jsonl")))
@example("")
@example("..")
@example("../../etc/passwd")
@example(".hidden")
@example("custody.jsonl")
@example("CUSTODY.JSONL")
@example("-rf")
@example("a" * 5000)
@example("\ud800")
@example("pc01\n")
def test_no_name_escapes_or_hides_or_takes_the_logs_place(text: str) -> None:
    safe = safe_name(text)
    assert Path(safe).name == safe
    assert safe[:1] not in (".", "-", "")
    assert not safe.endswith(".")
    assert safe.lower() != "custody.jsonl"
    assert len(safe) <= 140
    assert safe.isascii() and safe.isprintable() and not set(safe) & set('/\\:*?"<>| ')
    assert os.path.normpath(os.path.join("/evidence", safe)) == f"/evidence/{safe}"


@settings(max_examples=400)
@given(st.lists(st.text(alphabet="ab./_-é", min_size=0, max_size=4), min_size=2, max_size=8, unique=True))
def test_names_that_differ_stay_different(names: list[str]) -> None:
    assert len({safe_name(name) for name in names}) == len(names)


def test_the_place_is_the_devices_and_the_actions_own(folder: Folder, dest: Path) -> None:
    assert folder.place(MACHINE, ACTION) == dest / NAME


@pytest.mark.parametrize(
    ("machine", "facts", "place"),
    [
        (Machine("b" * 40), {"computerDnsName": "Old-Name"}, f"Old-Name/20261123T101500Z_{ACTION_ID}.zip"),
        (Machine("b" * 40), {"computerDnsName": None}, f"{'b' * 40}/20261123T101500Z_{ACTION_ID}.zip"),
        (MACHINE, {"creationDateTimeUtc": None}, f"pc01.contoso.com/unknownZ_{ACTION_ID}.zip"),
        (MACHINE, {"creationDateTimeUtc": "2026-11-23T10:15:00Z"}, NAME),
    ],
)
def test_what_the_service_leaves_out_still_gives_a_place(machine: Machine, facts: dict[str, Any], place: str) -> None:
    assert str(_evidence.place(machine, _action(**facts))) == place


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30), st.text(max_size=30))
@example("../..", "../../../tmp/x", "../../../../etc/cron.d/x")
def test_nothing_that_the_service_says_leads_out_of_the_folder(action_id: str, name: str, created: str) -> None:
    place = _evidence.place(Machine("b" * 40, name), _action(id=action_id, creationDateTimeUtc=created))
    assert len(place.parts) == 2
    assert ".." not in place.parts
    assert place.suffix == ".zip"


# ---- the whole way ----


def test_a_package_comes_with_its_record_and_its_log(folder: Folder, dest: Path) -> None:
    package = _fetch(folder)
    digest = hashlib.sha256(DATA).hexdigest()
    assert package.as_result() == {
        "path": str(dest / NAME),
        "size": len(DATA),
        "sha256": digest,
        "downloaded": "2027-01-15T08:16:40Z",
    }
    assert (dest / NAME).read_bytes() == DATA
    record = json.loads((dest / NAME).with_suffix(".json").read_text())
    started, verified, _stored = (dest / "custody.jsonl").read_bytes().splitlines()
    anchor = hashlib.sha256(started).hexdigest()
    assert json.loads(verified)["previous_sha256"] == anchor
    assert (
        json.loads(verified)["record_sha256"]
        == hashlib.sha256((dest / NAME).with_suffix(".json").read_bytes()).hexdigest()
    )
    assert record == {
        "tenant": None,
        "machine_id": MACHINE.id,
        "computer_dns_name": MACHINE.dns_name,
        **REQUEST,
        "action": ACTION.raw,
        "file": Path(NAME).name,
        "size": len(DATA),
        "sha256": digest,
        "sha256_taken": "on the control node while downloading: the API gives no hash",
        "zip_check": "crc",
        "downloaded": "2027-01-15T08:16:40Z",
        "clock_skew_seconds": None,
        "tool": record["tool"],
        "custody_sha256": anchor,
    }
    assert _events(dest) == ["download_started", "package_verified", "package_stored"]
    assert _files(dest) == sorted(["custody.jsonl", NAME, NAME.replace(".zip", ".json")])


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o007])
def test_nobody_else_may_read_any_of_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        _fetch(Folder(str(tmp_path / "one" / "two"), VirtualClock()))
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "one" / "two").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert (tmp_path / "one" / "two").stat().st_mode & 0o777 == 0o700


def test_parents_of_dest_are_as_private_as_dest(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Folder(str(tmp_path / "one" / "two"), VirtualClock())
    finally:
        os.umask(before)
    assert (tmp_path / "one" / "two").stat().st_mode & 0o777 == 0o700


def test_memory_does_not_grow_with_the_package(folder: Folder) -> None:
    # Eighty times what may be held at once.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        with package.open(zipfile.ZipInfo("memory.dmp"), "w") as entry:
            for _each in range(80):
                entry.write(bytes(1 << 20))
    server = Server(buffer.getvalue())
    server.chunk = 1 << 20
    tracemalloc.start()
    try:
        _fetch(folder, server)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_two_packages_of_one_device_stand_side_by_side(folder: Folder, dest: Path) -> None:
    _fetch(folder)
    later = _action(id="6" + ACTION_ID[1:], creationDateTimeUtc="2026-11-24T10:15:00Z")
    folder.fetch(MACHINE, later, dict(REQUEST), Server(package_bytes("later")))
    assert len(list((dest / "pc01.contoso.com").glob("*.zip"))) == 2
    assert (dest / NAME).read_bytes() == DATA


# ---- downloads that break off ----


def test_a_download_that_broke_off_goes_on_where_it_stopped(folder: Folder, dest: Path) -> None:
    server = Server(stop_after=4000)
    with pytest.raises(ReplyLost) as caught:
        _fetch(folder, server)
    assert caught.value.message == f"The download ended after 4000 of {len(DATA)} bytes."
    assert not (dest / NAME).exists()
    server.stop_after = None
    package = _fetch(folder, server)
    assert server.offsets == [0, 4000]
    assert package.sha256 == hashlib.sha256(DATA).hexdigest()
    assert (dest / NAME).read_bytes() == DATA
    assert (dest / f"{NAME}.part").exists() is False


def test_e1_bytes_of_a_killed_download_are_not_built_upon_whoever_wrote_them(folder: Folder, dest: Path) -> None:
    """Whoever can write files, but not speak for the service, could put chosen bytes and a fitting CRC into a .part file."""
    forged = package_bytes("forged", 10_000)
    server = Server(stop_after=4000)
    with pytest.raises(ReplyLost):
        _fetch(folder, server)
    _killed(folder)
    (dest / f"{NAME}.part").write_bytes(forged[:9000])
    server = Server(forged[:9000] + DATA[9000:])
    server.data, server.stop_after = DATA, None
    package = _fetch(_beside(folder), server)
    assert server.offsets == [0]
    assert (dest / NAME).read_bytes() == DATA
    assert package.sha256 == hashlib.sha256(DATA).hexdigest()
    assert json.loads((dest / "custody.jsonl").read_text().splitlines()[1])["discarded_bytes"] == 9000


def test_e1_bytes_changed_while_a_download_rests_do_not_become_evidence(folder: Folder, dest: Path) -> None:
    """What was hashed is what was received: the file that differs from it is found, not blessed."""
    server = Server(stop_after=4000)
    with pytest.raises(ReplyLost):
        _fetch(folder, server)
    folder._held[NAME].file.flush()
    with open(dest / f"{NAME}.part", "r+b") as part:
        part.seek(2000)
        part.write(b"forged")
    server.stop_after = None
    with pytest.raises(PackageBroken):
        _fetch(folder, server)
    assert not (dest / NAME).exists()


def test_downloads_that_broke_off_are_not_left_behind(folder: Folder, dest: Path) -> None:
    with pytest.raises(ReplyLost):
        _fetch(folder, Server(stop_after=4000))
    assert (dest / f"{NAME}.part").exists()
    folder.close()
    assert _files(dest) == ["custody.jsonl"]


def test_only_some_downloads_are_held_for_another_try(folder: Folder, dest: Path) -> None:
    for number in range(12):
        action = _action(id=f"{number:08x}{ACTION_ID[8:]}")
        with pytest.raises(ReplyLost):
            folder.fetch(MACHINE, action, dict(REQUEST), Server(stop_after=4000))
    assert len(folder._held) == len([name for name in _files(dest) if name.endswith(".part")]) == 8


def test_a_server_without_ranges_starts_from_the_beginning(folder: Folder, dest: Path) -> None:
    server = Server(stop_after=4000, ranges=False)
    with pytest.raises(ReplyLost):
        _fetch(folder, server)
    server.stop_after = None
    assert _fetch(folder, server).sha256 == hashlib.sha256(DATA).hexdigest()
    assert (dest / NAME).read_bytes() == DATA


@pytest.mark.parametrize("start", [1, 3999, 4001, 9000])
def test_another_range_than_was_asked_for_is_not_built_upon(folder: Folder, dest: Path, start: int) -> None:
    server = Server(stop_after=4000)
    with pytest.raises(ReplyLost):
        _fetch(folder, server)
    server.stop_after, server.start = None, start
    with pytest.raises(ReplyLost):
        _fetch(folder, server)
    server.start = None
    assert _fetch(folder, server).size == len(DATA)
    assert server.offsets == [0, 4000, 0]
    assert (dest / NAME).read_bytes() == DATA


@pytest.mark.parametrize("content", [DATA, b"x" * 4000, b""])
def test_e1_a_part_file_that_the_log_does_not_vouch_for_is_begun_anew(
    folder: Folder, dest: Path, content: bytes
) -> None:
    (dest / NAME).parent.mkdir()
    (dest / f"{NAME}.part").write_bytes(content)
    server = Server()
    assert _fetch(folder, server).sha256 == hashlib.sha256(DATA).hexdigest()
    assert server.offsets == [0]
    assert (dest / NAME).read_bytes() == DATA


def test_a_stream_that_breaks_keeps_what_came(folder: Folder, dest: Path) -> None:
    @contextmanager
    def broken(offset: int) -> Iterator[tuple[int, int, Iterator[bytes]]]:
        def chunks() -> Iterator[bytes]:
            yield DATA[:3000]
            raise ReplyLost("The download broke off: connection reset.")

        yield 0, len(DATA), chunks()

    with pytest.raises(ReplyLost):
        _fetch(folder, broken)
    server = Server()
    _fetch(folder, server)
    assert server.offsets == [3000]
    assert (dest / NAME).read_bytes() == DATA


def test_an_interrupted_task_stops_its_downloads(dest: Path) -> None:
    clock = VirtualClock()
    folder = Folder(str(dest), clock)
    server = Server()

    @contextmanager
    def stopping(offset: int) -> Iterator[Any]:
        with server(offset) as (start, size, chunks):

            def counted() -> Iterator[bytes]:
                for number, chunk in enumerate(chunks):
                    if number == 2:
                        clock.stop()
                    yield chunk

            yield start, size, counted()

    with pytest.raises(Exception, match="^$") as caught:
        _fetch(folder, stopping)
    assert type(caught.value).__name__ == "Stopped"
    assert not (dest / NAME).exists()


def test_an_unknown_size_is_taken_as_it_comes(folder: Folder) -> None:
    server = Server()
    server.says_size = False
    assert _fetch(folder, server).size == len(DATA)


# ---- what is no package ----


def _check(path: Path) -> str:
    with open(path, "rb") as file:
        return _zip_check.check_zip(file, VirtualClock()).value


def _zip(method: int = zipfile.ZIP_DEFLATED, content: bytes = b"evidence " * 500) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as package:
        package.writestr("Autoruns/run.txt", content)
        package.writestr("Processes.CSV", content)
    return buffer.getvalue()


def _patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """The data with bytes changed behind each occurrence of a zip header's signature."""
    changed = bytearray(data)
    place = data.find(signature)
    while place >= 0:
        changed[place + offset : place + offset + len(value)] = value
        place = data.find(signature, place + 4)
    return bytes(changed)


def _encrypted() -> bytes:
    data = _patched(_zip(zipfile.ZIP_STORED), b"PK\x03\x04", 6, struct.pack("<H", 1))
    return _patched(data, b"PK\x01\x02", 8, struct.pack("<H", 1))


def _unknown_method() -> bytes:
    data = _patched(_zip(zipfile.ZIP_STORED), b"PK\x03\x04", 8, struct.pack("<H", 97))
    return _patched(data, b"PK\x01\x02", 10, struct.pack("<H", 97))


def _corrupt(method: int) -> bytes:
    data = bytearray(_zip(method, bytes(random.Random(1).randbytes(5000))))
    data[len(data) // 4] ^= 0xFF
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"", "no valid zip file", id="nothing"),
        pytest.param(b"<!DOCTYPE html><title>Sign in</title>" * 30, "no valid zip file", id="a page"),
        pytest.param(DATA[: len(DATA) // 2], "no valid zip file", id="half of it"),
        pytest.param(_corrupt(zipfile.ZIP_STORED), "does not match its checksum", id="stored, damaged"),
        pytest.param(_corrupt(zipfile.ZIP_DEFLATED), "", id="deflated, damaged"),
        pytest.param(_corrupt(zipfile.ZIP_BZIP2), "", id="bzip2, damaged"),
        pytest.param(_corrupt(zipfile.ZIP_LZMA), "", id="lzma, damaged"),
        pytest.param(b"PK\x05\x06" + b"\xff" * 18, "", id="a directory out of nowhere"),
    ],
)
def test_what_is_no_package_is_refused_and_forgotten(folder: Folder, dest: Path, data: bytes, said: str) -> None:
    server = Server(data)
    with pytest.raises(PackageBroken, match=said or ".") as caught:
        _fetch(folder, server)
    assert caught.value.advice
    assert not (dest / NAME).exists()
    assert not (dest / f"{NAME}.part").exists()
    assert t.cast(t.Any, caught.value).sha256 == hashlib.sha256(data).hexdigest()
    good = Server()
    assert _fetch(folder, good).size == len(DATA)
    assert good.offsets == [0]


@pytest.mark.parametrize(
    ("data", "check"),
    [
        pytest.param(_zip(zipfile.ZIP_STORED), "crc", id="stored"),
        pytest.param(_zip(zipfile.ZIP_BZIP2), "crc", id="bzip2"),
        pytest.param(_zip(zipfile.ZIP_LZMA), "crc", id="lzma"),
        pytest.param(_encrypted(), "structure", id="encrypted"),
        pytest.param(_unknown_method(), "structure", id="a method of which nothing is known here"),
        pytest.param(_patched(_zip(), b"PK\x01\x02", 6, b"\xff\x00"), "structure", id="a version of which nothing is"),
    ],
)
def test_what_cannot_be_unpacked_here_is_stored_all_the_same(folder: Folder, data: bytes, check: str) -> None:
    package = _fetch(folder, Server(data))
    record = json.loads(package.path.with_suffix(".json").read_text())
    assert record["zip_check"] == check


def test_a_zip_bomb_is_not_unpacked_to_check_it(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(*args: Any) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(_zip_check, "_unpacked", unpack)
    monkeypatch.setattr(_zip_check, "_BOMB_BYTES", 1 << 20)
    package = _fetch(folder, Server(_zip(content=bytes(4 << 20))))
    assert json.loads(package.path.with_suffix(".json").read_text())["zip_check"] == "structure"


def test_a_directory_that_lies_about_its_sizes_is_no_bomb_either(tmp_path: Path) -> None:
    # One that claims one byte: reading stops there, and the checksum cannot fit.
    bomb = _patched(_zip(content=bytes(8 << 20)), b"PK\x01\x02", 24, struct.pack("<I", 1))
    (tmp_path / "bomb.zip").write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(PackageBroken):
            _check(tmp_path / "bomb.zip")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    changes=st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.sampled_from([0, 0, 0, 1, 10, 60]),
)
def test_no_damage_is_worse_than_a_broken_package(
    tmp_path: Path, method: int, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(_zip(method, b"some evidence"))
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "damaged.zip"
    path.write_bytes(data[: len(data) - cut])
    try:
        assert _check(path) in ("crc", "structure")
    except PackageBroken as failure:
        assert failure.message.endswith(".")


def test_a_package_that_cannot_be_read_back_is_the_disks_fault(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(zipfile.ZipFile, "open", fail)
    with pytest.raises(EvidenceError) as caught:
        _fetch(folder)
    assert "input/output error" in caught.value.message


# ---- what is there already ----


def test_a_stored_package_is_not_downloaded_again(folder: Folder, dest: Path) -> None:
    first = _fetch(folder)
    before = (dest / NAME).stat().st_mtime_ns
    server = Server(b"something else")
    assert _fetch(_again(folder), server) == first
    assert _again(folder).existing(MACHINE, ACTION) == first
    assert server.offsets == []
    assert (dest / NAME).stat().st_mtime_ns == before
    assert not (dest / f"{NAME}.part").exists()
    assert _events(dest).count("package_stored") == 1


def _alter_package(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def _alter_record(path: Path) -> None:
    record = path.with_suffix(".json")
    record.write_text(record.read_text().replace(hashlib.sha256(DATA).hexdigest(), "0" * 64))


def _alter_size(path: Path) -> None:
    record = path.with_suffix(".json")
    record.write_text(record.read_text().replace(f'"size": {len(DATA)}', '"size": 1'))


def _alter_both(path: Path) -> None:
    """By somebody who knows how they belong together; the log knows better."""
    _alter_package(path)
    record = path.with_suffix(".json")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    record.write_text(record.read_text().replace(hashlib.sha256(DATA).hexdigest(), digest))


def _lose_the_log(path: Path) -> None:
    (path.parents[1] / "custody.jsonl").write_bytes(b"")


@pytest.mark.parametrize(
    "change",
    [
        _alter_both,
        _lose_the_log,
        _alter_package,
        _alter_record,
        _alter_size,
        lambda path: path.with_suffix(".json").unlink(),
        lambda path: path.with_suffix(".json").write_text("no JSON"),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: path.with_suffix(".json").write_bytes(b"\xff\xfe"),
        lambda path: (path.with_suffix(".json").unlink(), path.with_suffix(".json").mkdir()),
    ],
    ids=["both", "log", "package", "digest", "size", "missing", "no JSON", "no object", "no text", "no file"],
)
def test_a_package_that_is_not_what_was_written_down_is_not_touched(
    folder: Folder, dest: Path, change: Callable[[Path], object]
) -> None:
    _fetch(folder)
    change(dest / NAME)
    folder.close()
    content, log = (dest / NAME).read_bytes(), (dest / "custody.jsonl").read_bytes()
    server = Server()
    for look in (lambda each: each.existing(MACHINE, ACTION), lambda each: _fetch(each, server)):
        with pytest.raises(EvidenceError) as caught, _beside(folder) as again:
            look(again)
        assert caught.value.code == "EvidenceAltered"
        assert str(dest / NAME) in caught.value.message
        assert "defender_verify_evidence" in caught.value.advice
    assert server.offsets == []
    assert (dest / NAME).read_bytes() == content
    assert (dest / "custody.jsonl").read_bytes() == log


def test_a_package_that_cannot_be_read_says_so(folder: Folder, dest: Path) -> None:
    _fetch(folder)
    (dest / NAME).unlink()
    (dest / NAME).mkdir()
    with pytest.raises(EvidenceError) as caught:
        folder.existing(MACHINE, ACTION)
    assert caught.value.code == "EvidenceAltered"
    assert "a folder is in its place" in caught.value.message


def test_a_package_that_the_disk_does_not_give_says_so(
    folder: Folder, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fetch(folder)

    def fail(*args: Any) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(EvidenceError) as caught:
        folder.existing(MACHINE, ACTION)
    assert caught.value.code == "EvidenceUnreadable"


# ---- crashes between any two steps ----


class _Crash:
    """Ends the process at one of its system calls, before it or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
        self.left = stop_at
        for module, name in ((os, "fsync"), (os, "rename"), (_custody, "_write_all"), (_records, "write_all")):
            monkeypatch.setattr(module, name, self._wrap(getattr(module, name)))

    def _wrap(self, plain: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._step()
            result = plain(*args, **kwargs)
            self._step()
            return result

        return call

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.mark.parametrize("finish", ["existing", "fetch"])
def test_whatever_a_crash_leaves_is_completed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finish: str
) -> None:
    moments = 0
    while True:
        moments += 1
        dest = tmp_path / str(moments)
        folder = Folder(str(dest), VirtualClock())
        with monkeypatch.context() as patch:
            crash = _Crash(patch, moments)
            try:
                _fetch(folder)
            except Killed:
                pass
        if crash.left > 0:
            break
        _killed(folder)
        if (dest / NAME).exists():
            assert (dest / NAME).read_bytes() == DATA
        server, verified = Server(), b"package_verified" in (dest / "custody.jsonl").read_bytes()
        with _beside(folder) as again:
            package = again.existing(MACHINE, ACTION) if finish == "existing" else None
            package = package or _fetch(again, server)
        assert package.sha256 == hashlib.sha256(DATA).hexdigest()
        # What was verified is not downloaded anew.
        assert server.offsets == ([] if verified else [0])
        assert _files(dest) == sorted(["custody.jsonl", NAME, NAME.replace(".zip", ".json")])
        assert _events(dest).count("package_stored") in (1, 2)
        with _beside(folder) as again:
            assert again.existing(MACHINE, ACTION) == package
    # Two syncs and a line for each of three events, three renames and syncs: fewer means that steps went unseen.
    assert moments > 20


def test_a_verified_part_file_is_not_asked_for_again(
    folder: Folder, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def killed(*args: Any) -> None:
            raise Killed

        patch.setattr(_records, "store", killed)
        with pytest.raises(Killed):
            _fetch(folder)
    _killed(folder)
    server = Server()
    assert _fetch(_beside(folder), server).size == len(DATA)
    assert server.offsets == []


def test_a_part_file_that_changed_after_it_was_verified_is_not_trusted(
    folder: Folder, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def killed(*args: Any) -> None:
            raise Killed

        patch.setattr(_records, "store", killed)
        with pytest.raises(Killed):
            _fetch(folder)
    _killed(folder)
    (dest / f"{NAME}.part").write_bytes(DATA[:-5])
    server = Server()
    assert _fetch(_beside(folder), server).sha256 == hashlib.sha256(DATA).hexdigest()
    assert server.offsets == [0]


# ---- two runs at once, and a folder that will not do ----


def test_two_runs_do_not_download_the_same_package_at_once(folder: Folder, dest: Path) -> None:
    other = _beside(folder)
    seen: list[type[BaseException]] = []

    @contextmanager
    def slow(offset: int) -> Iterator[Any]:
        # While this one downloads, the other one tries.
        with pytest.raises(Busy) as caught:
            _fetch(other)
        seen.append(caught.type)
        with Server()(offset) as opened:
            yield opened

    _fetch(folder, slow)
    assert seen == [Busy]
    assert _fetch(other).size == len(DATA)
    assert (dest / NAME).read_bytes() == DATA


def test_a_run_that_waited_for_the_lock_sees_that_the_package_is_there(
    folder: Folder, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, other = fcntl.flock, _beside(folder)
    raced: list[Package] = []

    def opened(dest: Path) -> bool:
        return (dest / f"{NAME}.part").exists()

    def flock(file: Any, operation: int) -> None:
        # Between opening the .part file and locking it, the other run does the whole work.
        part = os.path.samestat(os.fstat(file), os.stat(dest / f"{NAME}.part")) if opened(dest) else False
        if operation == fcntl.LOCK_EX | fcntl.LOCK_NB and part and not raced:
            monkeypatch.setattr(fcntl, "flock", plain)
            raced.append(_fetch(other))
        plain(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    server = Server()
    assert _fetch(folder, server) == raced[0]
    assert server.offsets == []
    assert not (dest / f"{NAME}.part").exists()


@pytest.mark.parametrize("step", ["chunk", "record"])
def test_a_full_disk_says_so_and_keeps_what_is_there(
    folder: Folder, dest: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as patch:
        if step == "record":

            def refuse(*args: Any, **kwargs: Any) -> None:
                raise full

            patch.setattr(_records, "write_all", refuse)
            with pytest.raises(EvidenceError) as caught:
                _fetch(folder)
        else:

            @contextmanager
            def stream(offset: int) -> Iterator[Any]:
                def chunks() -> Iterator[bytes]:
                    yield DATA[:2000]
                    raise full

                yield 0, len(DATA), chunks()

            with pytest.raises(EvidenceError) as caught:
                _fetch(folder, stream)
    assert caught.value.code == "DiskFull"
    assert "Free space there" in caught.value.advice
    assert not (dest / NAME).exists()
    server = Server()
    assert _fetch(_again(folder), server).size == len(DATA)
    assert server.offsets == [0]
    assert not list(dest.rglob("*.part"))


def test_a_device_whose_folders_name_is_taken_by_a_file_fails(folder: Folder, dest: Path) -> None:
    (dest / "pc01.contoso.com").write_text("in the way")
    assert folder.existing(MACHINE, ACTION) is None
    with pytest.raises(EvidenceError) as caught:
        _fetch(folder)
    assert (
        caught.value.message == f"The evidence folder {dest / 'pc01.contoso.com'} cannot be written: Not a directory."
    )
    assert (dest / "pc01.contoso.com").read_text() == "in the way"


@pytest.mark.parametrize("read_only", [False, True])
def test_a_dest_below_a_file_is_refused_at_once(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceError) as caught:
        Folder(str(tmp_path / "file" / "below"), VirtualClock(), read_only)
    assert caught.value.message == f"The evidence folder {tmp_path}/file/below cannot be written: Not a directory."
    assert caught.value.code == "DestNotWritable"


@pytest.mark.parametrize("read_only", [False, True])
def test_a_dest_that_is_a_file_is_refused_at_once(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvidenceError) as caught:
        Folder(str(tmp_path / "file"), VirtualClock(), read_only)
    assert caught.value.code == "DestNotWritable"


def test_read_only_makes_nothing(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "evidence"), VirtualClock(), read_only=True)
    assert folder.existing(MACHINE, ACTION) is None
    assert not (tmp_path / "evidence").exists()


def test_read_only_says_that_dest_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(EvidenceError) as caught:
        Folder(str(tmp_path / "evidence"), VirtualClock(), read_only=True)
    assert caught.value.message.endswith("Permission denied.")


def test_read_only_completes_nothing(folder: Folder, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:

        def killed(*args: Any) -> None:
            raise Killed

        patch.setattr(Folder, "_announce_stored", killed)
        with pytest.raises(Killed):
            _fetch(folder)
    log = (dest / "custody.jsonl").read_bytes()
    assert Folder(str(dest), VirtualClock(), read_only=True).existing(MACHINE, ACTION)
    assert (dest / "custody.jsonl").read_bytes() == log


def test_compressors_that_the_tests_need_are_there() -> None:
    # Without them zipfile would refuse these methods, and the tests above would prove nothing.
    assert bz2.compress(b"x") and lzma.compress(b"x")
