# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How AWX 24 goes through a workflow: which node is next, what it is handed, and when the workflow counts as failed.

From awx/main/scheduler/dag_workflow.py (is_workflow_done, has_workflow_failed) and awx/main/models/workflow.py (get_job_kwargs).
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from standin import LINKS, Awx, Row

FAILED = ("failed", "error", "canceled")


class Ended(t.Protocol):
    """What a node's job, or its approval, has come to."""

    @property
    def status(self) -> str:
        """As AWX calls it."""

    @property
    def artifacts(self) -> dict[str, t.Any]:
        """What the job handed on."""


@dataclass
class Decision:
    """An approval that somebody gave or denied, or that nobody gave in time: AWX calls both of the latter failed."""

    approved: bool
    artifacts: dict[str, t.Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return "successful" if self.approved else "failed"


@dataclass
class Flow:
    """What became of a workflow. explanation: that of AWX where it failed."""

    nodes: dict[str, Ended]
    status: str
    explanation: str = ""


# The node's row, and the variables that its job is started with besides those of its template.
Start = t.Callable[[Row, dict[str, t.Any]], Ended]


def run(awx: Awx, name: str, answers: dict[str, t.Any], start: Start) -> Flow:
    """A workflow from its first nodes to its end."""
    workflow = awx.one("workflow_job_templates", name)["id"]
    nodes = {
        number: row
        for number, row in awx.rows["workflow_job_template_nodes"].items()
        if row["workflow_job_template"] == workflow
    }
    links = {
        (number, link): awx.associated.get(("workflow_job_template_nodes", number, link), [])
        for number in nodes
        for link in LINKS
    }
    ended: dict[int, Ended] = {}
    handed: dict[int, dict[str, t.Any]] = {}
    ready = [number for number in nodes if not any(number in children for children in links.values())]
    while ready:
        number = ready.pop(0)
        artifacts: dict[str, t.Any] = {}
        for parent in nodes:
            if parent in ended and any(number in links[parent, link] for link in LINKS):
                artifacts.update({**handed[parent], **ended[parent].artifacts})
        handed[number] = artifacts
        # What the workflow was asked has precedence over what its jobs hand on; what the node says is above both.
        extra = {**artifacts, **answers, **nodes[number]["extra_data"]}
        ended[number] = start(nodes[number], extra)
        good = ended[number].status == "successful"
        followed = (*links[number, "always_nodes"], *links[number, "success_nodes" if good else "failure_nodes"])
        ready += [child for child in followed if child not in ended and child not in ready]
    unforgiven = [
        f"({number}, {end.status})"
        for number, end in ended.items()
        if end.status in FAILED and not links[number, "failure_nodes"] and not links[number, "always_nodes"]
    ]
    told = f"No error handling path for workflow job node(s) [{', '.join(unforgiven)}]." if unforgiven else ""
    by_name = {nodes[number]["identifier"]: end for number, end in ended.items()}
    return Flow(by_name, "failed" if unforgiven else "successful", told)
