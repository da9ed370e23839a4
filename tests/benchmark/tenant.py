# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulated tenant in a process of its own, and what it saw."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import typing as t
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import yaml

SEED = 1
# The endpoints that the service counts. Tokens, discovery and downloads are not among them.
API = frozenset(
    {"collect", "package_link", "machine_actions", "machine_action", "machines", "machine", "find_by_ip", "find_by_tag"}
)
_CONNECTION = ("api_url", "login_url", "audience", "ca_path", "tenant", "client_id", "client_secret")
# Nobody has documented a limit for sign-ins, and it is not what is measured.
_UNLIMITED = [1_000_000, 10_000_000]


class Tenant:
    """A tenant with the documented limits for a minute of that many seconds; without a minute, with hardly any.

    further: the devices of more tenants at the same service, with the same limits each.
    """

    def __init__(
        self,
        work: Path,
        devices: list[dict[str, t.Any]],
        minute: float | None = None,
        further: t.Sequence[list[dict[str, t.Any]]] = (),
        **more: float,
    ) -> None:
        self.work = work
        self.minute = minute
        self.names: list[str] = []
        work.mkdir(parents=True)
        unlimited = {"token", "discovery"} | (API if minute is None else set())
        settings: dict[str, t.Any] = {
            "seed": SEED,
            "collect_seconds": [0.0, 0.1],
            "quotas": dict.fromkeys(sorted(unlimited), _UNLIMITED),
        }
        if minute is not None:
            settings.update(minute=minute, hour=60 * minute, link_lifetime=minute)
        settings.update(more)
        neighbours: list[dict[str, t.Any]] = [
            {
                "settings": {
                    **settings,
                    "tenant": str(uuid.UUID(int=number)),
                    "tenant_name": f"tenant{number}.example",
                },
                "devices": theirs,
            }
            for number, theirs in enumerate(further, 1)
        ]
        document = {"settings": settings, "devices": devices, "neighbours": neighbours}
        (work / "fleet.yml").write_text(yaml.safe_dump(document), encoding="utf-8")

    def __enter__(self) -> Tenant:
        command = [sys.executable, "-m", "simulator", "--fleet", str(self.work / "fleet.yml")]
        command += ["--state-dir", str(self.work), "--parent-pid", str(os.getpid())]
        self._process = subprocess.Popen(command)
        published = self.work / "simulator.json"
        for _try in range(600):
            if published.exists():
                break
            time.sleep(0.1)
        else:
            raise RuntimeError("the simulator did not start")
        facts = json.loads(published.read_text(encoding="utf-8"))
        self.connection = {name: str(facts[name]) for name in _CONNECTION}
        self.names = [str(device["name"]) for device in facts["devices"]]
        self.everybody = [facts, *facts["neighbours"]]
        self._trust = ssl.create_default_context(cafile=self.connection["ca_path"])
        return self

    def __exit__(self, *_details: object) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def quotas(self) -> dict[str, list[str]]:
        """The limits as the option C(quotas) says them."""
        if self.minute is None:
            return {"default": ["2000/60"], "package_link": ["2000/60"]}
        minute, hour = f"{self.minute:.3f}", f"{60 * self.minute:.3f}"
        return {
            "default": [f"100/{minute}", f"1500/{hour}"],
            "package_link": [f"2/{minute}", f"120/{hour}"],
        }

    @property
    def poll_interval(self) -> float:
        """The default of 15 seconds, on this tenant's clock."""
        return 15 * (self.minute or 2.0) / 60

    @property
    def environment(self) -> dict[str, str]:
        """The connection for ansible-playbook."""
        given = {f"DEFENDER_{name.upper()}": value for name, value in self.connection.items()}
        return {**given, "DEFENDER_QUOTA_DIR": str(self.work / "quota")}

    def calls(self, endpoint: str | None = None) -> list[dict[str, t.Any]]:
        """The logged calls of one endpoint, or of all that the service counts."""
        wanted = {endpoint} if endpoint else API
        return [entry for entry in self._ask("requests") if entry["endpoint"] in wanted]

    def throttled(self) -> int:
        return sum(entry["status"] == 429 for entry in self.calls())

    def request(self, url: str, form: dict[str, str] | None = None, bearer: str = "") -> t.Any:
        """One plain call, as a script would make it."""
        data = urllib.parse.urlencode(form).encode() if form else None
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), context=self._trust) as reply:
            return json.load(reply)

    def _ask(self, what: str) -> t.Any:
        return self.request(f"{self.connection['api_url']}/_simulator/{what}")


def fleet(count: int, **more: t.Any) -> list[dict[str, t.Any]]:
    """So many devices, as the fleet file describes them."""
    return [{"name": "pc{n}.contoso.com", "repeat": count, **more}]
