#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_package_info
short_description: Tell what is in investigation packages
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Tells what packages hold, that M(secops.defender.defender_collect_package) or M(secops.defender.defender_fetch_package) have
    stored. Entries with sizes and SHA-256, the kinds of artefact, which of them are missing or hold only an error text, the span
    of event logs, and whose package it is by its own files.
  - Before a package is read, its SHA-256 is held against its record and the custody log. One that differs is not read, and fails
    the task when all others were.
  - Nothing is unpacked to disk, executed or sent anywhere, and no credentials are needed. Each call adds one line to the custody
    log, which says who has read the folder.
extends_documentation_fragment:
  - secops.defender.attributes
  - secops.defender.attributes.control_node
  - secops.defender.reading
attributes:
  check_mode:
    support: full
    details:
      - Reads as without it, but adds no line to the custody log.
  idempotent:
    support: full
seealso:
  - module: secops.defender.defender_search_evidence
  - module: secops.defender.defender_verify_evidence
"""

EXAMPLES = r"""
- name: See what the packages of an incident hold
  secops.defender.defender_package_info:
    path: /srv/evidence/incident-4711
  register: held

- name: Show the devices whose packages lack something, and how far their event logs reach back
  ansible.builtin.debug:
    msg: "{{ item.computer_dns_name }} lacks {{ item.missing | join(', ') or 'nothing' }}; events since {{ logs | map(attribute='first') | min }}"
  vars:
    logs: "{{ item.entries | selectattr('first', 'defined') | selectattr('first') }}"
  loop: "{{ held.packages }}"
  loop_control:
    label: "{{ item.path }}"
  when: logs | length > 0

- name: Look into a package that somebody has sent
  secops.defender.defender_package_info:
    path: /srv/inbox/package.zip
    unrecorded: true
"""

RETURN = r"""
msg:
  description: What was read, in a sentence.
  returned: always
  type: str
  sample: "2 packages on control.contoso.com: 118 entries."
error:
  description: Why nothing could be read. Null if it could be.
  returned: always
  type: dict
  sample: null
  contains:
    code:
      description: The kind of failure.
      returned: on failure
      type: str
      sample: EvidenceMissing
    message:
      description: What failed.
      returned: on failure
      type: str
      sample: There is no package in /srv/evidence/incident-4711.
    advice:
      description: What to do about it.
      returned: on failure
      type: str
      sample: Give the folder that packages were collected into, or a package.
    tracking_id:
      description: Always null, since no service is asked.
      returned: on failure
      type: str
      sample: null
packages:
  description: The packages, in the order of their paths.
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
      sample: pc042.contoso.com
    path:
      description: Where the package is.
      returned: always
      type: str
      sample: /srv/evidence/incident-4711/pc042.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
    sha256:
      description: Its SHA-256 now. Null if it was not read.
      returned: always
      type: str
      sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    collected:
      description: When the action that collected it was created, as the service says. Null without a record.
      returned: always
      type: str
      sample: '2026-11-23T10:15:00.1234567Z'
    verified:
      description: Whether its SHA-256 is the recorded one, and the custody log of its folder knows it.
      returned: always
      type: bool
      sample: true
    error:
      description: Why it was not read. Null if it was.
      returned: always
      type: dict
      sample: null
      contains:
        code:
          description: The kind of failure.
          returned: on failure
          type: str
          sample: EvidenceMissing
        message:
          description: What failed.
          returned: on failure
          type: str
          sample: There is no package in /srv/evidence/incident-4711.
        advice:
          description: What to do about it.
          returned: on failure
          type: str
          sample: Give the folder that packages were collected into, or a package.
        tracking_id:
          description: Always null, since no service is asked.
          returned: on failure
          type: str
          sample: null
    os:
      description: The operating system that it is from, told by its entries. V(windows), V(macos), V(linux) or V(unknown).
      returned: always
      type: str
      sample: windows
    entries:
      description: All entries, in the package's order; members of containers follow as V(a.cab!/b.log).
      returned: always
      type: list
      elements: dict
      contains:
        name:
          description: The entry's name as the package has it. Never a path to write to.
          returned: always
          type: str
          sample: Network Connections/DnsCache.txt
        size:
          description: Its size in bytes. Null if it is not known.
          returned: always
          type: int
          sample: 5120
        sha256:
          description: Its SHA-256. Null if it was not read whole.
          returned: always
          type: str
          sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        modified_local:
          description: When it was last modified, in the zone of the device, which a zip does not tell. Null in containers.
          returned: always
          type: str
          sample: '2026-11-23T11:15:02'
        artefact:
          description: The kind of artefact, told by the name; V(other) for what is not known.
          returned: always
          type: str
          sample: network_connections
        inside:
          description: Whether it stands in a container within the package.
          returned: always
          type: bool
          sample: false
        error_text:
          description: The error text that it consists of, empty for an entry without content. Null for a real one.
          returned: always
          type: str
          sample: null
        records:
          description: How many records an event log holds.
          returned: for event logs
          type: int
          sample: 31877
        first:
          description: When the oldest of them was written, ISO 8601 UTC.
          returned: for event logs
          type: str
          sample: '2026-11-23T03:44:10.123456Z'
        last:
          description: When the newest of them was written, ISO 8601 UTC.
          returned: for event logs
          type: str
          sample: '2026-11-23T10:15:40.654321Z'
    artefacts:
      description: Kinds of artefact, with the number of the package's own entries of each.
      returned: always
      type: dict
      sample: {network_connections: 6, event_log: 1}
    missing:
      description: Kinds that a package of that operating system always has, and this one has not.
      returned: always
      type: list
      elements: str
      sample: []
    empty:
      description: Kinds of which every entry holds only an error text, or nothing.
      returned: always
      type: list
      elements: str
      sample: [autoruns]
    computer_names:
      description: The computer names that the package's own files give (system information, ipconfig, event logs).
      returned: always
      type: list
      elements: str
      sample: [PC042]
    strangers:
      description: Those of them that are not the device's. There is a warning of them, too.
      returned: always
      type: list
      elements: str
      sample: []
    not_read:
      description: What was left out of the package.
      returned: always
      type: list
      elements: dict
      contains:
        entry:
          description: The entry. Null for the rest of the package.
          returned: always
          type: str
          sample: Prefetch Files/CMD.EXE-4A81B364.pf
        artefact:
          description: Its kind.
          returned: always
          type: str
          sample: prefetch
        why:
          description: Why.
          returned: always
          type: str
          sample: it is encrypted
not_found:
  description: The elements of O(machines) that no package is of.
  returned: always
  type: list
  elements: str
  sample: []
summary:
  description: The packages in figures.
  returned: always
  type: dict
  sample: {packages: 2, read: 2, older: 0, entries: 118}
  contains:
    packages:
      description: Packages in the result.
      returned: always
      type: int
      sample: 2
    read:
      description: Packages that were read.
      returned: always
      type: int
      sample: 2
    older:
      description: Packages that were left out, since their device has a newer one.
      returned: always
      type: int
      sample: 0
    entries:
      description: Entries.
      returned: always
      type: int
      sample: 118
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

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.package_info import TASK


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
