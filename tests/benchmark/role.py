# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role costs the control node by each way into it, beside trivial tasks in the same run."""

from __future__ import annotations

from pathlib import Path

from figures import Figure
from processes import Usage, play_file, playbook
from tenant import Tenant, fleet

_FEW, _MANY = 50, 500
# What a host may cost beside four trivial tasks, in seconds of CPU.
_ALLOWED = 0.03
_SUBJECT = f"Role, {_MANY} hosts"
_WAYS = {"roles": "by_roles.yml", "import_role": "by_import.yml", "include_role": "by_include.yml"}
_ONE = {"comment": "Benchmark", "dest": "{{ evidence }}"}
_EACH = {"comment": "Benchmark of {{ inventory_hostname }}", "dest": "{{ evidence }}/{{ inventory_hostname }}"}


def measure(work: Path) -> list[Figure]:
    with Tenant(work, fleet(_MANY)) as tenant:
        few = _enter(tenant, "few", "roles", _EACH, tenant.names[:_FEW])
        trivial = _run(tenant, "trivial", play_file("four_trivial.yml"), tenant.names, {}).cpu / _MANY
        figures = [
            _held("CPU, one comment and one folder, by roles", _enter(tenant, "one", "roles", _ONE), trivial),
            *_each_its_own(tenant, few, trivial),
            Figure(_SUBJECT, "CPU for each host of four trivial tasks", trivial * 1000, "ms"),
        ]
    return figures


def _each_its_own(tenant: Tenant, few: Usage, trivial: float) -> list[Figure]:
    """Each host with a comment and a folder of its own."""
    calls, polls = len(tenant.calls()), len(tenant.calls("machine_actions"))
    whole = _enter(tenant, "roles", "roles", _EACH)
    calls, polls = len(tenant.calls()) - calls, len(tenant.calls("machine_actions")) - polls
    figures = [_held("CPU, each its own, by roles", whole, trivial)]
    for way in ("import_role", "include_role"):
        figures.append(_held(f"CPU, each its own, by {way}", _enter(tenant, way, way, _EACH), trivial))
    looks = max(1.0, whole.wall / tenant.poll_interval + 2)
    growth = (whole.cpu / _MANY) / (few.cpu / _FEW)
    return [
        *figures,
        Figure(_SUBJECT, f"CPU for each host, of that with {_FEW} hosts", growth, "times", most=1.2),
        Figure(_SUBJECT, "calls a package", calls / _MANY, most=2.1, promise=True),
        Figure(_SUBJECT, "list calls for each look", polls / looks, most=1, promise=True),
        Figure(_SUBJECT, "wall time with hardly any quota", whole.wall, "s"),
    ]


def _held(what: str, whole: Usage, trivial: float) -> Figure:
    """Against four trivial tasks and what the work itself may cost."""
    each = whole.cpu / _MANY
    return Figure(_SUBJECT, what, each / (trivial + _ALLOWED), "times", most=1, note=f"{each * 1000:.0f} ms a host")


def _enter(tenant: Tenant, name: str, way: str, wish: dict[str, str], hosts: list[str] | None = None) -> Usage:
    hosts = hosts or tenant.names
    variables = {
        **{f"collect_package_{option}": value for option, value in wish.items()},
        "evidence": str(tenant.work / name),
        "collect_package_max_machines": 0,
        "collect_package_poll_interval": tenant.poll_interval,
        "collect_package_quotas": tenant.quotas,
    }
    usage = _run(tenant, name, play_file(_WAYS[way]), hosts, variables)
    stored = len(list((tenant.work / name).rglob("*.zip")))
    if stored != len(hosts):
        raise RuntimeError(f"{stored} packages were stored, not {len(hosts)}")
    return usage


def _run(tenant: Tenant, name: str, play: str, hosts: list[str], variables: dict[str, object]) -> Usage:
    process = playbook(tenant, name, play, hosts, 5, variables)
    usage = process.wait()
    if usage.status:
        raise RuntimeError(process.log.read_text(encoding="utf-8", errors="replace"))
    return usage
