# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run: what was asked for by whom and why, what came of it on each device, and what the custody log says.

One HTML file that needs nothing else, for people, and the same as JSON, for programs. The HTML has no script, loads
nothing, and a policy of its own that forbids both. Everything in it that came from outside goes through text().
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import typing as t
from pathlib import Path
from string import Template

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import unwritable
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import Dir, hash_of, sync_file, write_all
from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration, iso

_Facts = t.Mapping[str, t.Any]

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
        "html": _store(folder, f"{name}.html", page(facts, twin).encode()),
    }


def complete(folder: Folder) -> None:
    """Give their final names to reports that an interrupted run has recorded, but not renamed. Raises EvidenceError."""
    home = folder.custody.dir
    for name, sha256 in folder.custody.history.reports.items() if home else ():
        try:
            if home and home.stat(name) is None and _is_whole(home, f"{name}.part", sha256):
                home.rename(f"{name}.part", name)
        except OSError as failure:
            raise unwritable(folder.path / name, failure) from None


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
    home, part = t.cast("Dir", folder.custody.dir), f"{name}.part"
    try:
        if home.stat(part):
            home.unlink(part)
        file = home.open_file(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            write_all(file, data)
            sync_file(file, home.warn)
        finally:
            os.close(file)
        folder.custody.append(custody.REPORT_STORED, path=name, sha256=hashlib.sha256(data).hexdigest())
        home.rename(part, name)
        home.sync()
    except OSError as failure:
        raise unwritable(folder.path / name, failure) from None
    return str(folder.path / name)


# ---- HTML ----


def text(value: object) -> str:
    """Any value as text in HTML: what has a meaning there is escaped, what cannot be seen is spelled out.

    Invisible characters could make one name look like another (U+202E turns text around).
    """
    seen = (c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in str(value))
    return html.escape("".join(seen))


def page(facts: _Facts, twin: _Facts) -> str:
    """The report as HTML. twin: name and SHA-256 of the same as JSON."""
    failed = [device for device in facts["devices"] if device["failed"]]
    others = [device for device in facts["devices"] if not device["failed"]]
    links = [("summary", "Summary"), ("failed", f"Failed ({len(failed)})"), ("collected", f"Collected ({len(others)})")]
    links += [("quota", "Use of the quota"), ("custody", "Chain of custody")]
    # Run IDs are made here, so they may stand in a style sheet.
    style = _STYLE.replace("RUN_ID", facts["custody"]["run"])
    return _PAGE.substitute(
        style=style,
        style_sha256=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        title=f"Evidence collection of {_moment(facts['started'])}",
        reason=text(facts["comment"] or "Packages fetched"),
        message=text(facts["msg"]),
        nav="".join(f'<li><a href="#{anchor}">{label}</a></li>' for anchor, label in links),
        figures=_figures(facts["summary"]),
        request=_terms(_request(facts)),
        failed=_failed(failed),
        collected=_collected(others, Path(facts["dest"])),
        quota=_quota(facts["quota"]),
        custody=_terms(_custody_terms(facts["custody"], twin)),
        tool=text(facts["asked_by"]["tool"]),
        written=_moment(facts["written"]),
    )


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
        ("Began", _moment(facts["started"])),
        ("Report written", _moment(facts["written"])),
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


def _terms(rows: t.Iterable[tuple[str, str]]) -> str:
    """Terms and what they mean, already HTML; those that mean nothing are left out."""
    return "<dl>" + "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in rows if value) + "</dl>"


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
    return _table("Devices without a package", ("Device", "Reason and advice", "Action", "Timeline (UTC)"), rows)


def _collected(devices: list[_Facts], dest: Path) -> str:
    if not devices:
        return "<p>No package was collected.</p>"
    rows = [
        [_device(device), _package(device["package"], dest), _action(device), _timeline(device)] for device in devices
    ]
    return _table("Devices with a verified package", ("Device", "Package", "Action", "Timeline (UTC)"), rows)


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
    rows = "".join(f"<div><dt>{_MOMENTS[key]}</dt><dd>{_moment(times[key], '')}</dd></div>" for key in shown)
    return f'<dl class="times">{rows}</dl>' if rows else "none"


def _quota(quota: list[_Facts]) -> str:
    rows = [[text(each["endpoint"]), f"{each['calls']:,}", text(", ".join(each["limits"]))] for each in quota]
    return _table("Calls of the service by this run", ("Endpoint", "Calls", "Limits"), rows, "quota")


def _table(caption: str, heads: t.Iterable[str], rows: list[list[str]], style: str = "devices") -> str:
    """Cells are HTML already; the first of a row names it."""
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    body = "\n".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    return f'<table class="{style}"><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'


def _moment(time: str, zone: str = " UTC") -> str:
    """ISO 8601 UTC as a person reads it."""
    day, _t, clock = time.rstrip("Z").partition("T")
    return f'<time datetime="{text(time)}">{text(day)} {text(clock)}{zone}</time>'


_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-$style_sha256'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Evidence collection report</title>
<style>$style</style>
</head>
<body>
<a class="skip" href="#summary">Skip to the summary</a>
<header>
<p class="kind">$title</p>
<h1>$reason</h1>
<p class="lead">$message</p>
<nav aria-label="Sections"><ul>$nav</ul></nav>
</header>
<main>
<section id="summary" tabindex="-1">
<h2>Summary</h2>
<dl class="figures">$figures</dl>
$request
</section>
<section id="failed" tabindex="-1">
<h2>Failed</h2>
$failed
</section>
<section id="collected" tabindex="-1">
<h2>Collected</h2>
$collected
</section>
<section id="quota" tabindex="-1">
<h2>Use of the quota</h2>
$quota
</section>
<section id="custody" tabindex="-1">
<h2>Chain of custody</h2>
$custody
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
</details>
</section>
</main>
<footer><p>Written $written by $tool. This file contains no script and loads nothing.</p></footer>
</body>
</html>
""")

_STYLE = """
:root {
  --paper: #fff; --ink: #1b1b1a; --quiet: #55534e; --line: #cfccc4; --band: #f5f4f0; --bad: #9c1c1c; --link: #1f4b8f;
  color-scheme: light dark;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #161718; --ink: #e6e4df; --quiet: #a9a69e; --line: #43423e; --band: #1f2122; --bad: #ff9d93; --link: #9fc3ff;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); font: 0.9375rem/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
body { max-width: 91rem; margin: 0 auto; padding: 2.5rem 2rem 4rem; }
h1, h2, .figures dd { font-family: Charter, "Bitstream Charter", Cambria, Georgia, "Noto Serif", serif; font-weight: 600; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0.2rem 0 0.8rem; white-space: pre-line; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 0 0 1rem; padding-bottom: 0.35rem; border-bottom: 2px solid var(--ink); }
p { margin: 0 0 0.6rem; max-width: 75ch; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
section { margin-top: 3rem; }
section:focus { outline: none; }
.kind { color: var(--quiet); margin: 0; }
.lead { font-size: 1.05rem; overflow-wrap: anywhere; }
.skip { position: absolute; left: -100vw; background: var(--paper); padding: 0.5rem 1rem; }
.skip:focus { left: 1rem; top: 0.5rem; z-index: 2; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.3rem 1.5rem; list-style: none; margin: 1.2rem 0 0; padding: 0.6rem 0;
  border: solid var(--line); border-width: 1px 0; }
code { font: 0.8125rem/1.45 ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
dl { margin: 0 0 1rem; }
dd { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
section > dl:not(.figures) > div { display: grid; grid-template-columns: 12rem 1fr; gap: 1rem; padding: 0.3rem 0; }
section > dl:not(.figures) > div + div { border-top: 1px solid var(--line); }
section > dl:not(.figures) dt { color: var(--quiet); }
.figures { display: flex; flex-wrap: wrap; gap: 0.5rem 3.5rem; margin-bottom: 1.2rem; }
.figures > div { display: flex; flex-direction: column-reverse; }
.figures dt { color: var(--quiet); }
.figures dd { font-size: 2.2rem; line-height: 1.15; font-variant-numeric: lining-nums tabular-nums; }
.bad dd, .code { color: var(--bad); }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--quiet); padding-bottom: 0.4rem; }
th, td { text-align: left; vertical-align: top; padding: 0.5rem 1rem 0.55rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { position: sticky; top: 0; background: var(--band); padding: 0.5rem 1rem 0.5rem 0; border-bottom: 1px solid var(--ink); z-index: 1; }
th:first-child, td:first-child { padding-left: 0.6rem; }
tbody th { font-weight: 600; }
.devices { table-layout: fixed; }
.devices th:nth-child(1) { width: 20rem; }
.devices th:nth-child(3) { width: 19rem; }
.devices th:nth-child(4) { width: 16rem; }
.devices small, .devices code { font-weight: 400; }
.quota { width: auto; }
.quota th, .quota td { padding-right: 3rem; }
.quota td:nth-child(2) { text-align: right; font-variant-numeric: tabular-nums; }
small { display: block; font-size: 0.8125rem; color: var(--quiet); }
small code { font-size: 0.75rem; }
td p { margin: 0 0 0.3rem; }
.small { font-size: 0.8125rem; color: var(--quiet); }
.advice span { color: var(--quiet); }
.times { margin: 0; font-size: 0.8125rem; font-variant-numeric: tabular-nums; }
.times div { display: flex; gap: 0.8rem; }
.times dt { color: var(--quiet); flex: 0 0 5.6rem; }
.times dd { white-space: nowrap; }
summary { cursor: pointer; }
details[open] summary { margin-bottom: 0.5rem; }
footer { margin-top: 3rem; color: var(--quiet); font-size: 0.8125rem; }
@media screen and (max-width: 60rem) {
  body { padding: 1rem 1rem 3rem; }
  section > dl:not(.figures) > div { grid-template-columns: 1fr; gap: 0; }
  .devices, .devices caption, .devices tbody, .devices tr, .devices th, .devices td { display: block; width: auto; }
  .devices thead { position: absolute; left: -100vw; }
  .devices tr { padding: 0.5rem 0; border-bottom: 1px solid var(--ink); }
  .devices tbody th, .devices td { padding: 0.15rem 0; border: 0; }
  .quota th, .quota td { padding-right: 1rem; }
}
@page {
  size: A4 landscape; margin: 16mm 14mm;
  @bottom-left { content: "Run RUN_ID"; font: 8pt sans-serif; color: #555; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif; color: #555; }
}
@media print {
  html { font-size: 8.5pt; }
  body { max-width: none; margin: 0; padding: 0; }
  nav, .skip { display: none; }
  a { color: inherit; text-decoration: none; }
  section { margin-top: 7mm; }
  #failed, #collected { break-before: page; }
  #quota, #custody { break-inside: avoid; }
  thead th { position: static; }
  tr, .figures, section > dl > div { break-inside: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
  .devices th:nth-child(1), .devices th:nth-child(3) { width: 62mm; }
  .devices th:nth-child(4) { width: 52mm; }
}
"""
