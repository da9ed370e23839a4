# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import os
import pathlib

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence import container as _container
from ansible_collections.secops.defender.plugins.module_utils._evidence.container import warning_about
from ansible_collections.secops.defender.plugins.module_utils._tasks import collect_package, fetch_package
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Teller, ask

OVERLAY = "overlay / overlay rw,lowerdir=/a 0 0\nproc /proc proc rw 0 0\n/dev/sdb1 /evidence xfs rw 0 0\n"
DISK = "/dev/sda1 / ext4 rw 0 0\n"
AWX = {"AWX_PRIVATE_DATA_DIR": "/tmp/awx_7_x"}


def make_root(tmp_path: pathlib.Path, mark: str = "run/.containerenv", mounts: str = OVERLAY) -> pathlib.Path:
    """What stands for / of a container; below tmp_path everything is on one device."""
    root = tmp_path / "root"
    for name, text in (("proc/self/mounts", mounts), (mark, "")):
        if name:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    return root


@pytest.mark.parametrize("mark", ["run/.containerenv", ".dockerenv"])
def test_a_folder_on_the_container_s_own_layer_is_warned_of(tmp_path: pathlib.Path, mark: str) -> None:
    root = make_root(tmp_path, mark)
    text = warning_about(str(root / "srv" / "evidence"), {}, root)
    assert text is not None and str(root / "srv" / "evidence") in text and "Mount a volume" in text
    assert not (root / "srv").exists()


def test_a_pod_is_a_container_without_a_mark(tmp_path: pathlib.Path) -> None:
    root = make_root(tmp_path, mark="")
    assert warning_about(str(root / "srv"), {}, root) is None
    assert warning_about(str(root / "srv"), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, root)


def test_fuse_overlays_and_the_topmost_root_count(tmp_path: pathlib.Path) -> None:
    root = make_root(tmp_path, mounts="rootfs / rootfs rw 0 0\nfuse-overlayfs / fuse.fuse-overlayfs rw 0 0\n")
    assert warning_about(str(root / "srv"), {}, root)


def test_a_mounted_volume_is_not(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root(tmp_path)
    volume = root / "evidence"
    volume.mkdir()
    real = pathlib.Path.stat

    def stat(path: pathlib.Path, **how: bool) -> os.stat_result:
        facts = list(real(path, **how))
        if path == volume:
            facts[2] += 1
        return os.stat_result(facts)

    monkeypatch.setattr(pathlib.Path, "stat", stat)
    assert warning_about(str(volume / "incident-4711"), {}, root) is None
    assert warning_about(str(root / "elsewhere"), {}, root)


def test_outside_a_container_nothing_is(tmp_path: pathlib.Path) -> None:
    root = make_root(tmp_path, mark="")
    assert warning_about(str(root / "srv"), {}, root) is None
    assert warning_about(str(root / "runner" / "project"), AWX, root) is None


def test_a_root_that_is_no_overlay_is_given_the_benefit_of_the_doubt(tmp_path: pathlib.Path) -> None:
    root = make_root(tmp_path, mounts=DISK)
    assert warning_about(str(root / "srv"), {}, root) is None


def test_a_root_that_cannot_be_told_is_too(tmp_path: pathlib.Path) -> None:
    root = make_root(tmp_path)
    (root / "proc" / "self" / "mounts").unlink()
    assert warning_about(str(root / "srv"), {}, root) is None


@pytest.mark.parametrize("folder", ["project", "project/evidence", "inventory", "env", "artifacts/9"])
def test_a_job_s_own_folders_in_awx_are_although_they_are_mounted(tmp_path: pathlib.Path, folder: str) -> None:
    root = make_root(tmp_path, mounts=DISK)
    assert warning_about(str(root / "runner" / folder), AWX, root)
    assert warning_about(str(root / "runner" / folder), {}, root) is None


def test_all_that_is_mounted_for_a_job_at_once_is_but_no_volume_below_it(tmp_path: pathlib.Path) -> None:
    root = make_root(tmp_path, mounts=DISK + "/dev/sda1 /runner xfs rw 0 0\n/dev/sda1 /runner/evidence xfs rw 0 0\n")
    assert warning_about(str(root / "runner" / "kept"), AWX, root)
    assert warning_about(str(root / "runner"), AWX, root)
    assert warning_about(str(root / "runner" / "evidence" / "4711"), AWX, root) is None
    assert warning_about(str(root / "runner" / "kept"), {}, root) is None


@pytest.mark.parametrize("folder", ["runner/evidence", "runner/projects", "evidence"])
def test_volumes_beside_them_are_not(tmp_path: pathlib.Path, folder: str) -> None:
    root = make_root(tmp_path, mounts=DISK)
    assert warning_about(str(root / folder), AWX, root) is None


def test_without_further_words_it_is_about_this_very_machine() -> None:
    assert _container.warning_about("/proc") is None


@pytest.mark.parametrize("check_mode", [False, True])
def test_both_modules_warn_before_anything_is_asked_of_the_service(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    monkeypatch.setattr(_container, "warning_about", lambda folder: f"{folder} will be gone")
    dest = str(tmp_path / "evidence")
    # A token that has ended: the work ends where the signing in begins.
    claims = base64.urlsafe_b64encode(b'{"exp": 1}').decode().rstrip("=")
    given = {"access_token": f"x.{claims}.x", "machines": ["pc01"], "comment": "test", "dest": dest}
    for task in (collect_package.TASK, fetch_package.TASK):
        teller = Teller()
        args = {name: value for name, value in given.items() if name in task.spec}
        result = ask(task, args, check_mode, teller)
        assert "The token has expired" in result["msg"] and teller.told("warn") == [f"{dest} will be gone"]
