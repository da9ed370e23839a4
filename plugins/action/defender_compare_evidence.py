# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._tasks.compare_evidence import TASK
from ansible_collections.secops.defender.plugins.plugin_utils._action import DefenderAction
from ansible_collections.secops.defender.plugins.plugin_utils._unsafe import unsafe


class ActionModule(DefenderAction):
    TASK = TASK

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        # What packages say may look like a template.
        result: dict[str, t.Any] = unsafe(super().run(tmp, task_vars))
        return result
