# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of the simulator, and with it, have in common."""

from __future__ import annotations

from typing import Any

import requests

from .devices import Device
from .server import Simulator


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Client:
    """Calls the API as an app would, and follows a package's link."""

    def __init__(self, simulator: Simulator, token: str | None = None) -> None:
        self.simulator = simulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = simulator.ca_path
        self.headers = {"Authorization": f"Bearer {token or simulator.issue_token()}"}

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        headers = {**self.headers, **kwargs.pop("headers", {})}
        return self.session.get(self.simulator.api_url + path, headers=headers, timeout=10, **kwargs)

    def post(self, path: str, **kwargs: Any) -> requests.Response:
        headers = {**self.headers, **kwargs.pop("headers", {})}
        return self.session.post(self.simulator.api_url + path, headers=headers, timeout=10, **kwargs)

    def collect(self, device: Device, comment: str = "Alert 1") -> requests.Response:
        return self.post(f"/api/machines/{device.id}/collectInvestigationPackage", json={"Comment": comment})

    def status(self, action_id: str) -> str:
        status: str = self.get(f"/api/machineactions/{action_id}").json()["status"]
        return status

    def link(self, action_id: str) -> str:
        response = self.get(f"/api/machineactions/{action_id}/getPackageUri")
        assert response.status_code == 200, response.text
        value: str = response.json()["value"]
        return value.strip('"')

    def download(self, url: str, **headers: str) -> requests.Response:
        return self.session.get(url, headers=headers, timeout=10)

    def names(self, path: str, **params: str) -> list[str]:
        response = self.get(path, params=params)
        assert response.status_code == 200, response.text
        return [row["computerDnsName"] for row in response.json()["value"]]


def error_of(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]
