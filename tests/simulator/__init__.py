# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for a tenant: Entra ID and the Defender for Endpoint API over TLS, on loopback."""

from __future__ import annotations

from .alerts import Alert, Change
from .devices import SCENARIOS, Device, PastAction
from .faults import KINDS, Fault
from .messages import LoggedRequest
from .server import Simulator
from .settings import App, ManagedIdentity, Settings, User

__all__ = [
    "KINDS",
    "SCENARIOS",
    "Alert",
    "App",
    "Change",
    "Device",
    "Fault",
    "LoggedRequest",
    "ManagedIdentity",
    "PastAction",
    "Settings",
    "Simulator",
    "User",
]
