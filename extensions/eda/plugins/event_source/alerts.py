# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source secops.defender.alerts: alerts of Microsoft Defender for Endpoint as events."""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from ansible.plugins.loader import init_plugin_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

DOCUMENTATION = r"""
---
module: alerts
short_description: Alerts of Microsoft Defender for Endpoint
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Reads the alerts of a tenant at regular intervals, and makes an event of each.
  - There is no state file. At the start, the alerts that were made or changed within O(look_back) are told, so those may come
    again after a restart; collecting with C(reuse_within) makes that harmless. Alerts that are older are not told, only counted,
    and the log says how many there are.
  - From then on each alert is told once, as soon as it fits O(severities), O(statuses) and O(filter) - because it is new, or
    because it was raised.
  - Trouble with the network, the sign-in or the service ends nothing. The log says what it is, again every quarter of an hour
    while it stays, and when it is over; otherwise the source is quiet. A sign-in that is refused is tried again after a while
    that grows up to a quarter of an hour, and so is one whose certificate or federated token cannot be read any more. At the
    start such a file ends the source.
  - The calls count against the budget that all of this collection's work on the node shares, by the endpoint class V(alerts).
  - In the event, texts of the alert are cut to 1,000 characters, and braces that would begin a Jinja template are set apart.
  - Credentials and connection are given as to the modules, under the same names and by the same environment variables.
extends_documentation_fragment:
  - secops.defender.connection
requirements:
  - The application permission B(Alert.Read.All) of the API WindowsDefenderATP, with admin consent. A user's token needs
    B(Alert.Read), and sees the alerts of the user's device groups only.
  - ansible-rulebook 1.3 or later
  - ansible-core 2.16 or later, requests and msal in the Python environment of ansible-rulebook
options:
  severities:
    description:
      - Which alerts are told, by severity. In any case.
    type: list
    elements: str
    choices:
      - High
      - Medium
      - Low
      - Informational
      - UnSpecified
    default:
      - High
  statuses:
    description:
      - Which alerts are told, by status. In any case.
    type: list
    elements: str
    choices:
      - New
      - InProgress
      - Resolved
      - Unknown
    default:
      - New
      - InProgress
  filter:
    description:
      - A further condition, as an OData filter in the service's words, such as V(detectionSource eq 'WindowsDefenderAtp').
        The service filters by C(alertCreationTime), C(lastUpdateTime), C(lastEventTime), C(incidentId), C(investigationId),
        C(id), C(assignedTo), C(detectionSource), C(status), C(severity) and C(category). One that the service refuses at the
        start ends the source with what to do about it.
    type: str
  poll_interval:
    description:
      - How often alerts are read. Seconds, or a number with V(s), V(m), V(h) or V(d).
    type: str
    default: '60'
  look_back:
    description:
      - How old the last change of an alert may be that is told at the start. Seconds, or a number with V(s), V(m), V(h) or V(d).
    type: str
    default: 1h
notes:
  - An event is C(alert) with the keys C(id), C(severity), C(status), C(title), C(category), C(detection_source),
    C(incident_id), C(machine_id), C(computer_dns_name), C(created) and C(updated). What the service does not say is null; an
    alert that is about no device has no C(machine_id).
"""

EXAMPLES = r"""
# Credentials come from DEFENDER_TENANT, DEFENDER_CLIENT_ID and DEFENDER_CLIENT_SECRET.
- name: Alerts of high severity
  hosts: all
  sources:
    - name: Defender
      secops.defender.alerts:
        poll_interval: 1m
        look_back: 2h
  rules:
    - name: Say what has come
      condition: event.alert.severity == "High"
      action:
        debug:
          msg: "{{ event.alert.title }} on {{ event.alert.computer_dns_name }}"

# Credentials from ansible-rulebook's own variables, and only what antivirus has found.
- name: What antivirus has found
  hosts: all
  sources:
    - name: Defender
      secops.defender.alerts:
        tenant: "{{ defender_tenant }}"
        client_id: "{{ defender_client_id }}"
        client_secret: "{{ defender_client_secret }}"
        severities: [High, Medium]
        filter: detectionSource eq 'WindowsDefenderAv'
  rules:
    - name: Collect from the device
      condition: event.alert.machine_id is match("^[0-9a-f]", ignorecase=true)
      action:
        run_playbook:
          name: secops.defender.collect_on_alert
"""


def _find_collections() -> None:
    """Let Python find this collection's files, which ansible-rulebook does not.

    It runs a source as a file of its own. The collection of that file comes
    before all others of the same name.
    """
    if AnsibleCollectionConfig.collection_finder is None:
        above = Path(__file__).absolute().parents
        init_plugin_loader([str(folder.parent) for folder in above if folder.name == "ansible_collections"])


async def main(queue: asyncio.Queue[dict[str, Any]], args: dict[str, Any]) -> None:
    """Put each alert into the queue, for as long as nobody cancels the source.

    The calls are made in a thread: they wait for the network and the budget,
    and other sources go on meanwhile.

    Parameters
    ----------
    queue : asyncio.Queue
        Takes the events.
    args : dict
        The options that the rulebook gives.

    """
    _find_collections()
    alerts = import_module("ansible_collections.secops.defender.plugins.module_utils._tasks.alerts")
    source = alerts.open_source(args, os.environ)
    try:
        while True:
            events, pause = await asyncio.to_thread(source.turn)
            for event in events:
                await queue.put(event)
            await asyncio.sleep(pause)
    finally:
        source.stop()
