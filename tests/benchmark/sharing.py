# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Four ansible-playbook processes at once, a task for each host, one quota."""

from __future__ import annotations

from pathlib import Path

from figures import Figure
from processes import play_file, playbook
from tenant import Tenant, fleet

_PROCESSES, _FORKS = 4, 20
_MINUTE = 1.0


def measure(work: Path) -> list[Figure]:
    with Tenant(work, fleet(_PROCESSES * _FORKS), _MINUTE) as tenant:
        variables = {
            "evidence": str(tenant.work / "evidence"),
            "quotas": tenant.quotas,
            "poll_interval": tenant.poll_interval,
        }
        started = [
            playbook(
                tenant,
                f"play{number}",
                play_file("per_host.yml"),
                tenant.names[number::_PROCESSES],
                _FORKS,
                variables,
            )
            for number in range(_PROCESSES)
        ]
        for process in started:
            if process.wait().status:
                raise RuntimeError(process.log.read_text(encoding="utf-8", errors="replace"))
        links = sorted(entry["time"] for entry in tenant.calls("package_link"))
        all_at_work = max(entry["time"] for entry in tenant.calls("collect"))
        calls, throttled = len(tenant.calls()), tenant.throttled()
    subject = f"{_PROCESSES} processes, {_FORKS} forks each"
    return [
        Figure(subject, "refusals (429)", throttled, most=0, promise=True),
        Figure(subject, "rate of links over the limit", _rate(links, all_at_work) / 2, "x", least=0.95, most=1.0),
        Figure(subject, "API calls per package", calls / len(links)),
    ]


def _rate(links: list[float], since: float) -> float:
    """Links a minute, once every host's task is at work: before, some processes have not even started."""
    later = [moment for moment in links if moment >= since]
    # They come in pairs: an even number of steps, so that the span is one of whole minutes.
    later = later[(len(later) - 1) % 2 :]
    return (len(later) - 1) / (later[-1] - later[0]) * _MINUTE
