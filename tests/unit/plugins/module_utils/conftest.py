# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib
import os
import pathlib
import typing as t

import pytest

from ansible_collections.secops.defender.plugins.module_utils._service.session import Session
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.service_world import (
    StubTokens,
    endpoints_of,
    private_budget,
)
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device, Simulator
from simulator.keys import authority, key_pair

# Slow to load, so once here and not once a test, for runners that fork a process for each. Keys take longest to make.
importlib.import_module("msal")
authority()
for purpose in ("tenant", "app", "stranger", "federation"):
    key_pair(purpose)

_FOREIGN = ("proxy", "requests_ca", "curl_ca", "defender_", "azure_", "identity_", "msi_", "imds_")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Nothing of the surroundings of whoever runs the tests."""
    for name in list(os.environ):
        if any(part in name.lower() for part in _FOREIGN):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def secrets() -> Secrets:
    return Secrets()


@pytest.fixture
def simulate(clock: VirtualClock) -> t.Iterator[t.Callable[..., Simulator]]:
    """Starts simulated tenants; they live by the virtual clock, unless told otherwise."""
    running: list[Simulator] = []

    def start(*devices: Device, **settings: t.Any) -> Simulator:
        settings.setdefault("clock", clock.wall)
        running.append(Simulator(devices, **settings).start())
        return running[-1]

    yield start
    for simulator in running:
        simulator.stop()


@pytest.fixture
def connect(clock: VirtualClock) -> t.Callable[..., Session]:
    """A session with a good token and a budget that never makes wait, unless told otherwise."""

    def open_session(
        simulator: Simulator, *, tokens: t.Any = None, timeout: float = 10.0, log: t.Any = None, limits: t.Any = None
    ) -> Session:
        http = Http(simulator.ca_path, True, timeout, clock)
        return Session(
            http,
            endpoints_of(simulator),
            tokens or StubTokens(simulator.issue_token()),
            private_budget(clock, limits),
            log or (lambda text: None),
        )

    return open_session
