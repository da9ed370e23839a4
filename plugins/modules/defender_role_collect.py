#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_role_collect
short_description: Collect for all hosts that have one connection
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Serves the role P(secops.defender.collect_package#role) alone, as one of its three tasks. Use the role, or
    M(secops.defender.defender_collect_package).
  - The first host of each fleet does the work of M(secops.defender.defender_collect_package) for all hosts of that fleet, with its
    own credentials. For all others it does nothing.
  - Never fails by itself. What came of each host is told by M(secops.defender.defender_role_result).
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
  description: What came of the fleet, in one sentence.
  returned: for the host that worked for its fleet
  type: str
summary:
  description: Counts of devices, as RV(secops.defender.defender_collect_package#module:summary).
  returned: for the host that worked for its fleet
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(
        msg="This is a task of the role secops.defender.collect_package and cannot run elsewhere. Use the role."
    )


if __name__ == "__main__":
    main()
