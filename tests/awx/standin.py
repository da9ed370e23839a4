# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for the API of AWX 24, as far as the collection awx.awx needs it to set things up. It keeps state in memory.

Written from AWX's serializers and views: what they demand is demanded, what they fill in is filled in, and secrets never come
back. It runs no jobs; project updates are successful at once.
"""

from __future__ import annotations

import asyncio
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
    "organizations": Kind("organization", {**NAMED, "max_hosts": 0}),
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
UNIFIED = ("projects", "inventory_sources", "job_templates", "workflow_job_templates", "workflow_approval_templates")
READ_ONLY = {"managed", "scm_revision"}


class Refused(Exception):
    """A reply that is no success."""

    def __init__(self, status: int, body: t.Any) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


class Awx:
    """A running stand-in. project: the folder whose playbooks every project has."""

    def __init__(self, project: Path, username: str = "admin", password: str = "a-password-for-the-stand-in") -> None:
        self.username, self.password = username, password
        self.calls: list[tuple[str, str]] = []
        self._project = project
        self._ids = iter(range(1, 1_000_000))
        self._tokens: set[str] = set()
        self.rows: dict[str, dict[int, Row]] = {endpoint: {} for endpoint in KINDS}
        self.surveys: dict[tuple[str, int], Row] = {}
        self.associated: dict[tuple[str, int, str], list[int]] = {}
        self._add("organizations", {"name": "Default"})
        azure = {"name": "Microsoft Azure Resource Manager", "kind": "cloud", "managed": True}
        self._add("credential_types", azure)

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

    def state(self) -> str:
        """All that is kept, to be compared."""
        links = [[*key, ids] for key, ids in sorted(self.associated.items())]
        surveys = [[*key, survey] for key, survey in sorted(self.surveys.items())]
        return json.dumps([self.rows, links, surveys], sort_keys=True)

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
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self._tokens:
            raise Refused(401, {"detail": "Authentication credentials were not provided."})
        data = json.loads(text) if text else {}
        how = request.method
        if endpoint == "unified_job_templates" and how == "GET" and not rest:
            return 200, self._list([row for each in UNIFIED for row in self._shown(each)], dict(request.query), None)
        if endpoint not in KINDS:
            raise Refused(404, {"detail": "The requested resource could not be found."})
        if not rest:
            if how == "GET":
                return 200, self._list(self._shown(endpoint), dict(request.query), KINDS[endpoint])
            if how == "POST" and KINDS[endpoint].creatable:
                return 201, self._show(endpoint, self._create(endpoint, data))
            raise Refused(405, {"detail": f'Method "{how}" not allowed.'})
        row = self.rows[endpoint].get(int(rest[0]))
        if row is None:
            raise Refused(404, {"detail": "Not found."})
        if len(rest) == 1 and how == "GET":
            return 200, self._show(endpoint, row)
        if len(rest) == 1 and how == "PATCH":
            return 200, self._show(endpoint, self._update(endpoint, row, data))
        if len(rest) == 2 and rest[1] in KINDS[endpoint].associations:
            return self._associate(endpoint, row, rest[1], how, data)
        if rest[1:] == ["survey_spec"] and endpoint in ("job_templates", "workflow_job_templates"):
            return self._survey(endpoint, row, how, data)
        if rest[1:] == ["create_approval_template"] and how == "POST" and "identifier" in row:
            approval = self._add("workflow_approval_templates", data)
            row["unified_job_template"] = approval["id"]
            return 201, self._show("workflow_approval_templates", approval)
        raise Refused(404, {"detail": "Not found."})

    def _token(self, request: web.Request) -> tuple[int, t.Any]:
        import base64

        given = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if given != f"{self.username}:{self.password}":
            raise Refused(401, {"detail": "Invalid username/password."})
        if request.method == "DELETE":
            return 204, None
        number = next(self._ids)
        self._tokens.add(f"token-{number}")
        return 201, {"id": number, "token": f"token-{number}"}

    # --- Rows ----------------------------------------------------------------------------------------------------

    def _add(self, endpoint: str, data: Row) -> Row:
        kind = KINDS[endpoint]
        row: Row = {"id": next(self._ids)}
        for name, default in kind.fields.items():
            row[name] = copy.deepcopy(data.get(name, default))
            if row[name] is REQUIRED:
                raise Refused(400, {name: ["This field is required."]})
        self.rows[endpoint][row["id"]] = row
        return row

    def _create(self, endpoint: str, data: Row) -> Row:
        row = self._add(endpoint, {name: value for name, value in data.items() if name not in READ_ONLY})
        try:
            self._check(endpoint, row, set(data))
        except Exception:
            del self.rows[endpoint][row["id"]]
            raise
        if endpoint == "projects" and row["scm_type"]:
            row["scm_revision"] = "0" * 40
            update = self._add("project_updates", {"project": row["id"]})
            row["_update"] = update["id"]
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
            self._check(endpoint, row, set(data))
        except Exception:
            row.clear()
            row.update(before)
            raise
        return row

    def _check(self, endpoint: str, row: Row, given: set[str]) -> None:
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
        if endpoint == "job_templates":
            self._check_template(row)
        same = [
            other
            for other in self.rows[endpoint].values()
            if kind.unique and other is not row and all(other[name] == row[name] for name in kind.unique)
        ]
        if same:
            raise Refused(400, {"__all__": [f"{kind.type} with this {' and '.join(kind.unique)} already exists."]})
        if endpoint == "credential_types":
            rules.check_inputs(row["inputs"])
            rules.check_injectors(row["injectors"], row["inputs"])
            for each in row["inputs"].get("fields", []):
                each.setdefault("type", "string")
        if endpoint == "credentials":
            inputs = self.rows["credential_types"][row["credential_type"]]["inputs"]
            fields = {each["id"]: each for each in inputs.get("fields", [])}
            for name, value in row["inputs"].items():
                if name not in fields:
                    raise Refused(400, {"inputs": {name: ["Additional properties are not allowed."]}})
                if value not in fields[name].get("choices", [value]):
                    raise Refused(400, {"inputs": {name: [f"{value} is not one of the choices."]}})
        if endpoint == "inventory_sources" and row["source"] == "scm" and row["source_project"] is None:
            raise Refused(400, {"source_project": ["Project required for scm type sources."]})
        if endpoint == "workflow_job_template_nodes":
            self._check_node(row)
        if "extra_vars" in row:
            rules.parse_vars(row["extra_vars"])

    def _check_template(self, row: Row) -> None:
        if row["project"] is None:
            raise Refused(400, {"project": ["This field is required."]})
        if row["inventory"] is None and not row["ask_inventory_on_launch"]:
            raise Refused(400, {"inventory": ["You must either set a default value or ask to prompt on launch."]})
        project = self.rows["projects"][row["project"]]
        row["organization"] = project["organization"]
        if row["playbook"] not in rules.playbooks(self._project):
            raise Refused(400, {"playbook": ["Playbook not found for project."]})

    def _check_node(self, row: Row) -> None:
        template = self.rows["job_templates"].get(row["unified_job_template"] or 0, {})
        for name in ("job_type", "limit", "verbosity", "timeout", "forks", "job_slice_count"):
            if row[name] is not None and not template.get(f"ask_{name}_on_launch"):
                raise Refused(400, {name: ["Field is not configured to prompt on launch."]})

    # --- Replies -------------------------------------------------------------------------------------------------

    def _shown(self, endpoint: str) -> list[Row]:
        return [self._show(endpoint, row) for row in self.rows[endpoint].values()]

    def _show(self, endpoint: str, row: Row) -> Row:
        kind = KINDS[endpoint]
        url = f"{API}{endpoint}/{row['id']}/"
        related = {each: f"{url}{each}/" for each in (*kind.associations, "survey_spec")}
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
        summary = {"current_update": {"id": row["_update"]}} if "_update" in row else {}
        return {**shown, "type": kind.type, "url": url, "related": related, "summary_fields": summary}

    def _list(self, rows: list[Row], query: dict[str, str], kind: Kind | None) -> Row:
        for name in query:
            plain = name.removeprefix("or__")
            if kind and plain not in ("id", "type", *kind.fields):
                raise Refused(400, {"detail": f"{kind.type} has no field named '{plain}'"})
        either = {name.removeprefix("or__"): value for name, value in query.items() if name.startswith("or__")}
        all_of = {name: value for name, value in query.items() if not name.startswith("or__")}
        found = [
            row
            for row in rows
            if all(str(row.get(name)) == value for name, value in all_of.items())
            and (not either or any(str(row.get(name)) == value for name, value in either.items()))
        ]
        return {"count": len(found), "next": None, "previous": None, "results": found}

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
