#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: awx_setup_doctor
short_description: Look at an AWX before the role awx_setup makes anything there
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Serves the role P(secops.defender.awx_setup#role) alone, and reads that role's variables. It is of no use elsewhere.
  - Refuses variables that the role does not know, and says in one sentence each what would stop it in AWX - no such organization,
    no right to create credential types, a credential without what AWX demands. It changes nothing.
  - Runs on the control node, and asks AWX through the lookup plugin C(awx.awx.controller_api).
extends_documentation_fragment:
  - secops.defender.attributes
attributes:
  action:
    support: full
  async:
    support: none
  diff_mode:
    support: none
  platform:
    support: full
    platforms: posix
  check_mode:
    support: full
    details:
      - Does the same as without it.
  idempotent:
    support: full
options:
  about:
    description:
      - What to look at.
      - V(setup) is everything before anything is made, V(project) is the project once AWX has updated it.
    type: str
    choices:
      - setup
      - project
    default: setup
"""

EXAMPLES = r"""
- name: Look at AWX first
  secops.defender.awx_setup_doctor:
    about: setup
  register: doctor
"""

RETURN = r"""
msg:
  description: What stops the role, or that nothing does.
  returned: always
  type: str
  sample: AWX is ready to be set up.
troubles:
  description: What stops the role, a sentence each.
  returned: when AWX has answered
  type: list
  elements: str
  sample: []
notes:
  description: What is left to do by hand, a sentence each.
  returned: when O(about=setup)
  type: list
  elements: str
  sample: []
options:
  description: The role's variables, typed, without the secrets.
  returned: when O(about=setup)
  type: dict
  sample: {}
there:
  description: What there is in AWX already.
  returned: when O(about=setup)
  type: dict
  sample: {}
host:
  description: Where AWX is.
  returned: when O(about=setup)
  type: str
  sample: https://awx.contoso.com
"""
