# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The master of a task: the process that waits for its result. Without it the work ends, and the next run picks it up.

For an action plugin that is ansible-playbook, for an asynchronous module its wrapper. Signals do not tell: from ansible-core
2.19 on a worker has a session of its own, and kill -9 or a closed terminal ends ansible-playbook alone.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import typing as t
from contextlib import contextmanager

from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import MasterGone

# Seconds between two looks, and how long the work may take to write down that it ends.
_PACE = 0.5
_GRACE = 3.0


@contextmanager
def watched(clock: Clock, gone: t.Callable[[], bool], leave: t.Callable[[int], t.Any] = os._exit) -> t.Iterator[None]:
    """While the work goes on, look whether its master is gone; then the clock ends the work, which says so in its logs.

    What does not end by that within some seconds, a call that hangs for instance, ends with the process.
    """

    def end(done: threading.Event) -> None:
        clock.abandon(nobody_waits())
        if not done.wait(_GRACE):
            leave(1)

    with _watching(gone, end):
        yield


def read_by(gone: t.Callable[[], bool], leave: t.Callable[[], t.Any]) -> t.ContextManager[None]:
    """While a module works elsewhere and this process only reads what it says: leave, if the master of both is gone.

    The module is left without a reader then, and ends by that.
    """
    return _watching(gone, lambda _done: leave())


@contextmanager
def _watching(gone: t.Callable[[], bool], then: t.Callable[[threading.Event], t.Any]) -> t.Iterator[None]:
    """Until the end of the block, which sets the event that C(then) is given."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_PACE):
            if gone():
                then(done)
                return

    threading.Thread(target=watch, name="secops.defender master", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def leave_here() -> t.NoReturn:
    """End this process. A module on this computer sees that, and writes it down."""
    os._exit(1)


def leave_with_all() -> t.NoReturn:
    """End this process and what it has started, where it leads a group of its own: an ssh that stays is a reader as well."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGTERM)
    os._exit(1)


def nobody_waits() -> MasterGone:
    """Why a run ends that has lost its master."""
    return MasterGone(
        "The run was given up, because the process that waited for it is gone.",
        advice="Run again: what was begun is picked up.",
    )


def parent_gone() -> t.Callable[[], bool]:
    """Whether the process that was the parent at first is the parent no more."""
    parent = os.getppid()
    return lambda: os.getppid() != parent


def reader_gone() -> t.Callable[[], bool]:
    """The same of a module, whose master also is whoever reads its output: nobody does where the pipe's other end is closed."""
    parent = parent_gone()
    try:
        output = sys.__stdout__.fileno() if sys.__stdout__ else -1
    except (OSError, ValueError):
        output = -1

    def gone() -> bool:
        if parent():
            return True
        if output < 0:
            return False
        poll = select.poll()
        poll.register(output, 0)
        return any(event & (select.POLLERR | select.POLLNVAL) for _file, event in poll.poll(0))

    return gone
