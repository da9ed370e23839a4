# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Post to one of the simulator's own endpoints: faults, reset."""

from __future__ import annotations

import json
import typing as t

from ansible.module_utils.urls import open_url
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Options: path below /_simulator, body; at: the control_url of another tenant."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        simulator = (task_vars or {})["simulator"]
        url = f"{self._task.args.get('at') or simulator['api_url']}/_simulator/{self._task.args['path']}"
        body = json.dumps(self._task.args.get("body") or {})
        with open_url(url, method="POST", data=body, ca_path=simulator["ca_path"], use_proxy=False) as reply:
            result.update(changed=True, json=json.loads(reply.read()))
        return result
