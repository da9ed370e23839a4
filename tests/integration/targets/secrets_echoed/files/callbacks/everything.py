# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes every event with its whole result into a file for each host, as ansible-core's log_plays of old and its like do."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: everything
type: notification
short_description: Writes every event with its whole result
description: Writes every event with its whole result into the folder E(EVERYTHING_DIR).
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "everything"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, event: str, result: t.Any) -> None:
        # Named otherwise before ansible-core 2.20.
        told = result.result if hasattr(result, "result") else result._result
        with open(os.path.join(os.environ["EVERYTHING_DIR"], "events.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "result": told}, default=str, ensure_ascii=False) + "\n")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._write("ok", result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._write("failed", result)

    def v2_runner_on_async_poll(self, result: t.Any) -> None:
        self._write("poll", result)

    def v2_runner_on_async_failed(self, result: t.Any) -> None:
        self._write("async failed", result)
