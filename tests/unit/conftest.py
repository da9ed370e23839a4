# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import sys

from hypothesis import HealthCheck, settings

# The simulator serves the integration tests and the demo as well, so it is no part of the unit tests' tree.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

# A gate must not open or close by chance, nor by the load of the machine.
settings.register_profile("gate", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gate")
# For `make fuzz`: other inputs in each round.
settings.register_profile("fuzz", deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))


def pytest_collection_finish() -> None:
    """Write once what importing has reached: else the process of every single test writes it again, which takes longer than the tests."""
    coverage = sys.modules.get("coverage")
    counting = coverage.Coverage.current() if coverage else None
    if counting:
        counting.stop()
        counting.save()
        counting.start()
