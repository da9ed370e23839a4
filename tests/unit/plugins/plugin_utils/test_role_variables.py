# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host says, from its variables."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible.errors import AnsibleUndefinedVariable

from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.plugin_utils._role_variables import (
    COLLECT,
    Surroundings,
    almost_named,
    blank_dest,
    listen,
    request,
)

SECRET = "a-secret-value"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("DEFENDER_", "AZURE_")):
            monkeypatch.delenv(name)


def template(value: Any) -> Any:
    if value == "{{ missing }}":
        raise AnsibleUndefinedVariable("'missing' is undefined")
    return value


def around(variables: dict[str, Any] | None = None, **more: Any) -> Surroundings:
    given = {"inventory_hostname": "pc1.corp.invalid", "collect_package_comment": "Why", **(variables or {})}
    settings: dict[str, Any] = {"module_defaults": {}, "own_environ": {}, "base": "/play", "check_mode": False, **more}
    return Surroundings(template=template, variables=given, **settings)


def asked(variables: dict[str, Any] | None = None, **more: Any) -> Any:
    surroundings = around(variables, **more)
    return request("host", listen(surroundings), surroundings, 1, True)


def said(**variables: Any) -> Any:
    return listen(around({f"collect_package_{name}": value for name, value in variables.items()}))


def token(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{body}.signature"


@pytest.mark.parametrize(
    ("variables", "device", "also"),
    [
        ({}, "pc1.corp.invalid", None),
        ({"collect_package_machine": "pc2"}, "pc2", None),
        ({"collect_package_machine": " "}, "pc1.corp.invalid", None),
        ({"defender_machine_id": "a" * 40}, "a" * 40, None),
        ({"defender_machine_id": "a" * 40, "collect_package_machine": "pc2"}, "a" * 40, "pc2"),
        ({"defender_machine_id": "a" * 40, "collect_package_machine": "A" * 40}, "a" * 40, None),
    ],
)
def test_the_device(variables: dict[str, Any], device: str, also: str | None) -> None:
    heard = listen(around(variables))
    assert (heard.device, heard.also) == (device, also)


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "localhost.localdomain",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
    ],
)
def test_loopback_is_no_device(name: str) -> None:
    for variables in ({"inventory_hostname": name}, {"collect_package_machine": name}):
        with pytest.raises(OptionsError, match="names no device"):
            listen(around(variables))


def test_localhosted_is_one() -> None:
    assert listen(around({"inventory_hostname": "localhosted"})).device == "localhosted"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("destination", "dest"),
        ("reuse", "reuse_within"),
        ("coment", "comment"),
        ("regoin", "region"),
        ("max_machine", "max_machines"),
        ("secret", "client_secret"),
    ],
)
def test_a_variable_that_nobody_reads(name: str, near: str) -> None:
    with pytest.raises(OptionsError) as caught:
        said(**{name: "x"})
    assert f"collect_package_{name}" in caught.value.message
    assert f"Did you mean collect_package_{near}?" in caught.value.advice


@pytest.mark.parametrize(
    "name", ["collect_packages_dest", "collectpackage_dest", "Collect_Package_Dest", "collect_pakage_dest"]
)
def test_a_slip_before_the_last_word(name: str) -> None:
    (told,) = almost_named({name: "x", "collect_package_dest": "y", "collector_dest": "z", "collect": 1}, COLLECT)
    assert name in told and told.endswith("Did you mean collect_package_dest?")


def test_a_mapping_is_no_name_of_a_device() -> None:
    with pytest.raises(
        OptionsError, match="collect_package_machine is .*, which is no text, but a host stands for one"
    ):
        said(machine={"machine_id": "a"})


def test_what_is_known_but_not_read() -> None:
    said(result={"failed": True}, summary=[], hosts="all")


def test_blank_and_null_are_unset() -> None:
    blank = dict.fromkeys(("reuse_within", "wait", "max_machines", "downloads", "report", "on_ambiguous", "region"), "")
    heard = said(**blank, dest=None, wait_timeout=" ")
    assert heard.options.pace.downloads == 4 and heard.limit == 100 and heard.wish.dest is None


@pytest.mark.parametrize(
    ("variables", "defaults", "told"),
    [
        ({"collect_package_dest": " "}, {}, True),
        ({"collect_package_dest": " "}, {"dest": "/e"}, False),
        ({"collect_package_dest": None}, {}, False),
        ({"collect_package_dest": "/e"}, {}, False),
        ({}, {}, False),
    ],
)
def test_a_folder_with_a_blank_name_is_told(variables: dict[str, Any], defaults: dict[str, Any], told: bool) -> None:
    surroundings = around(variables, module_defaults=defaults)
    sentence = blank_dest(listen(surroundings), surroundings)
    assert (sentence or "").startswith("collect_package_dest is blank, so no package is downloaded.") is told


def test_module_defaults_come_below_the_variables_and_above_the_environment() -> None:
    defaults = {"secret": SECRET, "downloads": 2, "max_machines": 7, "tenant": "contoso.com", "machines": ["ignored"]}
    heard = listen(
        around(
            {"collect_package_downloads": 3}, module_defaults=defaults, own_environ={"DEFENDER_TENANT": "fabrikam.com"}
        )
    )
    assert heard.options.settings.client_secret == SECRET and heard.options.settings.tenant == "contoso.com"
    assert heard.options.pace.downloads == 3 and heard.limit == 7
    assert SECRET in heard.secrets


def test_the_environment_of_the_play() -> None:
    heard = listen(around(own_environ={"AZURE_SECRET": SECRET, "DEFENDER_TENANT": "contoso.com"}))
    assert heard.options.settings.client_secret == SECRET and SECRET in heard.secrets


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"comment": ""}, "needs collect_package_comment"),
        ({"wait_timeout": "soon"}, "collect_package_wait_timeout is"),
        ({"report": True}, "collect_package_report is true, but there is no collect_package_dest"),
        ({"wait": False, "dest": "/e"}, "collect_package_wait is false, but there is a collect_package_dest"),
        ({"machine": ["a", "b"]}, "collect_package_machine names 2 devices"),
        ({"dest": "{{ missing }}"}, "collect_package_dest cannot be evaluated: 'missing' is undefined"),
        ({"cloud": "gcc_high", "region": "uk"}, "region"),
    ],
)
def test_a_refusal_speaks_of_the_variables(variables: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionsError) as caught:
        said(**variables)
    assert words in str(caught.value)


def test_a_refusal_shows_no_secret() -> None:
    with pytest.raises(OptionsError) as caught:
        said(client_secret=[SECRET])
    assert SECRET not in str(caught.value)


def test_what_a_request_carries_makes_no_fleet() -> None:
    more = {"dest": "/e", "reuse_within": "1h", "wait_timeout": 9, "cancel_on_timeout": True}
    many = [
        asked({"collect_package_comment": "Other", **{f"collect_package_{k}": v for k, v in more.items()}}),
        asked(),
    ]
    assert many[0].fleet == many[1].fleet and many[0].dest == "/e" and many[0].reuse_within == 3600


@pytest.mark.parametrize(
    ("variables", "more"),
    [
        ({"collect_package_tenant": "contoso.com"}, {}),
        ({"collect_package_client_secret": SECRET}, {}),
        ({"collect_package_poll_interval": 1}, {}),
        ({"collect_package_max_machines": 5}, {}),
        ({}, {"check_mode": True}),
        ({}, {"own_environ": {"HTTPS_PROXY": "http://proxy"}}),
    ],
)
def test_what_else_differs_does(variables: dict[str, Any], more: dict[str, Any]) -> None:
    assert asked(variables, **more).fleet != asked().fleet


@pytest.mark.parametrize("name", ["tsa_url", "signing_key"])
def test_hosts_with_other_seals_are_other_fleets(name: str) -> None:
    given = {"collect_package_dest": "/e", f"collect_package_{name}": "http://one"}
    other = {**given, f"collect_package_{name}": "http://other"}
    assert asked(given).fleet == asked(given).fleet != asked(other).fleet


def test_a_seal_without_a_folder_is_refused_by_the_role_s_name() -> None:
    with pytest.raises(OptionsError, match="^collect_package_tsa_url is given, but there is no collect_package_dest"):
        asked({"collect_package_tsa_url": "http://one"})


def test_tokens_of_one_app_are_one_connection() -> None:
    claims = {"tid": "t", "appid": "a", "aud": "x", "roles": ["Machine.Read.All"]}
    tokens = [token(**claims, iat=1), token(**claims, iat=2), token(**{**claims, "tid": "u"}), "opaque", "other"]
    fleets = [asked({"collect_package_access_token": each}).fleet for each in tokens]
    assert fleets[0] == fleets[1] and len(set(fleets)) == 4
    assert asked({"collect_package_access_token": tokens[0], "collect_package_tenant": "u"}).tenant == "t"


def test_a_request_holds_no_secret() -> None:
    held = asked(
        {
            "collect_package_client_secret": SECRET,
            "collect_package_password": SECRET,
            "collect_package_access_token": SECRET,
        }
    )
    assert SECRET not in json.dumps(held.as_mapping())


def test_a_relative_folder_is_below_the_playbooks() -> None:
    assert asked({"collect_package_dest": "evidence"}).dest == "/play/evidence"
