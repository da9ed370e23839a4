# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role awx_setup, by the modules of awx.awx, against a stand-in of AWX's API."""

from __future__ import annotations

import copy
import json
import re
import typing as t
from pathlib import Path

import pytest
import rules
import yaml
from conftest import PROJECT, TOP, Ran, SetUp
from standin import Awx
from test_runner import Jobs, by_secret_of

from simulator import Simulator
from simulator.sealing import Signer

TEMPLATES = {
    "Defender: Collect": ("collect.yml", True),
    "Defender: Collect from many (by approval only)": ("collect.yml", True),
    "Defender: Fetch": ("fetch.yml", True),
    "Defender: Verify evidence": ("verify.yml", False),
    "Defender: Search evidence": ("search.yml", False),
    "Defender: Seal evidence": ("seal.yml", False),
    "Defender: Collect on alert": ("collect_on_alert.yml", False),
    "Defender: Not collected (by the workflow only)": ("ended.yml", False),
    "Defender: Isolate (by approval only)": ("contain.yml", False),
    "Defender: Release (by approval only)": ("contain.yml", False),
}

# What of them is sealed by a credential that signs; and what needs none of Defender.
SEALING = {
    "Defender: Collect",
    "Defender: Collect from many (by approval only)",
    "Defender: Fetch",
    "Defender: Seal evidence",
}
WITHOUT_DEFENDER = {"Defender: Seal evidence"}

WORKFLOWS = (
    "Defender: Collect from many, with approval",
    "Defender: Isolate, with approval",
    "Defender: Release, with approval",
)


def test_everything_is_set_up(first: tuple[SetUp, Ran], awx: Awx) -> None:
    _setup, ran = first
    assert ran.recap["changed"] > 10 and ran.recap["failed"] == 0
    credential = awx.one("credentials", "Microsoft Defender for Endpoint")
    assert credential["organization"] == awx.one("organizations", "Default")["id"]
    source = awx.one("inventory_sources", "Microsoft Defender for Endpoint")
    assert source["source"] == "scm" and source["source_path"].endswith("defender_machines.yml")
    assert source["credential"] == credential["id"] and source["update_on_launch"]
    assert awx.one("projects", "Microsoft Defender evidence")["default_environment"] == source["execution_environment"]
    for name, (playbook, limit) in TEMPLATES.items():
        template = awx.one("job_templates", name)
        assert template["playbook"] == playbook and template["ask_limit_on_launch"] is limit
        assert credentials_of(awx, name) == wanted_credentials(awx, name, credential["id"])


def credentials_of(awx: Awx, template: str) -> set[int]:
    return set(awx.associated.get(("job_templates", awx.one("job_templates", template)["id"], "credentials"), []))


def wanted_credentials(awx: Awx, template: str, defender: int) -> set[int]:
    key = {awx.one("credentials", "Evidence key")["id"]} if template in SEALING else set()
    return key | (set() if template in WITHOUT_DEFENDER else {defender})


def test_the_workflow_waits_for_approval_before_it_collects(first: tuple[SetUp, Ran], awx: Awx) -> None:
    nodes = {row["identifier"]: row for row in awx.rows["workflow_job_template_nodes"].values()}
    names = {row["id"]: name for name, row in nodes.items()}
    links = {
        (names[row], kind, names[to])
        for (endpoint, row, kind), ids in awx.associated.items()
        if endpoint == "workflow_job_template_nodes"
        for to in ids
    }
    assert links == {
        ("plan", "always_nodes", "approve"),
        ("approve", "success_nodes", "collect"),
        ("approve", "failure_nodes", "not_approved"),
        ("collect", "always_nodes", "verify"),
        ("collect", "failure_nodes", "failed"),
        # Nothing follows a denial or a failure there: AWX itself ends these as failed.
        ("plan_isolated", "always_nodes", "approve_isolated"),
        ("approve_isolated", "success_nodes", "isolated"),
        ("plan_released", "always_nodes", "approve_released"),
        ("approve_released", "success_nodes", "released"),
    }
    assert all(nodes[f"plan_{state}"]["job_type"] == "check" for state in ("isolated", "released"))
    assert nodes["plan"]["job_type"] == "check" and nodes["collect"]["job_type"] is None
    approval = awx.rows["workflow_approval_templates"][nodes["approve"]["unified_job_template"]]
    assert approval["timeout"] == 86400 and "plan" in approval["description"]


def test_no_secret_is_shown_even_at_high_verbosity(
    first: tuple[SetUp, Ran], awx: Awx, simulator: Simulator, signer: Signer
) -> None:
    _setup, ran = first
    assert simulator.client_secret not in ran.output and awx.password not in ran.output
    assert not any(line in ran.output for line in Path(signer.key).read_text().splitlines()[1:-1])
    assert awx.state().count(simulator.client_secret) == 1


def test_a_second_run_changes_nothing(first: tuple[SetUp, Ran], awx: Awx) -> None:
    setup, _ran = first
    before = awx.state()
    again = setup.run()
    assert again.code == 0 and again.recap["changed"] == 0, again.output
    assert awx.state() == before
    assert awx.changing_calls() == []


def test_what_is_changed_is_changed_and_nothing_else(first: tuple[SetUp, Ran], awx: Awx) -> None:
    setup, _ran = first
    before = awx.state()
    changes = {"awx_setup_slices": 4, "awx_setup_max_machines": 10}
    only = ("--tags", "awx_setup_templates")
    checked = setup.run("--check", *only, **changes)
    assert checked.code == 0 and checked.recap["changed"] == 1, checked.output
    assert awx.state() == before and awx.changing_calls() == []
    ran = setup.run(*only, **changes)
    assert ran.code == 0 and ran.recap["changed"] == 1, ran.output
    assert {how for how, _path in awx.changing_calls()} == {"PATCH"} and len(awx.changing_calls()) == 3
    large = awx.one("job_templates", "Defender: Collect from many (by approval only)")
    assert large["job_slice_count"] == 4
    assert float(rules.parse_vars(large["extra_vars"])["defender_quota_share"]) == 0.25
    small = awx.one("job_templates", "Defender: Collect")
    assert small["job_slice_count"] == 1 and "defender_quota_share" not in small["extra_vars"]
    assert int(rules.parse_vars(small["extra_vars"])["collect_package_max_machines"]) == 10
    alert = awx.one("job_templates", "Defender: Collect on alert")
    assert int(rules.parse_vars(alert["extra_vars"])["collect_on_alert_max_machines"]) == 10


@pytest.mark.parametrize(("kind", "missing"), [("secret", "client_secret"), ("certificate", "certificate")])
def test_an_incomplete_credential_is_refused_before_anything_is_made(
    first: tuple[SetUp, Ran], awx: Awx, kind: str, missing: str
) -> None:
    setup, _ran = first
    ran = setup.run(awx_setup_credential_kind=kind, awx_setup_client_secret="")
    assert ran.code != 0 and f"awx_setup_{missing}" in ran.output and awx.changing_calls() == []


def test_definitions_are_what_awx_accepts(first: tuple[SetUp, Ran], awx: Awx) -> None:
    types = [row for row in awx.rows["credential_types"].values() if not row["managed"]]
    assert len(types) == 3
    for kind in types:
        rules.check_inputs(kind["inputs"])
        rules.check_injectors(kind["injectors"], kind["inputs"])
        fields = {field["id"]: field for field in kind["inputs"]["fields"]}
        secret = {name for name, field in fields.items() if field.get("secret")}
        assert secret in ({"client_secret"}, {"certificate", "certificate_password"}, {"signing_key"})
        seen = kind["injectors"].get("extra_vars", {}).values()
        assert not any(name in each for name in secret for each in seen), "plays could see them"
    assert len(awx.surveys) == 10
    for survey in awx.surveys.values():
        rules.check_survey(survey)
        assert all(question["type"] != "password" for question in survey["spec"])
        assert all(len(question["question_name"]) < 64 for question in survey["spec"])


def test_the_rules_refuse_what_awx_refuses(first: tuple[SetUp, Ran], awx: Awx) -> None:
    kind = awx.one("credential_types", "Microsoft Defender for Endpoint (certificate)")
    spoiled = [
        {"env": {"ANSIBLE_CONFIG": "x"}},
        {"env": {"PATH": "x"}},
        {"env": {"9": "x"}},
        {"env": {"A": "\u00e4"}},
        {"env": {"A": "{{ unknown }}"}},
        {"env": {"A": "{{ tower.filename }}x{{ tower.filename.other }}"}},
        {"file": {"template": "x", "template.other": "x"}},
        {"files": {}},
    ]
    for injectors in spoiled:
        with pytest.raises(rules.RuleBroken):
            rules.check_injectors(injectors, kind["inputs"])
    for field in (
        {"id": "tower", "label": "x"},
        {"id": "1x", "label": "x"},
        {"id": "x"},
        {"id": "x", "label": "x", "hint": "x"},
        {"id": "x", "label": "x", "type": "boolean", "secret": True},
        {"id": "x", "label": "x", "default": True},
        {"id": "x", "label": "x", "choices": []},
    ):
        with pytest.raises(rules.RuleBroken):
            rules.check_inputs({"fields": [field]})
    good = next(iter(awx.surveys.values()))
    for change in ({"min": ""}, {"required": "yes"}, {"type": "choice"}, {"variable": None}, {"default": 1}):
        survey = json.loads(json.dumps(good))
        survey["spec"][0].update(change)
        with pytest.raises(rules.RuleBroken):
            rules.check_survey(survey)


def test_the_kind_of_credential_can_change(first: tuple[SetUp, Ran], awx: Awx, simulator: Simulator) -> None:
    setup, _ran = first
    certificate = {
        "awx_setup_credential_kind": "certificate",
        "awx_setup_certificate": Path(simulator.certificate_path).read_text(),
        "awx_setup_inventory_source_vars": {"DEFENDER_REGION": "eu"},
    }
    for changes, kind in ((certificate, "(certificate)"), ({}, "(secret)")):
        ran = setup.run("--tags", "awx_setup_foundation,awx_setup_templates", **changes)
        assert ran.code == 0, ran.output
        source = awx.one("inventory_sources", "Microsoft Defender for Endpoint")
        credential = awx.rows["credentials"][source["credential"]]
        assert awx.rows["credential_types"][credential["credential_type"]]["name"].endswith(kind)
        for name in TEMPLATES:
            assert credentials_of(awx, name) == wanted_credentials(awx, name, credential["id"])
        assert "DEFENDER_REGION" in source["source_vars"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"awx_setup_max_machine": 5}, "knows no variable awx_setup_max_machine. Did you mean awx_setup_max_machines?"),
        (
            {"awx_setup_extra_vars": {"collect_package_regoin": "uk"}},
            "knows no variable collect_package_regoin. Did you mean collect_package_region?",
        ),
        ({"awx_setup_inventory_source_vars": {"DEFENDER_REGIO": "uk"}}, "Did you mean DEFENDER_REGION?"),
        ({"awx_setup_slices": "many"}, "awx_setup_slices"),
        ({"awx_setup_organization": "Security"}, "The organization Security does not exist: create it, or set"),
        (
            {"awx_setup_credential_kind": "existing", "awx_setup_credential_name": "Azure, security tooling"},
            "The credential Azure, security tooling has no Subscription ID, and AWX starts no job with it",
        ),
        ({"awx_setup_approver_teams": ["Nobody"]}, "The organization has no team Nobody (awx_setup_approver_teams)"),
        (
            {"awx_setup_signing_key": "", "awx_setup_signing_credential_name": "No key"},
            "The credential No key (awx_setup_signing_credential_name) does not exist",
        ),
        ({"awx_setup_signing_agent_credential_name": "Evidence key"}, "no credential Evidence key of the type Machine"),
        ({"awx_setup_project_credential": "git"}, "The credential git (awx_setup_project_credential) does not exist"),
    ],
)
def test_the_doctor_says_in_one_sentence_what_is_wrong(
    first: tuple[SetUp, Ran], awx: Awx, changes: dict[str, t.Any], words: str
) -> None:
    setup, _ran = first
    if "Azure" in words and not any(row["name"].startswith("Azure") for row in awx.rows["credentials"].values()):
        kind = awx.one("credential_types", "Microsoft Azure Resource Manager")["id"]
        awx.add("credentials", name="Azure, security tooling", credential_type=kind, inputs={"tenant": "x"})
    ran = setup.run(**changes)
    assert ran.code != 0 and words in ran.output, ran.output
    assert awx.changing_calls() == [] and ran.recap["ok"] <= 1


def test_an_administrator_of_the_organization_needs_the_types_to_be_there(
    first: tuple[SetUp, Ran], awx: Awx, tmp_path: Path
) -> None:
    setup, _ran = first
    awx.add_user("orga", "its-password", admin_of="Default")
    other = Awx(PROJECT).start()
    try:
        other.add_user("orga", "its-password", admin_of="Default")
        alone = SetUp(other, setup.simulator, tmp_path)
        alone.user = "orga"
        ran = alone.run()
        assert ran.code != 0 and "orga is no system administrator" in ran.output, ran.output
        assert other.changing_calls() == []
    finally:
        other.stop()
    setup.user = "orga"
    try:
        # AWX refuses such a user a change of the types, and the role asks for none.
        ran = setup.run("--tags", "awx_setup_foundation", "-e", "awx_setup_create_credential_types=false")
    finally:
        setup.user = awx.username
    assert ran.code == 0 and ran.recap["changed"] == 0, ran.output


def test_a_second_organization_has_its_own_under_the_same_names(simulator: Simulator, tmp_path: Path) -> None:
    awx = Awx(PROJECT, organizations=("Default", "Fabrikam")).start()
    try:
        setup = SetUp(awx, simulator, tmp_path)
        assert setup.run().code == 0
        before = copy.deepcopy(awx.rows)
        # Of all names only that of an execution environment is AWX's own, and AWX never gives one to another organization.
        ran = setup.run(awx_setup_organization="Fabrikam")
        assert ran.code != 0 and "belongs to another organization" in ran.output, ran.output
        assert "awx_setup_execution_environment_name" in ran.output and awx.changing_calls() == []
        ran = setup.run(
            awx_setup_organization="Fabrikam",
            awx_setup_execution_environment_name="Microsoft Defender evidence, Fabrikam",
        )
        assert ran.code == 0, ran.output
        for endpoint, rows in before.items():
            assert all(awx.rows[endpoint][number] == row for number, row in rows.items()), endpoint
        fabrikam = awx.one("organizations", "Fabrikam")["id"]
        for template in awx.rows["job_templates"].values():
            assert awx.rows["inventories"][template["inventory"]]["organization"] == template["organization"]
        assert {row["organization"] for row in awx.rows["workflow_job_templates"].values()} >= {fabrikam}
    finally:
        awx.stop()


def documented() -> dict[str, t.Any]:
    """The variables of docs/awx.md, word for word."""
    block = re.search(r"```yaml\n# setup.yml\n(.*?)```", (TOP / "docs" / "awx.md").read_text(), re.S)
    assert block
    return t.cast("dict[str, t.Any]", yaml.safe_load(block[1]))


def test_from_nothing_to_the_first_package(simulator: Simulator, tmp_path: Path) -> None:
    """As the guide says it: no organization, Git down and up again, options as -e key=value, teams, the first package."""
    awx = Awx(PROJECT, organizations=()).start()
    try:
        setup = SetUp(awx, simulator, tmp_path)
        told = {name: value for name, value in setup.variables.items() if "tenant" in name or "client" in name}
        setup.variables = {**documented(), **told}
        # On an empty AWX check mode says what it cannot look at, and fails at nothing but at teams that nobody has made.
        checked = setup.run("--check", awx_setup_analyst_teams=[], awx_setup_approver_teams=[])
        assert checked.code == 0 and "Not there yet: organization" in checked.output, checked.output
        assert awx.changing_calls() == []
        awx.repository_is_down = "Failed to connect to git.contoso.com port 443"
        ran = setup.run(awx_setup_analyst_teams=[], awx_setup_approver_teams=[])
        assert ran.code != 0 and "cannot update the project Microsoft Defender evidence from" in ran.output, ran.output
        assert awx.repository_is_down in ran.output
        made = {name for name, rows in awx.rows.items() if any(not row.get("managed") for row in rows.values())}
        assert made == {"organizations", "projects", "project_updates"}
        awx.repository_is_down = ""
        for team in ("SOC", "Incident leads"):
            awx.add("teams", name=team, organization=awx.one("organizations", "Security")["id"])
        awx.show_paths = ["/srv/evidence:/evidence:O"]
        alert = "awx_setup_alert_from=rulebook"
        ran = setup.run("-e", "awx_setup_slices=2", "-e", "awx_setup_update_secrets=false", "-e", alert)
        assert ran.code == 0, ran.output
        assert "/#/templates/workflow_job_template/" in ran.output and "Mount the evidence volume" not in ran.output
        assert_rights(awx)
        # Event-Driven Ansible hands its events on as a variable that no survey asks for.
        template = awx.one("job_templates", "Defender: Collect on alert")
        assert template["ask_variables_on_launch"] and ("job_templates", template["id"]) not in awx.surveys
        assert_first_package(Jobs(awx, simulator, tmp_path))
    finally:
        awx.stop()


def assert_first_package(jobs: Jobs) -> None:
    nothing = {"_meta": {"hostvars": {}}, "all": {"children": ["ungrouped"]}}
    answers = {"defender_incident": "4700", "defender_devices": "ws04.contoso.com"}
    job = jobs.run("Defender: Collect", answers, by_secret_of(jobs), inventory=nothing)
    assert job.status == "successful" and len(list((jobs.evidence / "4700").glob("*/*.zip"))) == 1, job.stdout
    job = jobs.run("Defender: Verify evidence", {"defender_incident": "4700"}, lambda folder: {}, inventory=nothing)
    assert job.status == "successful" and job.artifacts["defender_verified"], job.stdout
    job = jobs.run("Defender: Seal evidence", {"defender_incident": "4700"}, lambda folder: {}, inventory=nothing)
    assert job.status == "failed" and "Nobody seals here: let the role" in job.stdout, job.stdout


def assert_rights(awx: Awx) -> None:
    jobs, flows = "job_templates", "workflow_job_templates"
    large, ended = "Defender: Collect from many (by approval only)", "Defender: Not collected (by the workflow only)"
    by_approval = ["Defender: Isolate (by approval only)", "Defender: Release (by approval only)"]
    ordinary = [
        "Defender: Collect",
        "Defender: Fetch",
        *(f"Defender: {each} evidence" for each in ("Verify", "Search", "Seal")),
    ]
    assert all(awx.may("SOC", "execute_role", jobs, name) for name in ordinary)
    for workflow in WORKFLOWS:
        assert awx.may("SOC", "execute_role", flows, workflow)
        assert not awx.may("SOC", "approval_role", flows, workflow)
        assert awx.may("Incident leads", "approval_role", flows, workflow)
        assert awx.may("Incident leads", "read_role", flows, workflow)
        assert not awx.may("Incident leads", "execute_role", flows, workflow)
    # Whoever approves can read the plan: a job is readable through its template alone.
    for team in ("SOC", "Incident leads"):
        hidden = (large, ended, *by_approval)
        assert all(awx.may(team, "read_role", jobs, name) for name in (*hidden, "Defender: Verify evidence"))
        assert not any(awx.may(team, "execute_role", jobs, name) for name in hidden)
    assert not any(awx.may("Incident leads", "execute_role", jobs, name) for name in ordinary)
