# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From alert to package with the real ansible-rulebook. EDA_KILLS says how many moments the kill test takes."""

from __future__ import annotations

import os
import subprocess
import time
import typing as t

from host import BIN, POLL, WINDOW, Host

from simulator import Device

Start = t.Callable[..., Host]

KILLS = int(os.environ.get("EDA_KILLS", "3"))
# From the window's end to the end of collecting and downloading, as a multiple of what starting Ansible takes.
COLLECTING = 6
# Between the window's end and the first start, in seconds.
PLAYBOOK = 10.0


def playbook_seconds(host: Host) -> float:
    """What it takes here and now to start one that does nothing: a busy machine is not the collection's doing."""
    began = time.monotonic()
    subprocess.run(
        [str(BIN / "ansible"), "localhost", "-m", "ansible.builtin.meta", "-a", "noop"],
        env=host.environment,
        capture_output=True,
        check=False,
    )
    return time.monotonic() - began


def test_a_burst_is_one_task_a_second_one_is_none_and_a_storm_is_stopped(host: Start) -> None:
    """40 alerts on 12 devices in three incidents, and on some that are left to a person; then again; then on others."""
    machines = [Device(f"pc{number:02d}.contoso.com") for number in range(12)]
    here = host(
        *machines,
        Device("late01.contoso.com"),
        Device("late02.contoso.com"),
        Device("dc01.contoso.com", tags=("tier0",)),
        Device("new01.contoso.com", onboarding_status="CanBeOnboarded"),
        collect_on_alert_exclude_tags=["tier0"],
        collect_on_alert_max_machines=12,
        collect_on_alert_max_machines_per_hour=13,
    )
    # An alert of before the start, within look_back, is told.
    here.alert(machines[0].name, 7000)
    here.start()
    came = here.tenant.clock()
    for number in range(40):
        here.alert(machines[number % 12].name, 7000 + number % 3, title="{{ lookup('pipe', 'touch ' ~ '/tmp/x') }}")
    here.alert("dc01.contoso.com", 7000)
    here.alert("new01.contoso.com", 7001)
    here.alert("", 7002)
    here.until(lambda: here.ended() == 1, "the playbook ends")

    assert here.starts() == {machine.id: 1 for machine in machines}
    # 12 is a multiple of 3, so each device is in one incident.
    assert here.packages() == {(f"incident-{7000 + n % 3}", machine.name): 1 for n, machine in enumerate(machines)}
    comments = {action["requestorComment"] for action in here.tenant.actions}
    assert comments == {
        f"Incident {number}: collected by secops.defender.collect_on_alert" for number in (7000, 7001, 7002)
    }
    output = here.output.read_text()
    assert "dc01.contoso.com has the tag tier0 of exclude_tags" in output
    assert "new01.contoso.com is not onboarded (CanBeOnboarded)" in output
    for folder in here.evidence.iterdir():
        assert here.verified(folder)["verified"]

    waited = min(here.began()) - came
    allowed = POLL + WINDOW + max(PLAYBOOK, 5 * playbook_seconds(here))
    print(f"\nFrom the alert to its collection's start: {waited:.1f} s, of at most {allowed:.1f} s.")
    assert waited <= allowed

    for number in range(40):
        here.alert(machines[number % 12].name, 7000 + number % 3)
    here.until(lambda: here.ended() == 2, "the second playbook ends")
    assert here.starts() == {machine.id: 1 for machine in machines}

    here.alert("late01.contoso.com", 7003)
    here.alert("late02.contoso.com", 7003)
    here.until(lambda: here.ended() == 3, "the third playbook ends")
    assert "2 devices would be collected from on alerts, after 12 in the last hour" in here.output.read_text()
    assert len(here.starts()) == 12
    assert here.tenant.throttled() == {}
    assert not any(secret in here.output.read_text() for secret in here.tenant.secrets)


def test_kill_9_at_any_moment_loses_no_alert_and_collects_none_twice(host: Start) -> None:
    """Every other time its playbooks are killed as well."""
    machines = [Device(f"pc{number:02d}.contoso.com") for number in range(KILLS)]
    here = host(*machines, collect_on_alert_max_machines_per_hour=0)
    here.start()
    journey = POLL + WINDOW + COLLECTING * playbook_seconds(here)
    for number, machine in enumerate(machines):
        here.alert(machine.name, 8000 + number)
        time.sleep(journey * (number + 0.5) / KILLS)
        here.kill(playbooks=number % 2 == 0)
        here.start()
    here.until(lambda: len(here.packages()) == KILLS, "every alert has its package")
    # The last word: once more from the start, and nothing is left to do.
    here.kill(playbooks=True)
    before = here.ended()
    here.start()
    here.until(lambda: here.ended() > before, "what is told again is collected from again, or rather not")

    assert here.starts() == {machine.id: 1 for machine in machines}
    assert here.packages() == {(f"incident-{8000 + n}", machine.name): 1 for n, machine in enumerate(machines)}
    for folder in here.evidence.iterdir():
        answer = here.verified(folder)
        # What was killed may stay named as unfinished, such as the beginning of a report; nothing of the evidence is wrong.
        wrong = [finding for finding in answer["findings"] if finding["kind"] != "unfinished"]
        assert (wrong, len(answer["packages"])) == ([], 1)
