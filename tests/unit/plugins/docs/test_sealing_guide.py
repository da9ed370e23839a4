# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of the guide on sealing, run as they stand there: by OpenSSL and OpenSSH alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._tasks.seal_evidence import TASK as SEAL
from ansible_collections.secops.defender.plugins.module_utils._tasks.verify_evidence import TASK as VERIFY
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import ask
from simulator.sealing import Signer, TimeAuthority

GUIDE = Path(__file__).parents[4] / "docs" / "sealing.md"
BRIEF = 2.0


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder that was sealed by a certificate which has expired since, and the guide's commands for it."""
    home = tmp_path_factory.mktemp("guide")
    signer = Signer.make(home)
    folder = home / "evidence"
    folder.mkdir(mode=0o700)
    with Custody(folder, Clock()) as custody:
        for number in range(12):
            custody.append("device_failed", machine_id=f"{number:040x}", code="Forbidden")
    with TimeAuthority(home / "authority", brief=BRIEF) as authority:
        given = {"tsa_url": authority.url("brief"), "signing_key": signer.key, "identity": signer.identity}
        result = ask(SEAL, {"path": str(folder), **given}, clock=Clock())
    assert [each["seq"] for each in result["seals"]] == [12, 12], result["msg"]
    time.sleep(BRIEF + 1.0)
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    commands = "set -euo pipefail\n" + "".join(blocks)
    for told, real in (
        ("/etc/pki/timestamp-root.pem", authority.ca_path),
        ("/etc/pki/allowed_signers", signer.allowed_signers),
    ):
        assert told in commands
        commands = commands.replace(told, real)
    return folder, commands


def run(folder: Path, commands: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["/bin/bash", "-c", commands], cwd=folder, capture_output=True, check=False, timeout=60)


def test_what_is_whole(sealed: tuple[Path, str]) -> None:
    folder, commands = sealed
    done = run(folder, commands)
    assert done.returncode == 0, done.stderr.decode()
    assert (
        b"line 13 existed at" in done.stdout
        and b'Good "secops.defender" signature for analyst@contoso.com' in done.stdout
    )


@pytest.mark.parametrize("what", ["custody.jsonl", "seals/12.sig", "seals/12.tsr"])
def test_what_was_altered(sealed: tuple[Path, str], tmp_path: Path, what: str) -> None:
    folder, commands = sealed
    copy = Path(shutil.copytree(folder, tmp_path / "evidence"))
    lines = (copy / what).read_bytes()
    place = lines.index(b'"seq":12') + 20 if what == "custody.jsonl" else len(lines) // 2
    (copy / what).write_bytes(lines[:place] + bytes([lines[place] ^ 1]) + lines[place + 1 :])
    assert run(copy, commands).returncode != 0


def test_a_copy_is_verified_like_the_folder(sealed: tuple[Path, str], tmp_path: Path) -> None:
    folder, _commands = sealed
    copy = shutil.copytree(folder, tmp_path / "bucket", copy_function=shutil.copyfile)
    one, other = (ask(VERIFY, {"path": str(each)}, clock=Clock()) for each in (folder, copy))
    assert one["head"] == other["head"] and one["findings"] == other["findings"] and one["seals"] == other["seals"]
