# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role costs the control node where every host has its own comment and folder, beside trivial tasks in the same run."""

from __future__ import annotations

from pathlib import Path

from figures import Figure
from processes import Usage, play_file, playbook
from tenant import Tenant, fleet

_FEW, _MANY = 50, 500
# What a host may cost beside four trivial tasks, in seconds of CPU.
_ALLOWED = 0.03
_SUBJECT = f"Role, {_MANY} hosts, each with its own comment and folder"


def measure(work: Path) -> list[Figure]:
    with Tenant(work, fleet(_MANY)) as tenant:
        few = _each(tenant, "few", tenant.names[:_FEW])
        before = len(tenant.calls())
        polls = len(tenant.calls("machine_actions"))
        trivial = _run(tenant, "trivial", play_file("four_trivial.yml"), tenant.names, {})
        whole = _each(tenant, "many", tenant.names)
        calls = len(tenant.calls()) - before
        polls = len(tenant.calls("machine_actions")) - polls
        stored = len(list((tenant.work / "many").glob("*/*/*.zip")))
    if stored != _MANY:
        raise RuntimeError(f"{stored} packages were stored, not {_MANY}")
    each = whole.cpu / _MANY
    return [
        Figure(_SUBJECT, "CPU for each host", each * 1000, "ms"),
        Figure(_SUBJECT, "CPU for each host of four trivial tasks", trivial.cpu / _MANY * 1000, "ms"),
        Figure(
            _SUBJECT,
            "CPU, of four trivial tasks and 30 ms a host",
            each / (trivial.cpu / _MANY + _ALLOWED),
            "times",
            most=1,
        ),
        Figure(_SUBJECT, f"CPU for each host, of that with {_FEW} hosts", each / (few.cpu / _FEW), "times", most=1.2),
        Figure(_SUBJECT, "calls a package", calls / _MANY, most=2.1, promise=True),
        Figure(
            _SUBJECT,
            "list calls for each look",
            polls / max(1.0, whole.wall / tenant.poll_interval + 2),
            most=1,
            promise=True,
        ),
        Figure(_SUBJECT, "wall time with hardly any quota", whole.wall, "s"),
    ]


def _each(tenant: Tenant, name: str, hosts: list[str]) -> Usage:
    variables = {
        "evidence": str(tenant.work / name),
        "collect_package_max_machines": 0,
        "collect_package_poll_interval": tenant.poll_interval,
        "collect_package_quotas": tenant.quotas,
    }
    return _run(tenant, name, play_file("each_its_own.yml"), hosts, variables)


def _run(tenant: Tenant, name: str, play: str, hosts: list[str], variables: dict[str, object]) -> Usage:
    process = playbook(tenant, name, play, hosts, 5, variables)
    usage = process.wait()
    if usage.status:
        raise RuntimeError(process.log.read_text(encoding="utf-8", errors="replace"))
    return usage
