# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for the API of AWX 24, as far as the collection awx.awx needs it to set things up. It keeps state in memory.

Written from AWX's serializers, views and rights: what they demand is demanded, what they fill in is filled in, who may not is
refused, and secrets never come back. What is launched is written down and not run; its approvals wait for who may decide. A project
update is done at once, and fails where the repository is down.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import threading
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import rules
from aiohttp import web

REQUIRED = object()
Row = dict[str, t.Any]
ENCRYPTED = "$encrypted$"
API = "/api/v2/"
LINKS = ("success_nodes", "failure_nodes", "always_nodes")


@dataclass(frozen=True)
class Kind:
    """One endpoint: fields with their defaults, what must be unique together, which fields name rows of which endpoint."""

    type: str
    fields: dict[str, t.Any]
    unique: tuple[str, ...] = ("name",)
    references: dict[str, str] = field(default_factory=dict)
    choices: dict[str, tuple[t.Any, ...]] = field(default_factory=dict)
    associations: dict[str, str] = field(default_factory=dict)
    creatable: bool = True


def prompts(*names: str) -> dict[str, bool]:
    return {f"ask_{name}_on_launch": False for name in names}


NAMED = {"name": REQUIRED, "description": ""}
VERBOSITIES = (0, 1, 2, 3, 4, 5)

KINDS: dict[str, Kind] = {
    "organizations": Kind(
        "organization", {**NAMED, "max_hosts": 0}, associations={"galaxy_credentials": "credentials"}
    ),
    "teams": Kind(
        "team",
        {**NAMED, "organization": REQUIRED},
        ("name", "organization"),
        references={"organization": "organizations"},
    ),
    "instance_groups": Kind("instance_group", {"name": REQUIRED}),
    "labels": Kind("label", {"name": REQUIRED, "organization": REQUIRED}, references={"organization": "organizations"}),
    "credential_types": Kind(
        "credential_type",
        {**NAMED, "kind": REQUIRED, "managed": False, "inputs": {}, "injectors": {}},
        ("name", "kind"),
        choices={"kind": ("net", "cloud")},
    ),
    "credentials": Kind(
        "credential",
        {**NAMED, "organization": None, "credential_type": REQUIRED, "inputs": {}},
        ("name", "organization", "credential_type"),
        {"organization": "organizations", "credential_type": "credential_types"},
    ),
    "execution_environments": Kind(
        "execution_environment",
        {**NAMED, "organization": None, "image": REQUIRED, "credential": None, "pull": ""},
        references={"organization": "organizations", "credential": "credentials"},
        choices={"pull": ("", "always", "missing", "never")},
    ),
    "projects": Kind(
        "project",
        {
            **NAMED,
            "organization": None,
            "scm_type": "",
            "scm_url": "",
            "scm_branch": "",
            "scm_refspec": "",
            "local_path": "",
            "credential": None,
            "timeout": 0,
            "scm_clean": False,
            "scm_delete_on_update": False,
            "scm_track_submodules": False,
            "scm_update_on_launch": False,
            "scm_update_cache_timeout": 0,
            "allow_override": False,
            "default_environment": None,
            "scm_revision": "",
        },
        ("name", "organization"),
        {
            "organization": "organizations",
            "credential": "credentials",
            "default_environment": "execution_environments",
        },
        {"scm_type": ("", "git", "svn", "insights", "archive")},
    ),
    "inventories": Kind(
        "inventory",
        {**NAMED, "organization": REQUIRED, "kind": "", "host_filter": None, "variables": ""},
        ("name", "organization"),
        {"organization": "organizations"},
        {"kind": ("", "smart", "constructed", None)},
    ),
    "inventory_sources": Kind(
        "inventory_source",
        {
            **NAMED,
            "inventory": REQUIRED,
            "source": REQUIRED,
            "source_path": "",
            "source_vars": "",
            "scm_branch": "",
            "credential": None,
            "enabled_var": "",
            "enabled_value": "",
            "host_filter": "",
            "overwrite": False,
            "overwrite_vars": False,
            "timeout": 0,
            "verbosity": 1,
            "limit": "",
            "execution_environment": None,
            "update_on_launch": False,
            "update_cache_timeout": 0,
            "source_project": None,
        },
        ("name", "inventory"),
        {
            "inventory": "inventories",
            "credential": "credentials",
            "execution_environment": "execution_environments",
            "source_project": "projects",
        },
        {"source": ("scm", "ec2", "azure_rm"), "verbosity": (0, 1, 2)},
    ),
    "job_templates": Kind(
        "job_template",
        {
            **NAMED,
            "organization": None,
            "job_type": "run",
            "inventory": None,
            "project": None,
            "playbook": "",
            "scm_branch": "",
            "forks": 0,
            "limit": "",
            "verbosity": 0,
            "extra_vars": "",
            "job_tags": "",
            "skip_tags": "",
            "timeout": 0,
            "use_fact_cache": False,
            "execution_environment": None,
            "survey_enabled": False,
            "become_enabled": False,
            "diff_mode": False,
            "allow_simultaneous": False,
            "job_slice_count": 1,
            "prevent_instance_group_fallback": False,
            **prompts("variables", "limit", "tags", "job_type", "verbosity", "inventory", "credential", "timeout"),
            **prompts("execution_environment", "forks", "job_slice_count", "scm_branch", "diff_mode", "labels"),
        },
        ("name", "organization"),
        {
            # AWX takes the organization from the project, and ignores what it is told.
            "inventory": "inventories",
            "project": "projects",
            "execution_environment": "execution_environments",
        },
        {"job_type": ("run", "check"), "verbosity": VERBOSITIES},
        {"credentials": "credentials", "labels": "labels", "instance_groups": "instance_groups"},
    ),
    "workflow_job_templates": Kind(
        "workflow_job_template",
        {
            **NAMED,
            "organization": None,
            "inventory": None,
            "limit": None,
            "scm_branch": None,
            "extra_vars": "",
            "survey_enabled": False,
            "allow_simultaneous": False,
            **prompts("variables", "limit", "inventory", "scm_branch", "labels", "tags", "skip_tags"),
        },
        ("name", "organization"),
        {"organization": "organizations", "inventory": "inventories"},
        associations={"labels": "labels"},
    ),
    "workflow_job_template_nodes": Kind(
        "workflow_job_template_node",
        {
            "identifier": REQUIRED,
            "workflow_job_template": REQUIRED,
            "unified_job_template": None,
            "extra_data": {},
            "inventory": None,
            "scm_branch": None,
            "job_type": None,
            "job_tags": None,
            "skip_tags": None,
            "limit": None,
            "diff_mode": None,
            "verbosity": None,
            "all_parents_must_converge": False,
            "execution_environment": None,
            "forks": None,
            "job_slice_count": None,
            "timeout": None,
        },
        ("identifier", "workflow_job_template"),
        {"workflow_job_template": "workflow_job_templates", "unified_job_template": "unified_job_templates"},
        {"job_type": (None, "run", "check")},
        {**dict.fromkeys(LINKS, "workflow_job_template_nodes"), "credentials": "credentials"},
    ),
    "workflow_approval_templates": Kind(
        "workflow_approval_template", {**NAMED, "timeout": 0}, unique=(), creatable=False
    ),
    "project_updates": Kind("project_update", {"project": REQUIRED, "status": "successful"}, (), creatable=False),
}
# The roles that an object has, and which of them include which: who may execute may read, too.
ROLES = {
    "job_templates": ("admin_role", "execute_role", "read_role"),
    "workflow_job_templates": ("admin_role", "execute_role", "read_role", "approval_role"),
}
INCLUDED_IN = {
    "read_role": ("read_role", "execute_role", "approval_role", "admin_role"),
    "execute_role": ("execute_role", "admin_role"),
    "approval_role": ("approval_role", "admin_role"),
}
# What a launch may say besides variables, if the template asks for it.
PROMPTED = ("limit", "job_type", "job_slice_count", "inventory", "credentials", "verbosity")
FORBIDDEN = {"detail": "You do not have permission to perform this action."}
AZURE_FIELDS: list[Row] = [
    {"id": "subscription", "label": "Subscription ID", "type": "string"},
    {"id": "username", "label": "Username", "type": "string"},
    {"id": "password", "label": "Password", "type": "string", "secret": True},
    {"id": "client", "label": "Client ID", "type": "string"},
    {"id": "secret", "label": "Client Secret", "type": "string", "secret": True},
    {"id": "tenant", "label": "Tenant ID", "type": "string"},
    {"id": "cloud_environment", "label": "Azure Cloud Environment", "type": "string"},
]
MACHINE_FIELDS: list[Row] = [
    {"id": "username", "label": "Username", "type": "string"},
    {"id": "ssh_key_data", "label": "SSH Private Key", "type": "string", "format": "ssh_private_key", "secret": True},
    {"id": "ssh_key_unlock", "label": "Private Key Passphrase", "type": "string", "secret": True},
]
# A change of these makes AWX update a project; nothing else does.
SCM_FIELDS = {"scm_type", "scm_url", "scm_branch", "scm_refspec"}
UNIFIED = ("projects", "inventory_sources", "job_templates", "workflow_job_templates", "workflow_approval_templates")
READ_ONLY = {"managed", "scm_revision"}


class Refused(Exception):
    """A reply that is no success."""

    def __init__(self, status: int, body: t.Any) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


class Awx:
    """A running stand-in. project: the folder whose playbooks every project has once it was synced.

    repository_is_down: why project updates fail, while it is set. show_paths: the setting of paths to expose to jobs.
    """

    def __init__(self, project: Path, organizations: t.Sequence[str] = ("Default",)) -> None:
        self.username, self.password = "admin", "a-password-for-the-stand-in"
        self.users: dict[str, Row] = {}
        self.repository_is_down = ""
        self.show_paths: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self._project = project
        self._ids = iter(range(1, 1_000_000))
        self._tokens: dict[str, Row] = {}
        # The teams that hold a role, and the users that hold it by themselves.
        self.holders: dict[int, list[int]] = {}
        self.user_holders: dict[int, list[int]] = {}
        # Jobs, workflow jobs and approvals, by their numbers.
        self.launched: dict[int, Row] = {}
        self.rows: dict[str, dict[int, Row]] = {endpoint: {} for endpoint in KINDS}
        self.surveys: dict[tuple[str, int], Row] = {}
        self.associated: dict[tuple[str, int, str], list[int]] = {}
        self.add_user(self.username, self.password, is_superuser=True)
        for name in organizations:
            self._add("organizations", {"name": name})
        inputs = {"fields": AZURE_FIELDS, "required": ["subscription"]}
        azure = {"name": "Microsoft Azure Resource Manager", "kind": "cloud", "managed": True, "inputs": inputs}
        self._add("credential_types", azure)
        self._add(
            "credential_types",
            {"name": "Machine", "kind": "ssh", "managed": True, "inputs": {"fields": MACHINE_FIELDS}},
        )

    # --- For tests -----------------------------------------------------------------------------------------------

    def start(self) -> Awx:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def add_user(
        self,
        name: str,
        password: str,
        is_superuser: bool = False,
        admin_of: str | None = None,
        teams: t.Sequence[str] = (),
    ) -> None:
        """A user, who is a member of the organizations of the teams."""
        admin = [self.one("organizations", admin_of)["id"]] if admin_of else []
        mine = [self.one("teams", team) for team in teams]
        user = {"id": next(self._ids), "username": name, "is_superuser": is_superuser, "type": "user"}
        user |= {"_password": password, "_admin_of": admin, "_teams": [team["id"] for team in mine]}
        self.users[name] = {**user, "_member_of": [*admin, *(team["organization"] for team in mine)]}

    def add(self, endpoint: str, **fields: t.Any) -> Row:
        """A row that somebody has made by hand."""
        return self._create(endpoint, fields)

    def may(self, team: str, role: str, endpoint: str, name: str) -> bool:
        """Whether the members of a team have a role of an object, by itself or included in another one."""
        number, roles = self.one("teams", team)["id"], self.one(endpoint, name)["_roles"]
        return any(number in self.holders.get(roles.get(each, 0), []) for each in INCLUDED_IN[role])

    def state(self) -> str:
        """All that is kept, to be compared."""
        links = [[*key, ids] for key, ids in sorted(self.associated.items())]
        surveys = [[*key, survey] for key, survey in sorted(self.surveys.items())]
        return json.dumps([self.rows, links, surveys, self.holders, self.user_holders], sort_keys=True)

    def one(self, endpoint: str, name: str) -> Row:
        (found,) = (row for row in self.rows[endpoint].values() if row.get("name", row.get("identifier")) == name)
        return found

    def changing_calls(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] != "GET" and not call[1].startswith(f"{API}tokens/")]

    # --- The server ----------------------------------------------------------------------------------------------

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        assert site._server is not None
        port = t.cast(asyncio.Server, site._server).sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    async def _answer(self, request: web.Request) -> web.Response:
        self.calls.append((request.method, request.path))
        try:
            status, body = self._route(request, await request.text())
        except Refused as refusal:
            status, body = refusal.status, refusal.body
        except rules.RuleBroken as broken:
            status, body = 400, {"detail": str(broken)}
        headers = {"X-API-Product-Name": "AWX", "X-API-Product-Version": "24.6.1"}
        if status == 204:
            return web.Response(status=204, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    def _route(self, request: web.Request, text: str) -> tuple[int, t.Any]:
        if not request.path.startswith(API) or not request.path.endswith("/"):
            raise Refused(404, {"detail": "The requested resource could not be found."})
        endpoint, *rest = request.path[len(API) : -1].split("/")
        if endpoint == "tokens":
            return self._token(request)
        user = self._tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if user is None:
            raise Refused(401, {"detail": "Authentication credentials were not provided."})
        data = json.loads(text) if text else {}
        how = request.method
        special = self._special(user, endpoint, rest, how, data, dict(request.query))
        if special:
            return special
        if endpoint == "unified_job_templates" and how == "GET" and not rest:
            shown = [row for each in UNIFIED for row in self._shown(each, user)]
            return 200, self._list(shown, dict(request.query), None)
        if endpoint not in KINDS:
            raise Refused(404, {"detail": "The requested resource could not be found."})
        if how != "GET":
            self._require_right(user, endpoint, self.rows[endpoint].get(int(rest[0])) if rest else data)
        if not rest:
            return self._whole_table(user, endpoint, how, data, dict(request.query))
        row = self.rows[endpoint].get(int(rest[0]))
        if row is None:
            raise Refused(404, {"detail": "Not found."})
        return self._one_row(user, endpoint, row, rest[1:], how, data)

    def _whole_table(self, user: Row, endpoint: str, how: str, data: Row, query: dict[str, str]) -> tuple[int, t.Any]:
        if how == "GET":
            return 200, self._list(self._shown(endpoint, user), query, KINDS[endpoint])
        if how == "POST" and KINDS[endpoint].creatable:
            shown = self._show(endpoint, self._create(endpoint, data))
            # AWX answers before the update that a new project begins with has ended.
            if "last_update" in shown["summary_fields"]:
                shown["summary_fields"]["current_update"] = shown["summary_fields"].pop("last_update")
            return 201, shown
        raise Refused(405, {"detail": f'Method "{how}" not allowed.'})

    def _one_row(
        self, user: Row, endpoint: str, row: Row, below: list[str], how: str, data: t.Any
    ) -> tuple[int, t.Any]:
        if how == "GET" and not self._may_read(user, endpoint, row):
            raise Refused(403, FORBIDDEN)
        if not below and how == "GET":
            return 200, self._show(endpoint, row)
        if not below and how == "PATCH":
            return 200, self._show(endpoint, self._update(endpoint, row, data))
        if len(below) == 1 and below[0] in KINDS[endpoint].associations:
            return self._associate(endpoint, row, below[0], how, data)
        if below == ["survey_spec"] and endpoint in ("job_templates", "workflow_job_templates"):
            return self._survey(endpoint, row, how, data)
        if below == ["create_approval_template"] and how == "POST" and "identifier" in row:
            approval = self._add("workflow_approval_templates", data)
            row["unified_job_template"] = approval["id"]
            return 201, self._show("workflow_approval_templates", approval)
        raise Refused(404, {"detail": "Not found."})

    def _token(self, request: web.Request) -> tuple[int, t.Any]:
        given = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        user = self.users.get(given.partition(":")[0])
        if user is None or given.partition(":")[2] != user["_password"]:
            raise Refused(401, {"detail": "Invalid username/password."})
        if request.method == "DELETE":
            return 204, None
        number = next(self._ids)
        self._tokens[f"token-{number}"] = user
        return 201, {"id": number, "token": f"token-{number}"}

    def _special(
        self, user: Row, endpoint: str, rest: list[str], how: str, data: Row, query: dict[str, str]
    ) -> tuple[int, t.Any] | None:
        """What is no list of rows and no row."""
        match (how, endpoint, *rest):
            case ("GET", "me"):
                return 200, self._page([{name: value for name, value in user.items() if name[0] != "_"}])
            case ("GET", "users", _, "admin_of_organizations"):
                mine = [self._show("organizations", self.rows["organizations"][each]) for each in user["_admin_of"]]
                return 200, self._list(mine, query, KINDS["organizations"])
            case ("GET", "settings", "jobs"):
                if not user["is_superuser"]:
                    raise Refused(403, FORBIDDEN)
                return 200, {"AWX_ISOLATION_SHOW_PATHS": self.show_paths}
            case (_, "roles", role, ("teams" | "users") as holders):
                return self._hold(user, int(role), holders, how, data)
            case ("GET", "users"):
                public = [{key: value for key, value in each.items() if key[0] != "_"} for each in self.users.values()]
                return 200, self._list(public, query, None)
            case ("GET", "projects", number, "playbooks"):
                return 200, self._playbooks(self.rows["projects"][int(number)])
            case ("POST", "projects", number, "update"):
                project = self.rows["projects"][int(number)]
                self._require_right(user, "projects", project)
                update = self._sync(project)
                return 202, {"id": update["id"], "url": f"{API}project_updates/{update['id']}/"}
            case ("GET", "project_updates", number, "events"):
                why = self.rows["project_updates"][int(number)]["_why"]
                failed = {"event": "runner_on_failed", "event_data": {"res": {"msg": why}}}
                return 200, self._page([failed] if why else [])
        return self._of_jobs(user, endpoint, rest, how, data, query)

    def _of_jobs(
        self, user: Row, endpoint: str, rest: list[str], how: str, data: Row, query: dict[str, str]
    ) -> tuple[int, t.Any] | None:
        """Launching, what was launched, and approvals."""
        match (how, endpoint, *rest):
            case ("POST", ("job_templates" | "workflow_job_templates"), number, "launch"):
                return self._launch(user, endpoint, self.rows[endpoint][int(number)], data)
            case ("GET", ("jobs" | "workflow_jobs" | "workflow_approvals"), number):
                return 200, self._launched_row(user, endpoint, int(number))
            case ("GET", ("jobs" | "workflow_jobs" | "workflow_approvals")):
                rows = [row for row in self.launched.values() if row["type"] == endpoint[:-1]]
                return 200, self._list([row for row in rows if self._may_see(user, row)], query, None)
            case ("POST", "jobs", number, "relaunch"):
                job = self._launched_row(user, "jobs", int(number))
                return self._launch(user, "job_templates", self.rows["job_templates"][job["job_template"]], {})
            case ("POST", "workflow_approvals", number, ("approve" | "deny") as decision):
                return self._decide(user, self.launched[int(number)], decision)
        return None

    @staticmethod
    def _page(rows: list[t.Any]) -> Row:
        return {"count": len(rows), "next": None, "previous": None, "results": rows}

    def _require_right(self, user: Row, endpoint: str, row: Row | None) -> None:
        """Of administrators only: what AWX lets executors do is asked of L(may)."""
        if user["is_superuser"] or row is None:
            return
        if endpoint in ("credential_types", "organizations", "instance_groups"):
            raise Refused(403, FORBIDDEN)
        if self._organization_of(endpoint, row) not in user["_admin_of"]:
            raise Refused(403, FORBIDDEN)

    # --- Who may read, launch and decide (awx/main/access.py) ----------------------------------------------------

    def _is_over(self, user: Row, endpoint: str, row: Row) -> bool:
        """Whether somebody administers all of AWX, or the organization of a row."""
        return bool(user["is_superuser"] or self._organization_of(endpoint, row) in user["_admin_of"])

    def _has(self, user: Row, role: str, endpoint: str, row: Row) -> bool:
        """Whether somebody has a role of a template: by a team, by themselves, or because another role includes it."""
        numbers = [row["_roles"][each] for each in INCLUDED_IN[role] if each in row["_roles"]]
        held = any(
            user["id"] in self.user_holders.get(number, []) or set(user["_teams"]) & set(self.holders.get(number, []))
            for number in numbers
        )
        return held or self._is_over(user, endpoint, row)

    def _may_read(self, user: Row, endpoint: str, row: Row) -> bool:
        if endpoint in ROLES:
            return self._has(user, "read_role", endpoint, row)
        if endpoint == "workflow_job_template_nodes":
            above = self.rows["workflow_job_templates"][row["workflow_job_template"]]
            return self._has(user, "read_role", "workflow_job_templates", above)
        if user["is_superuser"] or endpoint == "credential_types":
            return True
        if endpoint in ("organizations", "execution_environments"):
            number = row["id"] if endpoint == "organizations" else row["organization"]
            return number is None or number in user["_member_of"]
        if endpoint == "teams" and row["id"] in user["_teams"]:
            return True
        return (
            bool(user["_admin_of"]) if endpoint not in ("credentials", "teams") else self._is_over(user, endpoint, row)
        )

    def _may_see(self, user: Row, launched: Row) -> bool:
        """A job is readable through its template alone, an approval through its workflow."""
        endpoint, number = launched["_template"]
        return self._has(user, "read_role", endpoint, self.rows[endpoint][number])

    def _launched_row(self, user: Row, endpoint: str, number: int) -> Row:
        row = self.launched.get(number)
        if row is None or row["type"] != endpoint[:-1]:
            raise Refused(404, {"detail": "Not found."})
        if not self._may_see(user, row):
            raise Refused(403, FORBIDDEN)
        return {name: value for name, value in row.items() if name[0] != "_"}

    def _launch(self, user: Row, endpoint: str, row: Row, data: Row) -> tuple[int, t.Any]:
        if not self._has(user, "execute_role", endpoint, row):
            raise Refused(403, FORBIDDEN)
        variables = data.get("extra_vars") or {}
        survey = self.surveys.get((endpoint, row["id"]), {"spec": []}) if row["survey_enabled"] else {"spec": []}
        asked = {question["variable"]: question for question in survey["spec"]}
        wrong = [why for question in survey["spec"] for why in rules.wrong_answer(question, variables)]
        if wrong:
            raise Refused(400, {"variables_needed_to_start": wrong})
        taken = {name: value for name, value in variables.items() if name in asked or row["ask_variables_on_launch"]}
        ignored: Row = {name: data[name] for name in PROMPTED if name in data and not row.get(f"ask_{name}_on_launch")}
        if set(variables) - set(taken):
            ignored["extra_vars"] = {name: value for name, value in variables.items() if name not in taken}
        job = self._write_down(endpoint, row, user, extra_vars={**rules.parse_vars(row["extra_vars"]), **taken})
        if endpoint == "workflow_job_templates":
            self._spawn(job, user, [node for node in self._nodes(row) if not self._leads_into(node)])
        return 201, {"id": job["id"], endpoint[: -len("_templates")]: job["id"], "ignored_fields": ignored}

    def _write_down(self, endpoint: str, template: Row, user: Row, **more: t.Any) -> Row:
        kind = endpoint[: -len("_templates")]
        job: Row = {"id": next(self._ids), "type": kind, "name": template["name"], "status": "pending"}
        job |= {kind + "_template": template["id"], "_template": (endpoint, template["id"]), "_by": user["id"], **more}
        self.launched[job["id"]] = job
        return job

    def _nodes(self, workflow: Row) -> list[Row]:
        rows = self.rows["workflow_job_template_nodes"].values()
        return [node for node in rows if node["workflow_job_template"] == workflow["id"]]

    def _leads_into(self, node: Row) -> bool:
        table = "workflow_job_template_nodes"
        return any(
            node["id"] in ids
            for (where, _row, link), ids in self.associated.items()
            if where == table and link in LINKS
        )

    def _spawn(self, flow: Row, user: Row, nodes: t.Sequence[Row]) -> None:
        """The jobs of nodes, which end well as soon as they are written down, up to approvals, which wait."""
        for node in nodes:
            number = node["unified_job_template"]
            if number in self.rows["job_templates"]:
                self._write_down("job_templates", self.rows["job_templates"][number], user, workflow_job=flow["id"])
                self._follow(flow, user, node, "success_nodes")
            else:
                above = ("workflow_job_templates", flow["workflow_job_template"])
                approval: Row = {"id": next(self._ids), "type": "workflow_approval", "status": "pending", "_node": node}
                self.launched[approval["id"]] = {
                    **approval,
                    "workflow_job": flow["id"],
                    "_template": above,
                    "_by": user,
                }

    def _follow(self, flow: Row, user: Row, node: Row, link: str) -> None:
        key = "workflow_job_template_nodes"
        ids = [
            *self.associated.get((key, node["id"], link), []),
            *self.associated.get((key, node["id"], "always_nodes"), []),
        ]
        self._spawn(flow, user, [self.rows[key][each] for each in ids])

    def _decide(self, user: Row, approval: Row, decision: str) -> tuple[int, t.Any]:
        endpoint, number = approval["_template"]
        if not self._has(user, "approval_role", endpoint, self.rows[endpoint][number]):
            raise Refused(403, {"detail": "User does not have permission to approve or deny this workflow."})
        if approval["status"] != "pending":
            raise Refused(400, {"error": "This workflow step has already been approved or denied."})
        approval["status"] = "successful" if decision == "approve" else "failed"
        link = "success_nodes" if decision == "approve" else "failure_nodes"
        self._follow(self.launched[approval["workflow_job"]], approval["_by"], approval["_node"], link)
        return 204, None

    def _organization_of(self, endpoint: str, row: Row) -> int | None:
        above = {
            "inventory_sources": ("inventories", "inventory"),
            "workflow_job_template_nodes": ("workflow_job_templates", "workflow_job_template"),
            "job_templates": ("projects", "project"),
        }
        if endpoint in above:
            table, field = above[endpoint]
            row = self.rows[table].get(int(row.get(field) or 0), {})
        return t.cast("int | None", row.get("organization"))

    def _hold(self, user: Row, role: int, holders: str, how: str, data: Row) -> tuple[int, t.Any]:
        table = self.holders if holders == "teams" else self.user_holders
        if how == "GET":
            return 200, self._page([{"id": each} for each in table.get(role, [])])
        (owner,) = (
            (endpoint, row)
            for endpoint in ROLES
            for row in self.rows[endpoint].values()
            if role in row["_roles"].values()
        )
        self._require_right(user, *owner)
        known = self.rows["teams"] if holders == "teams" else [each["id"] for each in self.users.values()]
        if data["id"] not in known:
            raise Refused(400, {"detail": "No such team or user."})
        held = table.setdefault(role, [])
        if data.get("disassociate"):
            held.remove(data["id"])
        elif data["id"] not in held:
            held.append(data["id"])
        return 204, None

    # --- Projects ------------------------------------------------------------------------------------------------

    def _sync(self, project: Row) -> Row:
        why = self.repository_is_down
        update = self._add("project_updates", {"project": project["id"], "status": "failed" if why else "successful"})
        update["_why"] = why
        project["_update"], project["status"] = update["id"], update["status"]
        if not why:
            project["scm_revision"] = "0" * 40
        return update

    def _playbooks(self, project: Row) -> list[str]:
        """Those of the last sync that was successful."""
        return rules.playbooks(self._project) if project["scm_revision"] else []

    # --- Rows ----------------------------------------------------------------------------------------------------

    def _add(self, endpoint: str, data: Row) -> Row:
        kind = KINDS[endpoint]
        row: Row = {"id": next(self._ids)}
        for name, default in kind.fields.items():
            row[name] = copy.deepcopy(data.get(name, default))
            if row[name] is REQUIRED:
                raise Refused(400, {name: ["This field is required."]})
        if endpoint in ROLES:
            row["_roles"] = {name: next(self._ids) for name in ROLES[endpoint]}
        if endpoint == "projects":
            row["status"] = "never updated"
        self.rows[endpoint][row["id"]] = row
        return row

    def _create(self, endpoint: str, data: Row) -> Row:
        row = self._add(endpoint, {name: value for name, value in data.items() if name not in READ_ONLY})
        try:
            self._check(endpoint, row)
        except Exception:
            del self.rows[endpoint][row["id"]]
            raise
        if endpoint == "projects" and row["scm_type"]:
            self._sync(row)
        return row

    def _update(self, endpoint: str, row: Row, data: Row) -> Row:
        if row.get("managed"):
            raise Refused(403, {"detail": "Modifications not allowed for managed credential types"})
        before = copy.deepcopy(row)
        row.update(
            {name: value for name, value in data.items() if name in KINDS[endpoint].fields and name not in READ_ONLY}
        )
        if endpoint == "credentials":
            for name, value in row["inputs"].items():
                if value == ENCRYPTED:
                    row["inputs"][name] = before["inputs"][name]
        try:
            self._check(endpoint, row)
        except Exception:
            row.clear()
            row.update(before)
            raise
        if endpoint == "execution_environments" and row["organization"] not in (None, before["organization"]):
            row.clear()
            row.update(before)
            raise Refused(400, {"organization": ["Cannot change the organization of an execution environment"]})
        if endpoint == "projects" and any(row[name] != before[name] for name in SCM_FIELDS):
            self._sync(row)
        return row

    def _check(self, endpoint: str, row: Row) -> None:
        self._check_fields(endpoint, row)
        if endpoint == "job_templates":
            self._check_template(row)
        self._check_unique(endpoint, row)
        if endpoint == "credential_types":
            rules.check_inputs(row["inputs"])
            rules.check_injectors(row["injectors"], row["inputs"])
            for each in row["inputs"].get("fields", []):
                each.setdefault("type", "string")
        if endpoint == "credentials":
            self._check_credential(row)
        if endpoint == "inventory_sources" and row["source"] == "scm" and row["source_project"] is None:
            raise Refused(400, {"source_project": ["Project required for scm type sources."]})
        if endpoint == "workflow_job_template_nodes":
            self._check_node(row)
        if "extra_vars" in row:
            rules.parse_vars(row["extra_vars"])

    def _check_fields(self, endpoint: str, row: Row) -> None:
        kind = KINDS[endpoint]
        for name in ("name", "identifier"):
            if name in row and not 0 < len(row[name]) <= 512:
                raise Refused(400, {name: ["Ensure this field has no more than 512 characters, and some."]})
        for name, choices in kind.choices.items():
            if row[name] not in choices:
                raise Refused(400, {name: [f'"{row[name]}" is not a valid choice.']})
        for name, where in kind.references.items():
            tables = UNIFIED if where == "unified_job_templates" else (where,)
            if row[name] is not None and not any(row[name] in self.rows[each] for each in tables):
                raise Refused(400, {name: [f'Invalid pk "{row[name]}" - object does not exist.']})
        for name, default in kind.fields.items():
            if isinstance(default, (bool, int)) and not isinstance(row[name], type(default)):
                raise Refused(400, {name: [f"Not of the type {type(default).__name__}: {row[name]!r}."]})

    def _check_unique(self, endpoint: str, row: Row) -> None:
        unique = KINDS[endpoint].unique
        others = (other for other in self.rows[endpoint].values() if other is not row)
        if unique and any(all(other[name] == row[name] for name in unique) for other in others):
            raise Refused(
                400, {"__all__": [f"{KINDS[endpoint].type} with this {' and '.join(unique)} already exists."]}
            )

    def _check_credential(self, row: Row) -> None:
        inputs = self.rows["credential_types"][row["credential_type"]]["inputs"]
        fields = {each["id"]: each for each in inputs.get("fields", [])}
        for name, value in row["inputs"].items():
            if name not in fields:
                raise Refused(400, {"inputs": {name: ["Additional properties are not allowed."]}})
            if fields[name].get("format") == "ssh_private_key" and value:
                rules.check_private_key(value)
            if value not in fields[name].get("choices", [value]):
                raise Refused(400, {"inputs": {name: [f"{value} is not one of the choices."]}})

    def _check_template(self, row: Row) -> None:
        if row["project"] is None:
            raise Refused(400, {"project": ["This field is required."]})
        if row["inventory"] is None and not row["ask_inventory_on_launch"]:
            raise Refused(400, {"inventory": ["You must either set a default value or ask to prompt on launch."]})
        project = self.rows["projects"][row["project"]]
        row["organization"] = project["organization"]
        if row["playbook"] not in self._playbooks(project):
            raise Refused(400, {"playbook": ["Playbook not found for project."]})

    def _check_node(self, row: Row) -> None:
        template = self.rows["job_templates"].get(row["unified_job_template"] or 0, {})
        for name in ("job_type", "limit", "verbosity", "timeout", "forks", "job_slice_count"):
            if row[name] is not None and not template.get(f"ask_{name}_on_launch"):
                raise Refused(400, {name: ["Field is not configured to prompt on launch."]})
        survey = self.surveys.get(("job_templates", row["unified_job_template"] or 0), {"spec": []})
        asked = {question["variable"] for question in survey["spec"]}
        if not template.get("ask_variables_on_launch") and set(row["extra_data"]) - asked:
            raise Refused(400, {"extra_data": ["Variables are not allowed on launch."]})

    # --- Replies -------------------------------------------------------------------------------------------------

    def _shown(self, endpoint: str, user: Row) -> list[Row]:
        return [
            self._show(endpoint, row) for row in self.rows[endpoint].values() if self._may_read(user, endpoint, row)
        ]

    def _show(self, endpoint: str, row: Row) -> Row:
        kind = KINDS[endpoint]
        url = f"{API}{endpoint}/{row['id']}/"
        related = {each: f"{url}{each}/" for each in (*kind.associations, "survey_spec", "update")}
        for name in kind.references:
            if row[name] is not None:
                tables = UNIFIED if name == "unified_job_template" else (kind.references[name],)
                (table,) = (each for each in tables if row[name] in self.rows[each])
                related[name] = f"{API}{table}/{row[name]}/"
        shown = {name: copy.deepcopy(value) for name, value in row.items() if not name.startswith("_")}
        if endpoint == "credentials":
            inputs = self.rows["credential_types"][row["credential_type"]]["inputs"]
            secret = {each["id"] for each in inputs.get("fields", []) if each.get("secret")}
            shown["inputs"] = {name: ENCRYPTED if name in secret else value for name, value in row["inputs"].items()}
        summary: Row = {}
        if endpoint == "projects" and "_update" in row:
            # Done at once, so it is never the current one for who asks later.
            summary["last_update"] = {"id": row["_update"], "status": row["status"]}
        if "_roles" in row:
            summary["object_roles"] = {name: {"id": number, "name": name} for name, number in row["_roles"].items()}
        if endpoint == "project_updates":
            shown.update(
                failed=row["status"] == "failed", finished="2026-11-26T12:00:00Z", event_processing_finished=True
            )
            shown["scm_revision"] = self.rows["projects"][row["project"]]["scm_revision"]
        return {**shown, "type": kind.type, "url": url, "related": related, "summary_fields": summary}

    def _list(self, rows: list[Row], query: dict[str, str], kind: Kind | None) -> Row:
        for name in query:
            plain = name.removeprefix("or__").removesuffix("__name")
            if kind and plain not in ("id", "type", *kind.fields):
                raise Refused(400, {"detail": f"{kind.type} has no field named '{plain}'"})
        either = {name.removeprefix("or__"): value for name, value in query.items() if name.startswith("or__")}
        all_of = {name: value for name, value in query.items() if not name.startswith("or__")}
        found = [
            row
            for row in rows
            if all(self._value(row, name) == value for name, value in all_of.items())
            and (not either or any(str(row.get(name)) == value for name, value in either.items()))
        ]
        return {"count": len(found), "next": None, "previous": None, "results": found}

    def _value(self, row: Row, name: str) -> str:
        """A field as a query names it; that of a row which it points to after two underscores."""
        if name.endswith("__name"):
            tables = KINDS[f"{row['type']}s"].references
            field_name = name.removesuffix("__name")
            return str(self.rows[tables[field_name]].get(row.get(field_name) or 0, {}).get("name"))
        return str(row.get(name))

    def _associate(self, endpoint: str, row: Row, what: str, how: str, data: Row) -> tuple[int, t.Any]:
        where = KINDS[endpoint].associations[what]
        ids = self.associated.setdefault((endpoint, row["id"], what), [])
        if how == "GET":
            return 200, self._list([self._show(where, self.rows[where][each]) for each in ids], {}, None)
        if how != "POST" or data.get("id") not in self.rows[where]:
            raise Refused(400, {"detail": f"cannot {how} {data}"})
        if data.get("disassociate"):
            ids.remove(data["id"])
            return 204, None
        if what == "credentials":
            kinds = [self.rows[where][each]["credential_type"] for each in (*ids, data["id"])]
            if len(set(kinds)) < len(kinds):
                raise Refused(400, {"error": "Cannot assign multiple credentials of one type."})
        if what in LINKS:
            other = self.rows[where][data["id"]]
            if other["workflow_job_template"] != row["workflow_job_template"] or self._leads_to(other["id"], row["id"]):
                raise Refused(400, {"Error": "Cycle detected."})
            if any(data["id"] in self.associated.get((endpoint, row["id"], link), []) for link in LINKS):
                raise Refused(400, {"Error": "Relationship not allowed."})
        ids.append(data["id"])
        return 204, None

    def _leads_to(self, start: int, goal: int) -> bool:
        table = "workflow_job_template_nodes"
        nexts = [each for link in LINKS for each in self.associated.get((table, start, link), [])]
        return start == goal or any(self._leads_to(each, goal) for each in nexts)

    def _survey(self, endpoint: str, row: Row, how: str, data: Row) -> tuple[int, t.Any]:
        key = (endpoint, row["id"])
        if how == "GET":
            return 200, self.surveys.get(key, {})
        if how == "DELETE":
            self.surveys.pop(key, None)
            return 200, {}
        try:
            rules.check_survey(data)
        except rules.RuleBroken as broken:
            raise Refused(400, {"error": str(broken)}) from None
        self.surveys[key] = data
        return 200, {}
