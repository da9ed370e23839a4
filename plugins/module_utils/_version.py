# Copyright: (c) 2026, secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it from other collections or standalone plugins/modules!
"""The collection's version, as it is said to the service and in evidence."""

from __future__ import annotations

# galaxy.yml has the same; a unit test compares them.
VERSION = "1.0.0"
USER_AGENT = f"secops.defender/{VERSION} (Ansible collection)"
