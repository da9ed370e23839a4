# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role awx_setup needs to know of its own variables and of an AWX before it makes anything there.

Each thing that is wrong is one sentence. Nothing is changed: all calls are GET.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._service.settings import connection_spec
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import listed
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import (
    Spec,
    near,
    read,
    secret_names,
    unknown_variables,
)
from ansible_collections.secops.defender.plugins.plugin_utils._role_variables import FETCH, PREFIX

ROLE = "secops.defender.awx_setup"
OWN = "awx_setup_"
# The job templates, by the variables of their names.
_TEMPLATES = ("collect", "collect_large", "fetch", "verify", "search", "seal", "alert", "ended", "isolate", "release")
AZURE = "Microsoft Azure Resource Manager"
Row = dict[str, t.Any]


class AwxError(Exception):
    """AWX did not answer, or refused to."""


# An endpoint below /api/v2/ and the fields that the rows have; the rows, or the only one where the endpoint is of one.
Ask = t.Callable[[str, Mapping[str, t.Any]], list[Row]]


@dataclass(frozen=True)
class Wanted:
    """What the role was told, typed. Raises OptionsError when it is made of what cannot be meant."""

    values: Mapping[str, t.Any]
    secrets: frozenset[str]

    @classmethod
    def of(cls, variables: Mapping[str, t.Any], spec: Spec) -> Wanted:
        """variables: all of a host, evaluated. spec: the role's own argument specification."""
        given = {name: value for name, value in variables.items() if name.startswith(OWN)}
        _refuse_unknown(given, spec, ROLE)
        values = read(given, spec, {}, called=f"The role {ROLE}").values
        further = values.get(f"{OWN}extra_vars") or {}
        for_role = [name for name in further if name.startswith(PREFIX)]
        _refuse_unknown(for_role, [PREFIX + name for name in FETCH.known], f"{OWN}extra_vars: the role collect_package")
        for sentence in unknown_variables(values.get(f"{OWN}inventory_source_vars") or {}, connection_spec()):
            raise OptionsError(f"{OWN}inventory_source_vars: {sentence}", advice="Nothing was made.")
        return cls(values, frozenset(secret_names(spec)))

    def __getitem__(self, name: str) -> t.Any:
        return self.values[OWN + name]

    def shown(self) -> Row:
        """All but the secrets."""
        return {name: value for name, value in self.values.items() if name not in self.secrets}


def _refuse_unknown(names: t.Iterable[str], known: t.Collection[str], called: str) -> None:
    unknown = sorted(name for name in names if name not in known)
    if unknown:
        raise OptionsError(
            f"{called} knows no variable {', '.join(unknown)}.",
            advice=f"{''.join(near(name, known) for name in unknown)}Nothing was made.",
        )


@dataclass
class Findings:
    """troubles: why nothing is made. notes: what is left to do by hand. there: what exists already, by its kind."""

    troubles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    there: Row = field(default_factory=dict)


class Doctor:
    """Looks at an AWX. types: the names of both credential types by kind; needed: the types that are to be there."""

    def __init__(self, ask: Ask, wanted: Wanted) -> None:
        self._ask, self._wanted = ask, wanted
        self._found = Findings()
        self._user: Row = {}
        self._organization: Row | None = None

    def look(self) -> Findings:
        """Raises AwxError where AWX answers nothing at all."""
        (self._user,) = self._ask("me/", {})
        self._look_at_organization()
        self._look_at_credential_types()
        self._look_at_what_is_named()
        self._look_at_volume()
        self._look_for_what_is_there()
        return self._found

    # --- What has to be there ------------------------------------------------------------------------------------

    def _trouble(self, sentence: str) -> None:
        self._found.troubles.append(sentence)

    def _note(self, sentence: str) -> None:
        self._found.notes.append(sentence)

    @property
    def _is_superuser(self) -> bool:
        return bool(self._user.get("is_superuser"))

    def _look_at_organization(self) -> None:
        name, create = self._wanted["organization"], self._wanted["create_organization"]
        self._organization = self._one("organizations", name=name)
        self._found.there["organization"] = self._organization is not None
        who = self._user.get("username")
        if self._organization is None:
            if not create:
                self._trouble(
                    f"The organization {name} does not exist: create it, or set {OWN}create_organization to true."
                )
            elif not self._is_superuser:
                self._trouble(
                    f"The organization {name} does not exist, and {who} is no system administrator, who alone may create it."
                )
            return
        number = self._organization["id"]
        if not self._is_superuser and not self._ask(
            f"users/{self._user['id']}/admin_of_organizations/", {"id": number}
        ):
            self._trouble(
                f"{who} is no administrator of the organization {name}: sign in as one, or as a system administrator."
            )
        if not self._ask(f"organizations/{number}/galaxy_credentials/", {}):
            self._note(
                f"The organization {name} has no Galaxy credential, so AWX ignores collections/requirements.yml of the project: "
                "the image has to have the collection."
            )

    def _look_at_credential_types(self) -> None:
        kinds = ("secret", "certificate", *(["signing"] if self._wanted["signing_key"] else []))
        names = {kind: self._wanted[f"{kind}_type_name"] for kind in kinds}
        missing = [name for name in names.values() if self._one("credential_types", name=name) is None]
        create, kind = self._wanted["create_credential_types"], self._wanted["credential_kind"]
        # An administrator of an organization can read the types, and need not be able to change them.
        self._found.there["credential_types"] = not missing
        self._found.there["create_credential_types"] = create and self._is_superuser
        if create and missing and not self._is_superuser:
            self._trouble(
                f"{self._user.get('username')} is no system administrator, who alone may create the credential types "
                f"{' and '.join(missing)}: have them created, then set {OWN}create_credential_types to false."
            )
        elif not create:
            for name in (names.get(each) for each in (kind, "signing")):
                if name in missing:
                    self._trouble(
                        f"The credential type {name} does not exist, and {OWN}create_credential_types is false."
                    )

    def _look_at_what_is_named(self) -> None:
        for option in ("execution_environment_credential", "project_credential"):
            if self._wanted[option] and self._one("credentials", name=self._wanted[option]) is None:
                self._trouble(f"The credential {self._wanted[option]} ({OWN}{option}) does not exist.")
        self._look_at_signing()
        if self._wanted["credential_kind"] == "existing":
            self._look_at_existing_credential(self._wanted["credential_name"])
        number = (self._organization or {}).get("id", 0)
        self._look_at_execution_environment(number)
        for option in ("analyst_teams", "approver_teams"):
            missing = [
                name
                for name in self._wanted[option] or ()
                if not self._ask("teams/", {"name": name, "organization": number})
            ]
            if missing:
                self._trouble(f"The organization has no team {listed(missing)} ({OWN}{option}).")

        users = self._wanted["alert_users"] or ()
        missing = [name for name in users if not self._ask("users/", {"username": name})]
        if missing:
            self._trouble(f"AWX has no user {listed(missing)} ({OWN}alert_users).")

    def _look_at_execution_environment(self, organization: int) -> None:
        image = self._wanted["execution_environment_image"]
        if any(each.isspace() for each in image) or image.startswith(("http:", "https:")):
            self._trouble(f"{OWN}execution_environment_image is {image!r}: name it as a registry does, host/path:tag.")
        elif ":" not in image.rpartition("/")[2]:
            self._note(f"The image {image} has no tag, so what it is can change from day to day.")
        name = self._wanted["execution_environment_name"]
        there = self._one("execution_environments", name=name)
        if there and there.get("organization") != organization:
            self._trouble(
                f"The execution environment {name} belongs to another organization, or to none, and AWX has one of a name only: "
                f"name another one ({OWN}execution_environment_name)."
            )

    def _look_at_signing(self) -> None:
        name, agent = self._wanted["signing_credential_name"], self._wanted["signing_agent_credential_name"]
        key = self._wanted["signing_key"]
        if (key or agent) and not name:
            given = "signing_key" if key else "signing_agent_credential_name"
            self._trouble(f"{OWN}{given} is given, but no {OWN}signing_credential_name: name the credential.")
        if name and not key and self._one("credentials", name=name) is None:
            self._trouble(
                f"The credential {name} ({OWN}signing_credential_name) does not exist, and {OWN}signing_key is not given."
            )
        if agent:
            credential = self._one("credentials", name=agent)
            (kind,) = self._ask(f"credential_types/{credential['credential_type']}/", {}) if credential else ({},)
            if kind.get("kind") != "ssh":
                self._trouble(
                    f"There is no credential {agent} of the type Machine ({OWN}signing_agent_credential_name)."
                )

    def _look_at_existing_credential(self, name: str) -> None:
        credential = self._one("credentials", name=name)
        if credential is None:
            self._trouble(f"The credential {name} does not exist, and {OWN}credential_kind is existing.")
            return
        (kind,) = self._ask(f"credential_types/{credential['credential_type']}/", {})
        if kind["name"] == AZURE and not (credential.get("inputs") or {}).get("subscription"):
            self._trouble(
                f"The credential {name} has no Subscription ID, and AWX starts no job with it then: fill it in. It is not used, so "
                "00000000-0000-0000-0000-000000000000 will do."
            )

    def _look_at_volume(self) -> None:
        folder = self._wanted["evidence_dir"].rstrip("/")
        by_hand = f"Mount the evidence volume into the containers of jobs as {folder} (Settings, Jobs, Paths to expose to isolated jobs)."
        try:
            (settings,) = self._ask("settings/jobs/", {})
        except AwxError:
            # Nobody but a system administrator or auditor may read them.
            self._note(by_hand)
            return
        paths = [str(each).split(":") for each in settings.get("AWX_ISOLATION_SHOW_PATHS") or ()]
        if not any(folder == (path[1] if len(path) > 1 else path[0]).rstrip("/") for path in paths):
            self._note(by_hand)

    # --- What is there already -----------------------------------------------------------------------------------

    def _look_for_what_is_there(self) -> None:
        names = {
            "project": ("projects", "project_name"),
            "inventory": ("inventories", "inventory_name"),
            "workflow": ("workflow_job_templates", "workflow_name"),
        }
        number = (self._organization or {}).get("id")
        rows = {
            kind: self._one(endpoint, name=self._wanted[option], organization=number) if number else None
            for kind, (endpoint, option) in names.items()
        }
        rows["credential"] = self._one("credentials", name=self._wanted["credential_name"])
        rows["execution_environment"] = self._one(
            "execution_environments", name=self._wanted["execution_environment_name"]
        )
        templates = [self._wanted[f"{kind}_name"] for kind in _TEMPLATES]
        there = self._found.there
        there.update({kind: row is not None for kind, row in rows.items()})
        there["templates"] = bool(number) and all(
            self._one("job_templates", name=name, organization=number) for name in templates
        )
        there["containing"] = bool(number) and all(
            self._one("workflow_job_templates", name=self._wanted[f"{kind}_workflow_name"], organization=number)
            for kind in ("isolate", "release")
        )
        workflow, project = rows["workflow"], rows["project"]
        nodes = self._ask("workflow_job_template_nodes/", {"workflow_job_template": workflow["id"]}) if workflow else []
        there["nodes"] = {"plan", "approve", "not_approved", "collect", "failed", "verify"} <= {
            str(node.get("identifier")) for node in nodes
        }
        # A change alone makes AWX update a project: one that failed stays failed.
        there["project_is_synced"] = project is not None and project.get("status") == "successful"

    def _one(self, endpoint: str, **fields: t.Any) -> Row | None:
        rows = self._ask(f"{endpoint}/", fields)
        return rows[0] if rows else None


def project_told(ask: Ask, wanted: Wanted) -> list[str]:
    """What is wrong with the project, once it was made or updated. Raises AwxError."""
    rows = ask("projects/", {"name": wanted["project_name"], "organization__name": wanted["organization"]})
    if not rows:
        return [f"The project {wanted['project_name']} was not made."]
    (project,) = rows[:1]
    if project.get("status") != "successful":
        return [
            f"AWX cannot update the project {wanted['project_name']} from {wanted['project_url']}{_why(ask, project)}. "
            "Mend that and run again: the project is synced anew."
        ]
    (there,) = ask(f"projects/{project['id']}/playbooks/", {}) or ([],)
    names = [
        wanted[f"{kind}_playbook"]
        for kind in ("collect", "fetch", "verify", "search", "seal", "alert", "ended", "contain")
    ]
    missing = [name for name in dict.fromkeys(names) if name not in there]
    if missing:
        return [
            f"The project {wanted['project_name']} has no {listed(missing)}: put the contents of docs/awx/project of this collection "
            "into its repository."
        ]
    return []


def _why(ask: Ask, project: Row) -> str:
    """The reason that AWX's own playbook gives, as far as it can be read."""
    update = project.get("summary_fields", {}).get("last_update", {}).get("id")
    if not update:
        return ""
    try:
        events = ask(f"project_updates/{update}/events/", {"event": "runner_on_failed"})
    except AwxError:
        return ""
    for event in reversed(events):
        why = event.get("event_data", {}).get("res", {}).get("msg")
        if why:
            return f": {' '.join(str(why).split())[:300].rstrip('.')}"
    return ""
