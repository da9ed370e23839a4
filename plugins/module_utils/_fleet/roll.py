# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which devices are in which phase. A device changes its phase here and nowhere else while the fleet runs."""

from __future__ import annotations

import heapq
import typing as t

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Phase


class Roll:
    """The devices by their phase, and those of one phase in turn: by order, or by the moment that was given with it."""

    def __init__(self, devices: t.Iterable[Device] = ()) -> None:
        self._members: dict[Phase, dict[int, Device]] = {phase: {} for phase in Phase}
        # By phase (turn, order); entries of devices that have left stay until they come up.
        self._lines: dict[Phase, list[tuple[float, int]]] = {phase: [] for phase in Phase}
        self._turns: dict[int, float] = {}
        self._open = 0
        for device in devices:
            self._open += device.phase is not Phase.DONE
            self._enter(device, 0.0)

    @property
    def open(self) -> int:
        """How many are not done."""
        return self._open

    def move(self, device: Device, phase: Phase, turn: float = 0.0) -> None:
        """turn: those with the least one are first in the new phase, among equals by their order."""
        if device.phase is phase and self._turns.get(device.order) == turn:
            return
        del self._members[device.phase][device.order]
        self._open += (phase is not Phase.DONE) - (device.phase is not Phase.DONE)
        device.phase = phase
        self._enter(device, turn)

    def _enter(self, device: Device, turn: float) -> None:
        self._members[device.phase][device.order] = device
        self._turns[device.order] = turn
        heapq.heappush(self._lines[device.phase], (turn, device.order))

    def count(self, *phases: Phase) -> int:
        return sum(len(self._members[phase]) for phase in phases)

    def all(self, phase: Phase) -> list[Device]:
        """Those of a phase, as they came."""
        return list(self._members[phase].values())

    def first(self, phase: Phase) -> Device | None:
        """The one whose turn it is, if there is any."""
        line, members = self._lines[phase], self._members[phase]
        while line:
            turn, order = line[0]
            if order in members and self._turns[order] == turn:
                return members[order]
            heapq.heappop(line)
        return None

    def turn(self, device: Device) -> float:
        """What was given when the device came to its phase."""
        return self._turns[device.order]
