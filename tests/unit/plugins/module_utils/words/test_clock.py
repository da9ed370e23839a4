# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest

from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock, Stopped


def test_sleep_ends_at_once_when_the_task_ends() -> None:
    clock = Clock()
    ended: list[bool] = []

    def sleeper() -> None:
        try:
            clock.sleep(60)
        except Stopped:
            ended.append(True)

    thread = threading.Thread(target=sleeper, daemon=True)
    thread.start()
    clock.stop()
    thread.join(10)
    assert ended == [True]


def test_after_the_end_nothing_waits_any_more() -> None:
    clock = Clock()
    clock.stop()
    for wait in (lambda: clock.sleep(60), lambda: clock.sleep(0), lambda: clock.wait([], 60), clock.check):
        with pytest.raises(Stopped):
            wait()


def test_wait_ends_with_the_first_future_and_by_time() -> None:
    clock = Clock()
    done: Future[Any] = Future()
    done.set_result(None)
    never: Future[Any] = Future()
    began = time.monotonic()
    clock.wait([never, done], 60)
    clock.wait([never], 0.01)
    clock.wait([never], -5)
    clock.wait([], 0.01)
    assert time.monotonic() - began < 10


def test_times_are_the_systems() -> None:
    clock = Clock()
    assert abs(clock.wall() - time.time()) < 5
    assert abs(clock.monotonic() - time.monotonic()) < 5


def test_jitter_spreads_between_a_half_and_all() -> None:
    drawn = [Clock().jitter(8.0) for _each in range(200)]
    assert all(4.0 <= each <= 8.0 for each in drawn)
    assert max(drawn) - min(drawn) > 1.0
