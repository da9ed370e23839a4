# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t

from ansible.utils.display import Display

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context
from ansible_collections.secops.defender.plugins.module_utils._tasks.master import watched
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import unknown_variables
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._action import launched_by
from ansible_collections.secops.defender.plugins.plugin_utils._progress import DisplayReporter
from ansible_collections.secops.defender.plugins.plugin_utils._role import RoleAction
from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request, Sheet, judge
from ansible_collections.secops.defender.plugins.plugin_utils._role_lead import (
    FleetReporter,
    Work,
    artifact,
    refuse,
)
from ansible_collections.secops.defender.plugins.plugin_utils._role_tenants import discover
from ansible_collections.secops.defender.plugins.plugin_utils._role_variables import COLLECT, listen


class ActionModule(RoleAction):
    def work(self) -> dict[str, t.Any]:
        desk = self.desk()
        sheet = desk.lead(self.host, self._judge)
        if sheet is None:
            return {}
        result, plan, wanted = self._collect(sheet)
        for request, row in zip(sheet.requests, result["packages"], strict=True):
            desk.answer(request.host, row)
        told = {"msg": result["msg"], "summary": result["summary"], "plan": plan}
        if result["failed"] and not any(row["failed"] for row in result["packages"]):
            # What failed for the run, its report for instance, is no single host's, and must not pass unnoticed.
            told["failed"] = True
        return {**told, "ansible_stats": artifact(sheet, result, plan)} if wanted else told

    def _judge(self, requests: list[Request]) -> list[Sheet]:
        """What is to be done for all hosts that are still there."""
        here = set(self.variables["ansible_play_batch"])
        requests = [request for request in requests if request.host in here]
        sheets = judge(requests, discover)
        reporter = DisplayReporter(Display(), Secrets())
        taking_part = sum(len(sheet.requests) for sheet in sheets)
        if sheets and self.in_step and len(self.everybody) > 1:
            batch = " in this batch" if not self.knows_everybody else ""
            fleets = f", as {len(sheets)} fleets" if len(sheets) > 1 else ""
            reporter.say(f"{taking_part} of {count(len(self.everybody), 'host')} take part{batch}{fleets}")
        refused = [request for request in requests if request.refused]
        if sheets and refused:
            reporter.say(f"{listed(each.host for each in refused)} will fail: {refused[0].refused}")
        return sheets

    def _collect(self, sheet: Sheet) -> tuple[Result, str | None, bool]:
        """The fleet's result, what a plan says of it, and whether it is to be handed over as an artifact."""
        secrets = self.secrets
        try:
            surroundings = self.surroundings()
            said = listen(surroundings)
        except OptionsError as failure:
            return refuse(sheet.requests, failure), None, False
        secrets.add(*said.secrets)
        tenant = sheet.requests[0].tenant or said.options.settings.auth_source if sheet.fleets > 1 else None
        reporter = FleetReporter(secrets, launched_by(self.variables), tenant)
        for sentence in unknown_variables(surroundings.environ, self.entry.spec):
            reporter.warn(sentence)
        context = Context(bool(self._task.check_mode), reporter, secrets, os.uname().nodename)
        work = Work(sheet, said, context, surroundings.own_environ)
        with watched(context.clock, context.master_gone):
            result = work.result()
        reporter.end(result["msg"])
        is_plan = context.check_mode and bool(work.machines) and self.entry is COLLECT
        return result, work.plan(result) if is_plan else None, said.artifacts
