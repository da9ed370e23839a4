# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.secops.defender.plugins.module_utils._tasks.access_token import TASK
from ansible_collections.secops.defender.plugins.plugin_utils._action import DefenderAction


class ActionModule(DefenderAction):
    TASK = TASK

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        if self._task.async_val and boolean(self._task.args.get("return_token", False), strict=False):
            return {
                "failed": True,
                "msg": "return_token is not possible with async: the result of such a task is kept in a file, and shown by "
                "whoever asks for it. Take out one of the two.",
            }
        result = super().run(tmp, task_vars)
        if "access_token" in result:
            # A module could not ask for this itself: Ansible takes it out of what modules return.
            result["_ansible_no_log"] = True
        return result
