#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_collect_package
short_description: Collect investigation packages from devices through Microsoft Defender for Endpoint
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Starts the collection of an investigation package on one device or on many, and, if wanted, waits for the packages,
    downloads them and proves what was downloaded.
  - A device on which a collection is already running is no failure. The running action is taken over, and its ID is returned.
  - The service gives out two package links a minute and 120 an hour. That bounds a large fleet - N packages take at least
    about N / 2 minutes. All collections are started first, and each package is downloaded as soon as it is ready and a link is
    free. All tasks on a control node share one budget of calls, so that none runs into the limits.
  - Name all devices in one task if you can. It then looks them up and follows them together, instead of each on its own.
  - A task with O(dest) that is interrupted, by whatever, is taken up again by running it again with the same O(dest) and the
    same O(comment) within O(resume_within). No device is then started a second time.
requirements:
  - The application permissions B(Machine.CollectForensics) and B(Machine.Read.All) (or B(Machine.ReadWrite.All)) of the API
    WindowsDefenderATP, with admin consent. The second one is needed to find devices, to follow their actions and to get
    package links. A user's token needs B(Machine.CollectForensics) and B(Machine.Read), and the user the Defender role
    Alerts Investigation and access to the devices' groups.
  - Microsoft Defender for Endpoint Plan 2 on the devices
extends_documentation_fragment:
  - secops.defender.connection
  - secops.defender.devices.ambiguous
  - secops.defender.devices.downloads
  - secops.defender.sealing
  - secops.defender.sealing.at_the_end
  - secops.defender.attributes
  - secops.defender.attributes.control_node
  - secops.defender.attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - Devices are looked up, and so is what is running and what is there already. RV(packages[].request) says what would be
        done, RV(summary.plan) what it would cost. Nothing that changes anything is sent, and nothing is written.
  idempotent:
    support: partial
    details:
      - A collection that is running is never started again. One that has ended is, since asking again is how a newer package is
        got; O(reuse_within) says from which age on a new one is wanted.
options:
  machines:
    description:
      - The devices, each by its device ID (40 hexadecimal digits), its Entra device ID (a GUID), its IP address, its DNS
        name, full or short, or the address of its page in the Defender portal. They are told apart by their form, and upper and
        lower case are the same.
      - A list, or a text with commas, semicolons or lines between the names, or a JSON text.
      - An element can be a request, a mapping with C(machine) and any of O(comment), O(dest), O(reuse_within), O(wait_timeout)
        and O(cancel_on_timeout) that differ for this device; another key in it is refused. So a task can fill several folders.
      - An element can be a record that another module of this collection has returned, which has C(machine_id). It may hold the
        same keys, and its others are ignored.
      - A device that is named twice is asked for once; if the two want something else of it, the task is refused. A device that
        is not known fails alone; what can be no name, such as a wildcard or a number, refuses the whole task before anything
        is started. So does a blank text, null or an empty list.
    type: list
    elements: raw
    required: true
    aliases:
      - machine
      - machine_id
  comment:
    description:
      - Why the packages are collected. It stays with the action, for the audit trail. Name the incident.
    type: str
    required: true
  wait:
    description:
      - Whether to wait until the collections have ended. Implied by O(dest), beside which V(false) is refused.
      - Without it the module returns as soon as everything is started.
    type: bool
    default: false
  wait_timeout:
    description:
      - How long one device's collection may take, counted from its start, or from when a running one was taken over. Waiting
        for a link and downloading do not count. Seconds, or a number with V(s), V(m), V(h) or V(d), such as V(90m).
      - A device that takes longer fails, but its collection goes on. Run again to follow it.
    type: str
    default: '3600'
  cancel_on_timeout:
    description:
      - Whether to cancel a collection that does not end within O(wait_timeout). Only one that this very task has started is
        cancelled.
    type: bool
    default: false
  poll_interval:
    description:
      - How long to wait between two looks at the collections, as in O(wait_timeout). One call looks at all of them.
    type: str
    default: '15'
  dest:
    description:
      - A folder on the control node for the evidence. It is made if it does not exist.
      - Packages are stored as C(<dest>/<computer DNS name>/<action created>_<action ID>.zip), each with a record of the
        same name that ends in C(.json). What was done is told by C(<dest>/custody.jsonl), in which every line carries the
        SHA-256 of the line before. An existing package is never overwritten.
      - A relative path is below the playbook's folder. A folder belongs to one tenant.
      - Without it nothing is downloaded. A blank one counts as none, with a warning.
    type: path
  reuse_within:
    description:
      - Take a package that was made within this time, instead of collecting a new one. Seconds, or a number with V(s), V(m),
        V(h) or V(d), such as V(4h) or V(90m). Give the unit; YAML reads V(1:30) as the number 90. A bare number that reads like
        a date (V(20261101)) or like seconds since 1970 is refused, in every duration.
      - One that the service keeps no more is collected anew. Whether it does is known by a package link alone, so each package
        that is taken costs one, without O(dest) too.
    type: str
    default: '0'
  resume_within:
    description:
      - How old what an interrupted run has begun may be to be picked up by this one, as in O(wait_timeout). V(0) means never.
      - A run is interrupted when it has no end and is gone, or when it ended aborted, or with devices that were not finished in
        time. What it has started or followed for this O(dest), device and O(comment) is picked up; where O(reuse_within) is
        set, its package is not older than that either.
    type: str
    default: 1d
  max_machines:
    description:
      - Refuse to work on more machines than this, before anything is started. V(0) means no limit, and so does
        a blank one, with a warning.
      - It counts names, before any is looked up. Two names of one device are two.
    type: int
    default: 0
seealso:
  - name: Collect investigation package API
    description: What the service says of starting a collection.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/collect-investigation-package
  - name: Get package SAS URI API
    description: What the service says of package links and their limits.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/get-package-sas-uri
  - name: Respond to a device
    description: What is in a package.
    link: https://learn.microsoft.com/en-us/defender-endpoint/respond-machine-alerts
"""

EXAMPLES = r"""
# Credentials come from DEFENDER_TENANT, DEFENDER_CLIENT_ID and DEFENDER_CLIENT_SECRET in these examples.

- name: Collect from one device, wait, download and verify
  secops.defender.defender_collect_package:
    machine: pc042.contoso.com
    comment: Incident 4711, suspicious PowerShell
    dest: /srv/evidence/incident-4711

- name: Start collections on three devices and go on
  secops.defender.defender_collect_package:
    machines:
      - pc042
      - 10.20.30.44
      - 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    comment: Incident 4711
  register: started

- name: Take packages that are younger than four hours, collect the others anew
  secops.defender.defender_collect_package:
    machines: "{{ groups['suspects'] }}"
    comment: Incident 4711
    dest: /srv/evidence/incident-4711
    reuse_within: 4h
  run_once: true
  register: collected

- name: Say where the packages are
  ansible.builtin.debug:
    msg: "{{ item.computer_dns_name }}: {{ item.package.path }} {{ item.package.sha256 }}"
  loop: "{{ collected.packages | rejectattr('failed') }}"
  loop_control:
    label: "{{ item.machine }}"
  run_once: true

- name: Set the credentials once for all modules of the collection
  hosts: suspects
  gather_facts: false
  module_defaults:
    group/secops.defender.defender:
      tenant: contoso.onmicrosoft.com
      client_id: 7c1a1e4c-6a0e-4d6d-9f5e-2f3b8a3d0e11
      certificate_path: /etc/defender/app.pem
  tasks:
    - name: Collect from each host of the play
      secops.defender.defender_collect_package:
        machine: "{{ inventory_hostname }}"
        comment: Incident 4711
        dest: /srv/evidence/incident-4711
"""

RETURN = r"""
msg:
  description: What was done, in a sentence; of a failure also what to do about it.
  returned: always
  type: str
  sample: "2 devices: 1 started, 1 already running, 2 packages verified."
summary:
  description: The run in figures. A device that was named twice counts once.
  returned: always
  type: dict
  sample:
    requested: 2
    started: 1
    already_running: 1
    reused: 0
    resumed: 0
    would_start: 0
    succeeded: 2
    downloaded: 2
    failed: 0
    plan:
      starts: 1
      links: 2
      seconds: 0.0
    duration: 204.35
    api_calls: 19
  contains:
    requested:
      description: Devices that were asked for.
      returned: always
      type: int
      sample: 2
    started:
      description: Devices on which a collection was started.
      returned: always
      type: int
      sample: 1
    already_running:
      description: Devices on which a collection was running already.
      returned: always
      type: int
      sample: 1
    reused:
      description: Devices whose recent package was taken.
      returned: always
      type: int
      sample: 0
    resumed:
      description: Devices whose request an interrupted run had left unfinished.
      returned: always
      type: int
      sample: 0
    would_start:
      description: Devices on which a collection would be started, in check mode.
      returned: always
      type: int
      sample: 0
    succeeded:
      description: Devices whose collection has succeeded.
      returned: always
      type: int
      sample: 2
    downloaded:
      description: Devices whose package is verified in the evidence folder.
      returned: always
      type: int
      sample: 2
    failed:
      description: Devices that failed.
      returned: always
      type: int
      sample: 0
    plan:
      description: What was ahead once the devices were known - starts, links, and the least seconds that their quotas take.
      returned: always
      type: dict
      sample:
        starts: 1
        links: 2
        seconds: 0.0
    duration:
      description: Seconds from the beginning to the end of the task.
      returned: always
      type: float
      sample: 204.35
    api_calls:
      description: Calls of the Defender API, without sign-ins and downloads.
      returned: always
      type: int
      sample: 19
summary_text:
  description: What came of it as a short text in Markdown, for a chat or a ticket - counts, and what to do about each device that failed.
  returned: always
  type: str
  sample: "**Evidence of 3 devices: 3 started, 2 with a verified package, 1 failed**"
reports:
  description: All reports of the run, by the folder that each is in.
  returned: always
  type: dict
  sample: {}
report:
  description:
    - The report that O(report) asked for. Null if it did not, in check mode, where the run ended before the devices had
      been looked up, and where there are several.
  returned: always
  type: dict
  sample: null
  contains:
    html:
      description: Its path as a page, for people.
      returned: if there is a report
      type: str
      sample: /srv/evidence/incident-4711/report-20261123T101455Z-6f1f2c0a.html
    json:
      description: Its path as data, for programs.
      returned: if there is a report
      type: str
      sample: /srv/evidence/incident-4711/report-20261123T101455Z-6f1f2c0a.json
node:
  description:
    - The computer that has done the work and holds the packages, whatever the play's host is. Null if the options were refused.
  returned: always
  type: str
  sample: control.contoso.com
packages:
  description: One result for each requested machine, in the order in which they were named.
  returned: always
  type: list
  elements: dict
  contains:
    machine:
      description: The machine as it was asked for.
      returned: always
      type: str
      sample: pc042
    machine_id:
      description: Its device ID. Null if no device is known by that name.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: Its DNS name as the service knows it.
      returned: always
      type: str
      sample: pc042.contoso.com
    request:
      description:
        - How the action came to be - V(started), V(already_running), V(reused) (a recent package was taken) or V(resumed) (an
          interrupted run had begun it); in check mode V(would_start) instead of V(started).
        - Null where nothing could be started.
      returned: always
      type: str
      sample: started
    status:
      description: The action's status in the service's words, from V(Pending) to V(Succeeded). Null if there is no action.
      returned: always
      type: str
      sample: Succeeded
    age:
      description: >-
        How old the action was, in seconds, where it was not started by this run (V(resumed), V(reused), V(already_running)). Null
        where it was.
      returned: always
      type: int
      sample: null
    report:
      description: The report in the folder of this device's package, with C(html) and C(json) as in RV(report). Null if there is none.
      returned: always
      type: dict
      sample: null
    changed:
      description: Whether its collection was started or its package was stored; in check mode, whether it would be.
      returned: always
      type: bool
      sample: true
    failed:
      description: Whether the device failed.
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
          sample: OsPlatformNotSupported
        message:
          description: What failed.
          returned: on failure of the device
          type: str
          sample: >-
            Failed to start a collection on old.contoso.com: the service answered 400 OsPlatformNotSupported: OS Platform
            Windows8 isn't supported for this action.
        advice:
          description: What to do about it.
          returned: on failure of the device
          type: str
          sample: Collect from this device by other means (live response, or on site).
        tracking_id:
          description: What Microsoft's support asks for. Null if the service gave none.
          returned: on failure of the device
          type: str
          sample: 4fa1b6a2-6a64-4e2c-8a4b-4b53c2b0b3a1
    action:
      description: The machine action, as far as it is known. Null if there is none.
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
          description: The same as RV(packages[].status).
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
    package:
      description: The verified package. Null if there is none, or O(dest) is not given.
      returned: always
      type: dict
      sample:
        path: /srv/evidence/incident-4711/pc042.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
        size: 15728640
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        downloaded: '2026-11-23T10:18:02Z'
      contains:
        path:
          description: Where it is on the control node.
          returned: if there is a package
          type: str
          sample: /srv/evidence/incident-4711/pc042.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
        size:
          description: Its size in bytes.
          returned: if there is a package
          type: int
          sample: 15728640
        sha256:
          description: Its SHA-256, taken on the control node while it was downloaded. The service gives none.
          returned: if there is a package
          type: str
          sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        downloaded:
          description: When its download was complete and verified, ISO 8601 UTC.
          returned: if there is a package
          type: str
          sample: '2026-11-23T10:18:02Z'
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
