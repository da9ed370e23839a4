#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_cancel_action
short_description: Cancel machine actions of Microsoft Defender for Endpoint
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Cancels machine actions that have not ended yet, by their IDs, or the running collection of an investigation package on
    devices.
  - An action that has ended already is no failure, and neither is a device on which no collection is running.
  - The service takes a cancellation and carries it out a little later. O(wait) waits for that.
requirements:
  - The application permissions B(Machine.CollectForensics) and B(Machine.Read.All) (or B(Machine.ReadWrite.All)) of the API
    WindowsDefenderATP, with admin consent. Instead of the first one B(Machine.Isolate), B(Machine.RestrictExecution),
    B(Machine.Scan), B(Machine.Offboard), B(Machine.StopAndQuarantine) or B(Machine.LiveResponse) will do. The second one is
    needed to look at the actions.
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
      - Actions are looked up, and RV(actions[].changed) says which would be cancelled. Nothing is sent that changes anything.
  idempotent:
    support: full
options:
  action_ids:
    description:
      - The machine actions to cancel, of any type, by their IDs (GUIDs).
      - At least one of O(machines) and O(action_ids) is required. Of each device in O(machines) the collection that is running is
        cancelled, whoever has started it; actions of other types are left alone. A name that fits several devices fails.
    type: list
    elements: str
    aliases:
      - action_id
  comment:
    description:
      - Why they are cancelled. It stays with the action, for the audit trail.
    type: str
    required: true
  wait:
    description:
      - Whether to wait until the actions have ended.
      - An action that ends in another way before its cancellation takes effect does not count as changed.
    type: bool
    default: false
  wait_timeout:
    description:
      - How long to wait for all of them. Those that have not ended then fail. Seconds, or a number with V(s), V(m), V(h) or V(d),
        such as V(90m).
    type: str
    default: '600'
  poll_interval:
    description:
      - How long to wait between two looks at the actions, as in O(wait_timeout). One call looks at many of them.
    type: str
    default: '15'
seealso:
  - module: secops.defender.defender_machine_action_info
  - module: secops.defender.defender_collect_package
  - name: Cancel machine action API
    description: What the service says of cancelling.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/cancel-machine-action
"""

EXAMPLES = r"""
# Credentials come from DEFENDER_TENANT, DEFENDER_CLIENT_ID and DEFENDER_CLIENT_SECRET in these examples.

- name: Cancel the collection that is running on a device
  secops.defender.defender_cancel_action:
    machine: pc042.contoso.com
    comment: Incident 4711, collected on site instead

- name: Find collections that no device has taken up
  secops.defender.defender_machine_action_info:
    type: CollectInvestigationPackage
    status: Pending
  register: stuck

- name: Cancel those that are older than a day, and wait until the service says so
  secops.defender.defender_cancel_action:
    action_ids: "{{ stuck.machine_actions | selectattr('creation_date_time_utc', '<', yesterday) | map(attribute='id') }}"
    comment: Not taken up within a day
    wait: true
  vars:
    yesterday: "{{ '%Y-%m-%dT%H:%M:%SZ' | ansible.builtin.strftime(now().timestamp() - 86400, utc=true) }}"
"""

RETURN = r"""
msg:
  description: What was done, in a sentence; of a failure also what to do about it.
  returned: always
  type: str
  sample: "2 actions: 1 cancelled, 1 not running."
error:
  description: Why the whole task failed, such as a sign-in that was refused. Null if it did not; an action that failed says so itself.
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
actions:
  description: One result for each requested action, in the order in which they were named, then one for each requested machine. A machine has
    several where collections run under more than one of its records, which the service has merged.
  returned: always
  type: list
  elements: dict
  contains:
    asked:
      description: The ID of the action, or the machine, as it was asked for.
      returned: always
      type: str
      sample: pc042.contoso.com
    machine_id:
      description: The device's ID. Null if no device or action is known by that name.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name as the service knows it.
      returned: always
      type: str
      sample: pc042.contoso.com
    status:
      description: The action's status in the service's words, as seen last. Null if there is no action.
      returned: always
      type: str
      sample: Cancelled
    changed:
      description: Whether the service has taken the cancellation; in check mode, whether it would be asked to.
      returned: always
      type: bool
      sample: true
    failed:
      description: Whether cancelling this one failed.
      returned: always
      type: bool
      sample: false
    error:
      description: Why it failed. Null if it did not.
      returned: always
      type: dict
      sample: null
      contains:
        code:
          description: The service's error code, or one of this collection's own.
          returned: on failure of the action
          type: str
          sample: NotCancelledInTime
        message:
          description: What failed.
          returned: on failure of the action
          type: str
          sample: The action 5382f7ea-7557-4ab7-9782-d50480024a4e on pc042.contoso.com is still InProgress after 600 seconds.
        advice:
          description: What to do about it.
          returned: on failure of the action
          type: str
          sample: "The service has taken the cancellation and may still carry it out: look again later."
        tracking_id:
          description: What Microsoft's support asks for. Null if the service gave none.
          returned: on failure of the action
          type: str
          sample: 4fa1b6a2-6a64-4e2c-8a4b-4b53c2b0b3a1
    action:
      description: The machine action. Null if there is none.
      returned: always
      type: dict
      sample:
        id: 5382f7ea-7557-4ab7-9782-d50480024a4e
        status: Cancelled
        requestor: IR Automation
        comment: Incident 4711
        created: '2026-11-23T10:15:00.1234567Z'
        updated: '2026-11-23T10:17:31.7654321Z'
      contains:
        id:
          description: The action's ID.
          returned: if there is an action
          type: str
          sample: 5382f7ea-7557-4ab7-9782-d50480024a4e
        status:
          description: The same as RV(actions[].status).
          returned: if there is an action
          type: str
          sample: Succeeded
        requestor:
          description: Who asked for it, as the service says.
          returned: if there is an action
          type: str
          sample: IR Automation
        comment:
          description: The comment it was asked for with.
          returned: if there is an action
          type: str
          sample: Incident 4711
        created:
          description: When it was created, ISO 8601 UTC.
          returned: if there is an action
          type: str
          sample: '2026-11-23T10:15:00.1234567Z'
        updated:
          description: When it was last updated, ISO 8601 UTC.
          returned: if there is an action
          type: str
          sample: '2026-11-23T10:17:31.7654321Z'
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.cancel_action import TASK
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
