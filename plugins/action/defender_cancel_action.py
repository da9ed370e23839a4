# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._tasks.queries import cancel_action
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import (
    NAMED_RULES,
    cancel_spec,
    connection_spec,
)
from ansible_collections.secops.defender.plugins.plugin_utils._action import DefenderAction


class ActionModule(DefenderAction):
    SPEC = {**connection_spec(), **cancel_spec()}
    RULES = NAMED_RULES
    TASK = staticmethod(cancel_action)
