# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several tenants in one play, beside one tenant alone: they work at the same time."""

from __future__ import annotations

import typing as t
from pathlib import Path

from figures import Figure
from processes import play_file, playbook
from tenant import Tenant, fleet

_TENANTS, _DEVICES = 5, 20
# Seconds: 20 packages take ten of these.
_MINUTE = 12.0
_SUBJECT = f"{_TENANTS} tenants of {_DEVICES} devices"
_SIGN_IN = ("tenant", "client_id", "client_secret")


def measure(work: Path) -> list[Figure]:
    further = [_devices(number) for number in range(1, _TENANTS)]
    with Tenant(work, _devices(0), _MINUTE, further) as tenant:
        one = _run(tenant, "one", tenant.everybody[:1])
    with Tenant(work / "again", _devices(0), _MINUTE, further) as tenant:
        all_of_them = _run(tenant, "all", tenant.everybody)
    return [
        Figure(_SUBJECT, "wall time, of that of one tenant", all_of_them / one, "times", most=1.15),
        Figure(_SUBJECT, "wall time in the service's minutes", all_of_them / _MINUTE),
    ]


def _devices(number: int) -> list[dict[str, t.Any]]:
    return [{**each, "name": f"pc{{n}}.tenant{number}.example"} for each in fleet(_DEVICES)]


def _run(tenant: Tenant, name: str, tenants: list[dict[str, t.Any]]) -> float:
    """Seconds."""
    hosts = [
        " ".join([str(device["name"]), *(f"collect_package_{fact}={facts[fact]}" for fact in _SIGN_IN)])
        for facts in tenants
        for device in facts["devices"]
    ]
    variables = {
        "collect_package_comment": "Benchmark",
        "collect_package_dest": f"{tenant.work / name}/{{{{ collect_package_tenant }}}}",
        "collect_package_poll_interval": tenant.poll_interval,
        "collect_package_quotas": tenant.quotas,
    }
    process = playbook(tenant, name, play_file("by_roles.yml"), hosts, 2 * _TENANTS, variables)
    usage = process.wait()
    stored = len(list((tenant.work / name).rglob("*.zip")))
    if usage.status or stored != len(hosts):
        raise RuntimeError(
            f"{stored} packages of {len(hosts)}. {process.log.read_text(encoding='utf-8', errors='replace')}"
        )
    return usage.wall
