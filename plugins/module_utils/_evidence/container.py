# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what is written to a folder would be gone with the container that this runs in."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

# What podman and docker put into their containers.
_MARKS = ("run/.containerenv", ".dockerenv")
# How they lay a container's own files over its image; whatever is mounted is of another kind, or another device.
_LAYERED = ("overlay", "fuse.fuse-overlayfs", "aufs")
# What AWX makes for a job and removes after it. All of it may be one mount; evidence volumes may well be mounted below.
_JOB = "runner"
_OF_THE_JOB = ("runner/project", "runner/inventory", "runner/env", "runner/artifacts")


def warning_about(folder: str, environment: t.Mapping[str, str] | None = None, root: Path = Path("/")) -> str | None:
    """What to warn of if evidence in this folder would not outlive its container; None if it would, or if in doubt."""
    environment = os.environ if environment is None else environment
    in_container = "KUBERNETES_SERVICE_HOST" in environment or any((root / mark).exists() for mark in _MARKS)
    path = Path(os.path.abspath(folder))
    if not in_container or not (_is_of_the_job(path, environment, root) or _is_of_the_container(path, root)):
        return None
    return (
        f"The evidence folder {path} looks as if it lay inside this container, and would be gone with it. "
        "Mount a volume and name a folder on it as dest."
    )


def _is_of_the_job(path: Path, environment: t.Mapping[str, str], root: Path) -> bool:
    if "AWX_PRIVATE_DATA_DIR" not in environment:
        return False
    if any(path.is_relative_to(root / each) for each in _OF_THE_JOB):
        return True
    places = [root / point.lstrip("/") for point, _kind in _mounts(root)]
    around = [place for place in places if path.is_relative_to(place)]
    return max(around, key=lambda place: len(place.parts), default=root) == root / _JOB


def _is_of_the_container(path: Path, root: Path) -> bool:
    # Of several file systems in one place the last one lies on top.
    if {"/": "", **dict(_mounts(root))}["/"] not in _LAYERED:
        return False
    try:
        existing = next(each for each in (path, *path.parents) if each.exists())
        return existing.stat().st_dev == root.stat().st_dev
    except OSError:
        return False


def _mounts(root: Path) -> list[tuple[str, str]]:
    """Where something is mounted, and of which kind it is."""
    try:
        lines = (root / "proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [(fields[1], fields[2]) for fields in map(str.split, lines) if len(fields) > 2]
