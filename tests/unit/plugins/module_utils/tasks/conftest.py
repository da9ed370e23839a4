# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Tenant
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device


@pytest.fixture
def tenant(simulate: t.Any, clock: VirtualClock) -> t.Callable[..., Tenant]:
    def start(*devices: Device, **settings: t.Any) -> Tenant:
        return Tenant(simulate(*devices, **settings), clock)

    return start
