#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_isolate_machine
short_description: Isolate devices through Microsoft Defender for Endpoint, or release them
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Cuts devices off from the network, except from Defender itself, or gives them their network back; and waits for it if that is wanted.
  - Which devices are meant is looked up, and so is which are isolated already. Those are no failure, and neither are devices on which
    the same action is running; it is followed.
  - With O(require_evidence) a device is isolated only when a package of it is safe in an evidence folder. With O(exclude),
    O(exclude_tags) and O(exclude_groups) some are never isolated, whoever names them.
  - The service tells of no device whether it is isolated. RV(actions[].isolation) is what the newest action says that has succeeded; and
    isolation ends by itself after seven days, so says the documentation of the service.
  - Which order is right when, of collecting and isolating, is told in the guide I(Containing).
requirements:
  - The application permissions B(Machine.Isolate) and B(Machine.Read.All) (or B(Machine.ReadWrite.All)) of the API WindowsDefenderATP, with
    admin consent. A user needs the role I(Active remediation actions) in Defender, and access to the devices' groups.
extends_documentation_fragment:
  - secops.defender.connection
  - secops.defender.devices.ambiguous
  - secops.defender.attributes
  - secops.defender.attributes.control_node
  - secops.defender.attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - Devices, exclusions, evidence and what runs are looked at, and RV(actions[].changed) says which would be isolated or released. Nothing is
        sent that changes anything.
  idempotent:
    support: full
options:
  machines:
    description:
      - The devices, each by its device ID (40 hexadecimal digits), its Entra device ID (a GUID), its IP address, its DNS
        name, full or short, or the address of its page in the Defender portal. They are told apart by their form, and upper and
        lower case are the same.
      - A list, or a text with commas, semicolons or lines between the names, or a JSON text.
      - An element can be a record that another module of this collection has returned, which has C(machine_id), such as the C(machines) of
        M(secops.defender.defender_search_evidence) or the C(packages) of M(secops.defender.defender_collect_package). Or it is a
        request, a mapping with C(machine) and any of O(comment) and O(wait_timeout) that differ for this device; another key in a request is
        refused.
      - A device that is named twice is asked for once; if the two want something else of it, the task is refused. A device that
        is not known fails alone; what can be no name, such as a wildcard or a number, refuses the whole task before anything
        is started. So does a blank text or null. An empty list selects nothing.
    type: list
    elements: raw
    required: true
    aliases:
      - machine
      - machine_id
  comment:
    description:
      - Why they are isolated or released. It stays with the action, for the audit trail. Name the incident.
    type: str
    required: true
  state:
    description:
      - V(isolated) cuts the devices off, V(released) ends that.
      - While an action the other way round is still running on a device, it fails with the action's ID. That one would undo this one later, also days
        later if the device is away. M(secops.defender.defender_cancel_action) cancels it.
    type: str
    choices:
      - isolated
      - released
    default: isolated
  isolation_type:
    description:
      - V(full) leaves the way to Defender only. V(selective) also leaves Outlook, Teams and Skype for Business working, and is for Windows.
      - A device that is isolated in the other way fails; release it first. Not looked at with O(state=released).
    type: str
    choices:
      - full
      - selective
    default: full
  wait:
    description:
      - Whether to wait until the actions have ended. Without it a device that is away is no failure; the service tries to reach it for
        three days.
    type: bool
    default: false
  wait_timeout:
    description:
      - How long to wait for one device's action, from its start or its adoption on. A device whose action has not ended then fails; the
        action goes on. Seconds, or a number with V(s), V(m), V(h) or V(d), such as V(10m).
    type: str
    default: '3600'
  poll_interval:
    description:
      - How long to wait between two looks at the actions, as in O(wait_timeout). One call looks at all of them.
    type: str
    default: '15'
  max_machines:
    description:
      - Refuse to work on more machines than this, before anything is started. V(0) means no limit.
      - It counts names, before any is looked up. Two names of one device are two.
    type: int
    default: 20
  require_evidence:
    description:
      - An evidence folder. A device without a verified package in it is not isolated, but fails with the reason. The package is held against its
        record and the custody log, the log against its own chain and its seals against the log, as M(secops.defender.defender_verify_evidence) does
        it; no network is used for that, and nobody has to vouch for the seals.
      - A device that is isolated already, or being isolated, needs no evidence. Not looked at with O(state=released).
      - Whoever leaves this option, O(evidence_max_age) or O(state) blank is warned that nothing is held back by it.
    type: path
  evidence_max_age:
    description:
      - How old the package in O(require_evidence) may be, from the end of its collection on, as in O(wait_timeout). Without it any age will do.
    type: str
  isolate_anyway_after:
    description:
      - A device is isolated although there is no such package, and that is said, when its collection was begun so long ago. A gate that can wait for three
        days, as long as a device may be away, helps the attacker. As in O(wait_timeout).
      - It counts from when the collection was first asked for that has given no package since, as the folder's custody log tells. Where nothing was
        collected from a device, there is nothing to count from, and it fails.
      - Without it a device is never isolated without evidence, where O(require_evidence) is given.
    type: str
  exclude:
    description:
      - Devices that are never isolated, named as in O(machines). Each fails with the reason before anything is started on any device. Name domain
        controllers, DNS servers and hypervisors here - what cuts off everybody else when it is cut off.
      - A name that fits several devices excludes all of them. One that fits none is warned of, and a device whose name is near it fails - it may be
        the one that was meant. So it is with O(exclude_tags) and O(exclude_groups).
      - A blank text or null is refused, an empty list excludes none. Not looked at with O(state=released), and so are O(exclude_tags) and
        O(exclude_groups).
    type: list
    elements: raw
  exclude_tags:
    description:
      - Devices with any of these tags are never isolated. Upper and lower case are the same.
      - A tag that no device of the tenant has is warned of, and a device with a tag that is near it fails.
    type: list
    elements: str
  exclude_groups:
    description:
      - Devices in any of these device groups, by the groups' names, are never isolated. Upper and lower case are the same.
      - A group that no device of the tenant is in is warned of, and a device in a group whose name is near it fails. The service is asked for no
        group, so its list of devices is read until all groups have been seen.
    type: list
    elements: str
seealso:
  - module: secops.defender.defender_collect_package
  - module: secops.defender.defender_search_evidence
  - module: secops.defender.defender_cancel_action
  - name: Isolate machine API
    description: What the service says of isolating.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/isolate-machine
  - name: Release device from isolation API
    description: What the service says of releasing.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/unisolate-machine
"""

EXAMPLES = r"""
# Credentials come from DEFENDER_TENANT, DEFENDER_CLIENT_ID and DEFENDER_CLIENT_SECRET in these examples.

- name: Isolate a device, and wait until it is
  secops.defender.defender_isolate_machine:
    machine: pc042.contoso.com
    comment: Incident 4711
    wait: true

- name: Isolate those whose package is safe, and after two hours those from which none has come
  secops.defender.defender_isolate_machine:
    machines: [pc042.contoso.com, pc043.contoso.com]
    comment: Incident 4711
    require_evidence: /srv/evidence/incident-4711
    evidence_max_age: 1d
    isolate_anyway_after: 2h

- name: Search what was collected
  secops.defender.defender_search_evidence:
    path: /srv/evidence/incident-4711
    indicators: [203.0.113.7]
  register: search

- name: Isolate what shows it, but never what all others need
  secops.defender.defender_isolate_machine:
    machines: "{{ search.machines }}"
    comment: Incident 4711, 203.0.113.7
    exclude_tags: [tier0]
    exclude_groups: [Domain controllers, Hypervisors]

- name: Release a device
  secops.defender.defender_isolate_machine:
    machine: pc042.contoso.com
    state: released
    comment: Incident 4711, cleared
    wait: true
"""

RETURN = r"""
msg:
  description: What was done, in a sentence; of a failure also what to do about it.
  returned: always
  type: str
  sample: "2 devices: 1 isolated, 1 isolated already."
error:
  description: Why the whole task failed, such as a sign-in that was refused. Null if it did not; a device that failed says so itself.
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
  description: One result for each requested machine, in the order in which they were named.
  returned: always
  type: list
  elements: dict
  contains:
    asked:
      description: The machine as it was asked for.
      returned: always
      type: str
      sample: pc042.contoso.com
    machine_id:
      description: The device's ID. Null if no device is known by that name.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name as the service knows it.
      returned: always
      type: str
      sample: pc042.contoso.com
    request:
      description:
        - How the action came about - V(started), V(already_running), in check mode V(would_start). Null where nothing was to be done, and where
          nothing could be.
      returned: always
      type: str
      sample: started
    status:
      description: The action's status in the service's words, as seen last. Null if there is no action.
      returned: always
      type: str
      sample: Succeeded
    isolation:
      description:
        - V(isolated) or V(released), as RV(actions[].isolation_source) says. Null where no such action of the last days is known; such a device is
          not isolated, if what the documentation says of the seven days holds.
      returned: always
      type: str
      sample: isolated
    isolation_source:
      description: The newest action that has succeeded in isolating or releasing the device, from which its state is told. Null if none is known.
      returned: always
      type: dict
      sample:
        action_id: 5382f7ea-7557-4ab7-9782-d50480024a4e
        action_type: Isolate
        isolation_type: full
        since: '2026-11-23T10:17:31.7654321Z'
        until: '2026-11-30T10:17:31Z'
      contains:
        action_id:
          description: The action's ID.
          returned: if there is one
          type: str
          sample: 5382f7ea-7557-4ab7-9782-d50480024a4e
        action_type:
          description: V(Isolate) or V(Unisolate).
          returned: if there is one
          type: str
          sample: Isolate
        isolation_type:
          description: V(full) or V(selective), where the service says it.
          returned: if there is one
          type: str
          sample: full
        since:
          description: When it ended, ISO 8601 UTC.
          returned: if there is one
          type: str
          sample: '2026-11-23T10:17:31.7654321Z'
        until:
          description: When the isolation ends by itself, ISO 8601 UTC; RV(actions[].isolation) is V(released) from then on. Null after a release.
          returned: if there is one
          type: str
          sample: '2026-11-30T10:17:31Z'
    evidence:
      description: What was found in O(require_evidence). Null where nothing was looked for.
      returned: always
      type: dict
      sample:
        verified: true
        path: pc042.contoso.com/20261123T101500Z_0f7e2b1c-8a4d-4f0e-9b57-3c6d1a2e4f50.zip
        collected: '2026-11-23T10:17:31.7654321Z'
        message: /srv/evidence/incident-4711/pc042.contoso.com/20261123T101500Z_0f7e2b1c-8a4d-4f0e-9b57-3c6d1a2e4f50.zip is verified.
      contains:
        verified:
          description: Whether there is a verified package that is young enough. V(false) on a device that was isolated all the same (O(isolate_anyway_after)).
          returned: if it was looked for
          type: bool
          sample: true
        path:
          description: The package, from the evidence folder. Null if there is none.
          returned: if it was looked for
          type: str
          sample: pc042.contoso.com/20261123T101500Z_0f7e2b1c-8a4d-4f0e-9b57-3c6d1a2e4f50.zip
        collected:
          description: When its collection ended, ISO 8601 UTC.
          returned: if it was looked for
          type: str
          sample: '2026-11-23T10:17:31.7654321Z'
        message:
          description: What there is, or why it would not do.
          returned: if it was looked for
          type: str
          sample: "In /srv/evidence/incident-4711 there is no evidence of pc042.contoso.com that would do: nothing was collected from it there."
    changed:
      description: Whether an action was started; in check mode, whether one would be.
      returned: always
      type: bool
      sample: true
    failed:
      description: Whether it failed.
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
          returned: on failure of the device
          type: str
          sample: EvidenceMissing
        message:
          description: What failed.
          returned: on failure of the device
          type: str
          sample: "In /srv/evidence/4711 there is no evidence of pc042.contoso.com that would do: nothing was collected from it there. It was not isolated."
        advice:
          description: What to do about it.
          returned: on failure of the device
          type: str
          sample: Collect with secops.defender.defender_collect_package and this folder as dest, then run again.
        tracking_id:
          description: What Microsoft's support asks for. Null if the service gave none.
          returned: on failure of the device
          type: str
          sample: 4fa1b6a2-6a64-4e2c-8a4b-4b53c2b0b3a1
    action:
      description: The machine action that was started or is followed; where nothing was to be done, the one that says so. Null if there is none.
      returned: always
      type: dict
      sample:
        id: 5382f7ea-7557-4ab7-9782-d50480024a4e
        status: Succeeded
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

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.isolate_machine import TASK


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
