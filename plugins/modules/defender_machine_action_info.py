#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_machine_action_info
short_description: Look up machine actions in Microsoft Defender for Endpoint
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Returns machine actions, such as collections of investigation packages, by their IDs, by device, by type, by status and by
    age.
  - Nothing is changed.
  - What is started in the Defender portal may be missing. Live response sessions certainly are.
requirements:
  - The application permission B(Machine.Read.All) (or B(Machine.ReadWrite.All)) of the API WindowsDefenderATP, with admin
    consent. A user's token needs B(Machine.Read).
extends_documentation_fragment:
  - secops.defender.connection
  - secops.defender.devices
  - secops.defender.attributes
  - secops.defender.attributes.control_node
  - secops.defender.attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - Does the same as without it.
  idempotent:
    support: full
options:
  action_ids:
    description:
      - Return these machine actions, by their IDs (GUIDs). Together with O(machines), what either of the two names. Without both
        the actions of all devices are returned. An empty list selects nothing.
    type: list
    elements: str
    aliases:
      - action_id
  type:
    description:
      - Return actions of this type only, such as V(CollectInvestigationPackage), V(RunAntiVirusScan), V(Isolate) or
        V(LiveResponse). Upper and lower case are the same. A word that is near a known type is refused, another one is sent
        with a warning, because the service may have new ones.
    type: str
  status:
    description:
      - Return actions with one of these statuses only. The service knows V(Pending), V(InProgress), V(Succeeded), V(Failed),
        V(TimeOut) and V(Cancelled). Upper and lower case are the same, and other words are refused.
    type: list
    elements: str
  since:
    description:
      - Return actions only that were created since. A time in quotes (ISO 8601, UTC unless it says otherwise), or an age with
        V(s), V(m), V(h) or V(d), such as V(4h). A bare number is refused, since YAML makes one of V(12:00); a time
        that is still to come is warned of.
    type: str
seealso:
  - module: secops.defender.defender_cancel_action
  - module: secops.defender.defender_fetch_package
  - name: List machine actions API
    description: What the service says of machine actions.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/get-machineactions-collection
  - name: Machine action resource type
    description: What the properties of a machine action mean.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/machineaction
"""

EXAMPLES = r"""
# Credentials come from DEFENDER_TENANT, DEFENDER_CLIENT_ID and DEFENDER_CLIENT_SECRET in these examples.

- name: See which collections are under way
  secops.defender.defender_machine_action_info:
    type: CollectInvestigationPackage
    status:
      - Pending
      - InProgress
  register: running

- name: See what was done on a device within the last two days
  secops.defender.defender_machine_action_info:
    machine: pc042.contoso.com
    since: 2d

- name: See how an action stands
  secops.defender.defender_machine_action_info:
    action_id: 5382f7ea-7557-4ab7-9782-d50480024a4e
  register: looked
  failed_when: looked.not_found | length > 0
"""

RETURN = r"""
msg:
  description: What was found, in a sentence; of a failure also what to do about it.
  returned: always
  type: str
  sample: 1 machine action found.
error:
  description: Why the task failed. Null if it did not.
  returned: always
  type: dict
  sample: null
  contains:
    code:
      description: The service's error code, or one of this collection's own.
      returned: on failure
      type: str
      sample: MissingPermission
    message:
      description: What failed.
      returned: on failure
      type: str
      sample: The token lacks the application permission Machine.Read.All or Machine.ReadWrite.All; it has none.
    advice:
      description: What to do about it.
      returned: on failure
      type: str
      sample: Add Machine.Read.All of the API WindowsDefenderATP to the app in Entra ID, then grant admin consent.
    tracking_id:
      description: What Microsoft's support asks for. Null if the service gave none.
      returned: on failure
      type: str
      sample: 4fa1b6a2-6a64-4e2c-8a4b-4b53c2b0b3a1
machine_actions:
  description:
    - The machine actions, the newest first. Their properties are those of the API's machine action resource type in
      snake_case, at every depth; those that the service adds are there, too.
  returned: always
  type: list
  elements: dict
  sample:
    - id: 5382f7ea-7557-4ab7-9782-d50480024a4e
      type: CollectInvestigationPackage
      requestor: IR Automation
      requestor_comment: Incident 4711
      status: InProgress
      machine_id: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
      computer_dns_name: pc042.contoso.com
      creation_date_time_utc: '2026-11-23T10:15:00.1234567Z'
      last_update_date_time_utc: '2026-11-23T10:15:31.7654321Z'
      cancellation_requestor: null
      cancellation_comment: null
      cancellation_date_time_utc: null
      error_hresult: 0
      scope: null
      commands: []
  contains:
    id:
      description: The action's ID.
      returned: always
      type: str
      sample: 5382f7ea-7557-4ab7-9782-d50480024a4e
    type:
      description: What was done.
      returned: if the service says so
      type: str
      sample: CollectInvestigationPackage
    status:
      description: How it stands, in the service's words.
      returned: always
      type: str
      sample: InProgress
    machine_id:
      description: The device's ID.
      returned: if the service says so
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name. Null if it is not known.
      returned: if the service says so
      type: str
      sample: pc042.contoso.com
    requestor:
      description: Who asked for it, as the service says.
      returned: if the service says so
      type: str
      sample: IR Automation
    requestor_comment:
      description: The comment it was asked for with.
      returned: if the service says so
      type: str
      sample: Incident 4711
    creation_date_time_utc:
      description: When it was created, ISO 8601 UTC.
      returned: if the service says so
      type: str
      sample: '2026-11-23T10:15:00.1234567Z'
    last_update_date_time_utc:
      description: When it was last updated, ISO 8601 UTC.
      returned: if the service says so
      type: str
      sample: '2026-11-23T10:15:31.7654321Z'
    cancellation_comment:
      description: Why it was cancelled. Null if it was not.
      returned: if the service says so
      type: str
      sample: Not needed any more
    error_hresult:
      description: What went wrong on the device, as a number; 0 if nothing did.
      returned: if the service says so
      type: int
      sample: 0
not_found:
  description: Those of O(action_ids) that are no machine actions, and those of O(machines) that fit no device, as they were asked for.
  returned: always
  type: list
  elements: str
  sample: []
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_action_info import TASK


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
