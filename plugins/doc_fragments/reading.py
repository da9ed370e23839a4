# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Modules that read what is in packages.
    DOCUMENTATION = r"""
options:
  path:
    description:
      - An evidence folder, a package, or a list of them. Folders are searched for packages (files that end in V(.zip)) to any depth.
      - A path that has a comma or a semicolon is written as an element of a list.
      - Relative paths are below the playbook's folder.
    type: list
    elements: path
    required: true
    aliases:
      - dest
      - evidence
  machines:
    description:
      - Only the packages of these devices, by device ID or DNS name, full or short, as their records have them; or rows that a
        module has returned, which have a C(machine_id). Left out, all devices' packages are read. An empty list selects none.
    type: list
    elements: raw
    aliases:
      - machine
      - machine_id
  packages:
    description:
      - V(newest) reads of each device the package that was collected last (one that the custody log knows, if there is one), V(all)
        every one.
    type: str
    choices:
      - newest
      - all
    default: newest
  unrecorded:
    description:
      - Read packages without a record as well, such as those that were renamed, or handed over by someone else. Nobody can say
        whose they are and whether they are whole, so C(verified) is V(false) for them, and each counts as a device of its own.
    type: bool
    default: false
  max_entries:
    description: How many entries of one package are read, those of containers in it included.
    type: int
    default: 100000
  max_unpacked:
    description: How much of one package is unpacked, in bytes or with V(KiB), V(MiB), V(GiB).
    type: str
    default: 64GiB
  max_entry:
    description: How large one entry may be. A larger one is not read.
    type: str
    default: 4GiB
  max_nesting:
    description: How deep containers (cabinets, gzip, zip) in a package are opened.
    type: int
    default: 3
  max_seconds:
    description: How long reading one package may take, in seconds or as V(90m), V(1h).
    type: str
    default: 1h
"""
