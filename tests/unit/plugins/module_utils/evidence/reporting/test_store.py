# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody as _custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting import store
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import verify
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.tests.report import sample


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(str(tmp_path / "evidence"), Clock())
    folder.custody.append(_custody.RUN_STARTED)
    return folder


def test_both_forms_are_private_recorded_and_verified(folder: Folder) -> None:
    _line, head = folder.custody.head()
    report = store.write(folder, sample.facts(sample.fleet(20)), sample.BEGAN)
    folder.custody.append(_custody.RUN_ENDED)
    name = f"report-20261123T101500Z-{folder.custody.run[:8]}"
    assert report == {"html": str(folder.path / f"{name}.html"), "json": str(folder.path / f"{name}.json")}
    assert {os.stat(path).st_mode & 0o777 for path in report.values()} == {0o600}
    data = json.loads(Path(report["json"]).read_bytes())
    assert data["custody"] == {"log": "custody.jsonl", "run": folder.custody.run, "line": 1, "head": head}
    assert len(data["devices"]) == 20
    assert hashlib.sha256(Path(report["json"]).read_bytes()).hexdigest() in Path(report["html"]).read_text("utf-8")
    folder.close()
    assert sorted(path.name for path in folder.path.iterdir()) == ["custody.jsonl", f"{name}.html", f"{name}.json"]
    assert verify(folder.path).findings == []


@pytest.mark.parametrize(
    ("harm", "kind"),
    [(lambda path: path.write_bytes(b"Nothing failed."), "altered"), (lambda path: path.unlink(), "missing")],
)
def test_a_changed_report_is_noticed(folder: Folder, harm: t.Callable[[Path], None], kind: str) -> None:
    report = store.write(folder, sample.facts([]), sample.BEGAN)
    folder.custody.append(_custody.RUN_ENDED)
    harm(Path(report["html"]))
    assert [(each.kind, each.path) for each in verify(folder.path).findings] == [(kind, Path(report["html"]).name)]


def test_a_report_that_nobody_recorded_is_noticed(folder: Folder) -> None:
    folder.custody.append(_custody.RUN_ENDED)
    (folder.path / "report-20261123T101500Z-00000000.html").write_text("Nothing failed.")
    assert [each.kind for each in verify(folder.path).findings] == ["not_recorded"]


def test_a_recorded_report_gets_its_name_from_the_next_run(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*paths: t.Any, **folders: t.Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("os.rename", crash)
        store.write(folder, sample.facts([]), sample.BEGAN)
    [part] = folder.path.glob("report-*")
    assert part.name.endswith(".json.part")
    assert {each.kind for each in verify(folder.path).findings} == {"unfinished"}
    folder.close()
    with Folder(str(folder.path), Clock()) as later:
        later.custody.begin()
        store.complete(later)
        later.custody.append(_custody.RUN_ENDED)
    assert verify(folder.path).findings == []


def test_what_was_not_recorded_goes_with_the_next_run_but_not_a_living_ones(folder: Folder) -> None:
    drafts = [folder.path / f"report-20261123T101500Z-{run}.html.part" for run in (folder.custody.run[:8], "00000000")]
    for draft in drafts:
        draft.write_text("<html>")
    with Folder(str(folder.path), Clock()) as beside:
        store.complete(beside)
    assert all(draft.exists() for draft in drafts)
    folder.close()
    with Folder(str(folder.path), Clock()) as later:
        store.complete(later)
    # Nobody knows of what run the other one is.
    assert [draft.exists() for draft in drafts] == [False, True]


def test_what_is_left_under_a_reports_name_is_not_taken_for_it(folder: Folder) -> None:
    name = "report-20261123T101500Z-00000000.json"
    folder.custody.append(_custody.REPORT_STORED, path=name, sha256=sample.sha256("the report"))
    (folder.path / f"{name}.part").write_text("something else")
    store.complete(Folder(str(folder.path), Clock()))
    assert not (folder.path / name).exists()
    assert "missing" in {each.kind for each in verify(folder.path).findings}


def test_a_log_that_names_another_place_moves_nothing(folder: Folder, tmp_path: Path) -> None:
    part = tmp_path / "report.html.part"
    part.write_text("the report")
    folder.custody.append(_custody.REPORT_STORED, path="../report.html", sha256=sample.sha256("the report"))
    store.complete(Folder(str(folder.path), Clock()))
    assert part.exists()
    assert "altered" in {each.kind for each in verify(folder.path).findings}


def test_a_report_that_cannot_be_written_is_an_error_that_says_where(folder: Folder) -> None:
    name = f"report-20261123T101500Z-{folder.custody.run[:8]}"
    (folder.path / f"{name}.json").mkdir()
    with pytest.raises(EvidenceError) as caught:
        store.write(folder, sample.facts([]), sample.BEGAN)
    assert str(folder.path) in caught.value.message
