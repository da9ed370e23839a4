# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from simulator import Device, Simulator
from simulator.keys import authority, key_pair
from simulator.testing import FakeClock

# Made once here, for test runners that fork a process for every test.
authority()
for purpose in ("tenant", "app", "stranger", "federation"):
    key_pair(purpose)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def start(clock: FakeClock) -> Iterator[Callable[..., Simulator]]:
    started: list[Simulator] = []

    def begin(*devices: Device, **settings: Any) -> Simulator:
        started.append(Simulator(devices, clock=clock, **settings).start())
        return started[-1]

    yield begin
    for simulator in started:
        simulator.stop()
