# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run: what was asked for by whom and why, what came of it on each device, and what the custody log says."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.custody_form import forms
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.frame import Page, Section
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.markup import (
    file_link,
    link,
    moment,
    table,
    terms,
    text,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.timeline import Line, drawing
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration, iso, parse_time

_Facts = t.Mapping[str, t.Any]

_HOW_TO_READ = """
<p>Each line of the custody log carries the SHA-256 of the line before, so its head stands for the whole log up to this report.
Keep the head where nobody can change it, on the print of this page say: secops.defender.defender_verify_evidence takes it as
custody_head, and then also notices lines that were cut off.</p>
<details>
<summary>How to read this report</summary>
<p>All times are UTC and to the second, by the control node's clock. <em>Requested</em> is when the start was first sent,
<em>action known</em> when the service had named the machine action, <em>ready</em> when it was first seen to have
succeeded, <em>stored</em> when the download was complete and verified. A package that was there already keeps the time at which it
was stored. The service gives no hash of its own: SHA-256 sums were taken on the control node while the bytes arrived.
Characters that cannot be seen are spelled out, such as \\u202e.</p>
<p><em>State</em> is what the service said of the device when the run began. <em>What it holds</em> is what this run saw in the
package: the number of entries of each kind; kinds that such a package always has and this one <em>lacks</em>; kinds that are
<em>empty</em>, for they hold only an error text; the span of the event logs; and <em>names</em> of computers in its files that are not
the device's. Containers in the package stay closed for this; defender_package_info opens them. The portal has no address for a
single action: its link leads to the action center's history.</p>
</details>"""
# What a request can be, as the report says it.
_REQUESTS = {
    "started": "Started by this run",
    "already_running": "Was running already, taken over",
    "reused": "Existing package taken",
    "resumed": "Resumed from an interrupted run",
}
# How the service's words of risk are ordered; Python and JavaScript would order them by the alphabet.
_RANKS = {"informational": 1, "low": 2, "medium": 3, "high": 4}
_SORTS = (
    ("Device", ".name"),
    ("System", ".os"),
    ("Health", ".health"),
    ("Last seen", ".seen"),
    ("Risk", ".risk"),
    ("Size", ".size"),
    ("Stored", ".stored"),
)
_MOMENTS = {
    "requested": "Requested",
    "accepted": "Action known",
    "ready": "Ready",
    "stored": "Stored",
    "ended": "Followed until",
}


def page(facts: _Facts, twin: _Facts) -> str:
    """The report as HTML. twin: name and SHA-256 of the same as JSON."""
    failed = [device for device in facts["devices"] if device["failed"]]
    others = [device for device in facts["devices"] if not device["failed"]]
    sections = [
        Section(
            "summary", "Summary", f'<dl class="figures">{_figures(facts["summary"])}</dl>\n{terms(_request(facts))}'
        ),
        Section("failed", "Failed", _failed(failed, facts), len(failed)),
        Section("timeline", "Timeline", _all_times(facts["devices"])),
        Section("collected", "Collected", _collected(others, facts), len(others)),
        Section("quota", "Use of the quota", _quota(facts["quota"])),
        Section("custody", "Chain of custody", terms(_custody_terms(facts["custody"], twin)) + _HOW_TO_READ),
        Section("forms", "Custody forms", forms(facts["devices"], facts)),
    ]
    return Page(
        kind="Evidence collection",
        began=facts["started"],
        heading=facts["comment"] or "Packages fetched",
        lead=facts["msg"],
        mark=f"Run {facts['custody']['run']}",
        written=facts["written"],
        tool=facts["asked_by"]["tool"],
    ).html(sections)


def _figures(summary: _Facts) -> str:
    failed = summary["failed"]
    figures = [
        ("Devices", summary["requested"], ""),
        ("Packages verified", summary["downloaded"], ""),
        ("Failed", failed, ' class="bad"' if failed else ""),
    ]
    return "".join(f"<div{style}><dt>{label}</dt><dd>{int(count):,}</dd></div>" for label, count, style in figures)


def _request(facts: _Facts) -> list[tuple[str, str]]:
    who, summary, service = facts["asked_by"], facts["summary"], facts["service"]
    plan = summary["plan"]
    least = f"{duration(plan['seconds'])} (starts: {plan['starts']:,}, package links: {plan['links']:,})"
    origins = [
        f"{summary[key]:,} {word}"
        for key, word in (
            ("started", "started by this run"),
            ("already_running", "running already and taken over"),
            ("resumed", "resumed from an interrupted run"),
            ("reused", "existing packages taken"),
        )
        if summary[key]
    ]
    rows = [
        ("Incident", _incident(facts)),
        ("Asked by", f"{text(who['user'])} on {text(who['host'])}"),
        ("AWX job", text(who["awx_job_id"]) if who.get("awx_job_id") else ""),
        ("Launched by", text(who["awx_user"]) if who.get("awx_user") else ""),
        ("With", f"{text(facts['module'])}, {text(who['tool'])}"),
        ("Service", text(service["api_url"])),
        ("Tenant", text(facts.get("tenant") or service["tenant"] or "")),
        ("Application", text(service["client_id"]) if service["client_id"] else ""),
        ("Began", moment(facts["started"])),
        ("Report written", moment(facts["written"])),
        ("Duration", f"{duration(summary['duration'])}; by the quota at least {least}"),
        ("Collections", ", ".join(origins)),
        ("Evidence folder", f"<code>{text(facts['dest'])}</code>"),
    ]
    if facts["error"]:
        rows.insert(0, ("Given up", f"{text(facts['error']['message'])} {text(facts['error']['advice'] or '')}"))
    return rows


def _custody_terms(log: _Facts, twin: _Facts) -> list[tuple[str, str]]:
    return [
        ("Run", f"<code>{text(log['run'])}</code>"),
        ("Custody log", f"<code>{text(log['log'])}</code>, {log['line']:,} lines when this report was written"),
        ("Head of the chain", f"<code>{text(log['head'])}</code>"),
        ("This report as JSON", f"<code>{text(twin['name'])}</code><br>SHA-256 <code>{text(twin['sha256'])}</code>"),
    ]


def _incident(facts: _Facts) -> str:
    """The comment; devices can have comments of their own."""
    others = {device["comment"] for device in facts["devices"]} - {facts["comment"], None}
    own = f" ({len(others):,} devices' comments differ, see there)" if len(others) > 1 else ""
    if not facts["comment"]:
        return text(next(iter(others))) if len(others) == 1 else f"None given: fetching starts nothing.{own}"
    return text(facts["comment"]) + own


def _failed(devices: list[_Facts], facts: _Facts) -> str:
    if not devices:
        return "<p>No device failed.</p>"
    rows = []
    for device in devices:
        error = device["error"]
        why = [f'<p><strong class="code">{text(error["code"])}</strong> {text(error["message"])}</p>']
        if error["advice"]:
            why.append(f'<p class="advice"><span>Advice:</span> {text(error["advice"])}</p>')
        if error["tracking_id"]:
            why.append(f'<p class="small">Tracking ID <code>{text(error["tracking_id"])}</code></p>')
        rows.append(
            [_device(device, facts), _state(device["device"]), "".join(why), _action(device) + _timeline(device)]
        )
    heads = ("Device", "State", "Reason and advice", "Action, times (UTC)")
    return table("Devices without a package", heads, rows, sorts=(*_SORTS[:-2], ("Reason", ".code")))


def _collected(devices: list[_Facts], facts: _Facts) -> str:
    if not devices:
        return "<p>No package was collected.</p>"
    dest = Path(facts["dest"])
    rows = [
        [
            _device(device, facts),
            _state(device["device"]),
            _package(device["package"], dest),
            _contents(device["contents"]),
            _action(device) + _timeline(device),
        ]
        for device in devices
    ]
    heads = ("Device", "State", "Package", "What it holds", "Action, times (UTC)")
    return table("Devices with a verified package", heads, rows, sorts=_SORTS)


def _device(device: _Facts, facts: _Facts) -> str:
    name = device["computer_dns_name"] or device["machine"]
    asked = "" if name == device["machine"] else f"<br>asked for as <bdi>{text(device['machine'])}</bdi>"
    own = device["comment"] not in (None, facts["comment"])
    comment = f"<small>Incident: {text(device['comment'])}</small>" if own else ""
    identity = f"<code>{text(device['machine_id'] or 'unknown')}</code>"
    return (
        f'<bdi class="name">{text(name)}</bdi>'
        f"<small>{link(device['links']['device'], identity)}{asked}</small>{comment}"
    )


def _state(state: _Facts | None) -> str:
    if state is None:
        return "unknown"
    rank = _RANKS.get(str(state["risk"]).lower(), 0)
    seen = moment(state["last_seen"].partition(".")[0], "") if state["last_seen"] else ""
    rows = [
        ("System", f'<span class="os">{text(state["os"])}</span>' if state["os"] else ""),
        ("Health", f'<span class="health">{text(state["health"])}</span>' if state["health"] else ""),
        ("Last seen", f'<span class="seen">{seen}</span>' if seen else ""),
        ("Risk", f'<data class="risk" value="{rank}">{text(state["risk"])}</data>' if state["risk"] else ""),
        ("Exposure", text(state["exposure"] or "")),
        ("IP", text(state["ip"] or "")),
        ("Tags", text(", ".join(state["tags"]))),
    ]
    return terms(rows, "facts") if any(value for _term, value in rows) else "unknown"


def _package(package: _Facts | None, dest: Path) -> str:
    if package is None:
        return ""
    size = int(package["size"])
    return (
        f'{file_link(Path(package["path"]), dest)}<small><data class="size" value="{size}">{size:,} bytes</data></small>'
        f"<small>SHA-256 <code>{text(package['sha256'])}</code></small>"
    )


def _contents(held: _Facts | None) -> str:
    if held is None:
        return ""
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in held["artefacts"].items())
    logs = [
        f"{text(log['name'].replace(chr(92), '/').rpartition('/')[2])} {_span(log)} ({log['records']:,} records)"
        for log in held["event_logs"]
    ]
    if held["more_event_logs"]:
        logs.append(f"and {held['more_event_logs']:,} more")
    rows = [
        ("Not read", f'<span class="warn">{text(held["why"])}</span>' if held["why"] else ""),
        ("Names", f'<span class="warn">{text(", ".join(held["strangers"]))}</span>' if held["strangers"] else ""),
        ("Lacks", f'<span class="warn">{text(", ".join(held["missing"]))}</span>' if held["missing"] else ""),
        ("Empty", f'<span class="warn">{text(", ".join(held["empty"]))}</span>' if held["empty"] else ""),
        ("Logs", "<br>".join(logs)),
        ("Holds", text(kinds)),
    ]
    return terms(rows, "facts")


def _span(log: _Facts) -> str:
    if not log["first"] or not log["last"]:
        return "undated"
    first, last = (log[key].partition(".")[0].rstrip("Z").replace("T", " ") for key in ("first", "last"))
    return f"{text(first)} to {text(last)}"


def _action(device: _Facts) -> str:
    action = device["action"]
    if action is None:
        return "<p>none</p>"
    lines = [
        link(device["links"]["action"], f"<code>{text(action['id'])}</code>"),
        f"<small>{text(_REQUESTS.get(device['request'], device['request'] or ''))}</small>",
        f"<small>{text(action['status'])}; requested by {text(action['requestor'] or 'unknown')}</small>",
    ]
    return "".join(lines)


def _timeline(device: _Facts) -> str:
    times = device["times"]
    # The end says nothing new where the package is stored.
    shown = [key for key in _MOMENTS if times[key] and not (key == "ended" and times["stored"])]
    rows = [(_MOMENTS[key], f'<span class="{key}">{moment(times[key], "")}</span>') for key in shown]
    return terms(rows, "facts") if rows else ""


def _all_times(devices: t.Sequence[_Facts]) -> str:
    """Every device's way as a drawing, and what can be said of all in a sentence."""
    lines = [_line(device) for device in devices]
    lines = sorted((line for line in lines if line.spans), key=lambda line: line.spans[0][0])
    if not lines:
        return "<p>Nothing happened.</p>"
    stored = sorted(device["times"]["stored"] for device in devices if device["times"]["stored"])
    words = [f"First request {moment(iso(lines[0].spans[0][0]))}"]
    if stored:
        words.append(f"half of the packages stored by {moment(stored[(len(stored) - 1) // 2])}")
        words.append(f"the last one {moment(stored[-1])}")
    key = '<span class="key">waiting for the device</span> <span class="key get">link and download</span> <span class="key lost">failed</span>'
    return (
        f"<figure><figcaption>{', '.join(words)}. One line a device, by the first request; {key}</figcaption>"
        f"{drawing(lines, 'When each device was asked, was ready and had its package stored')}</figure>"
    )


def _line(device: _Facts) -> Line:
    """What was stored by an earlier run is no part of this one's time."""
    at = {key: parse_time(value) for key, value in device["times"].items() if value}
    begin = at.get("requested") or at.get("accepted") or at.get("ready")
    end = at.get("ended") or at.get("stored")
    if not begin or not end or end < begin:
        return Line("", ())
    ready = min(max(at.get("ready", end), begin), end)
    spans = [(begin, ready, "wait")] if ready > begin else []
    if ready < end or not spans:
        spans.append((ready, end, "get"))
    if device["failed"]:
        spans = [(begin, end, "lost")]
    return Line(device["computer_dns_name"] or device["machine"], tuple(spans))


def _quota(quota: list[_Facts]) -> str:
    rows = [[text(each["endpoint"]), f"{each['calls']:,}", text(", ".join(each["limits"]))] for each in quota]
    return table("Calls of the service by this run", ("Endpoint", "Calls", "Limits"), rows, "quota")
