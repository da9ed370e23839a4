# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bag that the runbook hand_over.yml makes, judged by those who know what a bag is."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import bagit
import pytest
import yaml

RUNBOOK = Path(__file__).parents[4] / "docs" / "runbooks" / "hand_over.yml"


def tasks() -> list[dict[str, t.Any]]:
    """How it is packed."""
    (play,) = yaml.safe_load(RUNBOOK.read_text(encoding="utf-8"))
    (packing,) = [task["block"] for task in play["tasks"] if task["name"] == "Pack it"]
    return list(packing)


def script() -> str:
    return str(tasks()[0]["ansible.builtin.shell"])


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    folder = tmp_path / "incident 4711"
    (folder / "pc01.contoso.com").mkdir(parents=True)
    (folder / "seals").mkdir()
    (folder / ".runs").mkdir()
    (folder / ".runs" / "run.lock").touch()
    (folder / "custody.jsonl").write_bytes(b"{}\n" * 7)
    (folder / "seals" / "7.sig").write_bytes(b"seal")
    (folder / "pc01.contoso.com" / "package.zip").write_bytes(os.urandom(3000))
    said = {"FROM": "Ävery", "TO": "Casey\rCounsel $(touch /tmp/x)", "PURPOSE": 'Case "4711"'}
    environ = {
        **os.environ,
        "FOLDER": str(folder),
        "STAGE": str(tmp_path / "stage"),
        "NAME": "incident-4711-now",
        **said,
    }
    subprocess.run(["/bin/bash", "-c", script()], env=environ, check=True, timeout=60)
    return tmp_path / "stage" / "incident-4711-now"


def test_it_is_a_bag(bag: Path) -> None:
    made = bagit.Bag(str(bag))
    made.validate()
    assert sorted(made.payload_files()) == [
        "data/custody.jsonl",
        "data/pc01.contoso.com/package.zip",
        "data/seals/7.sig",
    ]
    assert made.info["External-Description"] == 'For CaseyCounsel $(touch /tmp/x): Case "4711"'
    assert made.info["Payload-Oxum"] == f"{3 * 7 + 4 + 3000}.3"


def test_sha256sum_alone_takes_its_manifests(bag: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "manifest-sha256.txt", "tagmanifest-sha256.txt"]
    subprocess.run(command, cwd=bag, check=True, capture_output=True)
    package = bag / "data" / "pc01.contoso.com" / "package.zip"
    package.write_bytes(package.read_bytes()[:-1])
    assert subprocess.run(command, cwd=bag, check=False, capture_output=True).returncode
    with pytest.raises(bagit.BagError):
        bagit.Bag(str(bag)).validate()


def test_only_a_whole_archive_has_its_name() -> None:
    """Nothing but a rename makes it: a tar that is killed leaves half of one."""
    writers = [
        task["ansible.builtin.command"]["argv"]
        for task in tasks()
        if "{{ archive }}" in task.get("ansible.builtin.command", {}).get("argv", ())
    ]
    assert writers == [["mv", "-n", "{{ stage }}/tar", "{{ archive }}"]]
