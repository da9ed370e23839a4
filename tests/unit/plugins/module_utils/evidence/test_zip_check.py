# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Zip quirks are kept and told apart from damage, and nothing that a zip claims costs more than it may (E8)."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence import zip_check as _zip_check
from ansible_collections.secops.defender.plugins.module_utils._evidence.zip_check import BrokenCopy, check_zip
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock, Stopped
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock

CONTENT = b"evidence " * 500


def made(*names: str, method: int = zipfile.ZIP_DEFLATED, content: bytes = CONTENT) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as package:
        for name in names:
            package.writestr(name, content)
    return buffer.getvalue()


def in_directory(data: bytes, old: bytes, new: bytes) -> bytes:
    """Another spelling in the central directory; the entries keep theirs."""
    start = data.index(b"PK\x01\x02")
    return data[:start] + data[start:].replace(old, new)


def check(tmp_path: Path, data: bytes, clock: Clock | None = None) -> str:
    (tmp_path / "package.zip").write_bytes(data)
    with open(tmp_path / "package.zip", "rb") as file:
        return check_zip(file, clock or VirtualClock()).value


@pytest.mark.parametrize(("old", "new"), [(b"logs/run.txt", b"logs\\run.txt"), (b"a/b/c", b"a\\b/c")])
def test_e8_a_name_with_backslashes_in_the_directory_is_kept(tmp_path: Path, old: bytes, new: bytes) -> None:
    data = made(old.decode(), "other.txt")
    assert check(tmp_path, in_directory(data, old, new)) == "structure"
    # And the other way round.
    swapped = made("other.txt", old.decode()).replace(old, new)
    assert check(tmp_path, in_directory(swapped, new, old)) == "structure"


def test_e8_damage_behind_such_a_name_is_still_found(tmp_path: Path) -> None:
    data = bytearray(in_directory(made("logs/run.txt", method=zipfile.ZIP_STORED), b"logs/", b"logs\\"))
    data[data.index(b"evidence") + 100] ^= 1
    with pytest.raises(BrokenCopy, match="does not match its checksum"):
        check(tmp_path, bytes(data))


def test_e8_a_checksum_is_blamed_only_where_it_is_one(tmp_path: Path) -> None:
    with pytest.raises(BrokenCopy) as caught:
        check(tmp_path, in_directory(made("logs/run.txt"), b"logs/run.txt", b"logs/run.txu"))
    assert "checksum" not in caught.value.message and "no valid zip file" in caught.value.message


def test_e8_a_zip_without_entries_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(BrokenCopy) as caught:
        check(tmp_path, made())
    assert caught.value.code == "PackageEmpty" and "holds nothing" in caught.value.message


def test_e8_one_entry_that_cannot_be_unpacked_does_not_hide_damage_in_another(tmp_path: Path) -> None:
    data = bytearray(made("one", "two", method=zipfile.ZIP_STORED))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + place
        data[at : at + 2] = struct.pack("<H", 1)  # encrypted
    assert check(tmp_path, bytes(data)) == "structure"
    data[data.rindex(b"evidence")] ^= 1
    with pytest.raises(BrokenCopy, match="'two' does not match its checksum"):
        check(tmp_path, bytes(data))


def test_e8_a_directory_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_zip_check, "_DIRECTORY_BYTES", 40_000)
    many = made(*(f"{number:05d}" for number in range(1000)), content=b"x")
    tracemalloc.start()
    try:
        assert check(tmp_path, many) == "structure"
        assert tracemalloc.get_traced_memory()[1] < 400_000
    finally:
        tracemalloc.stop()
    assert check(tmp_path, made(*(f"{number:05d}" for number in range(500)), content=b"x")) == "crc"


def test_e8_a_large_directory_in_zip64_is_not_read_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_zip_check, "_DIRECTORY_BYTES", 40_000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    many = made(*(f"{number:05d}" for number in range(1000)), content=b"x")
    assert b"PK\x06\x06" in many and check(tmp_path, many) == "structure"


def test_e8_unpacking_ends_when_it_takes_too_long(tmp_path: Path) -> None:
    class Slow(VirtualClock):
        def monotonic(self) -> float:
            self.now += 100.0
            return self.now

    assert check(tmp_path, made("one", content=bytes(12 << 20)), Slow()) == "structure"


def test_e8_a_run_that_ends_does_not_wait_for_the_check(tmp_path: Path) -> None:
    clock = Clock()
    clock.stop()
    with pytest.raises(Stopped):
        check(tmp_path, made("one"), clock)


def test_e8_entries_that_overlap_are_no_damage(tmp_path: Path) -> None:
    data = made("one", method=zipfile.ZIP_STORED)
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start:end]
    tail = bytearray(data[end:])
    tail[8:12] = struct.pack("<HH", 2, 2)
    tail[12:16] = struct.pack("<L", 2 * len(entry))
    assert check(tmp_path, data[:start] + entry * 2 + bytes(tail)) in ("structure", "crc")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=300), st.binary(max_size=60).map(lambda end: b"PK\x05\x06" + end)))
def test_no_bytes_are_worse_than_broken(tmp_path: Path, data: bytes) -> None:
    try:
        assert check(tmp_path, data) in ("crc", "structure")
    except BrokenCopy as failure:
        assert failure.message.endswith(".") and failure.advice
