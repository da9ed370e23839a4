# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing import masks
from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.masks import (
    MASKS,
    Mask,
    Masker,
    Wanted,
)

GUIDE = pathlib.Path(masks.__file__).parents[4] / "docs" / "comparing.md"


def masked(text: str, artefact: str = "processes", **names: list[str]) -> str:
    return Masker(Wanted(), names.get("hosts", ()), names.get("users", ()))(artefact, text)


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask.name)
def test_each_mask_does_what_its_example_says(mask: Mask) -> None:
    where = mask.artefacts[0] if mask.artefacts else "autoruns"
    assert Masker(Wanted(frozenset({mask.name})), (), ())(where, mask.before) == mask.after
    assert Masker(Wanted(frozenset()), (), ())(where, mask.before) == mask.before


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask.name)
def test_the_guide_shows_each_mask(mask: Mask) -> None:
    row = next(line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{mask.name}` |"))
    assert f"`{mask.before}`" in row and f"`{mask.after}`" in row


@pytest.mark.parametrize(
    ("text", "artefact", "expected"),
    [
        ("11/23/2026 10:15:02 AM", "processes", "<time>"),
        ("2026-11-23T10:15:02.1234567Z", "processes", "<time>"),
        ("20261123101502.123456+060", "processes", "<time>"),
        ("23.11.26 10:15", "processes", "<time>"),
        ("0:00:12", "processes", "<time>"),
        ("12,345 K", "processes", "<number>"),
        ("1.234.567", "processes", "<number>"),
        ("-2147024894", "scheduled_tasks", "<number>"),
        (r"C:\Program Files\WindowsApps\App_1.2.3.0_x64__8we\a.exe", "services", r"C:\Program Files\WindowsApps\App_<version>_x64__8we\a.exe"),
        ("AM_DELTA_PATCH_1.443.326.0.EX-8B3BB46B.pf", "prefetch", "AM_DELTA_PATCH_<patch_version>.EX<prefetch_hash>.pf"),
        ("EXCEL.EXE-FAEAAFEF.pf", "prefetch", "EXCEL.EXE<prefetch_hash>.pf"),
        ("MpKslfbadbbab", "services", "MpKsl<driver>"),
        ("OneSyncSvc_abcdef", "services", "OneSyncSvc<service_suffix>"),
        ("setup12.log", "temp_directories", "<temp_name>.log"),
    ],
)  # fmt: skip
def test_what_differs_everywhere_is_masked(text: str, artefact: str, expected: str) -> None:
    assert masked(text, artefact) == expected


@pytest.mark.parametrize(
    ("text", "artefact"),
    [
        ("nc.exe 203.0.113.7", "processes"),
        ("curl http://203.113.117.171/a", "processes"),
        (r"\\10.0.0.5\c$\x.exe", "services"),
        ("10.0.10.55", "network_connections"),
        ("02-00-5e-10-00-01", "arp"),
        ("svc_backup", "services"),
        ("mimikatz.log", "temp_directories"),
        ("beacon7.exe", "temp_directories"),
        (r"C:\Windows\System32\x64\a1.exe", "processes"),
        ("7-Zip", "installed_programs"),
    ],
)
def test_what_tells_something_stays(text: str, artefact: str) -> None:
    assert masked(text, artefact) == text


def test_the_devices_own_names_are_masked_as_words() -> None:
    host = ["accounting-pc-0042.contoso.com"]
    assert masked("ACCOUNTING-PC-0042", hosts=host) == "<host>"
    assert masked(r"ACCOUNTING-PC-0\jdoe", hosts=host, users=["jdoe"]) == r"<host>\<user>"
    assert masked(r"CONTOSO\jdoe2 jdoe-x", hosts=host, users=["jdoe"]) == r"CONTOSO\jdoe2 <user>-x"
    assert masked(r"C:\Users\jo\x.exe jo", users=["jo"]) == r"C:\Users\<user>\x.exe jo"


def test_users_are_those_with_a_profile() -> None:
    assert masks.users_in("a/b.txt", "C:\\Users\\Jane Doe\\x.exe,c:\\users\\Public\\y C:\\Users\\bob\r\n/home/eve/z") == {
        "Jane Doe", "bob", "eve"}  # fmt: skip
    assert masks.users_in("Temp Directories/carol_TempDirFiles.txt", "") == {"carol"}


def test_own_masks_come_first() -> None:
    assert Masker(Wanted(frozenset(), (r"asset-\d+",)), (), ())("services", "ASSET-4711 x") == "<own> x"


def test_masks_alone_tell_nothing() -> None:
    assert masks.says_nothing("<number>") and masks.says_nothing("<host>\\<user>") and masks.says_nothing("")
    assert not masks.says_nothing("a <number>") and not masks.says_nothing("<b>") and not masks.says_nothing("--")
