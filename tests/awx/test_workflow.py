# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWX's own rule for workflows, on its own, and where the workflow that the role makes ends by it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import workflow
from conftest import PROJECT, Ran, SetUp
from standin import Awx, Row
from workflow import Decision

NAME = "Defender: Collect from many, with approval"


def by_hand(links: dict[tuple[str, str], list[str]]) -> Awx:
    """An AWX with a workflow of these nodes, made as somebody clicks it together."""
    awx = Awx(PROJECT)
    made = awx.add("workflow_job_templates", name=NAME, organization=awx.one("organizations", "Default")["id"])
    names = sorted({name for (one, _link), others in links.items() for name in (one, *others)})
    rows = {
        name: awx.add("workflow_job_template_nodes", identifier=name, workflow_job_template=made["id"])["id"]
        for name in names
    }
    for (one, link), others in links.items():
        awx.associated["workflow_job_template_nodes", rows[one], link] = [rows[each] for each in others]
    return awx


def ends(**failed: bool) -> t.Callable[[Row, dict[str, t.Any]], Decision]:
    return lambda node, extra: Decision(not failed.get(node["identifier"], False), {node["identifier"]: True})


def test_awx_forgives_a_failed_node_that_anything_follows() -> None:
    """So a collection that failed before its verification left a workflow that looked successful."""
    awx = by_hand({("approve", "success_nodes"): ["collect"], ("collect", "always_nodes"): ["verify"]})
    flow = workflow.run(awx, NAME, {}, ends(collect=True))
    assert flow.status == "successful" and set(flow.nodes) == {"approve", "collect", "verify"}
    flow = workflow.run(awx, NAME, {}, ends(approve=True))
    assert flow.status == "failed" and "No error handling path" in flow.explanation and set(flow.nodes) == {"approve"}


def test_artifacts_are_handed_on_and_answers_are_above_them() -> None:
    awx = by_hand({("a", "always_nodes"): ["b"], ("b", "success_nodes"): ["c"]})
    seen: dict[str, dict[str, t.Any]] = {}

    def start(node: Row, extra: dict[str, t.Any]) -> Decision:
        seen[node["identifier"]] = extra
        return Decision(True, {"from": node["identifier"], node["identifier"]: 1, "asked": "no"})

    workflow.run(awx, NAME, {"asked": "yes"}, start)
    assert seen["a"] == {"asked": "yes"}
    assert seen["c"] == {"from": "b", "a": 1, "b": 1, "asked": "yes"}


# What fails, which nodes are come to, and how the workflow ends: never well without a collection that did.
CASES = [
    ((), "plan approve collect verify", "successful"),
    (("collect",), "plan approve collect verify failed", "failed"),
    (("collect", "verify"), "plan approve collect verify failed", "failed"),
    (("verify",), "plan approve collect verify", "failed"),
    (("approve",), "plan approve not_approved", "failed"),
    (("plan",), "plan approve collect verify", "successful"),
    (("plan", "approve"), "plan approve not_approved", "failed"),
]


@pytest.mark.parametrize(("failing", "come_to", "status"), CASES)
def test_the_workflow_ends_as_the_evidence_does(
    first: tuple[SetUp, Ran], awx: Awx, failing: tuple[str, ...], come_to: str, status: str
) -> None:
    def start(node: Row, extra: dict[str, t.Any]) -> Decision:
        # The playbook ended.yml always fails.
        fails = node["identifier"] in (*failing, "failed", "not_approved")
        return Decision(not fails, {"by": node["identifier"]})

    flow = workflow.run(awx, NAME, {}, start)
    assert (set(flow.nodes), flow.status) == (set(come_to.split()), status)


def test_what_ends_the_workflow_is_told_why(first: tuple[SetUp, Ran], awx: Awx) -> None:
    nodes = {row["identifier"]: row for row in awx.rows["workflow_job_template_nodes"].values()}
    assert nodes["failed"]["extra_data"] == {"defender_ended": "failed"}
    assert nodes["not_approved"]["extra_data"] == {"defender_ended": "not_approved"}
    large = awx.one("job_templates", "Defender: Collect from many (by approval only)")
    assert nodes["plan"]["job_slice_count"] == 1 and large["ask_job_slice_count_on_launch"]
    assert Path(PROJECT / "ended.yml").exists()
