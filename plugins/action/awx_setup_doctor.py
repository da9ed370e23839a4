# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import Spec
from ansible_collections.secops.defender.plugins.plugin_utils._awx_doctor import (
    OWN,
    AwxError,
    Doctor,
    Row,
    Wanted,
    project_told,
)
from ansible_collections.secops.defender.plugins.plugin_utils._role_variables import evaluated

_LOOKUP = "awx.awx.controller_api"
# The options of awx.awx's modules that say where AWX is, and what its lookup calls them.
_CONNECTION = {
    "controller_host": "host",
    "controller_username": "username",
    "controller_password": "password",
    "controller_oauthtoken": "oauth_token",
    "validate_certs": "verify_ssl",
    "request_timeout": "request_timeout",
}


class ActionModule(ActionBase):
    """Looks at the role's variables and at AWX, and makes nothing."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        result["changed"] = False
        try:
            wanted = Wanted.of(self._own_variables(), self._spec())
            result.update(
                self._about_project(wanted) if self._task.args.get("about") == "project" else self._about(wanted)
            )
        except OptionsError as failure:
            result.update(failed=True, msg=str(failure))
        except AwxError as failure:
            result.update(
                failed=True,
                msg=f"AWX at {self._host()} does not answer as it should: {failure}. Check CONTROLLER_HOST, and what it "
                "is signed in with. Nothing was made.",
            )
        return result

    def _about(self, wanted: Wanted) -> Row:
        found = Doctor(self._ask, wanted).look()
        told = {"options": wanted.shown(), "there": found.there, "notes": found.notes, "host": self._host()}
        if found.troubles:
            return {
                **told,
                "failed": True,
                "troubles": found.troubles,
                "msg": f"{' '.join(found.troubles)} Nothing was made.",
            }
        return {**told, "troubles": [], "msg": "AWX is ready to be set up."}

    def _about_project(self, wanted: Wanted) -> Row:
        troubles = project_told(self._ask, wanted)
        if troubles:
            return {"failed": True, "troubles": troubles, "msg": " ".join(troubles)}
        return {"troubles": [], "msg": "The project is synced, and has all playbooks."}

    def _spec(self) -> Spec:
        """The role's argument specification: what it documents is what it knows."""
        path = Path(self._task._role._role_path) / "meta" / "argument_specs.yml"
        options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
        # A region or a size may be left empty, and numbers are no words.
        return {
            name: {key: each for key, each in option.items() if key != "choices" or option["type"] == "str"}
            for name, option in options.items()
        }

    def _own_variables(self) -> Row:
        return {
            name: evaluated(name, value, self._templar.template, secret=True)
            for name, value in self._variables.items()
            if name.startswith(OWN)
        }

    def _connection_options(self) -> Row:
        """What module_defaults say of AWX: lookups do not see them."""
        given: Row = {}
        for each in self._task.module_defaults or ():
            for name in ("group/awx.awx.controller", "group/awx.awx.all"):
                templated = self._templar.template(each.get(name) or {})
                given.update({_CONNECTION[key]: value for key, value in templated.items() if key in _CONNECTION})
        return given

    def _host(self) -> str:
        return str(
            self._connection_options().get("host")
            or os.environ.get("CONTROLLER_HOST")
            or os.environ.get("TOWER_HOST")
            or "the address that awx.awx takes by default"
        )

    def _ask(self, endpoint: str, fields: t.Mapping[str, t.Any]) -> list[Row]:
        """Raises AwxError."""
        lookup = lookup_loader.get(_LOOKUP, loader=self._loader, templar=self._templar)
        if lookup is None:
            raise AwxError("the collection awx.awx is not installed: ansible-galaxy collection install awx.awx")
        try:
            answer = lookup.run(
                [endpoint], variables=self._variables, query_params=dict(fields), **self._connection_options()
            )
        except (AnsibleError, KeyError, TypeError, ValueError) as failure:
            raise AwxError(str(failure).strip().rstrip(".")) from None
        # The rows of a list, or the only object of an endpoint that has no list.
        return list(answer)
