#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_access_token
short_description: Sign in to Microsoft Defender for Endpoint and see what the token permits
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Signs in and returns what the token says of itself - for whom it is, how long it lives, and what it permits. A good first
    task of a playbook, and a way to try credentials.
  - Returns the token itself only if O(return_token) asks for it, such as for a call that no module of this collection makes.
  - The Defender API is not called, and nothing is changed.
requirements:
  - No permission
extends_documentation_fragment:
  - secops.defender.connection
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
  return_token:
    description:
      - Whether to return the token in RV(access_token). The result is then treated as with C(no_log=true), so that no callback
        shows it. What the playbook does with the registered variable is the playbook's to guard.
      - Not possible with C(async), whose results are kept in a file. A token that was given as O(access_token) is not returned
        by a task that is delegated to another host.
    type: bool
    default: false
  required_permissions:
    description:
      - Permissions that the token must have, by their names as application permissions, such as V(Machine.CollectForensics)
        or V(Machine.Read.All). The task fails if one is missing, and names all that are.
      - V(Machine.ReadWrite.All) stands in for V(Machine.Read.All). Of a user's token the delegated permissions are
        meant, V(Machine.Read) for V(Machine.Read.All).
    type: list
    elements: str
  device_code:
    description:
      - Sign in as a user by device code. While the task runs it shows an address and a code; somebody opens the address on
        any device, enters the code and signs in, with a second factor if need be.
      - Needs O(tenant), and the O(client_id) of an app that allows public client flows and has delegated permissions. Other
        credentials are not used.
      - Only for a task that runs on the control node itself and can show the code, neither delegated to another host nor
        asynchronous.
    type: bool
    default: false
seealso:
  - module: secops.defender.defender_collect_package
  - name: Use Microsoft Defender for Endpoint APIs
    description: How to register an app, and what each permission is for.
    link: https://learn.microsoft.com/en-us/defender-endpoint/api/exposed-apis-create-app-webapp
"""

EXAMPLES = r"""
# Credentials come from DEFENDER_TENANT, DEFENDER_CLIENT_ID and DEFENDER_CLIENT_SECRET in these examples.

- name: Require that collecting will be possible, before anything else is done
  secops.defender.defender_access_token:
    required_permissions:
      - Machine.CollectForensics
      - Machine.Read.All
  run_once: true

- name: Sign in as a user, who is shown a code
  secops.defender.defender_access_token:
    device_code: true
    tenant: contoso.onmicrosoft.com
    client_id: 0d4a6d60-1c45-4f0e-8a3b-6f8b2f6f5b7e
    return_token: true
  register: signed_in
  run_once: true

- name: Collect with that user's permissions
  secops.defender.defender_collect_package:
    machine: pc042.contoso.com
    comment: Incident 4711
    auth_source: access_token
    access_token: "{{ signed_in.access_token }}"
  run_once: true
"""

RETURN = r"""
msg:
  description: How long the token lives, in a sentence; of a failure also what to do about it.
  returned: always
  type: str
  sample: The token is good until 2026-11-23T11:15:00Z.
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
      sample: The token lacks the application permission Machine.CollectForensics; it has Machine.Read.All.
    advice:
      description: What to do about it.
      returned: on failure
      type: str
      sample: Add what is missing of the API WindowsDefenderATP to the app in Entra ID, then grant admin consent, and get a new token.
    tracking_id:
      description: What Microsoft's support asks for. Null if the service gave none.
      returned: on failure
      type: str
      sample: 4fa1b6a2-6a64-4e2c-8a4b-4b53c2b0b3a1
audience:
  description: The API that the token is for. Null if there is no token, and if it cannot be read.
  returned: always
  type: str
  sample: https://api.securitycenter.microsoft.com
permissions:
  description: What the token permits, in alphabetical order, also where something is missing. Null if there is no token.
  returned: always
  type: list
  elements: str
  sample:
    - Machine.CollectForensics
    - Machine.Read.All
delegated:
  description: Whether it is a user's token, with delegated permissions, instead of an app's. Null if there is no token.
  returned: always
  type: bool
  sample: false
tenant:
  description: The ID of the tenant that issued it. Null if there is no token, and if it cannot be read.
  returned: always
  type: str
  sample: 7f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d
client_id:
  description: The ID of the app that it was issued to. Null if there is no token, and if it cannot be read.
  returned: always
  type: str
  sample: 7c1a1e4c-6a0e-4d6d-9f5e-2f3b8a3d0e11
expires:
  description: When it ends, ISO 8601 UTC. Null if there is no token, and if it cannot be read.
  returned: always
  type: str
  sample: '2026-11-23T11:15:00Z'
expires_in:
  description: Seconds until then. Null if there is no token, and if it cannot be read.
  returned: always
  type: int
  sample: 3599
access_token:
  description: The token itself.
  returned: on success, if O(return_token=true)
  type: str
  sample: eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9...
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.access_token import TASK
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
