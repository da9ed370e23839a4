#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_compare_evidence
short_description: Find what only few devices have, or what changed on one
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - With O(mode=rare), compares the packages of many devices, and tells what at most O(max_devices) of them have. With O(mode=diff),
    compares two packages of one device, and tells what is new and what is gone.
  - Compared are items, which are lines without what differs everywhere and tells nothing. Process IDs, times, GUIDs, the suffixes of
    per-user services, and the names of the device and of its users are masked; see O(masks). Case does not matter.
  - Languages may be mixed. Headings are told by their shape, and a table in a language that few of the devices have is compared by what
    no language changes, which are names and paths.
  - What a package does not hold is not comparable, and never called rare or removed. RV(not_comparable) has all of it.
  - A package is a snapshot. Processes, connections, and the DNS and ARP caches show the moment of the collection.
  - Before a package is read, its SHA-256 is held against its record and the custody log. One that differs is not read, which
    with O(mode=diff) is a failure.
  - Nothing is unpacked to disk, executed or sent anywhere, and no credentials are needed. Each call adds one line to the custody
    log, which says who has compared the packages.
extends_documentation_fragment:
  - secops.defender.attributes
  - secops.defender.attributes.control_node
  - secops.defender.reading
attributes:
  check_mode:
    support: full
    details:
      - Compares as without it, but adds no line to the custody log and writes no report.
  idempotent:
    support: full
options:
  mode:
    description:
      - V(rare) for what few of many devices have, V(diff) for what changed on one device. With V(diff) O(packages) does not matter.
    type: str
    choices:
      - rare
      - diff
    default: rare
  artefacts:
    description:
      - Only these artefacts, of C(processes), C(services), C(scheduled_tasks), C(autoruns), C(installed_programs), C(users_and_groups),
        C(dns_cache), C(arp), C(network_connections) (by remote address, and listening ports), C(prefetch) (names), C(smb_sessions) and
        C(temp_directories). V(network_connections) means C(dns_cache) and C(arp) as well. An empty list selects none.
      - Others, such as event logs, have no lines that could be compared, and are refused. Left out, all of them are compared.
    type: list
    elements: str
  max_devices:
    description:
      - With O(mode=rare), on how many devices an item may be. Of devices that hold the artefact and have the same operating system,
        there have to be more than that.
    type: int
    default: 1
  before:
    description:
      - With O(mode=diff), the older package, as the ID of its action or as its path. Left out, the oldest one of the device.
    type: str
  after:
    description:
      - With O(mode=diff), the newer package, as the ID of its action or as its path. Left out, the newest one of the device.
    type: str
  masks:
    description:
      - Which masks are applied. An empty list for none. Left out, all of them; with O(mode=diff) all but C(version) and
        C(program_version), so that an update is seen.
      - C(host), C(user), C(sid), C(guid), C(service_suffix), C(driver), C(prefetch_hash), C(temp_name), C(time), C(version),
        C(patch_version), C(program_version), C(number), C(size), C(hex). The guide on comparing shows each with an example.
    type: list
    elements: str
  own_masks:
    description:
      - Regular expressions (Python's) of what else tells nothing on your devices, such as the numbers of assets. Case does not matter.
    type: list
    elements: str
  max_items:
    description:
      - With O(mode=rare), how many items are listed. It bounds the list only; RV(summary.found) counts all.
    type: int
    default: 10000
  report:
    description:
      - Write what was found into a new folder beside the (first) evidence folder, as a page for people and as JSON.
    type: bool
    default: false
seealso:
  - module: secops.defender.defender_search_evidence
  - module: secops.defender.defender_package_info
  - module: secops.defender.defender_collect_package
"""

EXAMPLES = r"""
- name: What is on one device only?
  secops.defender.defender_compare_evidence:
    path: /srv/evidence/incident-4711
    report: true
  register: compared

- name: Say so
  ansible.builtin.debug:
    msg: "{{ compared.summary_text }}"

- name: Services and scheduled tasks that at most three devices have, but for what carries an asset's number
  secops.defender.defender_compare_evidence:
    path: /srv/evidence/sweep-2026-11
    artefacts: [services, scheduled_tasks]
    max_devices: 3
    own_masks: ['ASSET-\d{6}']

- name: What changed on this device between its oldest and its newest package?
  secops.defender.defender_compare_evidence:
    path: /srv/evidence/incident-4711
    mode: diff
    machines: pc042.contoso.com
  register: changed_there

- name: What changed between these two collections?
  secops.defender.defender_compare_evidence:
    path: /srv/evidence/incident-4711
    mode: diff
    before: 5382f7ea-7557-4ab7-9782-d50480024a4e
    after: 9c1d2f0b-2a43-4b7e-8a5e-0d9d6f1f2a33
"""

RETURN = r"""
msg:
  description: What was found, and what could not be compared.
  returned: always
  type: str
  sample: "3 items on one of 400 devices only (pc7, pc9); services 2, autoruns 1; not comparable (on 2 devices): processes."
error:
  description: Why nothing could be compared. Null if it could be.
  returned: always
  type: dict
  sample: null
  contains:
    code:
      description: The kind of failure.
      returned: on failure
      type: str
      sample: NothingToCompare
    message:
      description: What failed.
      returned: on failure
      type: str
      sample: There is one package of pc1.contoso.com only, so there is nothing to compare it with.
    advice:
      description: What to do about it.
      returned: on failure
      type: str
      sample: "Collect from the device again with reuse_within: 0, into the same folder."
    tracking_id:
      description: Always null, since no service is asked.
      returned: on failure
      type: str
      sample: null
mode:
  description: How it was compared. Null where an option was refused.
  returned: always
  type: str
  sample: rare
rare:
  description:
    - With O(mode=rare), what few devices have, by artefact; the traces of the collector last, the rarest first.
    - The same list is there as C(items), a name that Jinja reads in brackets only, as in C(compared['items']).
  returned: always
  type: list
  elements: dict
  contains:
    artefact:
      description: The artefact.
      returned: always
      type: str
      sample: services
    value:
      description: The line without what tells nothing. Untrusted text from the device.
      returned: always
      type: str
      sample: 'PSEXESVC | Running | Auto | C:\Windows\PSEXESVC.exe'
    machines:
      description: The devices that have it. M(secops.defender.defender_collect_package) takes them as they are.
      returned: always
      type: list
      elements: dict
      contains:
        machine_id:
          description: The device's ID, from the record. Null without one.
          returned: always
          type: str
          sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
        computer_dns_name:
          description: The device's DNS name, from the record. Null without one.
          returned: always
          type: str
          sample: pc1.contoso.com
        package:
          description: The package.
          returned: always
          type: str
          sample: /srv/evidence/incident-4711/pc1.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
        entry:
          description: The entry.
          returned: always
          type: str
          sample: Services/Services.csv
        text:
          description: The line as it stands there. Untrusted text from the device.
          returned: always
          type: str
          sample: 'PSEXESVC,PSEXESVC,Running,Auto,C:\Windows\PSEXESVC.exe,4711'
        collected:
          description: When the package was collected.
          returned: always
          type: str
          sample: '2026-11-23T10:15:00.1234567Z'
        verified:
          description: Whether the package is what its record says, and the custody log of its folder knows it.
          returned: always
          type: bool
          sample: true
    of:
      description: How many devices of that operating system hold the artefact.
      returned: always
      type: int
      sample: 400
    collector:
      description: Whether it is a trace that Defender's own collecting leaves, or looks like one.
      returned: always
      type: bool
      sample: false
only_before:
  description: With O(mode=diff), what only the older package has.
  returned: always
  type: list
  elements: dict
  contains: &change
    artefact:
      description: The artefact.
      returned: always
      type: str
      sample: services
    value:
      description: The line without what tells nothing. Untrusted text from the device.
      returned: always
      type: str
      sample: 'PSEXESVC | Running | Auto | C:\Windows\PSEXESVC.exe'
    entry:
      description: The entry.
      returned: always
      type: str
      sample: Services/Services.csv
    text:
      description: The line as it stands there. Untrusted text from the device.
      returned: always
      type: str
      sample: 'PSEXESVC,PSEXESVC,Running,Auto,C:\Windows\PSEXESVC.exe,4711'
    collector:
      description: Whether it is a trace that Defender's own collecting leaves, or looks like one.
      returned: always
      type: bool
      sample: false
only_after:
  description: With O(mode=diff), what only the newer package has.
  returned: always
  type: list
  elements: dict
  contains: *change
not_comparable:
  description: What could not be compared.
  returned: always
  type: list
  elements: dict
  contains:
    machine_id:
      description: The device's ID, from the record. Null without one, and for all devices.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name, from the record. Null without one, and for all devices.
      returned: always
      type: str
      sample: pc1.contoso.com
    package:
      description: The package. Null for all, and for a device without one.
      returned: always
      type: str
      sample: /srv/evidence/incident-4711/pc1.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
    artefact:
      description: The artefact. Null for the whole package.
      returned: always
      type: str
      sample: processes
    entry:
      description: The entry. Null for the artefact as a whole.
      returned: always
      type: str
      sample: Processes/Processes.csv
    side:
      description: With O(mode=diff), which of the packages lacks it, V(before) or V(after). Null otherwise.
      returned: always
      type: str
      sample: after
    partly:
      description: Whether other entries of the artefact were compared.
      returned: always
      type: bool
      sample: false
    why:
      description: Why.
      returned: always
      type: str
      sample: the package has no processes
compared:
  description: With O(mode=diff), the artefacts that were compared.
  returned: always
  type: list
  elements: str
  sample: [processes, services]
before:
  description: With O(mode=diff), the older package. Null otherwise.
  returned: always
  type: dict
  sample: null
  contains: &side
    machine_id:
      description: The device's ID, from the record. Null without one.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name, from the record. Null without one.
      returned: always
      type: str
      sample: pc1.contoso.com
    package:
      description: The package.
      returned: always
      type: str
      sample: /srv/evidence/incident-4711/pc1.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
    action_id:
      description: The action that collected it, from the record. Null without one.
      returned: always
      type: str
      sample: 5382f7ea-7557-4ab7-9782-d50480024a4e
    collected:
      description: When it was collected.
      returned: always
      type: str
      sample: '2026-11-23T10:15:00.1234567Z'
    verified:
      description: Whether it is what its record says, and the custody log of its folder knows it.
      returned: always
      type: bool
      sample: true
after:
  description: With O(mode=diff), the newer package. Null otherwise.
  returned: always
  type: dict
  sample: null
  contains: *side
summary:
  description: The comparison in figures.
  returned: always
  type: dict
  contains:
    devices:
      description: Devices that were compared.
      returned: always
      type: int
      sample: 400
    packages:
      description: Packages that were to be compared.
      returned: always
      type: int
      sample: 400
    older:
      description: Packages of the devices that were left out.
      returned: always
      type: int
      sample: 0
    found:
      description: Items that were found, listed or not.
      returned: always
      type: int
      sample: 3
    unlisted:
      description: Items that are not listed; see O(max_items).
      returned: always
      type: int
      sample: 0
    collector:
      description: How many of those listed are traces of the collector.
      returned: always
      type: int
      sample: 0
    not_comparable:
      description: How many rows RV(not_comparable) has.
      returned: always
      type: int
      sample: 2
summary_text:
  description: The same for a chat or a ticket, in Markdown.
  returned: always
  type: str
  sample: "**Rare in the evidence: 3 items, 400 devices compared**"
report:
  description: The files that O(report) has written. Null where it has written none.
  returned: always
  type: dict
  sample: null
  contains:
    html:
      description: The page.
      returned: on success
      type: str
      sample: /srv/evidence/incident-4711-compare-20261123T101502Z-5f3a9c01/compare.html
    json:
      description: This result as JSON.
      returned: on success
      type: str
      sample: /srv/evidence/incident-4711-compare-20261123T101502Z-5f3a9c01/compare.json
recorded:
  description:
    - Whether the custody log of every evidence folder that was read has a line of it. V(false) in check mode, and where a folder
      could not be written, or a package lies in none; a warning says which.
  returned: always
  type: bool
  sample: true
node:
  description: The computer whose files were read. Without C(delegate_to) that is the control node, whatever the play's host is.
  returned: always
  type: str
  sample: control.contoso.com
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.compare_evidence import TASK
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
