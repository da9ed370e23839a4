# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role awx_setup finds out before it makes anything, each finding in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.plugin_utils._awx_doctor import (
    AZURE,
    AwxError,
    Doctor,
    Findings,
    Row,
    Wanted,
    project_told,
)

ROLE = Path(__file__).resolve().parents[4] / "roles" / "awx_setup"
SPEC = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
NEEDED = {
    "awx_setup_execution_environment_image": "registry.example.com/secops/defender-ee:1.0.0",
    "awx_setup_project_url": "https://git.example.com/secops/evidence.git",
    "awx_setup_quota_share": 1,
}
TYPES = ["Microsoft Defender for Endpoint (secret)", "Microsoft Defender for Endpoint (certificate)"]


def wanted(**changes: Any) -> Wanted:
    return Wanted.of({**NEEDED, **{f"awx_setup_{name}": value for name, value in changes.items()}}, SPEC)


class FakeAwx:
    """Rows by endpoint; a missing endpoint has none, and an exception is raised."""

    def __init__(self, **rows: Any) -> None:
        self.rows: dict[str, Any] = {
            "me/": [{"id": 1, "username": "admin", "is_superuser": True}],
            "organizations/": [{"id": 2, "name": "Default"}],
            "organizations/2/galaxy_credentials/": [{"id": 3}],
            "credential_types/": [{"id": number, "name": name} for number, name in enumerate(TYPES, 10)],
            "settings/jobs/": [{"AWX_ISOLATION_SHOW_PATHS": ["/srv/evidence:/evidence:O"]}],
            **{name.replace("__", "/") + "/": each for name, each in rows.items()},
        }

    def __call__(self, endpoint: str, fields: Mapping[str, Any]) -> list[Row]:
        rows = self.rows.get(endpoint, [])
        if isinstance(rows, Exception):
            raise rows
        named = fields.get("name")
        return [row for row in rows if not isinstance(row, dict) or named in (None, row.get("name"))]


def look(awx: FakeAwx, **changes: Any) -> Findings:
    return Doctor(awx, wanted(**changes)).look()


def test_nothing_is_wrong_with_an_awx_that_is_ready() -> None:
    found = look(FakeAwx())
    assert (found.troubles, found.notes) == ([], [])
    assert found.there["organization"] and not found.there["project"] and not found.there["nodes"]


@pytest.mark.parametrize(
    ("rows", "changes", "words"),
    [
        ({"organizations": []}, {}, "The organization Default does not exist: create it"),
        (
            {"organizations": [], "me": [{"id": 1, "username": "ann", "is_superuser": False}]},
            {"create_organization": True},
            "ann is no system administrator, who alone may create it",
        ),
        (
            {"me": [{"id": 1, "username": "ann", "is_superuser": False}]},
            {},
            "ann is no administrator of the organization",
        ),
        (
            {"me": [{"id": 1, "username": "ann", "is_superuser": False}], "credential_types": []},
            {},
            "ann is no system administrator, who alone may create the credential types",
        ),
        ({"credential_types": []}, {"create_credential_types": "false"}, "awx_setup_create_credential_types is false"),
        ({}, {"credential_kind": "existing"}, "does not exist, and awx_setup_credential_kind is existing"),
        (
            {"execution_environments": [{"name": "Microsoft Defender evidence", "organization": 7}]},
            {},
            "The execution environment Microsoft Defender evidence belongs to another organization",
        ),
        ({}, {"execution_environment_image": "https://registry/ee"}, "name it as a registry does"),
        ({}, {"signing_key": "k"}, "awx_setup_signing_key is given, but no awx_setup_signing_credential_name"),
        (
            {},
            {"signing_agent_credential_name": "Agent"},
            "but no awx_setup_signing_credential_name: name the credential",
        ),
        (
            {},
            {"signing_credential_name": "Key"},
            "The credential Key (awx_setup_signing_credential_name) does not exist",
        ),
        (
            {},
            {"signing_credential_name": "Key", "signing_key": "k", "create_credential_types": "false"},
            "The credential type Evidence signing key (SSH) does not exist, and awx_setup_create_credential_types is false",
        ),
        (
            {"credentials": [{"name": "Agent", "credential_type": 6}], "credential_types__6": [{"kind": "cloud"}]},
            {"signing_credential_name": "Key", "signing_key": "k", "signing_agent_credential_name": "Agent"},
            "There is no credential Agent of the type Machine (awx_setup_signing_agent_credential_name)",
        ),
        ({}, {"alert_users": ["siem"]}, "AWX has no user siem (awx_setup_alert_users)"),
        ({}, {"analyst_teams": "SOC, Night"}, "The organization has no team SOC, Night (awx_setup_analyst_teams)"),
    ],
)
def test_each_trouble_is_one_sentence(rows: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    assert words in " ".join(look(FakeAwx(**rows), **changes).troubles)


def test_an_azure_credential_without_a_subscription_starts_no_job() -> None:
    credential = {"id": 5, "name": "Azure", "credential_type": 6, "inputs": {"client": "x"}}
    rows = {"credentials": [credential], "credential_types__6": [{"id": 6, "name": AZURE}]}
    changes = {"credential_kind": "existing", "credential_name": "Azure"}
    (trouble,) = look(FakeAwx(**rows), **changes).troubles
    assert "no Subscription ID" in trouble
    credential["inputs"] = {"subscription": "x"}
    assert look(FakeAwx(**rows), **changes).troubles == []


def test_a_key_in_an_agent_is_that_of_a_machine_credential() -> None:
    rows = {"credentials": [{"name": "Agent", "credential_type": 6}], "credential_types__6": [{"kind": "ssh"}]}
    changes = {"signing_credential_name": "Key", "signing_key": "k", "signing_agent_credential_name": "Agent"}
    assert look(FakeAwx(**rows), **changes).troubles == []
    # Who does not sign needs no type for it.
    assert look(FakeAwx(), create_credential_types="false").troubles == []


def test_what_is_left_to_do_by_hand() -> None:
    rows = {"settings__jobs": AwxError("forbidden"), "organizations__2__galaxy_credentials": []}
    notes = look(FakeAwx(**rows), execution_environment_image="registry/ee").notes
    assert [any(word in note for note in notes) for word in ("Galaxy", "has no tag", "Mount the evidence volume")] == [
        True
    ] * 3


@pytest.mark.parametrize("status", ["failed", "never updated", "canceled"])
def test_a_project_that_was_not_synced_is_told(status: str) -> None:
    update = {"summary_fields": {"last_update": {"id": 8}}}
    event = {"event_data": {"res": {"msg": "Could not resolve host:\n git.example.com"}}}
    rows = {"projects": [{"id": 7, "name": wanted()["project_name"], "status": status, **update}]}
    awx = FakeAwx(**rows, project_updates__8__events=[event])
    assert look(awx).there["project_is_synced"] is False
    (told,) = project_told(awx, wanted())
    assert "https://git.example.com/secops/evidence.git: Could not resolve host: git.example.com. Mend that" in told


def test_a_project_without_the_playbooks_is_told() -> None:
    rows = {"projects": [{"id": 7, "name": wanted()["project_name"], "status": "successful"}]}
    (told,) = project_told(FakeAwx(**rows, projects__7__playbooks=[["collect.yml", "fetch.yml"]]), wanted())
    assert "has no verify.yml, search.yml, seal.yml, collect_on_alert.yml, ended.yml" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_machine": 5}, "Did you mean awx_setup_max_machines?"),
        ({"extra_vars": {"collect_package_regoin": "uk"}}, "Did you mean collect_package_region?"),
        ({"extra_vars": '{"collect_package_regoin": "uk"}'}, "Did you mean collect_package_region?"),
        ({"inventory_source_vars": {"DEFENDER_REGIO": "uk"}}, "Did you mean DEFENDER_REGION?"),
        ({"slices": "four"}, "awx_setup_slices is 'four'"),
        ({"credential_kind": "secrets"}, "Did you mean secret?"),
    ],
)
def test_what_nobody_reads_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionsError, match="Nothing was") as refused:
        wanted(**changes)
    assert words in str(refused.value)


def test_texts_are_typed_and_secrets_are_not_shown() -> None:
    typed = wanted(slices="2", create_credential_types="false", approver_teams="a,b", client_secret="s", region="")
    assert (typed["slices"], typed["create_credential_types"], typed["approver_teams"]) == (2, False, ["a", "b"])
    assert typed["region"] == "" and "awx_setup_client_secret" not in typed.shown()
