#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_role_result
short_description: Hand a host what came of its request
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Serves the role P(secops.defender.collect_package#role) alone, as one of its three tasks. Use the role, or
    M(secops.defender.defender_collect_package).
  - Changed if something was started or written for this host, failed if its package or its action is missing.
  - An answer counts only for the entry into the role that gave it, and is handed over once.
  - It has no options. What it works by are the variables of the role, as each host has them.
extends_documentation_fragment:
  - secops.defender.attributes
attributes:
  action:
    support: full
    details:
      - Only runs on the control node.
  async:
    support: none
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options: {}
seealso:
  - module: secops.defender.defender_collect_package
"""

EXAMPLES = r"""
- name: Collect from each host by the role
  ansible.builtin.import_role:
    name: secops.defender.collect_package
"""

RETURN = r"""
msg:
  description: What came of the host, in a sentence or two.
  returned: always
  type: str
machine:
  description: The device as it was named.
  returned: always
  type: str
request:
  description: How the action came about. All other keys are those of RV(secops.defender.defender_collect_package#module:packages), too.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(
        msg="This is a task of the role secops.defender.collect_package and cannot run elsewhere. Use the role."
    )


if __name__ == "__main__":
    main()
