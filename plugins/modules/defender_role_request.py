#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_role_request
short_description: Say which device a host stands for, and what is wanted of it
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Serves the role P(secops.defender.collect_package#role) alone, as one of its three tasks. Use the role, or
    M(secops.defender.defender_collect_package).
  - Evaluates all variables of the role in the context of one host, refuses what cannot be meant, and leaves what the host asks
    for where M(secops.defender.defender_role_collect) finds it. Nothing is asked of the service yet.
  - Never fails by itself. What is refused is told by M(secops.defender.defender_role_result), so that it stands in the
    variable C(collect_package_result).
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
  description: Which device the host stands for, or why its request was refused.
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
