# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    ActionError,
    DefenderError,
    OptionsError,
)
from ansible_collections.secops.defender.plugins.plugin_utils._role import RoleAction, refused_row, sentence


class ActionModule(RoleAction):
    def work(self) -> dict[str, t.Any]:
        desk = self.desk()
        fleet = desk.asked(self.host)
        row = desk.take(self.host)
        if row is None:
            row = refused_row(self.host, _no_answer(fleet))
        return {**row, "msg": sentence(row)}


def _no_answer(fleet: str | None) -> DefenderError:
    if fleet is None:
        return OptionsError(
            "The role's first task was not run for this host, so nothing was asked for.",
            advice="Run all tasks of the role, or none: begin at its first one with --start-at-task, and tag it as a whole.",
        )
    return ActionError(
        "The host that collected for this one did not come to an end, so it is not known what became of this one.",
        advice="See what happened to that host in the task before. Then run again: what was begun is picked up.",
        code="NoAnswer",
    )
