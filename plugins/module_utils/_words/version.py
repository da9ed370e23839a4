# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's version, as it is said to the service and in evidence."""

from __future__ import annotations

# A copy of what galaxy.yml says: `make format` carries it over, `make lint` compares.
VERSION = "1.0.0"
USER_AGENT = f"secops.defender/{VERSION} (Ansible collection)"
