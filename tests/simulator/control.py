# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulator's own endpoints, for those who run it as a program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .alerts import Alert
from .messages import Call, Handler, Reply, json_reply

if TYPE_CHECKING:
    from .server import Simulator


class Control:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        base = "/_simulator"
        return [
            ("GET", f"{base}/requests", "control", self._requests),
            ("GET", f"{base}/actions", "control", self._actions),
            ("GET", f"{base}/secrets", "control", self._secrets),
            ("GET", f"{base}/quota", "control", self._quota),
            ("POST", f"{base}/faults", "control", self._faults),
            ("POST", f"{base}/alerts", "control", self._alert),
            ("POST", f"{base}/alert-changes", "control", self._alert_change),
            ("POST", f"{base}/reset", "control", self._reset),
            ("POST", f"{base}/approve-device-code", "control", self._approve),
        ]

    def _requests(self, call: Call) -> Reply:
        return json_reply(200, [entry.as_dict() for entry in self._simulator.requests])

    def _actions(self, call: Call) -> Reply:
        return json_reply(200, {"actions": self._simulator.actions, "starts": self._simulator.accepted_starts()})

    def _secrets(self, call: Call) -> Reply:
        return json_reply(200, sorted(self._simulator.secrets))

    def _quota(self, call: Call) -> Reply:
        return json_reply(200, self._simulator.quota.report(call.now))

    def _faults(self, call: Call) -> Reply:
        try:
            self._simulator.add_fault(**json.loads(call.body))
        except (ValueError, TypeError) as error:
            return json_reply(400, {"error": str(error)})
        return json_reply(201, {})

    def _alert(self, call: Call) -> Reply:
        try:
            alert = Alert(**{"age": 0.0, **_object(call)})
        except (ValueError, TypeError) as error:
            return json_reply(400, {"error": str(error)})
        return json_reply(201, {"id": self._simulator.add_alert(alert)})

    def _alert_change(self, call: Call) -> Reply:
        try:
            change = _object(call)
            self._simulator.change_alert(change.pop("id"), **change)
        except (ValueError, TypeError, KeyError) as error:
            return json_reply(400, {"error": str(error)})
        return json_reply(200, {})

    def _reset(self, call: Call) -> Reply:
        what = _object(call).get("what", "log")
        if what not in ("log", "faults", "all"):
            return json_reply(400, {"error": f"what is log, faults or all, not {what!r}"})
        if what == "all":
            self._simulator.reset()
        elif what == "faults":
            self._simulator.faults.reset()
        else:
            self._simulator.reset_log()
        return json_reply(200, {})

    def _approve(self, call: Call) -> Reply:
        return json_reply(200, {"approved": self._simulator.approve_device_code(_object(call).get("username", ""))})


def _object(call: Call) -> dict[str, Any]:
    body = json.loads(call.body or b"{}")
    return body if isinstance(body, dict) else {}
