#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_extract_evidence
short_description: Extract artefacts from packages for other tools
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Writes chosen artefacts of packages as files below O(dest), with a manifest of their SHA-256, for tools that read event logs,
    Defender's own logs or prefetch files, such as Hayabusa, Chainsaw, Plaso and Timesketch.
  - A file is C(<dest>/<device>/<action>/<name>). The device's name and the action's ID are the record's; the name is the last part of
    the entry's, with everything but ASCII letters, digits, blanks and C(._()+-) replaced. No name of a package is ever used as a path,
    and none can lead out of the folder, be one that Windows reserves, or differ from another by case alone. What was a link is a file.
  - C(<dest>/manifest-sha256.txt) has a line for each file; C(sha256sum -c) takes it.
  - Nothing is ever overwritten. A file that is there with the same bytes is left as it is, so that a second run changes nothing;
    one with other bytes fails its package, and stays.
  - Before a package is read, its SHA-256 is held against its record and the custody log. One that differs is not read, and fails
    the task when all others were extracted.
  - Nothing is executed or sent anywhere, and no credentials are needed. Each call adds one line to the custody log, which says who has
    extracted what to where.
  - What is extracted comes from a device that may be an attacker's. Open it with tools for evidence, on a computer for that.
extends_documentation_fragment:
  - secops.defender.attributes
  - secops.defender.attributes.control_node
  - secops.defender.reading
attributes:
  check_mode:
    support: full
    details:
      - Reads as without it and says what would be written, but writes nothing, and adds no line to the custody log.
  idempotent:
    support: full
options:
  path:
    description:
      - An evidence folder, a package, or a list of them. Folders are searched for packages (files that end in V(.zip)) to any depth.
      - Relative paths are below the playbook's folder.
    type: list
    elements: path
    required: true
    aliases:
      - evidence
  dest:
    description:
      - The folder that files are written below. It is made if it is not there, for this user alone.
      - It must lie outside every evidence folder, since files that nobody has recorded do not belong there. Refused is a folder
        that has a C(custody.jsonl), or that lies in one that has, also by way of a link; and likewise a bag (C(bagit.txt)).
      - One run at a time extracts to a folder.
      - Relative paths are below the playbook's folder.
    type: path
    required: true
  artefacts:
    description:
      - The kinds of artefact that are extracted, as M(secops.defender.defender_package_info) names them, such as V(event_log),
        V(defender_logs), V(prefetch), V(network_connections). An empty list selects none.
      - Members of cabinets, gzip and zip files are extracted by their own kind, or else by that of what they are in; the container itself
        is extracted as well, if it is of a kind that is named.
    type: list
    elements: str
    default:
      - event_log
  require_complete:
    description: Fail if anything that was to be extracted was not. Everything else has been extracted then.
    type: bool
    default: false
seealso:
  - module: secops.defender.defender_package_info
  - module: secops.defender.defender_search_evidence
"""

EXAMPLES = r"""
- name: Take out the event logs of an incident
  secops.defender.defender_extract_evidence:
    path: /srv/evidence/incident-4711
    dest: /srv/extracted/incident-4711
  register: extracted

- name: Let a tool look at them
  ansible.builtin.command:
    argv: [hayabusa, dfir-timeline, -d, "{{ extracted.dest }}", -w, -o, /srv/extracted/incident-4711.csv]
    creates: /srv/extracted/incident-4711.csv
  when: extracted.files | length > 0

- name: Take out Defender's own logs and the prefetch files of the devices that showed an indicator
  secops.defender.defender_extract_evidence:
    path: /srv/evidence/incident-4711
    machines: "{{ searched.machines }}"
    artefacts: [defender_logs, prefetch]
    dest: /srv/extracted/incident-4711
    require_complete: true
"""

RETURN = r"""
msg:
  description: What was extracted, in a sentence.
  returned: always
  type: str
  sample: "2 files of 2 packages extracted to /srv/extracted/incident-4711 on control.contoso.com."
error:
  description: Why nothing could be extracted. Null if it could be; of single packages, see RV(packages).
  returned: always
  type: dict
  sample: null
  contains:
    code:
      description: The kind of failure.
      returned: on failure
      type: str
      sample: DestInEvidence
    message:
      description: What failed.
      returned: on failure
      type: str
      sample: "/srv/evidence/incident-4711/out is within an evidence folder: /srv/evidence/incident-4711 holds custody.jsonl."
    advice:
      description: What to do about it.
      returned: on failure
      type: str
      sample: "Give a dest elsewhere: what nobody has recorded must not lie between the evidence."
    tracking_id:
      description: Always null, since no service is asked.
      returned: on failure
      type: str
      sample: null
complete:
  description: Whether all that was to be extracted is there, that is, whether RV(not_searched) is empty.
  returned: always
  type: bool
  sample: true
dest:
  description: The folder that files were extracted to. Null if nothing could be.
  returned: always
  type: str
  sample: /srv/extracted/incident-4711
manifest:
  description: The manifest. Null if there is no file.
  returned: always
  type: str
  sample: /srv/extracted/incident-4711/manifest-sha256.txt
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
    folder:
      description: The folder of its files. Null if there is none.
      returned: always
      type: str
      sample: /srv/extracted/incident-4711/pc042.contoso.com/5382f7ea-7557-4ab7-9782-d50480024a4e
    files:
      description: How many files it has there.
      returned: always
      type: int
      sample: 1
    error:
      description: Why it was not extracted, or not all of it. Null if it was.
      returned: always
      type: dict
      sample: null
      contains:
        code:
          description: The kind of failure. V(NotOverwritten) where something else stands in the place of a file.
          returned: on failure
          type: str
          sample: NotOverwritten
        message:
          description: What failed.
          returned: on failure
          type: str
          sample: >-
            1 file in /srv/extracted/incident-4711/pc042.contoso.com/5382f7ea-7557-4ab7-9782-d50480024a4e with other content than the
            package has: Security.evtx. Nothing of that was touched.
        advice:
          description: What to do about it.
          returned: on failure
          type: str
          sample: "Move what stands there away, or give another dest: nothing is overwritten."
        tracking_id:
          description: Always null, since no service is asked.
          returned: on failure
          type: str
          sample: null
files:
  description: The files, whether this task has written them or they were there; in check mode, those that would be.
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
      description: The file.
      returned: always
      type: str
      sample: /srv/extracted/incident-4711/pc042.contoso.com/5382f7ea-7557-4ab7-9782-d50480024a4e/Security.evtx
    entry:
      description: The entry that it is, as the package names it; members of containers as V(a.cab!/b.log).
      returned: always
      type: str
      sample: Security Event Log/Security.evtx
    artefact:
      description: Its kind.
      returned: always
      type: str
      sample: event_log
    size:
      description: Its size in bytes.
      returned: always
      type: int
      sample: 20975616
    sha256:
      description: Its SHA-256.
      returned: always
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    written:
      description: Whether this task has written it. V(false) if it was there already.
      returned: always
      type: bool
      sample: true
not_searched:
  description: What was left out, under the name that it has in all modules that read evidence.
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
      description: The device's DNS name, from the record; or what was asked for, where there is no package of it.
      returned: always
      type: str
      sample: pc042.contoso.com
    package:
      description: The package. Null where there is none.
      returned: always
      type: str
      sample: /srv/evidence/incident-4711/pc042.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
    entry:
      description: The entry. Null for the package, or the rest of it.
      returned: always
      type: str
      sample: Security Event Log/Security.evtx
    artefact:
      description: The kind of artefact. Null for the package, or the rest of it.
      returned: always
      type: str
      sample: event_log
    why:
      description: Why.
      returned: always
      type: str
      sample: it is encrypted
    entries:
      description: How many entries the row stands for.
      returned: always
      type: int
      sample: 1
not_found:
  description: The elements of O(machines) that no package is of.
  returned: always
  type: list
  elements: str
  sample: []
summary:
  description: The extraction in figures.
  returned: always
  type: dict
  sample: {packages: 2, read: 2, older: 0, files: 2, written: 2, bytes: 41951232}
  contains:
    packages:
      description: Packages that were to be read.
      returned: always
      type: int
      sample: 2
    read:
      description: Packages without an error.
      returned: always
      type: int
      sample: 2
    older:
      description: Packages that were left out, since their device has a newer one.
      returned: always
      type: int
      sample: 0
    files:
      description: Files, whether this task has written them or not.
      returned: always
      type: int
      sample: 2
    written:
      description: Files that this task has written.
      returned: always
      type: int
      sample: 2
    bytes:
      description: Their size, of all files together.
      returned: always
      type: int
      sample: 41951232
recorded:
  description:
    - Whether the custody log of every evidence folder that was read has a line of it. V(false) in check mode, and where a folder
      could not be written, or a package lies in none; a warning says which.
  returned: always
  type: bool
  sample: true
node:
  description: The computer that the files are on. Without C(delegate_to) that is the control node, whatever the play's host is.
  returned: always
  type: str
  sample: control.contoso.com
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.extract_evidence import TASK


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
