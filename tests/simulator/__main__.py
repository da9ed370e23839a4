# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m simulator --fleet fleet.yml --state-dir DIR"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import signal
import threading
from pathlib import Path
from typing import Any

from . import Simulator
from .fleetfile import read_fleet, read_neighbours
from .sealing import ANSWERS, Signer, TimeAuthority

_SETTINGS = {"minute": float, "hour": float, "token_lifetime": int, "link_lifetime": float, "seed": int}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="simulator", description="A simulated Defender for Endpoint tenant on loopback."
    )
    parser.add_argument("--fleet", type=Path, required=True, help="YAML file with devices, apps and settings")
    parser.add_argument(
        "--state-dir", type=Path, required=True, help="where simulator.json and the certificates are written"
    )
    for name, kind in _SETTINGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parent-pid", type=int, help="ends when this process is gone")
    options = parser.parse_args()

    given = {name: getattr(options, name) for name in _SETTINGS if getattr(options, name) is not None}
    arguments = {**read_fleet(options.fleet), **given}
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    with contextlib.ExitStack() as tenants:
        simulator = tenants.enter_context(Simulator(port=options.port, state_dir=options.state_dir, **arguments))
        neighbours = [
            tenants.enter_context(
                Simulator(state_dir=options.state_dir / f"neighbour{number}", front=simulator, **{**further, **given})
            )
            for number, further in enumerate(read_neighbours(options.fleet), 1)
        ]
        authority = tenants.enter_context(TimeAuthority(options.state_dir / "authority"))
        _publish(simulator, neighbours, _sealing(authority, Signer.make(options.state_dir / "signer")))
        child = os.getppid() == options.parent_pid
        while not done.wait(1.0):
            # A dead parent that nobody has waited for still has its number, yet no children.
            if options.parent_pid and not (os.getppid() == options.parent_pid if child else _alive(options.parent_pid)):
                break
    for name in ("simulator.json", "environment"):
        (options.state_dir / name).unlink(missing_ok=True)


def _publish(simulator: Simulator, neighbours: list[Simulator], sealing: dict[str, Any]) -> None:
    """Complete or not there at all: whoever waits for the file may read it as soon as it exists."""
    facts = {**_facts(simulator), "neighbours": [_facts(neighbour) for neighbour in neighbours], "sealing": sealing}
    _write(simulator.state_dir / "environment", _environment(facts))
    for neighbour, its_facts in zip(neighbours, facts["neighbours"], strict=True):
        _write(neighbour.state_dir / "environment", _environment(its_facts))
    _write(simulator.state_dir / "simulator.json", json.dumps(facts, indent=2))


def _write(target: Path, text: str) -> None:
    draft = target.with_suffix(".part")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, target)


def _environment(facts: dict[str, Any]) -> str:
    """What points the collection at the tenant, to be sourced by a shell."""
    names = ("api_url", "login_url", "ca_path", "tenant", "client_id", "client_secret")
    return "".join(f"export DEFENDER_{name.upper()}={shlex.quote(str(facts[name]))}\n" for name in names)


def _sealing(authority: TimeAuthority, signer: Signer) -> dict[str, Any]:
    """Where seals come from, under the names of the modules' options."""
    return {
        "tsa_url": authority.url(),
        "tsa_urls": {answer: authority.url(answer) for answer in ANSWERS},
        "tsa_ca_path": authority.ca_path,
        "signing_key": signer.key,
        "identity": signer.identity,
        "allowed_signers": signer.allowed_signers,
    }


def _facts(simulator: Simulator) -> dict[str, Any]:
    federated_token_file = simulator.state_dir / "federated-token"
    federated_token_file.touch(mode=0o600)
    federated_token_file.write_text(simulator.federated_token(lifetime=86400), encoding="utf-8")
    return {
        "control_url": simulator.control_url,
        "tenant_name": simulator.settings.tenant_name,
        "api_url": simulator.api_url,
        "login_url": simulator.login_url,
        "audience": simulator.audience,
        "ca_path": simulator.ca_path,
        "tenant": simulator.tenant,
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "certificate_path": simulator.certificate_path,
        "certificate_pfx_path": simulator.certificate_pfx_path,
        "certificate_password": simulator.certificate_password,
        "stranger_certificate_path": simulator.stranger_certificate_path,
        "federated_token_file": str(federated_token_file),
        "identity_url": simulator.identity_url,
        "identity_header": simulator.identity_header,
        "apps": [dataclasses.asdict(app) for app in simulator.apps],
        "users": [dataclasses.asdict(user) for user in simulator.users],
        "identities": [dataclasses.asdict(identity) for identity in simulator.identities],
        "devices": [{"id": device.id, "name": device.name, "ip": device.ip, "aad_device_id": device.aad_device_id}
                    for device in simulator.fleet.devices],
        "pid": os.getpid(),
    }  # fmt: skip


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
