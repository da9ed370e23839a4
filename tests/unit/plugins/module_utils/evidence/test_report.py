# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import typing as t
from base64 import b64encode
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody as _custody
from ansible_collections.secops.defender.plugins.module_utils._evidence import report as _report
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._evidence.verify import verify
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.tests.report import sample

TWIN = {"name": "report-20261123T101500Z-6f1f2c0a.json", "sha256": sample.sha256("twin")}
HARMLESS = "pc042.contoso.com"
# What HTML reads as markup, and what a template or a style sheet would take for its own.
texts = st.one_of(
    st.text(),
    st.sampled_from(sample.HOSTILE),
    st.text(alphabet="<>&\"'/=! -$`\\\u202e\u0000\n", max_size=40),
)


class Reader(HTMLParser):
    """Tags, their attributes, and the text of each page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def _page(devices: list[dict[str, t.Any]], **changes: t.Any) -> str:
    return _report.page(sample.with_log({**sample.facts(devices), **changes}), TWIN)


def _swap(value: t.Any, old: str, new: str) -> t.Any:
    """The same structure, with every text that has the old one in it holding the new one."""
    if isinstance(value, dict):
        return {key: _swap(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [_swap(each, old, new) for each in value]
    return value.replace(old, new) if isinstance(value, str) else value


# ---- the page ----


@given(texts.filter(bool))
def test_no_name_ever_creates_a_tag(name: str) -> None:
    devices = [sample.device(1, "NAME", failed=True), sample.device(2, "NAME", failed=False)]
    facts = sample.with_log(sample.facts(devices, "NAME"))
    facts["asked_by"].update(user="NAME", host="NAME", awx_job_id="NAME", tool="NAME")
    facts.update(msg="NAME", module="NAME", dest="/NAME", quota=[{"endpoint": "NAME", "calls": 1, "limits": ["NAME"]}])
    facts["service"] = dict.fromkeys(facts["service"], "NAME")
    for device in devices:
        device.update(request="NAME", machine="also NAME", machine_id="NAME")
        if device["action"]:
            device["action"].update(status="NAME", requestor="NAME", id="NAME")
        if device["error"]:
            device["error"].update(code="NAME", tracking_id="NAME")
    harmless = Reader(_report.page(_swap(copy.deepcopy(facts), "NAME", HARMLESS), TWIN))
    hostile = Reader(_report.page(_swap(copy.deepcopy(facts), "NAME", name), TWIN))
    assert hostile.tags == harmless.tags
    assert not hostile.open


@given(texts)
def test_a_text_is_read_back_as_it_was_seen(value: str) -> None:
    assert not re.search(r"[<>\"'\u202a-\u202e\u2066-\u2069\0\ud800-\udfff]", _report.text(value))
    plain = "".join(c for c in value if c.isprintable() or c == "\n")
    if plain == value:
        assert Reader(f"<p>{_report.text(value)}</p>").text == value


def test_nothing_is_loaded_and_nothing_can_run() -> None:
    page = _page(sample.fleet(60))
    reader = Reader(page)
    names = {name for _tag, attrs in reader.tags for name, _value in attrs}
    assert not {tag for tag, _attrs in reader.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "base",
        "form",
        "svg",
    }
    assert not {name for name in names if name.startswith("on") or name in ("src", "style", "srcset", "action")}
    assert {value[:1] for _tag, attrs in reader.tags for name, value in attrs if name == "href" and value} == {"#"}
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style
    [policy] = [
        dict(attrs)["content"] for _tag, attrs in reader.tags if ("http-equiv", "Content-Security-Policy") in attrs
    ]
    allowed = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"


def test_what_failed_comes_first_with_reason_advice_and_tracking_id() -> None:
    good, bad = sample.device(1, "good.contoso.com", failed=False), sample.device(2, "bad.contoso.com", failed=True)
    text = Reader(_page([good, bad])).text
    assert text.index("bad.contoso.com") < text.index("good.contoso.com")
    for key in ("code", "message", "advice", "tracking_id"):
        assert bad["error"][key] in text


def test_a_collected_device_has_hash_size_path_and_times() -> None:
    device = sample.device(1, "good.contoso.com", failed=False)
    text = Reader(_page([device])).text
    assert device["machine_id"] in text and device["package"]["sha256"] in text
    assert f"{device['package']['size']:,} bytes" in text
    assert device["package"]["path"].removeprefix(sample.DEST + "/") in text
    assert sample.DEST + "/good" not in text
    for moment in ("requested", "accepted", "ready", "stored"):
        assert device["times"][moment].replace("T", " ").rstrip("Z") in text
    assert "Ended" not in text


def test_the_page_says_who_why_how_long_and_where_the_chain_was() -> None:
    facts = sample.with_log(sample.facts([sample.device(1)]))
    text = Reader(_report.page(facts, TWIN)).text
    for said in (facts["comment"], "awx on ir-control-1", "8123", facts["custody"]["head"], facts["custody"]["run"]):
        assert said in text
    assert "9,893 lines" in text and TWIN["name"] in text and TWIN["sha256"] in text
    assert "5 min; by the quota at least 30 s (starts: 1, package links: 1)" in text
    assert "2 in 60 s, 120 in 3,600 s" in text


def test_a_run_that_gave_up_says_so() -> None:
    error = {
        "code": "NetworkError",
        "message": "The service cannot be reached.",
        "advice": "Run again.",
        "tracking_id": None,
    }
    assert "Given upThe service cannot be reached. Run again." in Reader(_page([sample.device(1)], error=error)).text


def test_a_run_without_a_device_is_reported_as_well() -> None:
    text = Reader(_page([])).text
    assert "No device failed." in text and "No package was collected." in text


def test_headings_and_tables_are_what_assistive_technology_needs() -> None:
    reader = Reader(_page(sample.fleet(200)))
    counted = Counter(tag for tag, _attrs in reader.tags)
    assert (counted["h1"], counted["h2"], counted["main"], counted["caption"], counted["table"]) == (1, 5, 1, 3, 3)
    assert all(dict(attrs).get("scope") in ("row", "col") for tag, attrs in reader.tags if tag == "th")
    anchors = {dict(attrs)["href"] for tag, attrs in reader.tags if tag == "a"}
    assert anchors == {f"#{dict(attrs)['id']}" for tag, attrs in reader.tags if tag == "section"}


def test_two_thousand_devices_stay_a_page_that_can_be_mailed() -> None:
    assert len(_page(sample.fleet(2000)).encode()) < 4_000_000


# ---- the files ----


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(str(tmp_path / "evidence"), Clock())
    folder.custody.append(_custody.RUN_STARTED)
    return folder


def test_both_forms_are_private_recorded_and_verified(folder: Folder) -> None:
    _line, head = folder.custody.head()
    report = _report.write(folder, sample.facts(sample.fleet(20)), sample.BEGAN)
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
    report = _report.write(folder, sample.facts([]), sample.BEGAN)
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
        patched.setattr(_report.os, "rename", crash)
        _report.write(folder, sample.facts([]), sample.BEGAN)
    [part] = folder.path.glob("report-*")
    assert part.name.endswith(".json.part")
    assert {each.kind for each in verify(folder.path).findings} == {"unfinished"}
    folder.close()
    with Folder(str(folder.path), Clock()) as later:
        later.custody.begin()
        _report.complete(later)
        later.custody.append(_custody.RUN_ENDED)
    assert verify(folder.path).findings == []


def test_what_is_left_under_a_reports_name_is_not_taken_for_it(folder: Folder) -> None:
    name = "report-20261123T101500Z-00000000.json"
    folder.custody.append(_custody.REPORT_STORED, path=name, sha256=sample.sha256("the report"))
    (folder.path / f"{name}.part").write_text("something else")
    _report.complete(Folder(str(folder.path), Clock()))
    assert not (folder.path / name).exists()
    assert "missing" in {each.kind for each in verify(folder.path).findings}


def test_a_log_that_names_another_place_moves_nothing(folder: Folder, tmp_path: Path) -> None:
    part = tmp_path / "report.html.part"
    part.write_text("the report")
    folder.custody.append(_custody.REPORT_STORED, path="../report.html", sha256=sample.sha256("the report"))
    _report.complete(Folder(str(folder.path), Clock()))
    assert part.exists()
    assert "altered" in {each.kind for each in verify(folder.path).findings}


def test_a_report_that_cannot_be_written_is_an_error_that_says_where(folder: Folder) -> None:
    name = f"report-20261123T101500Z-{folder.custody.run[:8]}"
    (folder.path / f"{name}.json").mkdir()
    with pytest.raises(EvidenceError) as caught:
        _report.write(folder, sample.facts([]), sample.BEGAN)
    assert str(folder.path) in caught.value.message
