#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_seal_evidence
short_description: Seal an evidence folder with a time stamp and a signature
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Seals an evidence folder by the newest line of its custody log. The log's chain of hashes carries that to every line before, and
    so to every package and record. A seal is a signature with an SSH key, a time stamp of an authority (RFC 3161), or both.
  - Whoever can write to the folder can change the log and make all of its hashes right again, but no seal that fits. So with a
    seal, nothing that stands before it can be changed unnoticed, not even by who keeps the evidence.
  - The signature is of the newest line. The time stamp is of the line that records the signature, or, without one, of the newest
    line. They are stored as C(seals/<seq>.sig) and C(seals/<seq>.tsr), where C(<seq>) is the number of the line that was sealed.
    The log records each of them with its SHA-256, so a later seal vouches for the earlier ones, too.
  - Lines that only tell of seals or of reading do not make a folder unsealed. Where everything is sealed already, by this key and
    by the authority at this address, nothing is done. A seal that is missing is made, if the authority was down before, for instance.
  - Another key or another authority seals what others have sealed, too. To renew a seal by the same ones, give a O(note).
  - M(secops.defender.defender_verify_evidence) judges seals. Revocation of an authority's certificate is not asked for.
extends_documentation_fragment:
  - secops.defender.attributes
  - secops.defender.attributes.control_node
  - secops.defender.sealing
attributes:
  check_mode:
    support: full
    details:
      - Says what would be sealed. Nothing is written, signed or asked for.
  idempotent:
    support: full
    details:
      - A O(note) is logged each time. One that an interrupted run has logged and not come to sealing is not logged again.
options:
  path:
    description:
      - The evidence folder, which was O(secops.defender.defender_collect_package#module:dest) when the packages were collected.
        It must be one that the user may write to, and nobody else's.
    type: path
    required: true
    aliases:
      - dest
      - evidence
  note:
    description:
      - What is logged before the folder is sealed, when evidence changes hands, for instance. It takes V(from), V(to) and
        V(purpose), each a text.
    type: dict
notes:
  - At least one of O(tsa_url) and O(signing_key) is needed.
seealso:
  - module: secops.defender.defender_verify_evidence
  - module: secops.defender.defender_collect_package
"""

EXAMPLES = r"""
- name: Seal the evidence of an incident
  secops.defender.defender_seal_evidence:
    path: /srv/evidence/incident-4711
    tsa_url: http://timestamp.contoso.com/tsa
    tsa_ca_path: /etc/pki/timestamp-root.pem
    signing_key: ~/.ssh/evidence
    identity: analyst@contoso.com

- name: Note a hand-over, and seal with a time stamp alone
  secops.defender.defender_seal_evidence:
    path: /srv/evidence/incident-4711
    note:
      from: Avery Analyst
      to: Casey Counsel
      purpose: Disclosure in the case 4711
    tsa_url: http://timestamp.contoso.com/tsa
    tsa_ca_path: /etc/pki/timestamp-root.pem
"""

RETURN = r"""
msg:
  description: What was done, or why it could not be, in a sentence.
  returned: always
  type: str
  sample: >-
    /srv/evidence/incident-4711 on control.contoso.com: sealed up to line 12: signed by analyst@contoso.com, stamped at
    2026-11-23T10:20:05Z by CN=Contoso time stamps. The head is now
    2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae, line 14.
error:
  description: Why the folder could not be sealed, or not with everything. Null if it could be.
  returned: always
  type: dict
  sample: null
  contains:
    code:
      description: The kind of failure.
      returned: on failure
      type: str
      sample: TsaRefused
    message:
      description: What failed.
      returned: on failure
      type: str
      sample: The time-stamping authority timestamp.contoso.com answered with the HTTP status 503.
    advice:
      description: What to do about it.
      returned: on failure
      type: str
      sample: Check tsa_url, and whether the authority is at work. The next run seals what is unsealed.
    tracking_id:
      description: Always null.
      returned: on failure
      type: str
      sample: null
seals:
  description: The seals that were made, also where the task then failed.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: V(signature) or V(time_stamp).
      returned: always
      type: str
      sample: time_stamp
    seq:
      description: The number of the log's line that was sealed.
      returned: always
      type: int
      sample: 12
    head:
      description: The SHA-256 of that line.
      returned: always
      type: str
      sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    path:
      description: The seal, as seen from the evidence folder.
      returned: always
      type: str
      sample: seals/12.tsr
    sha256:
      description: The seal's SHA-256.
      returned: always
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    signer:
      description: The O(identity) of a signature, or the name in the authority's certificate. Null if there is none.
      returned: always
      type: str
      sample: CN=Contoso time stamps
    time:
      description: The time of a stamp, ISO 8601 UTC, by the authority's clock. Null for a signature, which has no time of its own.
      returned: always
      type: str
      sample: '2026-11-23T10:20:05Z'
seq:
  description: The number of the custody log's newest line.
  returned: always
  type: int
  sample: 14
head:
  description: The SHA-256 of the custody log's newest line. Null if the log could not be read.
  returned: always
  type: str
  sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
node:
  description: The computer whose folder was sealed. Null if the options were refused.
  returned: always
  type: str
  sample: control.contoso.com
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.seal_evidence import TASK


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
