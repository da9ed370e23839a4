# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same job by the playbook that one writes today."""

from __future__ import annotations

from pathlib import Path

from bound import Measured
from figures import Figure
from processes import play_file, playbook
from tenant import Tenant, fleet

HOSTS, MINUTE = 30, 3.0
# In the playbook's favour: starting a module takes a far larger part of a short minute than of a real one. Minutes.
_LINK_LIFETIME = 4
# Enough that no host waits for another one's process.
_FORKS = 30


def measure(work: Path, strategy: str) -> list[Figure]:
    """With that strategy of Ansible. What goes wrong is what is measured."""
    with Tenant(work, fleet(HOSTS), MINUTE, link_lifetime=_LINK_LIFETIME * MINUTE) as tenant:
        names = ("api_url", "login_url", "audience", "tenant", "client_id", "client_secret")
        variables = {
            **{name: tenant.connection[name] for name in names},
            "evidence": str(tenant.work / "evidence"),
            "pause": tenant.poll_interval,
        }
        (tenant.work / "evidence").mkdir()
        trust = {"SSL_CERT_FILE": tenant.connection["ca_path"], "ANSIBLE_STRATEGY": strategy}
        play = playbook(tenant, "baseline", play_file("baseline.yml"), tenant.names, _FORKS, variables, **trust)
        usage = play.wait()
        calls, throttled = len(tenant.calls()), tenant.throttled()
        stored = len(list((tenant.work / "evidence").glob("*.zip")))
    subject = f"uri playbook, {HOSTS} hosts, {strategy}"
    return _compared(subject, usage.wall, calls, throttled, HOSTS - stored, usage.cpu)


def ours(measured: Measured) -> list[Figure]:
    subject = f"This collection, {HOSTS} hosts"
    missing = measured.packages - measured.stored
    return _compared(subject, measured.seconds, measured.calls, measured.throttled, missing, measured.cpu, promise=True)


def _compared(
    subject: str, seconds: float, calls: int, throttled: int, missing: int, cpu: float, promise: bool = False
) -> list[Figure]:
    none = 0 if promise else None
    return [
        Figure(subject, "wall time in the service's minutes", seconds / MINUTE, "min"),
        Figure(subject, "API calls", calls),
        Figure(subject, "refusals (429)", throttled, most=none, promise=promise),
        Figure(subject, "packages missing", missing, most=none, promise=promise),
        Figure(subject, "CPU for each device", cpu / HOSTS * 1000, "ms"),
    ]
