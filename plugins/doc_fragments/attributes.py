# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # What every module of the collection has in common.
    DOCUMENTATION = r"""
attributes:
  action:
    description: Has an action plugin of the same name, so that part or all of the work is done on the control node.
  async:
    description: Supports being used with the C(async) keyword.
  check_mode:
    description: Can run in check mode and say what it would do, without changing anything.
  diff_mode:
    description: Says in detail what has changed or would change in diff mode.
  idempotent:
    description: When run again with the same options and nothing has changed meanwhile, does nothing.
  platform:
    description: On what the module runs.
"""

    # Modules whose work is done on the control node.
    CONTROL_NODE = r"""
attributes:
  action:
    support: full
    details:
      - The task runs on the control node, with progress. The play's hosts need not be reachable, and nothing has to be delegated.
      - A task that is delegated to a host other than C(localhost), or that is asynchronous, runs as an ordinary module where it
        is sent. Delegate an asynchronous task to C(localhost) if the play's host is not a place where modules can run.
  async:
    support: full
  diff_mode:
    support: none
  platform:
    support: full
    platforms: posix
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/secops.defender.defender) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - secops.defender.defender
"""
