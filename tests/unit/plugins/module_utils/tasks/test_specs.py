# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import AnsibleFallbackNotFound

from ansible_collections.secops.defender.plugins.doc_fragments.connection import ModuleDocFragment
from ansible_collections.secops.defender.plugins.module_utils._service.clouds import CLOUDS
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import (
    collect_spec,
    connection_spec,
    drop_empty,
    first_filled,
    require_positive,
    seconds,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError

# The contract with playbooks and with AWX's Azure credential, in order of precedence.
ENVIRONMENT = {
    "auth_source": ["DEFENDER_AUTH_SOURCE"],
    "tenant": ["DEFENDER_TENANT", "AZURE_TENANT", "AZURE_TENANT_ID"],
    "client_id": ["DEFENDER_CLIENT_ID", "AZURE_CLIENT_ID"],
    "client_secret": ["DEFENDER_CLIENT_SECRET", "AZURE_SECRET", "AZURE_CLIENT_SECRET"],
    "certificate_path": ["DEFENDER_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PATH"],
    "certificate_password": ["DEFENDER_CERTIFICATE_PASSWORD"],
    "federated_token_file": ["DEFENDER_FEDERATED_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"],
    "username": ["DEFENDER_USERNAME"],
    "password": ["DEFENDER_PASSWORD"],
    "access_token": ["DEFENDER_ACCESS_TOKEN"],
    "cloud": ["DEFENDER_CLOUD", "AZURE_CLOUD_ENVIRONMENT"],
    "region": ["DEFENDER_REGION"],
    "api_url": ["DEFENDER_API_URL"],
    "login_url": ["DEFENDER_LOGIN_URL"],
    "audience": ["DEFENDER_AUDIENCE"],
    "ca_path": ["DEFENDER_CA_PATH"],
    "validate_certs": ["DEFENDER_VALIDATE_CERTS"],
    "timeout": ["DEFENDER_TIMEOUT"],
    "quota_share": ["DEFENDER_QUOTA_SHARE"],
    "quota_dir": ["DEFENDER_QUOTA_DIR"],
}
VALUES = {"auth_source": "client_secret", "cloud": "gcc", "region": "eu", "validate_certs": "false", "timeout": "7.5",
          "quota_share": "0.5"}  # fmt: skip
PARSED = {"validate_certs": False, "timeout": 7.5, "quota_share": 0.5}


def validated(**given: Any) -> dict[str, Any]:
    result = ArgumentSpecValidator(connection_spec()).validate(given)
    assert not result.error_messages, result.error_messages
    return result.validated_parameters


@pytest.mark.parametrize("option", ENVIRONMENT)
def test_environment_first_filled_wins(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = VALUES.get(option, "/value")
    for at, name in enumerate(ENVIRONMENT[option]):
        for other in ENVIRONMENT[option]:
            monkeypatch.delenv(other, raising=False)
        # Those before are there but empty, as AWX leaves them; those behind would say something else.
        for earlier, blank in zip(ENVIRONMENT[option][:at], ("", "  "), strict=False):
            monkeypatch.setenv(earlier, blank)
        for later in ENVIRONMENT[option][at + 1 :]:
            monkeypatch.setenv(later, "wrong")
        monkeypatch.setenv(name, value)
        assert validated()[option] == PARSED.get(option, value)


@pytest.mark.parametrize("option", ENVIRONMENT)
def test_environment_empty_counts_as_unset(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = connection_spec()[option].get("default")
    for name in ENVIRONMENT[option]:
        monkeypatch.setenv(name, " ")
    assert validated()[option] == default


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFENDER_TENANT", "environment")
    monkeypatch.setenv("DEFENDER_CLIENT_SECRET", "environment")
    options = validated(tenant="option", secret="option")
    assert (options["tenant"], options["client_secret"]) == ("option", "option")


def test_all_options_with_an_environment_are_known_here() -> None:
    fallbacks = {name: option["fallback"][1] for name, option in connection_spec().items() if "fallback" in option}
    assert fallbacks == ENVIRONMENT


@pytest.mark.parametrize(
    ("said", "cloud"),
    [("AzureCloud", "public"), ("azurepubliccloud", "public"), ("AzureUSGovernment", "gcc_high"), (" AzureCloud ", "public"), ("gcc", "gcc")],
)  # fmt: skip
def test_azure_cloud_environment(said: str, cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLOUD_ENVIRONMENT", said)
    assert validated()["cloud"] == cloud
    monkeypatch.setenv("DEFENDER_CLOUD", "dod")
    assert validated()["cloud"] == "dod"


def test_azure_clouds_that_the_service_is_not_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLOUD_ENVIRONMENT", "AzureChinaCloud")
    result = ArgumentSpecValidator(connection_spec()).validate({})
    assert any("AzureChinaCloud" in message for message in result.error_messages)


def test_no_variable_no_value() -> None:
    with pytest.raises(AnsibleFallbackNotFound):
        first_filled("DEFENDER_NOT_SET", "AZURE_NOT_SET")


def test_secrets_are_marked() -> None:
    for name, option in connection_spec().items():
        secret = name in ("client_secret", "certificate_password", "password", "access_token")
        assert option.get("no_log", False) is secret


def test_drop_empty() -> None:
    spec = {**connection_spec(), **collect_spec()}
    args = {
        "tenant": "",
        "secret": "  ",
        "client_id": "x",
        "comment": "",
        "machine": "",
        "timeout": 0,
        "unknown": "",
        "ca_path": None,
    }
    kept = {"client_id": "x", "comment": "", "machine": "", "timeout": 0, "unknown": "", "ca_path": None}
    assert drop_empty(args, spec) == kept


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), (0, 0), ("90", 90), (90, 90), (1.5, 1.5), ("90s", 90), ("90m", 5400), ("4h", 14400), ("2d", 172800), ("0.5h", 1800),
     (" 4 H ", 14400), ("1.25m", 75)],
)  # fmt: skip
def test_durations(text: object, expected: float) -> None:
    assert seconds("reuse_within", text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "h", "-1", "-4h", "4w", "4 hours", "4h30m", "1e3", "inf", "nan", ".5h", "1.", "4h;", None, True, [4]],
)
def test_durations_that_are_none(text: object) -> None:
    with pytest.raises(OptionsError, match="reuse_within is") as caught:
        seconds("reuse_within", text)
    assert "4h" in caught.value.advice


def test_positive_numbers() -> None:
    require_positive({"timeout": 0.1, "downloads": 1}, "timeout", "downloads")
    for bad in (0, -1, float("nan")):
        with pytest.raises(OptionsError, match="downloads is"):
            require_positive({"downloads": bad}, "downloads")


# What is documented

DOCUMENTED: dict[str, Any] = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]


def test_the_same_options_are_documented() -> None:
    assert set(DOCUMENTED) == set(connection_spec())


@pytest.mark.parametrize("option", connection_spec())
def test_documentation_says_what_the_spec_does(option: str) -> None:
    spec, documented = connection_spec()[option], DOCUMENTED[option]
    for key in ("type", "default", "choices", "aliases"):
        assert documented.get(key) == spec.get(key), key
    text = " ".join(documented["description"])
    named = [name for name in re.findall(r"E\((\w+)\)", text) if name.startswith(("DEFENDER_", "AZURE_"))]
    assert named == ENVIRONMENT.get(option, [])


def test_every_cloud_can_be_chosen() -> None:
    assert connection_spec()["cloud"]["choices"] == list(CLOUDS)
