#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_alert_requests
short_description: From alerts to requests for investigation packages
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Serves the playbook C(secops.defender.collect_on_alert) - takes alerts, and returns what
    M(secops.defender.defender_collect_package) is to be asked for.
  - Each device is asked for once, however many alerts are about it, with the incident in the comment and in the folder. A device
    that is in several incidents goes into the folder of the one whose alert is the oldest; its comment names the others, too.
  - A device that is not onboarded, or that O(exclude_tags) or O(exclude_groups) take out, is left to a person, and said.
  - Nothing is changed.
requirements:
  - The application permission B(Machine.Read.All) (or B(Machine.ReadWrite.All)) of the API WindowsDefenderATP, with admin
    consent. A user's token needs B(Machine.Read), and sees the devices of the user's device groups only.
extends_documentation_fragment:
  - secops.defender.connection
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
  alerts:
    description:
      - The alerts, each a mapping as the event source C(secops.defender.alerts) makes it, or the whole event with C(alert) in it.
      - Read are C(machine_id), or C(machine) or C(computer_dns_name), which name the device in any form that
        M(secops.defender.defender_collect_package) understands; C(incident_id), or C(id) where there is no incident; and
        C(created). Others are ignored.
      - An alert that is about no device is left out, and said.
    type: list
    elements: raw
    required: true
  dest:
    description:
      - The folder on the control node in which each incident gets an evidence folder, such as C(incident-7001), or
        C(alert-da637...) for an alert without an incident.
    type: path
    required: true
  comment:
    description:
      - What stands in the comment of each action after the incident. By it, collections that were started on alerts are told from
        others, so give the same text always.
    type: str
    default: collected by secops.defender.collect_on_alert
  exclude_tags:
    description:
      - Devices that have one of these tags are left to a person. In any case.
      - A tag that no device of the tenant has is warned of, and a device with a tag that is near it is left to a person. So it is with
        O(exclude_groups).
    type: list
    elements: str
    default: []
  exclude_groups:
    description:
      - Devices of these device groups are left to a person, by the groups' names. In any case.
    type: list
    elements: str
    default: []
  max_machines_per_hour:
    description:
      - Refuse if with these devices more than so many would have been collected from within an hour. V(0) is no limit.
      - Counted are the devices with a collection that was started in the last hour with O(comment), as the service lists them - so
        those of all control nodes, and none twice. Devices that are among them already are never refused.
      - The count is made just before the collecting begins. Of two tasks that count within the same seconds, neither sees the
        other's devices.
    type: int
    default: 60
seealso:
  - module: secops.defender.defender_collect_package
"""

EXAMPLES = r"""
# Credentials come from DEFENDER_TENANT, DEFENDER_CLIENT_ID and DEFENDER_CLIENT_SECRET.

- name: Work out whom to collect from, and never from a domain controller
  secops.defender.defender_alert_requests:
    alerts: "{{ ansible_eda.events.values() }}"
    dest: /srv/evidence
    exclude_tags: [tier0]
    exclude_groups: [Domain controllers]
  register: planned

- name: Collect
  secops.defender.defender_collect_package:
    machines: "{{ planned.requests }}"
    comment: On alert
    dest: /srv/evidence
    reuse_within: 4h
    max_machines: 25
  when: planned.requests | length > 0
"""

RETURN = r"""
msg:
  description: How many devices are to be collected from and which are left out, in a sentence or two; of a failure also what to do.
  returned: always
  type: str
  sample: "2 devices to collect from, in 1 folder. Left out: dc01.contoso.com has the tag tier0 of exclude_tags."
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
      sample: StormBrake
    message:
      description: What failed.
      returned: on failure
      type: str
      sample: >-
        40 devices would be collected from on alerts, after 31 in the last hour: more than max_machines_per_hour, which is 60.
        Nothing was started on pc001.contoso.com, pc002.contoso.com and 38 more.
    advice:
      description: What to do about it.
      returned: on failure
      type: str
      sample: See whether it is a storm of false alarms. If not, collect from these devices by hand.
    tracking_id:
      description: What Microsoft's support asks for. Null if the service gave none.
      returned: on failure
      type: str
      sample: 4fa1b6a2-6a64-4e2c-8a4b-4b53c2b0b3a1
requests:
  description:
    - What O(secops.defender.defender_collect_package#module:machines) takes, a request for each device.
    - A device that was not found is among them as it was named, so that collecting says why, and fails for it.
  returned: always
  type: list
  elements: dict
  sample:
    - machine: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
      comment: "Incident 7001 (also 7002): collected by secops.defender.collect_on_alert"
      dest: /srv/evidence/incident-7001
  contains:
    machine:
      description: The device's ID, or what the alert calls it if it was not found.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    comment:
      description: The comment for the action.
      returned: always
      type: str
      sample: "Incident 7001: collected by secops.defender.collect_on_alert"
    dest:
      description: The incident's evidence folder.
      returned: always
      type: str
      sample: /srv/evidence/incident-7001
left_out:
  description: The devices, and the alerts about none, that are left to a person.
  returned: always
  type: list
  elements: dict
  sample:
    - machine: dc01.contoso.com
      machine_id: 0c2e8f6a4b1d3957e6a8c0b2d4f61830a5c7e9d1
      why: has the tag tier0 of exclude_tags
  contains:
    machine:
      description: The device's DNS name, or its ID if it has none. Null for an alert that is about no device.
      returned: always
      type: str
      sample: dc01.contoso.com
    machine_id:
      description: The device's ID. Null for an alert that is about no device.
      returned: always
      type: str
      sample: 0c2e8f6a4b1d3957e6a8c0b2d4f61830a5c7e9d1
    why:
      description: Why, as the end of a sentence.
      returned: always
      type: str
      sample: has the tag tier0 of exclude_tags
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.alert_requests import TASK
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
