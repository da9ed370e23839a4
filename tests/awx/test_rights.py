# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What analysts, approvers, a SIEM and everybody else may do, tried by signing in as each of them."""

from __future__ import annotations

import base64
import json
import typing as t
import urllib.error
import urllib.request

import pytest
from conftest import PEOPLE, Ran, SetUp
from standin import API, Awx

ALERT = "Defender: Collect on alert"
ORDINARY = [
    "Defender: Collect",
    "Defender: Fetch",
    "Defender: Verify evidence",
    "Defender: Search evidence",
    "Defender: Seal evidence",
]
BEHIND_APPROVAL = [
    "Defender: Collect from many (by approval only)",
    "Defender: Isolate (by approval only)",
    "Defender: Release (by approval only)",
]
ENDED = "Defender: Not collected (by the workflow only)"
TEMPLATES = [*ORDINARY, *BEHIND_APPROVAL, ENDED, ALERT]
WORKFLOWS = [f"Defender: {each}, with approval" for each in ("Collect from many", "Isolate", "Release")]
# Answers for every survey.
ANSWERS = {
    "defender_incident": "4711",
    "defender_reason": "worm",
    "defender_devices": "ws01.contoso.com",
    "defender_reuse_within": "4h",
    "defender_wait": "yes",
    "defender_max_age": "0",
    "defender_indicators": "203.0.113.7",
    "defender_skip_refused": "no",
    "defender_require_evidence": "yes",
    "defender_require_seal": "no",
    "defender_ended": "failed",
    "collect_on_alert_alerts": '[{"machine": "ws01.contoso.com", "incident_id": "SEN-1"}]',
}


class Session:
    """Somebody who has signed in, as awx.awx and browsers do, and asks by HTTP."""

    def __init__(self, awx: Awx, user: str) -> None:
        self._awx = awx
        given = base64.b64encode(f"{user}:{awx.users[user]['_password']}".encode()).decode()
        _status, body = self("POST", "tokens/", authorization=f"Basic {given}")
        self._token = body["token"]

    def __call__(self, how: str, path: str, data: t.Any = None, authorization: str = "") -> tuple[int, t.Any]:
        """Status and body of a reply."""
        request = urllib.request.Request(
            f"{self._awx.url}{API}{path}",
            method=how,
            data=json.dumps(data).encode() if data is not None else None,
            headers={"Authorization": authorization or f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.loads(refusal.read() or b"null")

    def reads(self, endpoint: str, name: str) -> bool:
        status, _body = self("GET", f"{endpoint}/{self._awx.one(endpoint, name)['id']}/")
        assert status in (200, 403)
        return status == 200

    def launch(self, endpoint: str, name: str, **changes: t.Any) -> tuple[int, t.Any]:
        number = self._awx.one(endpoint, name)["id"]
        return self("POST", f"{endpoint}/{number}/launch/", {"extra_vars": {**ANSWERS, **changes}})

    def launches(self, endpoint: str, name: str) -> bool:
        status, body = self.launch(endpoint, name)
        assert status in (201, 403), body
        return status == 201


@pytest.fixture(scope="module")
def sessions(first: tuple[SetUp, Ran], awx: Awx) -> dict[str, Session]:
    """Somebody of each kind, who has signed in to an AWX that the role has set up."""
    return {name: Session(awx, name) for name in (*PEOPLE, awx.username)}


MAY = {
    # Who: what they read, what they launch, of job templates and of workflows.
    "analyst": (TEMPLATES, ORDINARY, WORKFLOWS, WORKFLOWS),
    "approver": (["Defender: Verify evidence", *BEHIND_APPROVAL, ENDED], [], WORKFLOWS, []),
    "colleague": ([], [], [], []),
    "siem": ([ALERT], [ALERT], [], []),
}


@pytest.mark.parametrize("who", MAY)
def test_everybody_may_what_the_role_gives_and_no_more(sessions: dict[str, Session], who: str) -> None:
    mine = sessions[who]
    jobs, flows = "job_templates", "workflow_job_templates"
    may = (
        [name for name in TEMPLATES if mine.reads(jobs, name)],
        [name for name in TEMPLATES if mine.launches(jobs, name)],
        [name for name in WORKFLOWS if mine.reads(flows, name)],
        [name for name in WORKFLOWS if mine.launches(flows, name)],
    )
    assert tuple(sorted(each) for each in may) == tuple(sorted(each) for each in MAY[who])
    # Lists are as short as that.
    listed = [row["name"] for row in mine("GET", "job_templates/")[1]["results"]]
    assert sorted(listed) == sorted(MAY[who][0])


@pytest.mark.parametrize("who", MAY)
def test_nobody_of_them_may_change_anything_or_use_a_credential(
    sessions: dict[str, Session], awx: Awx, who: str
) -> None:
    mine = sessions[who]
    template = awx.one("job_templates", "Defender: Collect from many (by approval only)")
    key = awx.one("credentials", "Evidence key")["id"]
    before = awx.state()
    assert mine("GET", "credentials/")[1]["results"] == [] and mine("GET", "inventories/")[1]["results"] == []
    for how, path, data in (
        ("GET", f"credentials/{key}/", None),
        ("GET", f"projects/{awx.one('projects', 'Microsoft Defender evidence')['id']}/", None),
        ("GET", "settings/jobs/", None),
        ("PATCH", f"job_templates/{template['id']}/", {"limit": "all"}),
        ("PATCH", f"credentials/{key}/", {"name": "mine"}),
        ("POST", f"roles/{template['_roles']['execute_role']}/teams/", {"id": awx.one("teams", "SOC")["id"]}),
        ("POST", f"roles/{template['_roles']['execute_role']}/users/", {"id": awx.users[who]["id"]}),
        ("POST", "job_templates/", {"name": "x", "project": template["project"], "playbook": "collect.yml"}),
    ):
        status, body = mine(how, path, data)
        assert status == 403, (how, path, body)
    assert awx.state() == before


def launched(sessions: dict[str, Session], workflow: str) -> tuple[int, int]:
    """A workflow that an analyst has launched: its plan, and its approval."""
    status, body = sessions["analyst"].launch("workflow_job_templates", workflow)
    assert status == 201, body
    (plan,) = (
        row
        for row in sessions["admin"]("GET", f"jobs/?workflow_job={body['id']}")[1]["results"]
        if "many" in row["name"]
    )
    (approval,) = sessions["admin"]("GET", f"workflow_approvals/?workflow_job={body['id']}")[1]["results"]
    return plan["id"], approval["id"]


def test_an_approver_reads_the_plan_and_decides_and_nobody_else_does(sessions: dict[str, Session]) -> None:
    plan, approval = launched(sessions, "Defender: Collect from many, with approval")
    # Both who asked and who decides can read what the decision is about.
    assert [sessions[who]("GET", f"jobs/{plan}/")[0] for who in MAY] == [200, 200, 403, 403]
    assert [sessions[who]("POST", f"jobs/{plan}/relaunch/")[0] for who in MAY] == [403] * 4
    assert [sessions[who]("GET", f"workflow_approvals/{approval}/")[0] for who in MAY] == [200, 200, 403, 403]
    for who in ("analyst", "colleague", "siem"):
        for decision in ("approve", "deny"):
            assert sessions[who]("POST", f"workflow_approvals/{approval}/{decision}/")[0] == 403, who
    assert sessions["approver"]("POST", f"workflow_approvals/{approval}/approve/")[0] == 204
    assert sessions["approver"]("POST", f"workflow_approvals/{approval}/deny/")[0] == 400
    # The collection that was approved, and its verification, are readable for both, and started by neither.
    jobs = sessions["approver"]("GET", "jobs/")[1]["results"]
    assert {"Defender: Collect from many (by approval only)", "Defender: Verify evidence"} <= {
        row["name"] for row in jobs
    }
    _plan, approval = launched(sessions, "Defender: Collect from many, with approval")
    assert sessions["approver"]("POST", f"workflow_approvals/{approval}/deny/")[0] == 204
    assert ENDED in [row["name"] for row in sessions["approver"]("GET", "jobs/")[1]["results"]]


def test_a_siem_can_say_which_alerts_and_nothing_else(sessions: dict[str, Session]) -> None:
    siem = sessions["siem"]
    more = {
        "ansible_python_interpreter": "/bin/sh -c id",
        "collect_on_alert_exclude_tags": [],
        "defender_incident": "x",
    }
    status, body = siem.launch("job_templates", ALERT, **more)
    assert status == 201 and set(more) <= set(body["ignored_fields"]["extra_vars"]), body
    job = sessions["admin"]("GET", f"jobs/{body['job']}/")[1]
    assert job["extra_vars"]["collect_on_alert_alerts"] == ANSWERS["collect_on_alert_alerts"]
    assert job["extra_vars"]["collect_on_alert_exclude_tags"] == ["tier0"]
    assert not {"ansible_python_interpreter", "defender_incident"} & set(job["extra_vars"])
    status, body = siem.launch("job_templates", ALERT, collect_on_alert_alerts=[{"machine": "ws01"}])
    assert status == 400 and "expected to be a string" in str(body)
