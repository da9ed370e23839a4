# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.utils.display import Display

from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.plugin_utils._role import RoleAction, refused_row
from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request
from ansible_collections.secops.defender.plugins.plugin_utils._role_variables import (
    almost_named,
    blank_dest,
    listen,
    request,
)


class ActionModule(RoleAction):
    def work(self) -> dict[str, t.Any]:
        desk, count = self.desk(), len(self.everybody)
        try:
            self.require_each_host()
            surroundings = self.surroundings()
            for sentence in almost_named(self.variables, self.entry):
                Display().warning(sentence)
            said = listen(surroundings)
            blank = blank_dest(said, surroundings)
            if blank:
                Display().warning(blank)
            asked = request(self.host, said, surroundings, count, self.knows_everybody)
        except OptionsError as failure:
            # The host fails by its last task, which has its result; the others are not held up.
            desk.ask(Request(self.host, "", refused=str(failure)))
            desk.answer(self.host, refused_row(self.host, failure))
            return {"msg": f"Refused: {failure}"}
        desk.ask(asked)
        return {"msg": f"{self.host} stands for the device {asked.device}."}
