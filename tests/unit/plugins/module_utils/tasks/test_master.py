# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.secops.defender.plugins.module_utils._tasks import master
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import MasterGone


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master, "_PACE", 0.01)
    monkeypatch.setattr(master, "_GRACE", 0.05)


def _never(code: int) -> None:
    pytest.fail(f"The process was to end with {code}.")


def test_a_wait_ends_when_the_master_is_gone() -> None:
    clock = Clock()
    with pytest.raises(MasterGone), master.watched(clock, lambda: True, _never):
        clock.sleep(60.0)


def test_what_does_not_end_by_itself_ends_with_the_process() -> None:
    left, codes = threading.Event(), []

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    with master.watched(Clock(), lambda: True, leave):
        assert left.wait(10.0)
    assert codes == [1]


def test_nothing_happens_while_the_master_lives() -> None:
    clock, asked = Clock(), threading.Event()

    def gone() -> bool:
        asked.set()
        return False

    with master.watched(clock, gone, _never):
        assert asked.wait(10.0)
        clock.sleep(0.001)


def test_the_parent_is_there() -> None:
    assert not master.parent_gone()()


def test_nobody_reads_a_closed_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "__stdout__", output)
        gone = master.reader_gone()
        assert not gone()
        os.close(reader)
        assert gone()


def test_who_only_reads_leaves_when_its_master_is_gone() -> None:
    left = threading.Event()
    with master.read_by(lambda: True, left.set):
        assert left.wait(10.0)
    with master.read_by(lambda: False, lambda: pytest.fail("It was to stay.")):
        assert not threading.Event().wait(0.05)


@pytest.mark.parametrize("leave", [master.leave_here, master.leave_with_all])
@pytest.mark.parametrize("leader", [True, False])
def test_what_a_reader_has_started_goes_with_it_where_it_must(leave: t.Callable[[], t.NoReturn], leader: bool) -> None:
    """The pipe is closed when the last process that could write to it is gone."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if leader:
            os.setsid()
        if os.fork() == 0:
            time.sleep(2.0)
            os.write(writer, b"stayed")
            os._exit(0)
        leave()
    os.close(writer)
    assert os.waitpid(child, 0)[1] != 0
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == (b"" if leader and leave is master.leave_with_all else b"stayed")
