#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_verify_evidence
short_description: Check an evidence folder against its records and its custody log
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Checks whether the packages that M(secops.defender.defender_collect_package) and M(secops.defender.defender_fetch_package)
    have stored are still what was downloaded. Every package and record is compared with what the custody log says of it, and
    the log with its own chain of hashes.
  - Fails if anything was altered, is missing, is not recorded or was left unfinished, and says what, and when it was last
    known to be right.
  - Reads only. Nothing is sent anywhere, and no credentials are needed.
  - The chain proves that nothing was changed within the log, not who wrote it. Whoever may write to the folder can make a new
    log, or cut whole runs off its end together with their files. Against that, seal the folder
    (M(secops.defender.defender_seal_evidence)) and give here whose seals count, or note RV(head) in another place after each run,
    and give it as O(custody_head).
  - Every seal is held against the log, whoever is trusted - a seal that fits no line is a finding, and so is one that the log tells
    of and that is missing, and a log that ends before the line of a seal. With O(tsa_ca_path) and O(allowed_signers), a seal by
    anybody else is a finding as well.
  - A time stamp's certificates are judged at the stamp's own time, so one that has expired since is fine. The stamp's time is held
    against the log's own times, with five minutes of leeway. A signature is judged at the time of the earliest valid stamp that
    covers it, and without one at the present. Revocation of an authority's certificate is not asked for.
extends_documentation_fragment:
  - secops.defender.attributes
  - secops.defender.attributes.control_node
attributes:
  check_mode:
    support: full
    details:
      - Does the same as without it.
  idempotent:
    support: full
options:
  path:
    description:
      - The evidence folder, which was O(secops.defender.defender_collect_package#module:dest) when the packages were collected.
    type: path
    required: true
    aliases:
      - dest
      - evidence
  custody_head:
    description:
      - A RV(head) that was noted after an earlier run. It must be in the chain.
    type: str
  tsa_ca_path:
    description:
      - The certificate of the root of each time-stamping authority that is trusted, and of those between, in a PEM file or in a
        folder of such files. Without it no time stamp is called valid. Needs the Python library C(rfc3161-client),
        1.0.6 or later.
    type: path
  allowed_signers:
    description:
      - Whose signatures count - a file as ssh-keygen(1) describes it under C(ALLOWED SIGNERS), a line for each signer. Without it no
        signature is called valid. Needs C(ssh-keygen).
    type: path
  revoked_keys:
    description:
      - Keys that do not count any more, although O(allowed_signers) has them - a file with a public key a line, or a key revocation
        list that C(ssh-keygen -k) has made. A signature by such a key is not valid, whenever it was made.
    type: path
  require_seal:
    description:
      - Fail unless a valid seal vouches for the whole log. Lines behind it that only tell of seals or of reading do not count.
    type: bool
    default: false
  return_packages:
    description:
      - Whether RV(packages) lists them all. Each takes some 430 bytes, and AWX shows nothing of a result of more than 700,000 bytes.
        RV(findings) and RV(summary) tell of all packages either way.
    type: bool
    default: true
seealso:
  - module: secops.defender.defender_seal_evidence
  - module: secops.defender.defender_collect_package
  - module: secops.defender.defender_fetch_package
"""

EXAMPLES = r"""
- name: Check the evidence of an incident
  secops.defender.defender_verify_evidence:
    path: /srv/evidence/incident-4711
  register: checked

- name: Note the head of the custody log where whoever may write to the folder cannot
  ansible.builtin.uri:
    url: https://tickets.contoso.com/api/incidents/4711/notes
    method: POST
    body_format: json
    body:
      text: "Custody head: {{ checked.head }}"

- name: Check it again before the trial, with the head that was noted
  secops.defender.defender_verify_evidence:
    path: /srv/evidence/incident-4711
    custody_head: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae

- name: Check it with its seals, all of it
  secops.defender.defender_verify_evidence:
    path: /srv/evidence/incident-4711
    tsa_ca_path: /etc/pki/timestamp-root.pem
    allowed_signers: /etc/pki/allowed_signers
    revoked_keys: /etc/pki/revoked_keys
    require_seal: true
"""

RETURN = r"""
msg:
  description: What was found, in a sentence; with findings also what to do about them.
  returned: always
  type: str
  sample: >-
    /srv/evidence/incident-4711 on control.contoso.com: 2 packages and the custody log of 12 events are as they were written. No head
    was given to compare with, so events cut off the end would not show.
error:
  description: Why the folder could not be checked. Null if it could be.
  returned: always
  type: dict
  sample: null
  contains:
    code:
      description: The kind of failure.
      returned: on failure
      type: str
      sample: EvidenceUnreadable
    message:
      description: What failed.
      returned: on failure
      type: str
      sample: "/srv/evidence/incident-4711/custody.jsonl cannot be read: Permission denied."
    advice:
      description: What to do about it.
      returned: on failure
      type: str
      sample: Run as a user that may read the evidence.
    tracking_id:
      description: Always null, since no service is asked.
      returned: on failure
      type: str
      sample: null
verified:
  description: Whether everything is as it was written, and there is at least one package of which that is said.
  returned: always
  type: bool
  sample: true
findings:
  description: What is not as it should be.
  returned: always
  type: list
  elements: dict
  sample: []
  contains:
    kind:
      description:
        - V(altered) - a file or a line of the log is not what was written.
        - V(missing) - a file that the log tells of is not there.
        - V(not_recorded) - a file or a link that the log knows nothing of.
        - V(broken_chain) - lines of the log were removed, added, replaced or put in another order, or O(custody_head) is not in it.
        - V(torn) - the log's last line is cut short, as a crash leaves it. The next run in the folder repairs that.
        - V(unfinished) - a run, a request or a download has not come to its end.
        - V(duplicate) - a package has the bytes of another action's package.
        - V(invalid_seal) - a seal that fits the log, but by nobody who is trusted, or made at another time than the log says.
        - V(unsealed) - with O(require_seal), not all of the log is sealed.
      returned: always
      type: str
      sample: altered
    path:
      description: The file, as seen from the evidence folder.
      returned: always
      type: str
      sample: pc042.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
    message:
      description: What is wrong with it.
      returned: always
      type: str
      sample: The package has the SHA-256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 instead of
        2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae.
    since:
      description: When it was last known to be right, ISO 8601 UTC. Null if that is not known.
      returned: always
      type: str
      sample: '2026-11-23T10:18:02Z'
packages:
  description: The packages that the log tells of, in the order of their paths. Empty with O(return_packages=false).
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Where it is, as seen from the evidence folder.
      returned: always
      type: str
      sample: pc042.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
    machine_id:
      description: The device's ID.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    action_id:
      description: The ID of the action that collected it.
      returned: always
      type: str
      sample: 5382f7ea-7557-4ab7-9782-d50480024a4e
    sha256:
      description: Its SHA-256 now. Null if it is missing.
      returned: always
      type: str
      sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    size:
      description: Its size in bytes now. Null if it is missing.
      returned: always
      type: int
      sample: 15728640
    collected:
      description: When its collection ended, as its record has it of the service, ISO 8601 UTC. Null if there is no record.
      returned: always
      type: str
      sample: '2026-11-23T10:17:31.7654321Z'
    downloaded:
      description: When it was downloaded, as its record says, ISO 8601 UTC. Null if there is no record.
      returned: always
      type: str
      sample: '2026-11-23T10:18:02Z'
    verified:
      description: Whether the package and its record are as they were written.
      returned: always
      type: bool
      sample: true
summary:
  description: The folder in figures.
  returned: always
  type: dict
  sample:
    packages: 2
    verified: 2
    findings: 0
    events: 12
    repaired: 0
  contains:
    packages:
      description: Packages that the log tells of.
      returned: always
      type: int
      sample: 2
    verified:
      description: Packages that are as they were written, with their records.
      returned: always
      type: int
      sample: 2
    findings:
      description: Findings.
      returned: always
      type: int
      sample: 0
    events:
      description: Events in the custody log.
      returned: always
      type: int
      sample: 12
    repaired:
      description: How often a run has found the log cut short by a crash, and said so in the log.
      returned: always
      type: int
      sample: 0
without_package:
  description:
    - Devices that were asked for and failed or were not ready in time, and that nobody has collected from since. They are no findings, since what is there
      may be as it was written; RV(msg) names them.
  returned: always
  type: list
  elements: dict
  contains:
    machine_id:
      description: Its device ID.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: Its DNS name as the service knew it.
      returned: always
      type: str
      sample: old.contoso.com
    comment:
      description: Why its package was to be collected.
      returned: always
      type: str
      sample: Incident 4711
    asked:
      description: When it was asked for, ISO 8601 UTC.
      returned: always
      type: str
      sample: '2026-11-23T10:15:00Z'
    code:
      description: The code of its failure.
      returned: always
      type: str
      sample: OsPlatformNotSupported
    message:
      description: What failed.
      returned: always
      type: str
      sample: OS Platform Windows8 isn't supported for this action.
interrupted:
  description: Runs that have no end and runs that gave up. They stay here for ever; what of them is still open is a finding.
  returned: always
  type: list
  elements: dict
  contains:
    run:
      description: The ID of the run in the custody log.
      returned: always
      type: str
      sample: 0d6b7c1e-5a0e-4ad0-9f4f-4f0c2b8d9a11
    started:
      description: When it began, ISO 8601 UTC.
      returned: always
      type: str
      sample: '2026-11-23T10:15:00Z'
    state:
      description: What became of it. V(gone) - it has no end, and its process is no more. V(aborted) - it gave up.
      returned: always
      type: str
      sample: gone
    devices:
      description: How many devices it was to collect from. Null if the log does not say.
      returned: always
      type: int
      sample: 2
    open:
      description: How many of its requests nobody has finished since.
      returned: always
      type: int
      sample: 0
seals:
  description: The folder's seals, in the order of the lines that they are of.
  returned: always
  type: list
  elements: dict
  contains:
    seq:
      description: The number of the log's line that was sealed.
      returned: always
      type: int
      sample: 12
    head:
      description: The SHA-256 of that line. Null if there is no such line.
      returned: always
      type: str
      sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    kind:
      description: V(signature) or V(time_stamp).
      returned: always
      type: str
      sample: time_stamp
    time:
      description:
        - The time of a stamp; of a signature, that of the earliest valid stamp which covers it. ISO 8601 UTC. Null if it is not
          known.
      returned: always
      type: str
      sample: '2026-11-23T10:20:05Z'
    signer:
      description:
        - The name in the authority's certificate, or the signer as O(allowed_signers) has it, or a key's fingerprint. Null if it is
          not known.
      returned: always
      type: str
      sample: CN=Contoso time stamps
    valid:
      description: Whether it fits the log, and somebody who is trusted vouches for it.
      returned: always
      type: bool
      sample: true
    why:
      description:
        - Why it is not valid. Null if it is, except of a signature whose time no stamp proves (V(signing time unproven)).
      returned: always
      type: str
      sample: null
tenant:
  description: The ID of the tenant whose evidence this is, as the log says. Null if it does not.
  returned: always
  type: str
  sample: 9d1f2a3b-0000-4000-8000-5e6f7a8b9c0d
node:
  description: The computer whose folder was verified. Without C(delegate_to) that is the control node, whatever the play's host is.
  returned: always
  type: str
  sample: control.contoso.com
head_compared:
  description: Whether O(custody_head) was given, so that events which were cut off the end of the log would have been noticed.
  returned: always
  type: bool
  sample: false
head:
  description: The SHA-256 of the custody log's last line, to be noted in another place. Null if there is none.
  returned: always
  type: str
  sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.verify_evidence import TASK


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
