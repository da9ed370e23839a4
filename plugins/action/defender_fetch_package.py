# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._tasks.packages import fetch_package, refused
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import (
    NAMED_RULES,
    connection_spec,
    fetch_spec,
)
from ansible_collections.secops.defender.plugins.plugin_utils._action import DefenderAction


class ActionModule(DefenderAction):
    SPEC = {**connection_spec(), **fetch_spec()}
    RULES = NAMED_RULES
    TASK = staticmethod(fetch_package)
    refused = staticmethod(refused)
