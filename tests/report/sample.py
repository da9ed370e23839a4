# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run to report, as large as wanted: what the unit tests and the browser check look at."""

from __future__ import annotations

import hashlib
import typing as t
import uuid

from ansible_collections.secops.defender.plugins.module_utils._words.models import iso

DEST = "/srv/evidence/incident-4711"
TENANT = "12345678-aaaa-4bbb-8ccc-123456789abc"
BEGAN = 1_795_428_900.0
# Names and words that would do harm if they were taken for markup, or show as something that they are not.
HOSTILE = (
    "<script>console.error('ran')</script>.contoso.com",
    '"><img src=https://tracker.example/pixel onerror=console.error(1)>',
    "</td></table><h1>Nothing failed</h1>",
    "&lt;already&amp;escaped&gt;",
    "pc\u202egpj.exe\u0000\ud800",
    "{{ lookup('file', '/etc/passwd') }} $style ${title}",
)
_ERRORS = (
    (
        "OsPlatformNotSupported",
        "Failed to start a collection on {name}: the service answered 400 OsPlatformNotSupported: OS Platform Windows8 isn't "
        "supported for this action.",
        "Collect from this device by other means (live response, or on site).",
    ),
    (
        "NotFinishedInTime",
        "The collection on {name} is still Pending after 3600 seconds.",
        "The action goes on. Run again to follow it, with a longer wait_timeout if the device is offline.",
    ),
)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def device(number: int, name: str | None = None, *, failed: bool | None = None) -> dict[str, t.Any]:
    """One device; of a hundred three fail unless told."""
    name = name or f"ws{number:04}.contoso.com"
    failed = number % 100 in (7, 40, 77) if failed is None else failed
    code, message, advice = _ERRORS[number % len(_ERRORS)]
    unstarted = failed and code == "OsPlatformNotSupported"
    action_id = str(uuid.UUID(int=number * 7919 + 2**120))
    at = BEGAN + number * 0.6
    stored = BEGAN + 240 + number * 30
    action = {
        "id": action_id,
        "status": "Pending" if failed else "Succeeded",
        "requestor": "IR Automation",
        "comment": "Incident 4711",
        "created": iso(at + 1).replace("Z", ".1234567Z"),
        "updated": iso(stored - 9).replace("Z", ".7654321Z"),
    }
    path = f"{DEST}/{name}/{iso(at + 1).replace('-', '').replace(':', '')}_{action_id}.zip"
    return {
        "machine": name,
        "machine_id": sha256(name)[:40],
        "computer_dns_name": name,
        "request": None if unstarted else "already_running" if number % 50 == 3 else "started",
        "status": None if unstarted else action["status"],
        "changed": not failed,
        "failed": failed,
        "error": {
            "code": code,
            "message": message.format(name=name),
            "advice": advice,
            "tracking_id": str(uuid.UUID(int=number + 2**119)) if unstarted else None,
        }
        if failed
        else None,
        "action": None if unstarted else action,
        "package": None
        if failed
        else {"path": path, "size": 15_728_640 + number * 4099, "sha256": sha256(path), "downloaded": iso(stored)},
        "comment": "Incident 4711, second look" if number % 50 == 1 else None,
        "device": {
            "os": ("Windows11", "WindowsServer2022", "macOS", "Linux")[number % 4],
            "health": "Inactive" if failed else "Active",
            "last_seen": iso(at - 3600 * (number % 48)).replace("Z", ".1234567Z"),
            "ip": f"10.1.{number // 250 % 250}.{number % 250}",
            "tags": ["Tier 0", name] if number % 10 == 0 else [],
            "risk": ("None", "Low", "Medium", "High", "Informational")[number % 5],
            "exposure": "Medium",
        },
        "links": {
            "device": f"https://security.microsoft.com/machines/v2/{sha256(name)[:40]}/overview?tid={TENANT}",
            "action": None if unstarted else f"https://security.microsoft.com/action-center/history?tid={TENANT}",
        },
        "contents": None if failed else contents(number, name),
        "times": {
            "requested": iso(at),
            "accepted": None if unstarted else iso(at + 1),
            "ready": None if failed else iso(stored - 8),
            "stored": None if failed else iso(stored),
            "ended": iso(stored),
        },
    }


def contents(number: int, name: str) -> dict[str, t.Any]:
    """What was seen in a package; of ten one lacks something, and of seventy one is another device's."""
    logs = [
        {"name": f"{log}.evtx", "records": 31_877 - number, "first": iso(BEGAN - 86_400), "last": iso(BEGAN + number)}
        for log in ("Security Event Log/Security", "Event Log\\System")
    ]
    kinds = {
        "autoruns": 1,
        "event_log": 3,
        "network_connections": 6,
        "prefetch": 187,
        "processes": 2,
        "services": 1,
        "other": 4,
    }
    return {
        "why": None,
        "system": "windows",
        "entries": sum(kinds.values()),
        "artefacts": kinds,
        "missing": ["system_information"] if number % 10 == 4 else [],
        "empty": ["network_connections"] if number % 30 == 5 else [],
        "strangers": [f"not-{name}"] if number % 70 == 6 else [],
        "event_logs": logs,
        "more_event_logs": number % 3,
    }


def findings(devices: int, found: int) -> dict[str, t.Any]:
    """The result of a search for two indicators, of which one is on the first devices; of a hundred seven are not searched whole."""
    names = [f"ws{number:04}.contoso.com" for number in range(devices)]
    where = [
        {
            "machine_id": sha256(name)[:40],
            "computer_dns_name": name,
            "package": f"{DEST}/{name}/20261123T101501Z_{uuid.UUID(int=number)}.zip",
        }
        for number, name in enumerate(names)
    ]
    partly, none = devices * 26 // 400, devices * 3 // 400
    searched = {"whole": devices - partly - none, "partly": partly, "none": none}
    log = {"entry": "Security Event Log/Security.evtx", "records": 31_877}
    return {
        "msg": f"203.0.113.7 on {found} of {devices} devices.",
        "found": found > 0,
        "complete": False,
        "indicators": [
            {
                "value": "203.0.113.7",
                "type": "ip",
                "note": "C2",
                "devices": found,
                "hits": 17 * found,
                "searched": searched,
            },
            {"value": "evil.example", "type": "domain", "note": None, "devices": 0, "hits": 0, "searched": searched},
        ],
        "machines": [
            {**each, "indicators": ["203.0.113.7"], "artefacts": ["event_log"], "verified": True}
            for each in where[:found]
        ],
        "hits": [
            {
                **each,
                "entry": log["entry"],
                "artefact": "event_log",
                "indicator": "203.0.113.7",
                "type": "ip",
                "offset": 1234,
                "line": None,
                "record": 48_151,
                "time": "2026-11-23T09:14:10.123456Z",
                "dated": True,
                "excerpt": "<b>DestinationIp: 203.0.113.7",
                "collected": "2026-11-23T10:15:00.1234567Z",
                "verified": True,
            }
            for each in where[:found]
        ],
        "not_searched": [
            {**each, "entry": f"Prefetch/{number}.pf", "artefact": "prefetch", "why": "it is encrypted", "entries": 1}
            for number, each in enumerate(where)
        ],
        "event_logs": [{**each, **log, "first": iso(BEGAN - 7200), "last": iso(BEGAN)} for each in where],
        "refused": [],
        "summary": {
            "devices": devices,
            "packages": devices - none,
            "devices_with_hits": found,
            "hits": 17 * found,
            "allowed": 2,
            "searched": searched,
            "unpacked_bytes": devices * (54 << 20),
            "older": 3,
            "indicators": 2,
        },
        "recorded": True,
    }


def _side(number: int) -> dict[str, t.Any]:
    name = f"ws{number:04}.contoso.com"
    return {
        "machine_id": sha256(name)[:40],
        "computer_dns_name": name,
        "package": f"{DEST}/{name}/20261123T101501Z_{uuid.UUID(int=number)}.zip",
        "collected": "2026-11-23T10:15:00.1234567Z",
        "verified": number % 7 != 3,
    }


def _item(value: str, artefact: str = "processes", collector: bool = False) -> dict[str, t.Any]:
    return {
        "artefact": artefact,
        "value": value,
        "text": f"{value} | 4711",
        "entry": "Processes/Processes.CSV",
        "collector": collector,
    }


def rare(devices: int) -> dict[str, t.Any]:
    """The result of a comparison in which each device has an item of its own, and the first ones those of hostile names."""
    values = [*HOSTILE, *(f"dropper{number}.exe" for number in range(len(HOSTILE), devices))]
    items = []
    for number, value in enumerate(values[:devices]):
        item = _item(value, ("processes", "services", "autoruns")[number % 3], number % 10 == 9)
        machine = {**_side(number), "entry": item["entry"], "text": item["text"]}
        items.append(
            {
                "artefact": item["artefact"],
                "value": value,
                "collector": item["collector"],
                "machines": [machine],
                "of": devices,
            }
        )
    return {
        "mode": "rare",
        "msg": f"{devices} items on one of {devices} devices only.",
        "items": items,
        "not_comparable": _not_comparable(None),
        "summary": {"devices": devices, "packages": devices, "unlisted": 0},
        "node": "ir-control-1",
    }


def diff() -> dict[str, t.Any]:
    """The result of a comparison of one device's packages: hostile names new, gone and changed."""
    changed = "Updater | {}"
    return {
        "mode": "diff",
        "msg": "ws0000.contoso.com: 7 new, 7 gone",
        "only_before": [*map(_item, HOSTILE), _item(changed.format("Stopped"), "services")],
        "only_after": [*(_item(f"new {name}") for name in HOSTILE), _item(changed.format("Running"), "services", True)],
        "compared": ["processes", "services"],
        "before": _side(0),
        "after": _side(3),
        "not_comparable": _not_comparable("before"),
        "summary": {"devices": 1, "packages": 2, "unlisted": 0},
        "node": "ir-control-1",
    }


def _not_comparable(side: str | None) -> list[dict[str, t.Any]]:
    row = {
        **_side(1),
        "artefact": "arp",
        "entry": "Network Connections/Arp.txt",
        "side": side,
        "partly": False,
        "why": "it is empty",
    }
    return [row, {**row, "artefact": None, "entry": None, "why": "it is encrypted"}]


def facts(
    devices: list[dict[str, t.Any]], comment: str = "Incident 4711: credential theft on the file servers"
) -> dict[str, t.Any]:
    """What a run hands to its report."""
    failed = sum(each["failed"] for each in devices)
    stored = len(devices) - failed
    summary = {
        "requested": len(devices),
        "started": sum(each["request"] == "started" for each in devices),
        "already_running": sum(each["request"] == "already_running" for each in devices),
        "reused": 0,
        "resumed": 0,
        "would_start": 0,
        "succeeded": stored,
        "downloaded": stored,
        "failed": failed,
        "plan": {"starts": len(devices), "links": len(devices), "seconds": len(devices) * 30.0},
        "duration": len(devices) * 30.7 + 240,
        "api_calls": len(devices) * 2 + 400,
    }
    return {
        "module": "secops.defender.defender_collect_package",
        "comment": comment,
        "asked_by": {
            "user": "awx",
            "host": "ir-control-1",
            "tool": "secops.defender/1.0.0 (Ansible collection)",
            "awx_job_id": "8123",
            "awx_user": "jane",
        },
        "asked_for": [each["machine"] for each in devices],
        "service": {
            "api_url": "https://api.security.microsoft.com",
            "tenant": TENANT,
            "client_id": "7c1a1e4c-6a0e-4d6d-9f5e-2f3b8a3d0e11",
        },
        "dest": DEST,
        "started": iso(BEGAN),
        "written": iso(BEGAN + summary["duration"]),
        "msg": f"{len(devices)} devices: {summary['started']} started, {stored} packages verified, {failed} failed.",
        "error": None,
        "summary": summary,
        "quota": [
            {"endpoint": "collect", "calls": len(devices), "limits": _limits((100, 60), (1500, 3600))},
            {"endpoint": "machine_actions", "calls": 400, "limits": _limits((100, 60), (1500, 3600))},
            {"endpoint": "package_link", "calls": stored, "limits": _limits((2, 60), (120, 3600))},
        ],
        "devices": devices,
    }


def with_log(facts: dict[str, t.Any]) -> dict[str, t.Any]:
    """The same as the page is made of."""
    log = {"log": "custody.jsonl", "run": "6f1f2c0a-5be2-4d0e-9a53-0c7b2f1f7c11", "line": 9893, "head": sha256("head")}
    return {**facts, "custody": log}


def fleet(count: int) -> list[dict[str, t.Any]]:
    """Devices of which some have hostile names, among those that failed as well."""
    devices = [device(number) for number in range(count - 2 * len(HOSTILE))]
    for number, name in enumerate(HOSTILE):
        devices.append(device(count + number, name, failed=True))
        devices.append(device(count + 100 + number, name, failed=False))
    return devices


def _limits(*limits: tuple[int, int]) -> list[str]:
    return [f"{calls:,} in {seconds:,g} s" for calls, seconds in limits]
