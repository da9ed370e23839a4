# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import hashlib
import re
import typing as t
from base64 import b64encode
from collections import Counter

from hypothesis import given

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting import markup, run_page
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.script import SCRIPT
from ansible_collections.secops.defender.tests.report import sample
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.page_world import (
    HARMLESS,
    Reader,
    bare,
    swap,
    texts,
)

TWIN = {"name": "report-20261123T101500Z-6f1f2c0a.json", "sha256": sample.sha256("twin")}


def _page(devices: list[dict[str, t.Any]], **changes: t.Any) -> str:
    return run_page.page(sample.with_log({**sample.facts(devices), **changes}), TWIN)


@given(texts.filter(bool))
def test_no_name_ever_creates_a_tag(name: str) -> None:
    devices = [sample.device(1, "NAME", failed=True), sample.device(2, "NAME", failed=False)]
    facts = sample.with_log(sample.facts(devices, "NAME"))
    facts["asked_by"].update(user="NAME", host="NAME", awx_job_id="NAME", tool="NAME")
    facts.update(
        msg="NAME", module="NAME", dest="/x/y NAME", quota=[{"endpoint": "NAME", "calls": 1, "limits": ["NAME"]}]
    )
    facts["service"] = dict.fromkeys(facts["service"], "NAME")
    for device in devices:
        device.update(request="NAME", machine="also NAME", machine_id="NAME")
        if device["action"]:
            device["action"].update(status="NAME", requestor="NAME", id="NAME")
        if device["error"]:
            device["error"].update(code="NAME", tracking_id="NAME")
        device["comment"] = "other NAME"
        device["device"] = {**dict.fromkeys(device["device"], "NAME"), "tags": ["NAME"]}
        if device["contents"]:
            device["contents"].update(dict.fromkeys(("missing", "empty", "strangers"), ["NAME"]), why="NAME")
            device["contents"].update(
                artefacts={"NAME": 1}, event_logs=[{**dict.fromkeys(("name", "first", "last"), "NAME"), "records": 1}]
            )
    harmless = Reader(run_page.page(swap(copy.deepcopy(facts), "NAME", HARMLESS), TWIN))
    hostile = Reader(run_page.page(swap(copy.deepcopy(facts), "NAME", name), TWIN))
    assert [bare(tag) for tag in hostile.tags] == [bare(tag) for tag in harmless.tags]
    assert not hostile.open


@given(texts)
def test_a_text_is_read_back_as_it_was_seen(value: str) -> None:
    assert not re.search(r"[<>\"'\u202a-\u202e\u2066-\u2069\0\ud800-\udfff]", markup.text(value))
    plain = "".join(c for c in value if c.isprintable() or c == "\n")
    if plain == value:
        assert Reader(f"<p>{markup.text(value)}</p>").text == value


def test_nothing_is_loaded_and_nothing_of_what_was_collected_can_run() -> None:
    page = _page(sample.fleet(60))
    reader = Reader(page)
    names = {name for _tag, attrs in reader.tags for name, _value in attrs}
    tags = Counter(tag for tag, _attrs in reader.tags)
    assert not set(tags) & {"link", "img", "iframe", "object", "base", "form", "use", "image"}
    assert not {name for name in names if name.startswith("on") or name in ("src", "style", "srcset", "action")}
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style
    assert tags["script"] == 1 and page.partition("<script>")[2].partition("</script>")[0] == SCRIPT
    [policy] = [
        dict(attrs)["content"] for _tag, attrs in reader.tags if ("http-equiv", "Content-Security-Policy") in attrs
    ]
    allowed, runs = (b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in (style, SCRIPT))
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{allowed}'; script-src 'sha256-{runs}'; base-uri 'none'; form-action 'none'"
    )


def test_links_lead_to_the_portal_the_package_and_nowhere_else() -> None:
    device = sample.device(1, "good.contoso.com", failed=False)
    device["package"]["path"] = f"{sample.DEST}/javascript:alert(1)//x y%/p?.zip"
    hostile = sample.device(2, "bad.contoso.com", failed=False)
    hostile["links"]["device"] = "javascript:alert(1)"
    hostile["package"]["path"] = "/elsewhere/p.zip"
    links = {dict(attrs)["href"] for tag, attrs in Reader(_page([device, hostile])).tags if tag == "a"}
    links = {link for link in links if link and not link.startswith("#")}
    portal = "https://security.microsoft.com"
    assert links == {
        f"{portal}/machines/v2/{device['machine_id']}/overview?tid={sample.TENANT}",
        f"{portal}/action-center/history?tid={sample.TENANT}",
        "./javascript%3Aalert%281%29/x%20y%25/p%3F.zip",
    }


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
    assert "Followed until" not in text


def test_the_page_says_who_why_how_long_and_where_the_chain_was() -> None:
    facts = sample.with_log(sample.facts([sample.device(1)]))
    text = Reader(run_page.page(facts, TWIN)).text
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
    assert (counted["h1"], counted["h2"], counted["main"], counted["caption"], counted["table"]) == (1, 7, 1, 3, 3)
    assert all(dict(attrs).get("scope") in ("row", "col") for tag, attrs in reader.tags if tag == "th")
    anchors = {dict(attrs)["href"] for tag, attrs in reader.tags if tag == "a" and "rel" not in dict(attrs)}
    assert anchors == {f"#{dict(attrs)['id']}" for tag, attrs in reader.tags if tag == "section"}


def test_two_thousand_devices_stay_a_page_that_can_be_mailed() -> None:
    assert len(_page(sample.fleet(2000)).encode()) < 6_000_000


def test_a_form_for_each_package() -> None:
    devices = [sample.device(number, f"pc{number}.contoso.com", failed=number == 2) for number in (1, 2, 3)]
    page = _page(devices)
    forms = re.findall(r'<article class="form">.*?</article>', page)
    assert [re.findall(r"pc\d", form)[0] for form in forms] == ["pc1", "pc3"]
    # On paper nothing beside it says what a row of digits is.
    assert all(re.search("Device ID <code>.*Downloaded .*SHA-256 of the package <code>", form) for form in forms)
    for form, device in zip(forms, (devices[0], devices[2]), strict=True):
        assert device["package"]["sha256"] in form and device["machine_id"] in form
        assert form.count('<div class="hands"></div>') == 1 and "Incident 4711" in form
    assert "There is no package to hand over." in _page([devices[1]])
