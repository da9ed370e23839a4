# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run: what was asked for by whom and why, what came of it on each device, and what the custody log says."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.frame import Page, Section
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.markup import (
    moment,
    table,
    terms,
    text,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration

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
</details>"""
# What a request can be, as the report says it.
_REQUESTS = {
    "started": "Started by this run",
    "already_running": "Was running already, taken over",
    "reused": "Existing package taken",
    "resumed": "Resumed from an interrupted run",
}
_MOMENTS = {
    "requested": "Requested",
    "accepted": "Action known",
    "ready": "Ready",
    "stored": "Stored",
    "ended": "Ended",
}


def page(facts: _Facts, twin: _Facts) -> str:
    """The report as HTML. twin: name and SHA-256 of the same as JSON."""
    failed = [device for device in facts["devices"] if device["failed"]]
    others = [device for device in facts["devices"] if not device["failed"]]
    sections = [
        Section(
            "summary", "Summary", f'<dl class="figures">{_figures(facts["summary"])}</dl>\n{terms(_request(facts))}'
        ),
        Section("failed", "Failed", _failed(failed), len(failed)),
        Section("collected", "Collected", _collected(others, Path(facts["dest"])), len(others)),
        Section("quota", "Use of the quota", _quota(facts["quota"])),
        Section("custody", "Chain of custody", terms(_custody_terms(facts["custody"], twin)) + _HOW_TO_READ),
    ]
    return Page(
        kind="Evidence collection",
        began=facts["started"],
        heading=facts["comment"] or "Packages fetched",
        lead=facts["msg"],
        run=facts["custody"]["run"],
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
        ("Reason", text(facts["comment"]) if facts["comment"] else "None given: fetching starts nothing."),
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


def _failed(devices: list[_Facts]) -> str:
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
        rows.append([_device(device), "".join(why), _action(device), _timeline(device)])
    return table("Devices without a package", ("Device", "Reason and advice", "Action", "Timeline (UTC)"), rows)


def _collected(devices: list[_Facts], dest: Path) -> str:
    if not devices:
        return "<p>No package was collected.</p>"
    rows = [
        [_device(device), _package(device["package"], dest), _action(device), _timeline(device)] for device in devices
    ]
    return table("Devices with a verified package", ("Device", "Package", "Action", "Timeline (UTC)"), rows)


def _device(device: _Facts) -> str:
    name = device["computer_dns_name"] or device["machine"]
    asked = "" if name == device["machine"] else f"<br>asked for as <bdi>{text(device['machine'])}</bdi>"
    return f"<bdi>{text(name)}</bdi><small><code>{text(device['machine_id'] or 'unknown')}</code>{asked}</small>"


def _package(package: _Facts | None, dest: Path) -> str:
    if package is None:
        return ""
    path = Path(package["path"])
    name = path.relative_to(dest) if path.is_relative_to(dest) else path
    return (
        f"<code>{text(name)}</code><small>{int(package['size']):,} bytes</small>"
        f"<small>SHA-256 <code>{text(package['sha256'])}</code></small>"
    )


def _action(device: _Facts) -> str:
    action = device["action"]
    if action is None:
        return "none"
    lines = [
        f"<code>{text(action['id'])}</code>",
        f"<small>{text(_REQUESTS.get(device['request'], device['request'] or ''))}</small>",
        f"<small>{text(action['status'])}; requested by {text(action['requestor'] or 'unknown')}</small>",
    ]
    return "".join(lines)


def _timeline(device: _Facts) -> str:
    times = device["times"]
    # The end says nothing new where the package is stored.
    shown = [key for key in _MOMENTS if times[key] and not (key == "ended" and times["stored"])]
    rows = "".join(f"<div><dt>{_MOMENTS[key]}</dt><dd>{moment(times[key], '')}</dd></div>" for key in shown)
    return f'<dl class="times">{rows}</dl>' if rows else "none"


def _quota(quota: list[_Facts]) -> str:
    rows = [[text(each["endpoint"]), f"{each['calls']:,}", text(", ".join(each["limits"]))] for each in quota]
    return table("Calls of the service by this run", ("Endpoint", "Calls", "Limits"), rows, "quota")
