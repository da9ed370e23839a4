# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._tasks.packages import collect_package, refused
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import collect_spec, connection_spec
from ansible_collections.secops.defender.plugins.plugin_utils._action import DefenderAction


class ActionModule(DefenderAction):
    SPEC = {**connection_spec(), **collect_spec()}
    TASK = staticmethod(collect_package)
    refused = staticmethod(refused)
