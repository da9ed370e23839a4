#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_fetch_package
short_description: Download investigation packages that Microsoft Defender for Endpoint has collected already
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Downloads packages of collections that have succeeded, and proves what was downloaded. Nothing is started on any device.
  - Whoever fetches packages needs no right to start collections, so the two can be separated.
  - The service gives out two package links a minute and 120 an hour. All tasks on a control node share one budget of calls,
    so that none runs into the limits.
  - A task that is interrupted, by whatever, is taken up again by running it again with the same O(dest).
requirements:
  - The application permission B(Machine.Read.All) (or B(Machine.ReadWrite.All)) of the API WindowsDefenderATP, with admin
    consent. A user's token needs B(Machine.Read) to find packages and B(Machine.CollectForensics) to get their links, and
    the user the Defender role Alerts Investigation and access to the devices' groups.
extends_documentation_fragment:
  - secops.defender.connection
  - secops.defender.devices
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
      - Devices and their packages are looked up. RV(packages[].changed) says what would be downloaded, RV(summary.plan) what
        it would cost. Nothing is written.
  idempotent:
    support: full
    details:
      - A package that is in O(dest) is not downloaded again.
options:
  action_ids:
    description:
      - The machine actions whose packages are fetched, by their IDs (GUIDs), such as
        RV(secops.defender.defender_collect_package#module:packages[].action.id). Several may be of one device.
      - At least one of O(machines) and O(action_ids) is required. Of each device in O(machines) the newest package is fetched.
    type: list
    elements: str
    aliases:
      - action_id
  dest:
    description:
      - A folder on the control node for the evidence. It is made if it does not exist.
      - Packages are stored as C(<dest>/<computer DNS name>/<action created>_<action ID>.zip), each with a record of the
        same name that ends in C(.json). What was done is told by C(<dest>/custody.jsonl), in which every line carries the
        SHA-256 of the line before. An existing package is never overwritten.
      - A relative path is below the playbook's folder. A folder belongs to one tenant.
    type: path
    required: true
  max_age:
    description:
      - How old a package may be, from the end of its collection. Seconds, or a number with V(s), V(m), V(h) or V(d), such as
        V(4h) or V(90m). V(0) means any age.
    type: str
    default: '0'
  newest_only:
    description:
      - Whether a device in O(machines) fails if its newest collection has no package, because it is still running or has failed,
        instead of giving the package of an older one.
    type: bool
    default: true
seealso:
  - module: secops.defender.defender_collect_package
  - module: secops.defender.defender_machine_action_info
  - module: secops.defender.defender_verify_evidence
  - name: Get package SAS URI API
    description: What the service says of package links and their limits.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/get-package-sas-uri
"""

EXAMPLES = r"""
# Credentials come from DEFENDER_TENANT, DEFENDER_CLIENT_ID and DEFENDER_CLIENT_SECRET in these examples.

- name: Fetch the newest package of two devices, if it is of today
  secops.defender.defender_fetch_package:
    machines:
      - pc042.contoso.com
      - 10.20.30.44
    max_age: 24h
    dest: /srv/evidence/incident-4711

- name: Start collections now, and fetch the packages tomorrow with an app that may only read
  secops.defender.defender_collect_package:
    machines: "{{ groups['suspects'] }}"
    comment: Incident 4711
  run_once: true
  register: started

- name: Fetch the package of each action that was started
  secops.defender.defender_fetch_package:
    action_ids: "{{ started.packages | rejectattr('action', 'none') | map(attribute='action.id') }}"
    dest: /srv/evidence/incident-4711
  run_once: true
"""

RETURN = r"""
msg:
  description: What was done, in a sentence; of a failure also what to do about it.
  returned: always
  type: str
  sample: "2 packages: 2 verified."
summary:
  description: The run in figures, with the same keys as those of M(secops.defender.defender_collect_package). A package that was named twice counts once.
  returned: always
  type: dict
  sample:
    requested: 2
    started: 0
    already_running: 0
    reused: 2
    resumed: 0
    would_start: 0
    succeeded: 2
    downloaded: 2
    failed: 0
    plan:
      starts: 0
      links: 2
      seconds: 0.0
    duration: 34.35
    api_calls: 5
  contains:
    requested:
      description: Packages that were asked for.
      returned: always
      type: int
      sample: 2
    started:
      description: Always 0, since nothing is started.
      returned: always
      type: int
      sample: 0
    already_running:
      description: Always 0.
      returned: always
      type: int
      sample: 0
    reused:
      description: Packages that were found.
      returned: always
      type: int
      sample: 2
    resumed:
      description: Always 0.
      returned: always
      type: int
      sample: 0
    would_start:
      description: Always 0.
      returned: always
      type: int
      sample: 0
    succeeded:
      description: Packages whose collection has succeeded.
      returned: always
      type: int
      sample: 2
    downloaded:
      description: Packages that are verified in the evidence folder.
      returned: always
      type: int
      sample: 2
    failed:
      description: Packages that could not be fetched.
      returned: always
      type: int
      sample: 0
    plan:
      description: What was ahead once the packages were known - starts (none), links, and the least seconds that their quota takes.
      returned: always
      type: dict
      sample:
        starts: 0
        links: 2
        seconds: 0.0
    duration:
      description: Seconds from the beginning to the end of the task.
      returned: always
      type: float
      sample: 34.35
    api_calls:
      description: Calls of the Defender API, without sign-ins and downloads.
      returned: always
      type: int
      sample: 5
summary_text:
  description: What came of it as a short text in Markdown, for a chat or a ticket - counts, and what to do about each device that failed.
  returned: always
  type: str
  sample: "**Evidence of 2 devices: 2 with a verified package**"
reports:
  description: All reports of the run, by the folder that each is in.
  returned: always
  type: dict
  sample: {}
report:
  description:
    - The report that O(report) asked for. Null if it did not, in check mode, and where the run ended before the devices had
      been looked up.
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
  description: One result for each requested machine, in the order in which they were named, then one for each requested action.
  returned: always
  type: list
  elements: dict
  contains:
    machine:
      description: The machine, or the ID of the action, as it was asked for.
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
      description: V(reused), for a package that was there already. Null where there is none to fetch.
      returned: always
      type: str
      sample: reused
    status:
      description: The action's status in the service's words. Without a package, that of the newest action; null if there is none.
      returned: always
      type: str
      sample: Succeeded
    age:
      description: How old the action was, in seconds. Null if there is none.
      returned: always
      type: int
      sample: 7200
    report:
      description: The report in the folder of the package, with C(html) and C(json) as in RV(report). Null if there is none.
      returned: always
      type: dict
      sample: null
    changed:
      description: Whether its package was stored; in check mode, whether it would be.
      returned: always
      type: bool
      sample: true
    failed:
      description: Whether it could not be fetched.
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
          returned: on failure of the package
          type: str
          sample: NoPackage
        message:
          description: What failed.
          returned: on failure of the package
          type: str
          sample: "There is no package of pc042.contoso.com to fetch: no collection is known."
        advice:
          description: What to do about it.
          returned: on failure of the package
          type: str
          sample: Wait until a running collection has ended, or collect with secops.defender.defender_collect_package.
        tracking_id:
          description: What Microsoft's support asks for. Null if the service gave none.
          returned: on failure of the package
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
      description: The verified package. Null if there is none, and in check mode.
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

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.fetch_package import TASK


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
