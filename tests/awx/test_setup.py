# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role awx_setup, by the modules of awx.awx, against a stand-in of AWX's API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rules
from conftest import Ran, SetUp
from standin import Awx

from simulator import Simulator

TEMPLATES = {
    "Defender: Collect": ("collect.yml", True),
    "Defender: Collect from many (by approval only)": ("collect.yml", True),
    "Defender: Fetch": ("fetch.yml", True),
    "Defender: Verify evidence": ("verify.yml", False),
}


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
        assert awx.associated["job_templates", template["id"], "credentials"] == [credential["id"]]


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
        ("collect", "always_nodes", "verify"),
    }
    assert nodes["plan"]["job_type"] == "check" and nodes["collect"]["job_type"] is None
    approval = awx.rows["workflow_approval_templates"][nodes["approve"]["unified_job_template"]]
    assert approval["timeout"] == 86400 and "plan" in approval["description"]


def test_no_secret_is_shown_even_at_high_verbosity(first: tuple[SetUp, Ran], awx: Awx, simulator: Simulator) -> None:
    _setup, ran = first
    assert simulator.client_secret not in ran.output and awx.password not in ran.output
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
    assert {how for how, _path in awx.changing_calls()} == {"PATCH"} and len(awx.changing_calls()) == 2
    large = awx.one("job_templates", "Defender: Collect from many (by approval only)")
    assert large["job_slice_count"] == 4
    assert float(rules.parse_vars(large["extra_vars"])["collect_package_quota_share"]) == 0.25
    small = awx.one("job_templates", "Defender: Collect")
    assert small["job_slice_count"] == 1 and "collect_package_quota_share" not in small["extra_vars"]
    assert int(rules.parse_vars(small["extra_vars"])["collect_package_max_machines"]) == 10


@pytest.mark.parametrize("kind, missing", [("secret", "client_secret"), ("certificate", "certificate")])
def test_an_incomplete_credential_is_refused_before_anything_is_made(
    first: tuple[SetUp, Ran], awx: Awx, kind: str, missing: str
) -> None:
    setup, _ran = first
    ran = setup.run(awx_setup_credential_kind=kind, awx_setup_client_secret="")
    assert ran.code != 0 and f"awx_setup_{missing}" in ran.output and awx.calls == []


def test_definitions_are_what_awx_accepts(first: tuple[SetUp, Ran], awx: Awx) -> None:
    types = [row for row in awx.rows["credential_types"].values() if not row["managed"]]
    assert len(types) == 2
    for kind in types:
        rules.check_inputs(kind["inputs"])
        rules.check_injectors(kind["injectors"], kind["inputs"])
        fields = {field["id"]: field for field in kind["inputs"]["fields"]}
        secret = {name for name, field in fields.items() if field.get("secret")}
        assert secret == {"client_secret"} or secret == {"certificate", "certificate_password"}
        assert "extra_vars" not in kind["injectors"], "plays could see them"
    assert len(awx.surveys) == 4
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
        ran = setup.run(**changes)
        assert ran.code == 0, ran.output
        source = awx.one("inventory_sources", "Microsoft Defender for Endpoint")
        credential = awx.rows["credentials"][source["credential"]]
        assert awx.rows["credential_types"][credential["credential_type"]]["name"].endswith(kind)
        for name in TEMPLATES:
            template = awx.one("job_templates", name)
            assert awx.associated["job_templates", template["id"], "credentials"] == [credential["id"]]
        assert "DEFENDER_REGION" in source["source_vars"]
        again = setup.run(**changes)
        assert again.code == 0 and again.recap["changed"] == 0, again.output
