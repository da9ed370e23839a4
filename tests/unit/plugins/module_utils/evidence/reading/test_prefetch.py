# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import prefetch
from simulator import artefacts

pytest.importorskip("dissect.util")
HOUR = 3600 * 10_000_000
TIMES = [artefacts.EPOCH - number * HOUR for number in range(8)]
SAID = tuple(f"2026-11-23T{9 - number:02}:00:00.000000Z" for number in range(8))


@pytest.mark.parametrize("version", [26, 30, 31])
@pytest.mark.parametrize("compressed", [True, False])
def test_up_to_eight_times_the_newest_first(version: int, compressed: bool) -> None:
    for number in range(9):
        content = artefacts.ran("CMD.EXE", TIMES[:number], version, compressed)
        assert prefetch.run_times(content) == prefetch.run_times(content[: prefetch.SAMPLE]) == SAID[:number]


def test_windows_7_has_one_time_and_windows_xp_is_not_known() -> None:
    assert prefetch.run_times(artefacts.ran("CMD.EXE", TIMES, 23, compressed=False)) == SAID[:1]
    assert prefetch.run_times(artefacts.ran("CMD.EXE", TIMES, 17, compressed=False)) == ()


@given(st.binary(max_size=2000), st.integers(0, 400))
def test_a_damaged_file_has_no_times_or_some_and_never_raises(junk: bytes, at: int) -> None:
    whole = artefacts.ran("CMD.EXE", TIMES)
    for content in (junk, prefetch.MAGIC + junk, whole[:at] + junk, whole[:at] + junk + whole[at + len(junk) :]):
        assert all(time.endswith("Z") for time in prefetch.run_times(content))


def test_a_hostile_file_costs_little() -> None:
    # The longest matches that there are, one a block: the code 0 is symbol 271, which a length of 65,535 follows.
    block = bytes(135) + b"\x10" + bytes(119) + b"\x01" + bytes(4) + b"\xff\xff\xff"
    begun = time.process_time()
    assert prefetch.run_times(prefetch.MAGIC + bytes(4) + block * 20_000) == ()
    assert time.process_time() - begun < 90


def test_without_the_package_there_are_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prefetch.can_unpack()
    for name in ("dissect.util", "dissect.util.compression", "dissect.util.compression.lzxpress_huffman"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not prefetch.can_unpack()
    assert prefetch.run_times(artefacts.ran("CMD.EXE", TIMES)) == ()
