# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs as AWX starts them: ansible-runner, the project, the templates' variables, the environment of the injectors, no more."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import rules
import workflow
from conftest import BIN, OLDEST, PROJECT, Ran, SetUp, bare_environment
from standin import Awx, Row

from simulator import Device, Simulator
from simulator.sealing import Signer, TimeAuthority

# A result that is larger, in bytes, AWX replaces by nothing (awx/settings/defaults.py).
MAX_EVENT_RES_DATA = 700_000

# Runs a command and writes down what it and all its children have used: a process of its own, so that no other job is counted.
MEASURING = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
kib = 1024 if sys.platform == "darwin" else 1
open(sys.argv[1], "w").write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss / kib / 1024}")
sys.exit(status)
"""


@dataclass
class Job:
    status: str
    events: list[dict[str, t.Any]]
    artifacts: dict[str, t.Any]
    stdout: str
    folder: Path
    # Of the credentials that the template has.
    secrets: frozenset[str] = frozenset()
    # What it took: seconds, seconds of CPU of all its processes, and the largest one's memory in MiB.
    wall: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0

    def failed_hosts(self) -> set[str]:
        (stats,) = (each["event_data"] for each in self.events if each["event"] == "playbook_on_stats")
        return set(stats["failures"])

    def host_summaries(self) -> dict[str, str]:
        """Each host as AWX shows it: by the worst that it counts of it (awx/main/models/events.py, JobHostSummary)."""
        (stats,) = (each["event_data"] for each in self.events if each["event"] == "playbook_on_stats")
        kinds = ("dark", "failures", "changed", "ok", "skipped")
        hosts = {host for kind in kinds for host in stats[kind]}
        return {host: next(kind for kind in kinds if stats[kind].get(host)) for host in hosts - {"localhost"}}

    def said(self, task: str = "Say it") -> str:
        """The last sentence of the job's output."""
        shown = [
            each["event_data"]["res"]["msg"]
            for each in self.events
            if each["event"] == "runner_on_ok" and each["event_data"].get("task") == task
        ]
        return str(shown[-1])


class Jobs:
    def __init__(self, awx: Awx, simulator: Simulator, folder: Path, **variables: t.Any) -> None:
        self.awx, self.simulator, self.folder = awx, simulator, folder
        self.evidence = folder / "evidence"
        self.numbers = itertools.count(1)
        # Where ansible-runner and ansible-playbook are.
        self.programs = BIN
        # What the project's repository has besides the skeleton: paths and texts.
        self.in_project: dict[str, str] = {}
        # The simulated tenant is where no injector says: that stands in the template's variables, as for a proxy.
        self.tenant_variables = {
            "collect_package_api_url": simulator.api_url,
            "collect_package_login_url": simulator.login_url,
            "collect_package_audience": simulator.audience,
            "collect_package_ca_path": str(simulator.ca_path),
            "collect_package_poll_interval": 0.2,
            "collect_package_quotas": {"default": ["100/1", "1500/60"], "package_link": ["2/1", "120/60"]},
            "collect_package_quota_dir": str(folder / "quota"),
            **variables,
        }

    def inject(self, name: str, values: dict[str, str]) -> t.Callable[[Path], dict[str, str]]:
        return lambda private_data: rules.inject(self.awx.one("credential_types", name), values, private_data)

    def run(
        self,
        template: str,
        answers: dict[str, t.Any],
        environment: t.Callable[[Path], dict[str, str]],
        timeout: float = 900,
        **launch: t.Any,
    ) -> Job:
        """A job from its launch to its end. timeout: seconds."""
        private_data, command = self.prepare(template, answers, environment, **launch)
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", MEASURING, str(private_data / "usage"), *command],
            env=bare_environment(self.folder / "home", self.programs),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        wall = time.monotonic() - begun
        cpu, peak = map(float, (private_data / "usage").read_text().split())
        out = private_data / "artifacts" / "job"
        events = [json.loads(each.read_text()) for each in (out / "job_events").glob("[0-9]*.json")]
        events.sort(key=lambda event: t.cast(int, event["counter"]))
        facts = [event["event_data"].get("artifact_data") for event in events if event["event"] == "playbook_on_stats"]
        status = (out / "status").read_text() if (out / "status").exists() else done.stdout
        signing = self.signing(template)
        secrets = frozenset(line for _kind, inputs in signing for line in inputs["signing_key"].splitlines()[1:-1])
        said = (out / "stdout").read_text()
        return Job(status, events, (facts or [None])[0] or {}, said, private_data, secrets, wall, cpu, peak)

    def signing(self, template: str) -> list[tuple[Row, dict[str, str]]]:
        """The signing credential of a template, if it has one: its type, and its inputs."""
        ids = self.awx.associated.get(
            ("job_templates", self.awx.one("job_templates", template)["id"], "credentials"), []
        )
        rows = [self.awx.rows["credentials"][each] for each in ids]
        return [
            (self.awx.rows["credential_types"][row["credential_type"]], row["inputs"])
            for row in rows
            if "signing_key" in row["inputs"]
        ]

    def prepare(
        self,
        template: str,
        answers: dict[str, t.Any],
        environment: t.Callable[[Path], dict[str, str]],
        *,
        inventory: dict[str, t.Any],
        limit: str | None = None,
        check: bool = False,
        handed_on: dict[str, t.Any] | None = None,
    ) -> tuple[Path, list[str]]:
        """A job's folder, and the command that runs it. handed_on: what a workflow gives besides: AWX asks nothing about it."""
        row = self.awx.one("job_templates", template)
        survey = self.awx.surveys.get(("job_templates", row["id"]))
        if survey:
            defaults = {question["variable"]: question["default"] for question in survey["spec"]}
            if handed_on is None:
                rules.check_answers(survey, {**defaults, **answers})
            answers = {**defaults, **answers}
        number = next(self.numbers)
        private_data = self.folder / f"job{number}"
        (private_data / "env").mkdir(parents=True)
        shutil.copytree(PROJECT, private_data / "project")
        for path, text in self.in_project.items():
            (private_data / "project" / path).parent.mkdir(exist_ok=True)
            (private_data / "project" / path).write_text(text)
        (private_data / "inventory").mkdir()
        # A program that prints the inventory is what AWX makes, too.
        hosts = private_data / "inventory" / "hosts"
        hosts.write_text(f"#!{sys.executable}\nprint({json.dumps(inventory)!r})\n")
        hosts.chmod(0o700)
        meta = {"job_id": number, "job_launch_type": "manual", "user_name": "analyst"}
        # What the template itself says is templated, and nothing else.
        own = {**rules.parse_vars(row["extra_vars"]), **self.tenant_variables}
        extra_vars = {
            **own,
            **answers,
            **(handed_on or {}),
            "defender_evidence_dir": str(self.evidence),
            **{f"{prefix}_{name}": value for prefix in ("awx", "tower") for name, value in meta.items()},
        }
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        job_environment = {"JOB_ID": str(number), "AWX_PRIVATE_DATA_DIR": str(private_data)}
        injected: dict[str, str] = {}
        for kind, inputs in self.signing(template):
            injected.update(rules.inject(kind, inputs, private_data))
        injected.update(environment(private_data))
        words = (["--check"] if check else []) + (["--limit", limit] if limit else [])
        words += [word for path in rules.injected_variables(private_data) for word in ("-e", f"@{path}")]
        (private_data / "env" / "extravars").write_text(rules.safe_dump(extra_vars, own))
        (private_data / "env" / "envvars").write_text(json.dumps({**job_environment, **injected}))
        (private_data / "env" / "cmdline").write_text(" ".join(words))
        # AWX, too, omits the files with the job's environment.
        command = ["ansible-runner", "run", str(private_data), "-p", row["playbook"], "--ident", "job"]
        return private_data, [*command, "--omit-env-files", "-vvv"]


@pytest.fixture(scope="session")
def jobs(
    first: tuple[SetUp, Ran],
    awx: Awx,
    simulator: Simulator,
    authority: TimeAuthority,
    signer: Signer,
) -> t.Iterator[Jobs]:
    # A name as short as AWX's own: ansible-runner sees a prompt only if it fits into 100 characters, and ssh-add's holds the path.
    with tempfile.TemporaryDirectory(prefix="awx_") as folder:
        made = Jobs(awx, simulator, Path(folder))
        made.in_project = {
            "seals/root.pem": Path(authority.ca_path).read_text(),
            "seals/allowed_signers": Path(signer.allowed_signers).read_text(),
            "seals/revoked_keys": "",
        }
        yield made


@pytest.fixture(params=["newest", "oldest"])
def core_jobs(jobs: Jobs, request: pytest.FixtureRequest) -> Jobs:
    """Jobs on the newest ansible-core, and on the oldest."""
    if request.param == "newest":
        return jobs
    if not OLDEST.exists():
        pytest.skip("no Python for the oldest ansible-core")
    on_oldest = copy.copy(jobs)
    on_oldest.programs = OLDEST
    return on_oldest


def assert_no_secret(job: Job, simulator: Simulator) -> None:
    """Neither in what the runner leaves behind nor in the evidence.

    Two places are the runner's own: env, which it was given, and the env it writes down in the file command. AWX removes
    both with the job and shows neither.
    """
    key = Path(simulator.certificate_path).read_text().split("-----BEGIN CERTIFICATE")[0]
    lines = {line for line in key.splitlines() if len(line) > 40}
    secrets = [each.encode() for each in simulator.secrets | lines | job.secrets]
    assert len(secrets) > 10
    for path in [*job.folder.rglob("*"), *(job.folder.parent / "evidence").rglob("*")]:
        if path.is_file() and path.parent != job.folder / "env":
            text = path.read_bytes()
            if path == job.folder / "artifacts" / "job" / "command":
                text = json.dumps({**json.loads(text), "env": None}).encode()
            assert not any(secret in text for secret in secrets), path


@pytest.fixture(scope="session")
def by_secret(jobs: Jobs) -> t.Callable[[Path], dict[str, str]]:
    return by_secret_of(jobs)


def by_secret_of(jobs: Jobs) -> t.Callable[[Path], dict[str, str]]:
    values = {
        "tenant": jobs.simulator.tenant,
        "client_id": jobs.simulator.client_id,
        "client_secret": jobs.simulator.client_secret,
        "cloud": "public",
    }
    return jobs.inject("Microsoft Defender for Endpoint (secret)", values)


@pytest.fixture(scope="session")
def by_certificate(jobs: Jobs, simulator: Simulator) -> t.Callable[[Path], dict[str, str]]:
    values = {
        "tenant": simulator.tenant,
        "client_id": simulator.client_id,
        "certificate": Path(simulator.certificate_path).read_text(),
    }
    return jobs.inject("Microsoft Defender for Endpoint (certificate)", values)


@pytest.fixture(scope="session")
def by_azure(jobs: Jobs, simulator: Simulator) -> t.Callable[[Path], dict[str, str]]:
    values = {"client": simulator.client_id, "secret": simulator.client_secret, "tenant": simulator.tenant}
    kind = jobs.awx.one("credential_types", "Microsoft Azure Resource Manager")
    with pytest.raises(rules.RuleBroken, match="subscription"):
        rules.inject_azure(kind, values)
    # Any will do, but AWX starts no job without one.
    values["subscription"] = "00000000-0000-0000-0000-000000000000"
    return lambda private_data: rules.inject_azure(kind, values)


@pytest.fixture(scope="session")
def inventory(jobs: Jobs, awx: Awx, simulator: Simulator, by_secret: t.Any) -> dict[str, t.Any]:
    """What the inventory source finds, asked for as AWX does."""
    project = jobs.folder / "inventory_project"
    shutil.copytree(PROJECT, project)
    source = project / awx.one("inventory_sources", "Microsoft Defender for Endpoint")["source_path"]
    places = {
        "api_url": simulator.api_url,
        "login_url": simulator.login_url,
        "audience": simulator.audience,
        "ca_path": simulator.ca_path,
        "quota_dir": str(jobs.folder / "quota"),
    }
    source.write_text(source.read_text() + "".join(f"{key}: {json.dumps(value)}\n" for key, value in places.items()))
    home = jobs.folder / "inventory_home"
    home.mkdir()
    done = subprocess.run(
        ["ansible-inventory", "--list", "--export", "-i", str(source), "--output", str(home / "output.json"), "-vvv"],
        env={
            **bare_environment(home),
            **by_secret(jobs.folder / "inventory_data"),
            "INVENTORY_UPDATE_ID": "9",
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
            "ANSIBLE_INVENTORY_EXPORT": "True",
            "ANSIBLE_VERBOSE_TO_STDERR": "True",
        },
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert not any(secret in done.stdout for secret in simulator.secrets)
    return t.cast("dict[str, t.Any]", json.loads((home / "output.json").read_text()))


def test_unused_inputs_are_empty_strings_and_files_exist(jobs: Jobs, by_certificate: t.Any, tmp_path: Path) -> None:
    environment = by_certificate(tmp_path)
    assert environment["DEFENDER_CLOUD"] == environment["DEFENDER_REGION"] == ""
    assert environment["DEFENDER_CERTIFICATE_PASSWORD"] == ""
    assert Path(environment["DEFENDER_CERTIFICATE_PATH"]).stat().st_mode & 0o777 == 0o600
    with pytest.raises(rules.RuleBroken, match="certificate"):
        jobs.inject("Microsoft Defender for Endpoint (certificate)", {"tenant": "x", "client_id": "y"})(tmp_path)


def test_the_inventory_source_finds_the_devices(inventory: dict[str, t.Any]) -> None:
    hosts = inventory["_meta"]["hostvars"]
    assert len(hosts) == 9
    for each in hosts.values():
        # What is marked unsafe is written down like this, kept so by AWX, and read again by Ansible.
        machine_id = each["defender_machine_id"]
        assert len(machine_id["__ansible_unsafe"] if isinstance(machine_id, dict) else machine_id) == 40
    assert set(inventory["tag_tier0"]["hosts"]) == {"ws00.contoso.com", "ws01.contoso.com", "ws02.contoso.com"}


def test_a_fleet_is_collected_from(
    jobs: Jobs, simulator: Simulator, inventory: dict[str, t.Any], by_secret: t.Any
) -> None:
    answers = {"defender_incident": "4711", "defender_reason": "ransom note", "defender_reuse_within": "0"}
    job = jobs.run("Defender: Collect", answers, by_secret, inventory=inventory)
    assert job.status == "failed" and job.failed_hosts() == {"old.contoso.com"}, job.stdout
    assert len(list((jobs.evidence / "4711").glob("*/*.zip"))) == 8
    (summary,) = job.artifacts["collect_package_summary"]
    assert (summary["requested"], summary["downloaded"], summary["failed"]) == (9, 8, 1)
    assert summary["failed_hosts"] == {"OsPlatformNotSupported": ["old.contoso.com"]}
    assert "8 with a verified package, 1 failed" in summary["summary_text"]
    report = Path(summary["report"]["html"])
    assert report.parent == jobs.evidence / "4711" and report.exists()
    log = (jobs.evidence / "4711" / "custody.jsonl").read_text()
    assert "4711: ransom note" in log and '"awx_job_id":' in log and '"awx_user":"analyst"' in log
    assert "Launched by" in report.read_text()
    # Each host is what became of its device, and its event says which package it is.
    assert set(job.host_summaries().values()) == {"changed", "failures"}
    packages = {
        each["event_data"]["host"]: each["event_data"]["res"]
        for each in job.events
        if each["event"] == "runner_on_ok" and (each["event_data"].get("res") or {}).get("package")
    }
    assert len(packages) == 8
    assert all(
        res["package"]["sha256"] in res["msg"] and res["package"]["path"] in res["msg"] for res in packages.values()
    )
    assert job.said() == job.artifacts["defender_sentence"] and "8 packages verified" in job.said()
    assert simulator.throttled() == {}
    assert_no_secret(job, simulator)


def test_a_limit_and_young_packages_start_nothing(
    jobs: Jobs, simulator: Simulator, inventory: dict[str, t.Any], by_azure: t.Any
) -> None:
    before = simulator.accepted_starts()
    answers = {"defender_incident": "4711", "defender_reason": "ransom note"}
    job = jobs.run("Defender: Collect", answers, by_azure, inventory=inventory, limit="tag_tier0")
    assert job.status == "successful", job.stdout
    (summary,) = job.artifacts["collect_package_summary"]
    assert summary["requested"] == 3 and simulator.accepted_starts() == before
    assert set(job.host_summaries().values()) == {"ok"}
    assert_no_secret(job, simulator)


def test_the_plan_of_the_workflow_starts_nothing(
    jobs: Jobs, simulator: Simulator, inventory: dict[str, t.Any], by_certificate: t.Any
) -> None:
    before = simulator.accepted_starts()
    name = "Defender: Collect from many (by approval only)"
    answers = {"defender_incident": "4712", "defender_reason": "", "defender_reuse_within": "0"}
    job = jobs.run(name, answers, by_certificate, inventory=inventory, limit="ws*", check=True)
    assert job.status == "successful" and "8 would be started" in job.stdout, job.stdout
    assert job.said() == job.artifacts["defender_sentence"]
    assert job.said().startswith("Approving starts 8 collections, at least "), job.said()
    assert job.artifacts["collect_package_planned"] == 8
    assert simulator.accepted_starts() == before and not (jobs.evidence / "4712").exists()
    assert_no_secret(job, simulator)


def test_named_devices_are_started_and_fetched_later(
    jobs: Jobs, simulator: Simulator, by_azure: t.Any, by_certificate: t.Any
) -> None:
    nothing = {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}
    devices = {"defender_incident": "4713", "defender_devices": "ws06.contoso.com\nWS07\n"}
    answers = {**devices, "defender_wait": "no", "defender_reuse_within": "0"}
    job = jobs.run("Defender: Collect", answers, by_azure, inventory=nothing)
    assert job.status == "successful" and not (jobs.evidence / "4713").exists(), job.stdout
    assert_no_secret(job, simulator)
    deadline = time.monotonic() + 20
    while any(action["status"] in ("Pending", "InProgress") for action in simulator.actions):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    job = jobs.run("Defender: Fetch", devices, by_certificate, inventory=nothing)
    assert job.status == "successful" and len(job.artifacts["defender_packages"]) == 2, job.stdout
    assert len(list((jobs.evidence / "4713").glob("*/*.zip"))) == 2
    assert_no_secret(job, simulator)


def test_an_incident_gets_no_package_of_an_earlier_one(jobs: Jobs, simulator: Simulator, by_secret: t.Any) -> None:
    nothing = {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}
    simulator.device("ws05.contoso.com").collect_seconds = (600.0, 600.0)
    answers = {"defender_incident": "INC 4718", "defender_devices": "ws05.contoso.com", "defender_wait": "no"}
    job = jobs.run("Defender: Collect", {**answers, "defender_reuse_within": "0"}, by_secret, inventory=nothing)
    assert job.status == "successful", job.stdout
    # As a list has them. The other device's package is older, but nothing newer was asked of it.
    answers = {
        "defender_incident": "INC 4718",
        "defender_devices": '"ws05.contoso.com", ws06.contoso.com;ws06.contoso.com',
    }
    job = jobs.run("Defender: Fetch", answers, by_secret, inventory=nothing)
    assert job.status == "failed" and job.failed_hosts() == {"ws05.contoso.com"}, job.stdout
    assert "is Pending" in job.stdout or "is InProgress" in job.stdout
    # No other incident, INC/4718 say, has the same folder.
    folder = jobs.evidence / f"INC_4718-{hashlib.sha256(b'INC 4718').hexdigest()[:8]}"
    assert [path.parent.name for path in folder.glob("*/*.zip")] == ["ws06.contoso.com"]
    assert Path(job.artifacts["defender_report"]["html"]).parent == folder


def test_what_cannot_be_fetched_fails_the_job_and_is_named(
    jobs: Jobs, simulator: Simulator, by_certificate: t.Any
) -> None:
    nothing = {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}
    answers = {"defender_incident": "4715", "defender_devices": "ws06.contoso.com\nold.contoso.com"}
    job = jobs.run("Defender: Fetch", answers, by_certificate, inventory=nothing)
    assert job.status == "failed" and job.failed_hosts() == {"old.contoso.com"}, job.stdout
    assert "There is no package of old.contoso.com to fetch" in job.stdout
    assert job.artifacts["defender_devices_failed"] == ["old.contoso.com"]
    assert list(job.artifacts["defender_packages"]) == ["ws06.contoso.com"]
    assert_no_secret(job, simulator)


def test_two_devices_of_one_name_are_two_in_the_artifact(
    first: tuple[SetUp, Ran], awx: Awx, tmp_path_factory: pytest.TempPathFactory
) -> None:
    twins = [Device("twin.contoso.com", scenario="recent", id=digit * 40) for digit in "12"]
    # As the inventory plugin names them.
    hosts = {f"twin.contoso.com_{each.id}": {"defender_machine_id": each.id} for each in twins}
    inventory = {"_meta": {"hostvars": hosts}, "all": {"hosts": list(hosts)}}
    with Simulator(twins) as tenant:
        jobs = Jobs(awx, tenant, tmp_path_factory.mktemp("twins"))
        job = jobs.run("Defender: Fetch", {"defender_incident": "4720"}, by_secret_of(jobs), inventory=inventory)
        assert job.status == "successful" and len(list((jobs.evidence / "4720").glob("*/*.zip"))) == 2, job.stdout
        packages = job.artifacts["defender_packages"]
        assert set(packages) == set(hosts) and len(set(packages.values())) == 2, packages


@pytest.mark.parametrize(
    ("incident", "devices", "limit", "words"),
    [("4714", "ws01", "ws02*", "not both"), ("4714", "", None, "no hosts"), (" ", "ws01", None, "Name the incident")],
)
def test_what_would_do_nothing_is_refused(
    jobs: Jobs,
    inventory: dict[str, t.Any],
    by_secret: t.Any,
    incident: str,
    devices: str,
    limit: str | None,
    words: str,
) -> None:
    hosts = inventory if limit else {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}
    answers = {"defender_incident": incident, "defender_devices": devices}
    job = jobs.run("Defender: Collect", answers, by_secret, inventory=hosts, limit=limit)
    assert job.status == "failed" and words in job.stdout and not (jobs.evidence / "4714").exists()


@pytest.mark.parametrize("template", ["Defender: Collect", "Defender: Fetch"])
def test_a_host_of_two_devices_is_refused(jobs: Jobs, simulator: Simulator, by_secret: t.Any, template: str) -> None:
    """The inventory has the ID that the name had before the computer was made anew."""
    before = simulator.accepted_starts()
    stale = {"defender_machine_id": simulator.device("ws00.contoso.com").id}
    hosts = {"_meta": {"hostvars": {"ws03.contoso.com": stale}}, "all": {"hosts": ["ws03.contoso.com"]}}
    answers = {"defender_incident": "4720", "defender_devices": "ws03.contoso.com"}
    job = jobs.run(template, answers, by_secret, inventory=hosts)
    assert job.status == "failed" and "leads to two devices" in job.stdout, job.stdout
    assert simulator.accepted_starts() == before and not list((jobs.evidence / "4720").glob("*/*.zip"))


@pytest.mark.parametrize("template", ["Defender: Collect", "Defender: Fetch"])
def test_more_devices_than_allowed_are_refused(jobs: Jobs, by_secret: t.Any, template: str) -> None:
    nothing = {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}
    answers = {"defender_incident": "4721", "defender_devices": '["ws00", "ws01"]\t<ws02>'}
    most = {"collect_package_max_machines": 2}
    job = jobs.run(template, answers, by_secret, inventory=nothing, handed_on=most)
    assert job.status == "failed" and "3 hosts take part" in job.stdout, job.stdout


def start_of(
    jobs: Jobs, environment: t.Any, inventory: dict[str, t.Any], limit: str | None, approved: bool
) -> workflow.Start:
    """How AWX starts a node of the workflow."""

    def start(node: Row, extra: dict[str, t.Any]) -> workflow.Ended:
        template = jobs.awx.rows["job_templates"].get(node["unified_job_template"])
        if template is None:
            return workflow.Decision(approved)
        return jobs.run(
            template["name"],
            {},
            environment,
            inventory=inventory,
            # A workflow hands its limit to every job that asks for one.
            limit=limit if template["ask_limit_on_launch"] else None,
            check=node["job_type"] == "check",
            handed_on=extra,
        )

    return start


WORKFLOW = "Defender: Collect from many, with approval"


def test_the_workflow_of_a_failed_collection_fails(
    jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any, simulator: Simulator
) -> None:
    answers = {"defender_incident": "4730", "defender_reason": "worm", "defender_reuse_within": "0"}
    start = start_of(jobs, by_secret, inventory, "old.contoso.com", approved=True)
    flow = workflow.run(jobs.awx, WORKFLOW, answers, start)
    jobs_of = t.cast("dict[str, Job]", flow.nodes)
    assert flow.status == "failed" and set(flow.nodes) == {"plan", "approve", "collect", "verify", "failed"}
    assert jobs_of["collect"].status == "failed" and jobs_of["verify"].status == "failed"
    ended = jobs_of["failed"].artifacts["defender_sentence"]
    assert "the collection failed" in ended and "OsPlatformNotSupported" in ended, ended
    assert ended in jobs_of["failed"].stdout


def test_an_approved_workflow_collects_and_verifies(
    jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any, simulator: Simulator
) -> None:
    answers = {"defender_incident": "4731", "defender_reason": "worm", "defender_reuse_within": "0"}
    start = start_of(jobs, by_secret, inventory, "ws00.contoso.com:ws01.contoso.com", approved=True)
    flow = workflow.run(jobs.awx, WORKFLOW, answers, start)
    jobs_of = t.cast("dict[str, Job]", flow.nodes)
    assert flow.status == "successful", {name: job.stdout for name, job in jobs_of.items() if isinstance(job, Job)}
    assert jobs_of["plan"].artifacts["collect_package_planned"] == 2
    verified = jobs_of["verify"].artifacts
    assert verified["defender_verified"] and verified["defender_figures"]["packages"] == 2
    assert jobs_of["verify"].said().startswith(verified["defender_sentence"])


def test_a_waiting_job_speaks_and_a_cancelled_one_leaves_no_process_and_is_resumed(
    core_jobs: Jobs, simulator: Simulator, by_secret: t.Any
) -> None:
    """As AWX cancels: the runner kills the process group of ansible-playbook."""
    jobs, incident = core_jobs, f"4734 {core_jobs.programs.parent.name}"
    device = simulator.device("ws07.contoso.com")
    device.collect_seconds = (3600.0, 3600.0)

    def starts() -> int:
        return sum(action["machineId"] == device.id for action in simulator.actions)

    def told() -> list[str]:
        """What the job has said of how far it is, as its events have it."""
        files = (private_data / "artifacts" / "job" / "job_events").glob("*.json")
        texts = [path.read_text() for path in files if not path.name.endswith("-partial.json")]
        lines = [json.loads(text).get("stdout", "") for text in texts if text.endswith("}")]
        return [line for line in lines if "secops.defender: 1 device: 1 running" in line]

    before = starts()
    nothing = {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}
    answers = {"defender_incident": incident, "defender_devices": "ws07.contoso.com", "defender_reuse_within": "0"}
    private_data, command = jobs.prepare("Defender: Collect", answers, by_secret, inventory=nothing)
    environment = bare_environment(jobs.folder / "home", jobs.programs)
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as runner:
        try:
            until(lambda: starts() > before, 300)
            # A watchdog that looks at output alone does not take the job for a hanging one.
            until(lambda: len(told()) > 0, 300)
            assert told()[0] in (private_data / "artifacts" / "job" / "stdout").read_text()
        finally:
            # Its workers, which have the same words, came later.
            playbook = min(pid for pid, words in processes(private_data).items() if "ansible-playbook" in words)
            os.killpg(os.getpgid(playbook), signal.SIGKILL)
        runner.wait(60)
    until(lambda: not processes(private_data), 30)
    # Now the device is done.
    for action in simulator.fleet.actions:
        if action.machine_id == device.id:
            action.ends = min(action.ends, simulator.clock())
    device.collect_seconds = (0.2, 0.5)
    job = jobs.run("Defender: Collect", answers, by_secret, inventory=nothing)
    assert job.status == "successful" and "1 resumed" in job.said(), job.stdout
    assert starts() == before + 1


def test_jobs_on_the_oldest_core_do_the_same(jobs: Jobs, simulator: Simulator, by_certificate: t.Any) -> None:
    """Collecting, with a device that fails, a plan, sealing, verifying, searching."""
    if not OLDEST.exists():
        pytest.skip("no Python for the oldest ansible-core")
    jobs = copy.copy(jobs)
    jobs.programs = OLDEST
    nothing = {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}
    incident = {"defender_incident": "4735"}
    answers = {**incident, "defender_devices": "ws00.contoso.com\nws01.contoso.com, old.contoso.com"}
    plan = jobs.run("Defender: Collect", answers, by_certificate, inventory=nothing, check=True)
    assert plan.said().startswith("Approving starts ") or "already" in plan.said(), plan.stdout
    job = jobs.run("Defender: Collect", answers, by_certificate, inventory=nothing)
    assert job.status == "failed" and job.failed_hosts() == {"old.contoso.com"}, job.stdout
    assert sorted(job.host_summaries().values()) == ["changed", "changed", "failures"]
    assert job.said() == job.artifacts["defender_sentence"] and "2 packages verified" in job.said()
    assert_no_secret(job, simulator)
    job = jobs.run("Defender: Fetch", {**answers, "defender_incident": "4736"}, by_certificate, inventory=nothing)
    assert job.failed_hosts() == {"old.contoso.com"} and len(job.artifacts["defender_packages"]) == 2, job.stdout
    noted = {**incident, "defender_note_to": "Casey Counsel"}
    job = jobs.run("Defender: Seal evidence", noted, lambda folder: {}, inventory=nothing)
    assert job.status == "successful" and len(job.artifacts["defender_seals"]) == 2, job.stdout
    asked = {**incident, "defender_require_seal": "yes"}
    job = jobs.run("Defender: Verify evidence", asked, lambda folder: {}, inventory=nothing)
    # What ended without a package is no fault of the evidence, but is said.
    valid = [each["valid"] for each in job.artifacts["defender_seals"]]
    assert len(valid) == 4 and all(valid) and "2 packages" in job.said(), job.stdout
    sought = {**incident, "defender_indicators": "52.109.8.21"}
    job = jobs.run("Defender: Search evidence", sought, lambda folder: {}, inventory=nothing)
    assert job.status == "successful" and job.artifacts["defender_found"], job.stdout


def until(holds: t.Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def processes(private_data: Path) -> dict[int, str]:
    """The processes that work for a job, with their command lines."""
    found = {}
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (each / "environ").read_bytes().decode(errors="replace")
            if f"AWX_PRIVATE_DATA_DIR={private_data}\0" in environment:
                found[int(each.name)] = words
    return found


def test_a_denied_approval_ends_in_a_job_that_says_so(
    jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any, simulator: Simulator
) -> None:
    before = simulator.accepted_starts()
    answers = {"defender_incident": "4732", "defender_reason": "worm", "defender_reuse_within": "0"}
    start = start_of(jobs, by_secret, inventory, "ws02.contoso.com", approved=False)
    flow = workflow.run(jobs.awx, WORKFLOW, answers, start)
    ended = t.cast(Job, flow.nodes["not_approved"])
    assert flow.status == "failed" and simulator.accepted_starts() == before
    assert "was not approved" in ended.artifacts["defender_sentence"]
    assert "Approving starts 1 collection" in ended.artifacts["defender_sentence"]


def test_a_collection_is_held_to_its_plan(
    jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any, simulator: Simulator
) -> None:
    before = simulator.accepted_starts()
    name = "Defender: Collect from many (by approval only)"
    answers = {"defender_incident": "4733", "defender_reuse_within": "0"}
    job = jobs.run(name, {}, by_secret, inventory=inventory, limit="ws0*", handed_on=answers)
    assert job.status == "failed" and "no plan that was approved" in job.stdout, job.stdout
    job = jobs.run(
        name, {}, by_secret, inventory=inventory, limit="ws0*", handed_on={**answers, "collect_package_planned": 1}
    )
    # That of ws05 may be running since another test.
    assert re.search("[78] collections would be started, but the plan that was approved has 1", job.stdout), job.stdout
    assert job.status == "failed"
    assert simulator.accepted_starts() == before


def test_evidence_is_verified_without_a_credential(jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any) -> None:
    answers = {"defender_incident": "4740", "defender_devices": "ws01.contoso.com", "defender_reuse_within": "4h"}
    assert jobs.run("Defender: Collect", answers, by_secret, inventory=inventory).status == "successful"
    job = jobs.run("Defender: Verify evidence", {"defender_incident": "4740"}, lambda folder: {}, inventory=inventory)
    assert job.status == "successful" and len(job.artifacts["defender_custody_head"]) == 64, job.stdout
    assert "1 package" in job.said() and job.artifacts["defender_custody_head"] in job.said()
    package = next((jobs.evidence / "4740").glob("*/*.zip"))
    package.write_bytes(package.read_bytes() + b"x")
    job = jobs.run("Defender: Verify evidence", {"defender_incident": "4740"}, lambda folder: {}, inventory=inventory)
    assert job.status == "failed" and package.name in job.stdout
    assert job.artifacts["defender_verified"] is False and package.name in job.artifacts["defender_sentence"]


def test_evidence_is_searched_for_what_people_paste(jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any) -> None:
    answers = {"defender_incident": "4741", "defender_devices": "ws01.contoso.com ws02.contoso.com"}
    assert jobs.run("Defender: Collect", answers, by_secret, inventory=inventory).status == "successful"

    def search(pasted: str, **more: str) -> Job:
        asked = {"defender_incident": "4741", "defender_indicators": pasted, **more}
        return jobs.run("Defender: Search evidence", asked, lambda folder: {}, inventory=inventory)

    # As it comes out of a mail: lines, commas, defanged. The address stands in every package of the simulated tenant.
    job = search("52[.]109[.]8[.]21, 203[.]0[.]113[.]7\r\nhxxps://bad[.]example/stage2\n\n evil[dot]example; \n")
    assert job.status == "successful", job.stdout
    assert job.artifacts["defender_found"] and job.artifacts["defender_figures"]["indicators"] == 4
    assert sorted(job.artifacts["defender_devices_found"]) == ["ws01.contoso.com", "ws02.contoso.com"]
    assert "52.109.8.21 on 2 of 2 devices" in job.said() and job.artifacts["defender_sentence"] in job.said()
    page = Path(job.artifacts["defender_report"]["html"])
    assert page.parent.parent == jobs.evidence and "Found on 2 of 2 devices" in page.read_text(encoding="utf-8")
    assert "Search of evidence: found" in job.artifacts["defender_summary_text"]
    job = search("203.0.113.7\nrun.sh")
    assert job.status == "failed" and "run.sh" in job.artifacts["defender_sentence"]
    assert not job.artifacts["defender_found"]
    job = search("203.0.113.7\nrun.sh", defender_skip_refused="yes")
    assert job.status == "successful" and "203.0.113.7 on 0 of 2 devices" in job.said(), job.stdout


def sealed_by_two(jobs: Jobs, incident: str) -> list[str]:
    return sorted(path.suffix for path in (jobs.evidence / incident / "seals").iterdir())


def test_jobs_seal_what_they_collect_and_seals_are_verified(
    jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any, simulator: Simulator, signer: Signer
) -> None:
    answers = {"defender_incident": "4750", "defender_devices": "ws01.contoso.com"}
    job = jobs.run("Defender: Collect", answers, by_secret, inventory=inventory)
    assert job.status == "successful" and sealed_by_two(jobs, "4750") == [".sig", ".tsr"], job.stdout
    assert f"signed by {signer.identity}, stamped at" in job.stdout
    assert len(job.secrets) >= 5
    assert_no_secret(job, simulator)

    def verify(**more: str) -> Job:
        asked = {"defender_incident": "4750", "defender_require_seal": "yes"}
        return jobs.run("Defender: Verify evidence", asked, lambda folder: {}, inventory=inventory, handed_on=more)

    job = verify()
    assert job.status == "successful" and job.artifacts["defender_verified"], job.stdout
    seals = job.artifacts["defender_seals"]
    assert [(each["kind"], each["valid"]) for each in seals] == [("signature", True), ("time_stamp", True)]
    assert seals[0]["signer"] == signer.identity and "Sealed up to line" in job.said(), job.said()
    job = verify(defender_allowed_signers="", defender_revoked_keys="", defender_tsa_ca_path="")
    assert job.status == "failed" and "nothing says whose seals count" in job.said(), job.stdout
    # Whom nobody trusts does not count.
    job = verify(defender_allowed_signers="seals/revoked_keys")
    assert job.status == "failed" and not job.artifacts["defender_verified"], job.stdout
    handed_over = {
        "defender_incident": "4750",
        "defender_note_to": "Casey Counsel",
        "defender_note_purpose": "Case 4711 {{ 6 * 7 }}",
    }
    job = jobs.run("Defender: Seal evidence", handed_over, lambda folder: {}, inventory=inventory)
    assert job.status == "successful" and job.said() == job.artifacts["defender_sentence"], job.stdout
    assert len(job.artifacts["defender_seals"]) == 2 and job.artifacts["defender_custody_head"] in job.said()
    log = (jobs.evidence / "4750" / "custody.jsonl").read_text()
    assert '"from":"analyst","to":"Casey Counsel","purpose":"Case 4711 {{ 6 * 7 }}"' in log, log
    assert_no_secret(job, simulator)
    job = verify()
    assert job.status == "successful" and len(job.artifacts["defender_seals"]) == 4, job.stdout
    job = jobs.run("Defender: Seal evidence", {"defender_incident": "4750"}, lambda folder: {}, inventory=inventory)
    assert job.status == "successful" and "sealed already" in job.said() and job.artifacts["defender_seals"] == []


def test_what_could_not_be_sealed_is_sealed_later(
    jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any, authority: TimeAuthority
) -> None:
    answers = {"defender_incident": "4751", "defender_devices": "ws01.contoso.com"}
    down = {"defender_tsa_url": authority.url("down")}
    job = jobs.run("Defender: Collect", answers, by_secret, inventory=inventory, handed_on=down)
    assert job.status == "successful" and "HTTP status 503" in job.stdout, job.stdout
    assert sealed_by_two(jobs, "4751") == [".sig"]
    plan = jobs.run(
        "Defender: Seal evidence", {"defender_incident": "4751"}, lambda folder: {}, inventory=inventory, check=True
    )
    assert plan.status == "successful" and "would be stamped" in plan.said(), plan.stdout
    job = jobs.run("Defender: Seal evidence", {"defender_incident": "4751"}, lambda folder: {}, inventory=inventory)
    assert job.status == "successful" and sealed_by_two(jobs, "4751") == [".sig", ".tsr"], job.stdout


def test_collections_that_are_only_started_seal_nothing(
    jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any
) -> None:
    answers = {"defender_incident": "4752", "defender_devices": "ws01.contoso.com", "defender_wait": "no"}
    job = jobs.run("Defender: Collect", answers, by_secret, inventory=inventory)
    assert job.status == "successful" and not (jobs.evidence / "4752").exists(), job.stdout


def test_a_key_with_a_passphrase_signs_through_the_agent(
    jobs: Jobs, inventory: dict[str, t.Any], by_secret: t.Any, simulator: Simulator, tmp_path: Path
) -> None:
    """By a Machine credential with the same key, which AWX unlocks into an agent that lives as long as the job."""
    locked = Signer.make(tmp_path, "locked@contoso.com", passphrase="of the stand-in")
    answers = {"defender_incident": "4753", "defender_devices": "ws01.contoso.com"}
    assert jobs.run("Defender: Collect", answers, by_secret, inventory=inventory).status == "successful"
    key = Path(locked.key).read_text()
    inject = jobs.inject("Evidence signing key (SSH)", {"signing_key": key, "identity": locked.identity})

    def alone(folder: Path) -> dict[str, str]:
        return inject(folder)

    def with_agent(folder: Path) -> dict[str, str]:
        rules.inject_machine({"ssh_key_data": key, "ssh_key_unlock": "of the stand-in"}, folder)
        return inject(folder)

    noted = {"defender_incident": "4753", "defender_note_to": "Casey Counsel"}
    job = jobs.run("Defender: Seal evidence", noted, alone, inventory=inventory)
    assert job.status == "failed" and "must be in the agent" in job.said(), job.stdout
    job = jobs.run("Defender: Seal evidence", noted, with_agent, inventory=inventory)
    assert job.status == "successful" and f"signed by {locked.identity}" in job.said(), job.stdout
    job.secrets |= {"of the stand-in", *key.splitlines()[1:-1]}
    assert_no_secret(job, simulator)


# How many devices the large fleet has. With AWX_DEVICES=2000 it takes long; CONTRIBUTING.md tells of it.
DEVICES = int(os.environ.get("AWX_DEVICES", "250"))


@contextlib.contextmanager
def large_fleet(awx: Awx, folder: Path, scenario: str) -> t.Iterator[tuple[Jobs, dict[str, t.Any], list[str]]]:
    """Jobs for a tenant of its own with so many devices, the inventory, and their names."""
    names = [f"{'early' if number < DEVICES * 4 // 5 else 'late'}{number:04}.contoso.com" for number in range(DEVICES)]
    hosts = {"_meta": {"hostvars": dict.fromkeys(names, {})}, "all": {"hosts": names}}
    unlimited = {"default": ["9000/1"], "package_link": ["9000/1"]}
    quotas = dict.fromkeys(("collect", "package_link", "machine_actions", "machine_action", "machines"), (9000, 90000))
    devices = [Device(name, scenario=scenario) for name in names]
    with Simulator(devices, quotas=quotas, collect_seconds=(0.1, 0.2)) as tenant:
        yield Jobs(awx, tenant, folder, collect_package_quotas=unlimited, collect_package_planned=DEVICES), hosts, names


def assert_small_enough(template: str, job: Job) -> None:
    """What a job of a large fleet has shown and handed on, by AWX's limits; and its figures, for the documentation."""
    assert job.status == "successful", job.stdout[-9000:]
    data = [event.get("event_data", {}) for event in job.events]
    results = [each.get("res") or {} for each in data]
    # What is too large is replaced by nothing.
    assert all(each["event_data"]["res"] for each in job.events if each["event"] == "runner_on_ok"), template
    # An event is of one host and does not grow with the fleet; what the job hands on does, by a name and a hash each.
    own = max(
        len(json.dumps({name: value for name, value in each.items() if name != "ansible_stats"})) for each in results
    )
    handed_on = [each.get("artifact_data") for each in data] + [each.get("ansible_stats") for each in results]
    most = max(len(json.dumps(each)) for each in handed_on)
    print(
        f"{template}, {len(job.host_summaries())} devices: {job.wall:.0f} s, {job.cpu:.0f} s of CPU, {job.peak:.0f} MiB, "
        f"{len(job.events)} events, the largest {max(len(json.dumps(each)) for each in job.events)} bytes "
        f"({max(job.events, key=lambda each: len(json.dumps(each)))['event']}), the largest result "
        f"{own} bytes, what is handed on {most} bytes, output {len(job.stdout)} bytes",
        flush=True,
    )
    assert own < 20_000, template
    assert most * 2000 / DEVICES < MAX_EVENT_RES_DATA, template


def test_results_are_small_enough_for_a_large_fleet(
    first: tuple[SetUp, Ran], awx: Awx, tmp_path_factory: pytest.TempPathFactory
) -> None:
    template = "Defender: Collect from many (by approval only)"
    answers = {"defender_incident": "4716", "defender_reason": "worm", "defender_reuse_within": "1h"}
    with large_fleet(awx, tmp_path_factory.mktemp("many"), "fine") as (jobs, hosts, names):
        # Some first, so that the second job finds these done.
        for limit in ("early*", None):
            job = jobs.run(
                template, answers, by_secret_of(jobs), inventory=hosts, limit=limit, timeout=DEVICES * 2.0 + 300
            )
            assert_small_enough(template, job)
            summaries = job.host_summaries()
            assert set(summaries) == {name for name in names if limit is None or name.startswith("early")}
            assert set(summaries.values()) <= {"changed", "ok"}
        assert len(list((jobs.evidence / "4716").glob("*/*.zip"))) == DEVICES


def test_a_large_fleet_is_fetched_and_verified(
    first: tuple[SetUp, Ran], awx: Awx, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fetch, verify, answers = "Defender: Fetch", "Defender: Verify evidence", {"defender_incident": "4717"}
    with large_fleet(awx, tmp_path_factory.mktemp("fetched"), "recent") as (jobs, hosts, names):
        # All at once, and again when everything is there.
        for shown in ("changed", "ok"):
            job = jobs.run(fetch, answers, by_secret_of(jobs), inventory=hosts, timeout=DEVICES * 2.0 + 300)
            assert_small_enough(fetch, job)
            assert job.host_summaries() == dict.fromkeys(names, shown)
            assert set(job.artifacts["defender_packages"]) == set(names)
        nobody = dict.fromkeys(("defender_allowed_signers", "defender_revoked_keys", "defender_tsa_ca_path"), "")
        job = jobs.run(
            verify, answers, lambda folder: {}, inventory=hosts, handed_on=nobody, timeout=DEVICES * 2.0 + 300
        )
        assert_small_enough(verify, job)
        assert job.artifacts["defender_verified"] and job.artifacts["defender_figures"]["verified"] == DEVICES


def test_devices_of_alerts_are_collected_from_as_a_siem_says(
    jobs: Jobs, simulator: Simulator, by_secret: t.Any
) -> None:
    nothing = {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}

    def environment(folder: Path) -> dict[str, str]:
        # Where the simulated tenant is, no injector says.
        where = {"API_URL": simulator.api_url, "LOGIN_URL": simulator.login_url, "AUDIENCE": simulator.audience}
        where["CA_PATH"] = str(simulator.ca_path)
        return {**by_secret(folder), **{f"DEFENDER_{name}": value for name, value in where.items()}}

    alerts = [
        {"machine": "ws03.contoso.com", "incident_id": "SEN-4711"},
        {"machine_id": simulator.device("ws03.contoso.com").id, "incident_id": "SEN-4711"},
        {"machine": "ws00.contoso.com", "incident_id": "SEN-4711"},
    ]
    # The evidence folder and the brakes stand in the template, whose place here is another one.
    here = {
        "collect_on_alert_dest": str(jobs.evidence / "alerts"),
        "collect_on_alert_exclude_tags": ["tier0"],
        "collect_on_alert_package_poll_interval": 0.2,
        # Others have collected from the device before.
        "collect_on_alert_reuse_within": 0,
        "collect_on_alert_quotas": jobs.tenant_variables["collect_package_quotas"],
        "collect_on_alert_quota_dir": str(jobs.folder / "quota"),
    }
    answers = {"collect_on_alert_alerts": json.dumps(alerts)}
    before = sum(simulator.accepted_starts().values())
    job = jobs.run("Defender: Collect on alert", answers, environment, inventory=nothing, handed_on=here)
    assert job.status == "successful", job.stdout
    assert [path.parent.name for path in (jobs.evidence / "alerts").glob("*SEN-4711/*/*.zip")] == ["ws03.contoso.com"]
    assert (
        sum(simulator.accepted_starts().values()) == before + 1 and "ws00.contoso.com has the tag tier0" in job.stdout
    )
    assert job.said("Say what came of it") == job.artifacts["defender_sentence"]
    assert "1 package verified" in job.artifacts["defender_sentence"]
    assert_no_secret(job, simulator)
    job = jobs.run("Defender: Collect on alert", {"collect_on_alert_alerts": "pc1"}, environment, inventory=nothing)
    assert job.status == "failed" and "no alert" in job.artifacts["defender_sentence"], job.stdout


def test_isolating_waits_for_approval_and_so_does_releasing(
    jobs: Jobs, awx: Awx, simulator: Simulator, by_secret: t.Any
) -> None:
    warden = simulator.app("secops-containment")
    nothing = {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}

    def environment(folder: Path) -> dict[str, str]:
        # The credential of an app that may isolate; where the simulated tenant is, no injector says.
        where = {"API_URL": simulator.api_url, "LOGIN_URL": simulator.login_url, "AUDIENCE": simulator.audience}
        who = {"CLIENT_ID": warden.client_id, "CLIENT_SECRET": warden.secret, "CA_PATH": str(simulator.ca_path)}
        return {**by_secret(folder), **{f"DEFENDER_{name}": value for name, value in {**where, **who}.items()}}

    def run(what: str, approved: bool, **more: str) -> workflow.Flow:
        answers = {"defender_incident": "4742", "defender_devices": "ws06.contoso.com\nws01", **more}
        start = start_of(jobs, environment, nothing, None, approved)
        return workflow.run(awx, f"Defender: {what}, with approval", answers, start)

    def sent() -> list[str]:
        return [action["type"] for action in simulator.actions if action["type"] in ("Isolate", "Unisolate")]

    denied = run("Isolate", approved=False, defender_require_evidence="no")
    assert denied.status == "failed" and set(denied.nodes) == {"plan_isolated", "approve_isolated"}
    assert "2 would be isolated" in denied.nodes["plan_isolated"].artifacts["defender_sentence"]
    gated = run("Isolate", approved=True, defender_require_evidence="yes")
    assert gated.status == "failed" and sent() == []
    assert "ws01 (EvidenceMissing)" in gated.nodes["isolated"].artifacts["defender_sentence"]
    isolated = run("Isolate", approved=True, defender_require_evidence="no")
    assert isolated.status == "successful" and sent() == ["Isolate"] * 2
    assert set(isolated.nodes["isolated"].artifacts["defender_isolation"].values()) == {"isolated"}
    assert run("Release", approved=True).status == "successful" and sent() == ["Isolate"] * 2 + ["Unisolate"] * 2
