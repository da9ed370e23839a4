# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The definition of the execution environment, and what ansible-builder finds in the collection. No container is run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml
from conftest import TOP, bare_environment

COLLECTIONS = Path(os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")[0])
NEEDED = {
    re.split(r"[ <>=~]", line)[0]
    for line in (TOP / "meta" / "ee-requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
}


def builder(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["ansible-builder", *arguments],
        env=bare_environment(folder),
        cwd=folder,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_build_context_is_created(tmp_path: Path) -> None:
    definition = TOP / "execution-environment.yml"
    words = ("create", "--file", str(definition), "--context", str(tmp_path / "context"))
    builder(*words, "--output-filename", "Containerfile", folder=tmp_path)
    containerfile = (tmp_path / "context" / "Containerfile").read_text()
    wanted = yaml.safe_load(definition.read_text())
    assert f'ARG EE_BASE_IMAGE="{wanted["images"]["base_image"]["name"]}"' in containerfile
    requirements = yaml.safe_load((tmp_path / "context" / "_build" / "requirements.yml").read_text())
    assert requirements == {"collections": [{"name": "secops.defender"}]}


def test_the_collection_brings_what_it_needs_and_no_more(tmp_path: Path) -> None:
    only = tmp_path / "ansible_collections" / "secops"
    only.mkdir(parents=True)
    (only / "defender").symlink_to(COLLECTIONS / "ansible_collections" / "secops" / "defender")
    written = tmp_path / "python.txt"
    words = ("introspect", str(tmp_path), "--write-pip", str(written), "--write-bindep", str(tmp_path / "system.txt"))
    builder(*words, folder=tmp_path)
    lines = [line for line in written.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert NEEDED == {"msal", "requests"} == {re.split(r"[ <>=~]", line)[0] for line in lines}
    system = tmp_path / "system.txt"
    assert not system.exists() or not system.read_text().strip()
