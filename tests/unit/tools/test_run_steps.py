# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What make test, and the matrix, run their steps with."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

RUN_STEPS = pathlib.Path(__file__).parents[2] / "tools" / "run-steps"


class Steps:
    """A make whose steps are a script, and a home that somebody has."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.home = folder / "home"
        (self.home / ".config" / "pip").mkdir(parents=True)
        (self.home / ".config" / "pip" / "pip.conf").write_text("[global]\n")
        self._make = folder / "make"

    def run(self, script: str, *steps: str) -> subprocess.CompletedProcess[str]:
        self._make.write_text(f"#!/bin/sh\nset -e\nstep=$2\n{script}\n")
        self._make.chmod(0o700)
        environment = {**os.environ, "HOME": str(self.home), "MAKE": str(self._make)}
        return subprocess.run(
            [str(RUN_STEPS), *steps],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def written(self) -> list[str]:
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())


@pytest.fixture
def steps(tmp_path: pathlib.Path) -> Steps:
    return Steps(tmp_path)


def test_steps_until_the_first_failure(steps: Steps) -> None:
    run = steps.run('test "$step" != two', "one", "two", "three")
    assert run.returncode == 1 and "1 passed, 1 failed" in run.stdout and "three" not in run.stdout
    run = steps.run('test "$step" != two', "--keep-going", "one", "two", "three CORE=2.16")
    assert run.returncode == 1 and "2 passed, 1 failed" in run.stdout
    assert steps.run("", "one", "two").stdout.endswith("2 passed, 0 failed\n")


@pytest.mark.parametrize("name", ["antsibull.log", ".config/tool/state", ".ansible/secops.defender/quota.sqlite"])
def test_a_step_that_writes_into_the_home_folder_fails(name: str, steps: Steps) -> None:
    run = steps.run(f'test "$step" = two || exit 0\nmkdir -p "$(dirname ~/{name})"\necho >> ~/{name}', "one", "two")
    assert run.returncode == 1 and f"left in the home folder: ~/{name}\n" in run.stdout
    assert "1 passed, 1 failed" in run.stdout
    assert steps.written() == [".config/pip/pip.conf"]


def test_caches_are_everybodys_and_settings_are_there(steps: Steps) -> None:
    run = steps.run(
        "test -s ~/.config/pip/pip.conf\nmkdir -p ~/.cache/any ~/.ansible/tmp ~/.rustup\n"
        "echo >~/.cache/any/x\necho >~/.ansible/tmp/y\necho >~/.rustup/settings.toml\necho >~/.netrc",
        "one",
    )
    assert run.returncode == 0, run.stdout
    assert steps.written() == [".config/pip/pip.conf"]
