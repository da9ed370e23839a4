# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role costs the control node for each device, from ansible-playbook's start to its end."""

from __future__ import annotations

from pathlib import Path

from figures import Figure
from processes import Usage, play_file, playbook
from tenant import Tenant, fleet

_HOSTS = 500
_RUNS = 3
_SUBJECT = f"Playbook, {_HOSTS} hosts"


def measure(work: Path) -> list[Figure]:
    with Tenant(work, fleet(_HOSTS)) as tenant:
        variables = {
            "collect_package_comment": "Benchmark",
            "collect_package_max_machines": 0,
            "collect_package_poll_interval": tenant.poll_interval,
            "collect_package_quotas": tenant.quotas,
        }
        empty = _run(tenant, play_file("empty.yml"), {})
        evidence = [tenant.work / f"evidence{number}" for number in range(_RUNS)]
        runs = [
            _run(tenant, "secops.defender.collect", {**variables, "collect_package_dest": str(folder)})
            for folder in evidence
        ]
        stored = min(len(list(folder.glob("*/*.zip"))) for folder in evidence)
        # What else the machine does meanwhile only adds.
        whole = min(runs, key=lambda usage: usage.cpu)
    if stored != _HOSTS:
        raise RuntimeError(f"{stored} packages were stored, not {_HOSTS}")
    return [
        Figure(_SUBJECT, "CPU for each device, least of three runs", whole.cpu / _HOSTS * 1000, "ms"),
        Figure(_SUBJECT, "CPU for each host of an empty play", empty.cpu / _HOSTS * 1000, "ms"),
        Figure(_SUBJECT, "wall time with hardly any quota", whole.wall, "s"),
    ]


def _run(tenant: Tenant, play: str, variables: dict[str, object]) -> Usage:
    process = playbook(tenant, Path(play).stem, play, tenant.names, 5, variables)
    usage = process.wait()
    if usage.status:
        raise RuntimeError(process.log.read_text(encoding="utf-8", errors="replace"))
    return usage
