# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told what happens while a task works."""

from __future__ import annotations

import typing as t


class Reporter(t.Protocol):
    """What a door (module or action plugin) does with what is said while the work goes on."""

    # Whether anybody sees it before the work has ended.
    live: bool
    # Who asked, as far as only the playbook knows: for custody log, records and report.
    launched_by: t.Mapping[str, str]

    def say(self, text: str) -> None:
        """For everybody who looks on."""

    def trouble(self, text: str) -> None:
        """Something needs attention."""

    def detail(self, text: str) -> None:
        """For whoever asks for more."""

    def http(self, text: str) -> None:
        """One line for each call of the API."""

    def warn(self, text: str) -> None:
        """A warning, which Ansible shows whatever the verbosity."""
