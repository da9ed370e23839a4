# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Where time stamps come from, and who signs.
    DOCUMENTATION = r"""
options:
  tsa_url:
    description:
      - The address of a time-stamping authority (RFC 3161) that is to vouch for the time. It is sent one hash, and nothing of the
        evidence. Redirects are not followed, the answer has 30 seconds, and a proxy of the environment is used.
      - Needs the Python library C(rfc3161-client), 1.0.6 or later, on the control node.
      - An address that asks for a user name and a password is refused. What follows a C(?) is not logged.
    type: str
  tsa_ca_path:
    description:
      - The certificate of the authority's root, and of those between, in a PEM file or in a folder of such files. The authority's own
        as well, if its stamps do not hold it.
      - A stamp that none of them vouches for is refused and not kept. Without this option, only what can be told without it is
        checked; O(secops.defender.defender_verify_evidence#module:tsa_ca_path) makes up for that later.
      - It says nothing of TLS. For an authority behind C(https) with a private certificate, set E(REQUESTS_CA_BUNDLE).
    type: path
  signing_key:
    description:
      - An SSH private key that signs, by C(ssh-keygen), which must be on the control node. The namespace is C(secops.defender).
      - Nobody is asked for a passphrase. A key that has one must be in the agent that E(SSH_AUTH_SOCK) leads to. Of a key on
        hardware, name the file that stands for it; the task waits a minute for a touch.
    type: path
  identity:
    description:
      - Who signs, as O(secops.defender.defender_verify_evidence#module:allowed_signers) names the key's owner.
    type: str
"""

    # When it is done, and what becomes of a failure, where a run seals what it has collected.
    AT_THE_END = r"""
options: {}
notes:
  - With O(tsa_url) or O(signing_key), each evidence folder of the run is sealed at its end, after the report, as
    M(secops.defender.defender_seal_evidence) does it. What cannot be sealed is a warning, and the next run in the folder seals it.
    Both need O(dest).
"""
