# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._tasks.isolate_machine import TASK
from ansible_collections.secops.defender.plugins.plugin_utils._action import DefenderAction


class ActionModule(DefenderAction):
    TASK = TASK
