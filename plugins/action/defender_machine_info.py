# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._tasks.queries import machine_info
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import (
    MACHINE_INFO_RULES,
    connection_spec,
    machine_info_spec,
)
from ansible_collections.secops.defender.plugins.plugin_utils._action import DefenderAction


class ActionModule(DefenderAction):
    SPEC = {**connection_spec(), **machine_info_spec()}
    RULES = MACHINE_INFO_RULES
    TASK = staticmethod(machine_info)
