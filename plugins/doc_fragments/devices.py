# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # How devices are named.
    DOCUMENTATION = r"""
options:
  machines:
    description:
      - The devices, each by its device ID (40 hexadecimal digits), its Entra device ID (a GUID), its IP address, its DNS
        name, full or short, or the address of its page in the Defender portal. They are told apart by their form, and upper and
        lower case are the same.
      - A list, or a text with commas, semicolons or lines between the names, or a JSON text. A record that another module of
        this collection has returned stands for the device whose C(machine_id) it has.
      - What can be no name, such as a wildcard or a number, refuses the whole task before anything is started. So does a blank
        text or null, which could mean nothing as well as everything. An empty list selects nothing.
    type: list
    elements: raw
    aliases:
      - machine
      - machine_id
"""

    # What to do where a name fits several devices.
    AMBIGUOUS = r"""
options:
  on_ambiguous:
    description:
      - What to do when a name or an address fits several devices.
      - V(fail) fails it and lists the candidates. V(newest) takes one that is onboarded before others, among them an active one,
        and among those the one that was seen last.
    type: str
    choices:
      - fail
      - newest
    default: fail
"""

    # How packages are downloaded, and what is written beside them.
    DOWNLOADS = r"""
options:
  downloads:
    description:
      - How many packages may be downloaded at the same time.
    type: int
    default: 4
  report:
    description:
      - Whether to write a report of the run into O(dest) - who asked for what and why, what came of it on each device and when, with
        hashes, use of the quota, and the head of the custody log; the state of each device, what its package holds, lacks and has
        empty, the span of its event logs, and links to the portal and the package; a custody form for each package, to print. It is
        one page that needs nothing else (C(report-<run started>-<run>.html)), and the same as data (C(.json)).
      - Each package is looked into for that while others are waited for, for a minute at the most, and what is left at the end for
        five minutes altogether. What there was no time for, or cannot be read, is said in the report, and fails nothing.
      - The custody log records both, so M(secops.defender.defender_verify_evidence) checks them as well.
      - Needs O(dest). A run that fills several folders writes one into each.
    type: bool
    default: false
"""
