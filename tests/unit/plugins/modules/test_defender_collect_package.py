# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.text.converters import to_bytes

from ansible_collections.secops.defender.plugins.modules import defender_collect_package
from simulator import Device, Simulator


@pytest.fixture(scope="module")
def sim() -> Any:
    running = Device("pc02.contoso.com", "running", collect_seconds=(9000.0, 9000.0))
    with Simulator([Device("pc01.contoso.com"), running]) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DEFENDER_TENANT", "DEFENDER_CLIENT_ID", "DEFENDER_CLIENT_SECRET", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEFENDER_QUOTA_DIR", str(tmp_path / "quota"))


def _main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: dict[str, Any]
) -> tuple[int, dict[str, Any], str]:
    """The module as Ansible runs it: arguments in, one JSON object out."""
    content = to_bytes(json.dumps({"ANSIBLE_MODULE_ARGS": args}))
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", content)
    # ansible-core 2.19 and later ask for it.
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    with pytest.raises(SystemExit) as caught:
        defender_collect_package.main()
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), json.loads(out), out + err


def _connection(sim: Simulator, **more: Any) -> dict[str, Any]:
    return {
        "tenant": sim.tenant,
        "client_id": sim.client_id,
        "client_secret": sim.client_secret,
        "api_url": sim.api_url,
        "login_url": sim.login_url,
        "ca_path": str(sim.ca_path),
        "comment": "Alert 4711",
        **more,
    }


def test_it_starts_a_collection(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sim.reset()
    code, result, everything = _main(monkeypatch, capsys, _connection(sim, machines=["pc01"]))
    assert (code, result["changed"], result["msg"]) == (0, True, "1 device: 1 started.")
    assert sum(sim.accepted_starts().values()) == 1
    assert not [secret for secret in sim.secrets if secret in everything]


def test_it_takes_over_what_runs_already(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sim.reset()
    code, result, _everything = _main(monkeypatch, capsys, _connection(sim, machine="pc02.contoso.com"))
    assert (code, result["changed"]) == (0, False)
    assert result["packages"][0]["request"] == "already_running"


def test_check_mode_starts_nothing(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sim.reset()
    arguments = _connection(sim, machines=["pc01"], _ansible_check_mode=True)
    code, result, _everything = _main(monkeypatch, capsys, arguments)
    assert (code, result["changed"], result["packages"][0]["request"]) == (0, True, "would_start")
    assert not sim.accepted_starts()


def test_a_failure_is_one(sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, result, everything = _main(monkeypatch, capsys, _connection(sim, machines=["nobody"]))
    assert (code, result["failed"]) == (1, True)
    assert result["packages"][0]["error"]["code"] == "MachineNotFound"
    assert sim.client_secret not in everything


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"comment": None}, "comment"),
        ({"machines": None}, "machines"),
        ({"on_ambiguous": "any"}, "on_ambiguous"),
        ({"downloads": "many"}, "downloads"),
        ({"coment": "x"}, "Did you mean comment?"),
        ({"machine": "pc02"}, "machines and machine are two names of one option, and both are given."),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    said: str,
) -> None:
    arguments = {**_connection(sim, machines=["pc01"]), **change}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    code, result, everything = _main(monkeypatch, capsys, arguments)
    assert (code, result["failed"]) == (1, True)
    assert said in result["msg"]
    assert sim.client_secret not in everything
