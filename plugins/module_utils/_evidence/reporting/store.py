# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run in its evidence folder: recorded in the custody log, under its final name only when it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import typing as t
from contextlib import suppress

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody, records
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import unwritable
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import Dir, hash_of
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting import run_page
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso


def write(folder: Folder, facts: dict[str, t.Any], started: float) -> dict[str, str]:
    """Store the report in the evidence folder, in both forms. Returns their paths as C(html) and C(json).

    facts: what there is to tell; JSON can say it, and no secret is in it. started: when the run began, seconds since 1970.
    Raises EvidenceError.
    """
    moment = iso(started).replace("-", "").replace(":", "")
    name = f"report-{moment}-{folder.custody.run[:8]}"
    line, head = folder.custody.head()
    facts = {
        **facts,
        "tenant": folder.custody.tenant,
        "custody": {"log": custody.LOG_NAME, "run": folder.custody.run, "line": line, "head": head},
    }
    data = json.dumps(facts, indent=2).encode() + b"\n"
    twin = {"name": f"{name}.json", "sha256": hashlib.sha256(data).hexdigest()}
    return {
        "json": _store(folder, twin["name"], data),
        "html": _store(folder, f"{name}.html", run_page.page(facts, twin).encode()),
    }


def complete(folder: Folder) -> None:
    """Give their final names to reports that an interrupted run has recorded, but not renamed; remove what it has not recorded.

    Raises EvidenceError.
    """
    home = folder.custody.dir
    if home:
        _drop_drafts(folder, home)
    for name, sha256 in folder.custody.history.reports.items() if home else ():
        try:
            if home and home.stat(name) is None and _is_whole(home, f"{name}.part", sha256):
                home.rename(f"{name}.part", name)
        except OSError as failure:
            raise unwritable(folder.path / name, failure) from None


def _drop_drafts(folder: Folder, home: Dir) -> None:
    """What runs that are gone have left of reports. A draft is younger than its run's first line, so the log is read after the names."""
    drafts = [name for name in os.listdir(home.file) if name.endswith(".part") and custody.REPORT_NAME.match(name[:-5])]
    history = folder.custody.refresh() if drafts else folder.custody.history
    for name in drafts:
        run = next((each for each in history.runs if each[:8] == _run_of(name)), None)
        if name[:-5] not in history.reports and run and folder.custody.is_gone(run):
            with suppress(FileNotFoundError):
                home.unlink(name)


def _run_of(name: str) -> str:
    """The beginning of its run, from a report's name."""
    return name.split(".")[0].rpartition("-")[2]


def _is_whole(home: Dir, name: str, sha256: str) -> bool:
    """Whether it is what the log says. Raises OSError."""
    if home.stat(name) is None:
        return False
    file = home.open_file(name)
    try:
        return hash_of(file)[0] == sha256
    finally:
        os.close(file)


def _store(folder: Folder, name: str, data: bytes) -> str:
    """On the disk under a name of its own, in the log, and only then under its final name."""
    home = t.cast("Dir", folder.custody.dir)
    try:
        part = records.prepare(home, name, data)
        folder.custody.append(custody.REPORT_STORED, path=name, sha256=hashlib.sha256(data).hexdigest())
        home.rename(part, name)
        home.sync()
    except OSError as failure:
        raise unwritable(folder.path / name, failure) from None
    return str(folder.path / name)
