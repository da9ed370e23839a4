# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The source in a process of its own, run as ansible-rulebook runs it; and what else is shipped for Event-Driven Ansible."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import yaml
from ansible_rulebook.validators import Validate
from host import BIN, Host

from simulator import Device

COLLECTION = Path(os.environ["ANSIBLE_COLLECTIONS_PATH"]) / "ansible_collections/secops/defender"
TOP = Path(__file__).resolve().parents[2]
PROJECT = TOP / "docs" / "awx" / "project"
# Looks of one a minute in an hour.
LOOKS = 60
_RUN = """
import asyncio, json, runpy, sys
main = runpy.run_path(sys.argv[1])["main"]
class Queue:
    async def put(self, event):
        print(json.dumps(event), flush=True)
asyncio.run(main(Queue(), json.loads(sys.argv[2])))
"""


def run_source(host: Host, looks: int, collection: Path = COLLECTION, **args: t.Any) -> tuple[list[t.Any], float, str]:
    """Its events, the CPU seconds of its process, and what it wrote to stderr, after so many looks or at its own end."""
    file = collection / "extensions/eda/plugins/event_source/alerts.py"
    before = host.looks()
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(file), json.dumps(args)],
        env={**host.environment, "ANSIBLE_COLLECTIONS_PATH": "/nonexistent"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    host.until(lambda: process.poll() is not None or host.looks() >= before + looks, "the source looks")
    cpu = 0.0
    if process.poll() is None:
        cpu = cpu_seconds(process.pid)
        process.terminate()
    output, errors = process.communicate()
    return [json.loads(line) for line in output.splitlines()], cpu, errors


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_it_finds_its_own_collection_wherever_that_lies(host: t.Callable[..., Host], tmp_path: Path) -> None:
    here = host(Device("pc01.contoso.com"))
    here.alert("pc01.contoso.com", 7001)
    elsewhere = tmp_path / "else where" / "ansible_collections" / "secops"
    elsewhere.mkdir(parents=True)
    (elsewhere / "defender").symlink_to(COLLECTION)
    events, _cpu, errors = run_source(here, 2, elsewhere / "defender", poll_interval=0.5)
    assert [event["alert"]["incident_id"] for event in events] == [7001], errors


def test_a_quiet_hour_costs_less_than_ten_seconds_of_cpu(host: t.Callable[..., Host]) -> None:
    """Measured over looks in quick succession, over what the start has cost."""
    here = host(Device("pc01.contoso.com"))
    here.alert("pc01.contoso.com", 7001)
    _events, start, _errors = run_source(here, 2, poll_interval=0.2)
    events, end, errors = run_source(here, 2 + LOOKS, poll_interval=0.2)
    assert len(events) == 1 and errors == ""
    print(f"\n{end - start:.2f} s of CPU for the {LOOKS} looks of a quiet hour.")
    assert end - start < 10.0


def test_a_misspelt_option_ends_it_with_a_sentence(host: t.Callable[..., Host]) -> None:
    _events, _cpu, errors = run_source(host(Device("pc01.contoso.com")), 1, severitys=["High"])
    assert "secops.defender.alerts has no option severitys. Did you mean severities?" in errors.strip().splitlines()[-1]


def test_rulebooks_are_what_ansible_rulebook_understands() -> None:
    for path in (TOP / "extensions/eda/rulebooks", PROJECT / "extensions/eda/rulebooks"):
        for rulebook in path.glob("*.yml"):
            Validate.rulebook(yaml.safe_load(rulebook.read_text()))


def test_rulebook_and_playbook_agree_on_what_is_meant_by_default() -> None:
    [ruleset] = yaml.safe_load((TOP / "extensions/eda/rulebooks/collect_on_alert.yml").read_text())
    [play] = yaml.safe_load((TOP / "playbooks/collect_on_alert.yml").read_text())
    handed_on = ruleset["rules"][0]["action"]["run_playbook"]["extra_vars"]
    defaults = {}
    for name, text in handed_on.items():
        match = re.fullmatch(r"\{\{ (\w+) \| default\((.*)\) \}\}", text)
        assert match and match[1] == name
        defaults[name] = yaml.safe_load(match[2])
    assert defaults == {name: value for name, value in play["vars"].items() if name != "collect_on_alert_alerts"}
    guide = (TOP / "docs/alerts.md").read_text()
    assert all(f"`{name}`" in guide for name in play["vars"])


def test_the_decision_environment_is_what_ansible_builder_understands(tmp_path: Path) -> None:
    definition = TOP / "extensions/eda/decision-environment.yml"
    subprocess.run(
        [
            BIN / "ansible-builder",
            "create",
            "--output-filename",
            "Containerfile",
            "--file",
            definition,
            "--context",
            tmp_path,
        ],
        check=True,
        capture_output=True,
    )
    containerfile = (tmp_path / "Containerfile").read_text()
    assert "ENV JAVA_HOME=" in containerfile
    assert "ansible-rulebook" in (tmp_path / "_build/requirements.txt").read_text()
    assert "java-17-openjdk-headless" in (tmp_path / "_build/bindep.txt").read_text()
