# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence.extracting.names import Names, safe_name

_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(10))}
# What a package can hold as a name: anything, and often what is dangerous.
PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "..",
            ".",
            "/",
            "\\",
            "C:",
            "\\\\?\\",
            "~",
            "CON",
            "nul",
            "com1",
            "LPT9",
            "aux",
            ".evtx",
            ".txt",
            "a",
            "A",
            "b" * 300,
            " ",
            "-",
            "\n",
            "\r",
            "\0",
            "\x1b[2J",
            "\u202e",
            "\ud800",
            "ä",
            "custody.jsonl",
            "bagit.txt",
            "manifest-sha256.txt",
            ".part",
            "!/",
        ]  # fmt: skip
    ),
)
NAMES = st.lists(PIECES, max_size=6).map("".join)


def harmless(name: str) -> bool:
    """Whether a name is a file's own on every system, and nothing that is looked for by name."""
    stem = name.partition(".")[0].strip().lower()
    return (
        re.fullmatch(r"[A-Za-z0-9 ._()+-]{1,121}", name) is not None
        and name[0] not in " .-"
        and name[-1] not in " ."
        and stem not in _DEVICES
        and name.lower() not in ("custody.jsonl", "bagit.txt")
    )


@given(NAMES)
@example("..")
@example("CON")
@example("con .txt")
@example("b" * 300 + ".evtx")
@example(".evtx")
@example("a." + "b" * 300)
def test_every_name_becomes_a_harmless_one(name: str) -> None:
    assert harmless(safe_name(name))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Security Event Log/Security.evtx", "Security.evtx"),
        ("Security Event Log\\Security.evtx", "Security.evtx"),
        ("../../etc/passwd", "passwd"),
        ("/etc/shadow", "shadow"),
        ("C:\\Windows\\win.ini", "win.ini"),
        ("C:evil.txt", "C_evil.txt"),
        ("\\\\server\\share\\x.log", "x.log"),
        ("a.txt:stream", "a.txt_stream"),
        ("nul.evtx", "_nul.evtx"),
        ("COM1", "_COM1"),
        ("lpt1 .txt", "_lpt1.txt"),
        ("custody.jsonl", "_custody.jsonl"),
        ("..", "unnamed"),
        ("-rf", "rf"),
        (".bash_history", "bash_history"),
        ("Müller_TempDirFiles.txt", "M_ller_TempDirFiles.txt"),
        ("x" * 300 + ".evtx", "x" * 115 + ".evtx"),
    ],
)
def test_what_becomes_of_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.lists(NAMES, max_size=30))
def test_no_two_entries_share_a_name_on_any_system(entries: list[str]) -> None:
    names = Names()
    given_names = [names.of(entry, entry) for entry in entries]
    assert len({name.lower() for name in given_names}) == len(entries)
    assert all(map(harmless, given_names))
    again = Names()
    assert [again.of(entry, entry) for entry in entries] == given_names


def test_names_that_differ_by_case_or_folder_or_not_at_all_are_told_apart_and_keep_their_extension() -> None:
    names = Names()
    found = [names.of(entry, entry) for entry in ("a/Security.evtx", "b/security.EVTX", "a/Security.evtx")]
    assert found[0] == "Security.evtx"
    assert re.fullmatch(r"security-[0-9a-f]{8}\.EVTX", found[1]) and re.fullmatch(
        r"Security-[0-9a-f]{8}\.evtx", found[2]
    )


def test_a_hundred_thousand_entries_of_one_name_take_no_time_that_grows_with_their_square() -> None:
    names = Names()
    assert len({names.of("x.txt", "x.txt") for _number in range(100_000)}) == 100_000
