#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_machine_info
short_description: Look up devices in Microsoft Defender for Endpoint
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Returns what Microsoft Defender for Endpoint knows of devices - named ones, those with a tag, those that a filter selects,
    or all.
  - Nothing is changed.
requirements:
  - The application permission B(Machine.Read.All) (or B(Machine.ReadWrite.All)) of the API WindowsDefenderATP, with admin
    consent. A user's token needs B(Machine.Read), and sees the devices of the user's device groups only.
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
  tag:
    description:
      - Return devices with exactly this tag. With O(filter) as well, those of the filter that have the tag.
      - O(machines) returns every device that a name fits, and lists a name that fits none in RV(not_found); it excludes O(tag) and
        O(filter). Without O(machines), O(tag) and O(filter) all devices are returned. A blank one of the three is refused.
    type: str
  filter:
    description:
      - Return the devices that this OData filter selects, in the service's words, such as
        V(healthStatus eq 'Active' and riskScore eq 'High'). The service filters by C(computerDnsName), C(id), C(version),
        C(deviceValue), C(aadDeviceId), C(machineTags), C(lastSeen), C(exposureLevel), C(onboardingStatus),
        C(lastIpAddress), C(healthStatus), C(osPlatform), C(riskScore) and C(rbacGroupId). A single quote in a text is
        doubled.
    type: str
seealso:
  - module: secops.defender.defender_collect_package
  - name: List machines API
    description: What the service says of devices, and of filters for them.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/get-machines
  - name: Machine resource type
    description: What the properties of a device mean.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/machine
"""

EXAMPLES = r"""
# Credentials come from DEFENDER_TENANT, DEFENDER_CLIENT_ID and DEFENDER_CLIENT_SECRET in these examples.

- name: Look up two devices
  secops.defender.defender_machine_info:
    machines:
      - pc042
      - 10.20.30.44
  register: found

- name: Find the devices of an incident by their tag
  secops.defender.defender_machine_info:
    tag: incident-4711
  register: suspects

- name: Collect from those that are active
  secops.defender.defender_collect_package:
    machines: "{{ suspects.machines | selectattr('health_status', 'eq', 'Active') | map(attribute='machine_id') }}"
    comment: Incident 4711
    dest: /srv/evidence/incident-4711

- name: Find active Windows servers of high risk
  secops.defender.defender_machine_info:
    filter: healthStatus eq 'Active' and riskScore eq 'High' and osPlatform eq 'WindowsServer2022'
"""

RETURN = r"""
msg:
  description: What was found, in a sentence; of a failure also what to do about it.
  returned: always
  type: str
  sample: "1 machine found, not found: pc043."
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
machines:
  description:
    - The devices. Their properties are those of the API's machine resource type in snake_case, at every depth; those that the
      service adds are there, too.
    - RV(machines[].isolation) is none of them. It is what the newest action says that has succeeded in isolating or releasing the device, by one
      call more for all devices; isolation ends by itself after seven days.
    - Named devices come in the order of their names, each once.
  returned: always
  type: list
  elements: dict
  sample:
    - id: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
      machine_id: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
      computer_dns_name: pc042.contoso.com
      aad_device_id: 80fe8ff8-2624-418e-9591-41f0491218f9
      first_seen: '2026-02-03T09:11:02.7754321Z'
      last_seen: '2026-11-23T08:52:40.1234567Z'
      os_platform: Windows11
      version: 23H2
      last_ip_address: 10.20.30.44
      health_status: Active
      onboarding_status: Onboarded
      risk_score: High
      exposure_level: Low
      machine_tags:
        - incident-4711
      isolation: null
      isolation_source: null
      ip_addresses:
        - ip_address: 10.20.30.44
          mac_address: A4BB6D0F1C22
          type: Ethernet
          operational_status: Up
  contains:
    machine_id:
      description: The device's ID in small letters, by the name that it has in the results of the other modules.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    isolation:
      description: V(isolated) or V(released), as RV(machines[].isolation_source) says. Null where no such action of the last days is known.
      returned: always
      type: str
      sample: isolated
    isolation_source:
      description:
        - The action from which that is known - C(action_id), C(action_type) (V(Isolate), V(Unisolate)), C(isolation_type) (V(full), V(selective)),
          C(since) when it ended, C(until) when the isolation ends by itself. Null where none is known.
      returned: always
      type: dict
      sample:
        action_id: 5382f7ea-7557-4ab7-9782-d50480024a4e
        action_type: Isolate
        isolation_type: full
        since: '2026-11-23T10:17:31.7654321Z'
        until: '2026-11-30T10:17:31Z'
    id:
      description: The device's ID.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name.
      returned: if the service knows it
      type: str
      sample: pc042.contoso.com
    aad_device_id:
      description: The device's ID in Entra ID. Null if it is not joined.
      returned: if the service knows it
      type: str
      sample: 80fe8ff8-2624-418e-9591-41f0491218f9
    last_seen:
      description: When the device last sent a full report, ISO 8601 UTC.
      returned: if the service knows it
      type: str
      sample: '2026-11-23T08:52:40.1234567Z'
    os_platform:
      description: The operating system, in the service's words.
      returned: if the service knows it
      type: str
      sample: Windows11
    health_status:
      description: The sensor's state, such as V(Active), V(Inactive) or V(NoSensorData).
      returned: if the service knows it
      type: str
      sample: Active
    risk_score:
      description: V(None), V(Informational), V(Low), V(Medium) or V(High). Null if it is not known.
      returned: if the service knows it
      type: str
      sample: High
    machine_tags:
      description: The device's tags.
      returned: if the service knows it
      type: list
      elements: str
      sample:
        - incident-4711
    ip_addresses:
      description: The device's addresses.
      returned: if the service knows it
      type: list
      elements: dict
      sample:
        - ip_address: 10.20.30.44
          mac_address: A4BB6D0F1C22
          type: Ethernet
          operational_status: Up
not_found:
  description: Those of O(machines) that fit no device, as they were asked for.
  returned: always
  type: list
  elements: str
  sample:
    - pc043
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_info import TASK


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
