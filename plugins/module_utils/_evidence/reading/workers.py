# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work on many packages, spread over processes: Python has one thread at a time for what searching does."""

from __future__ import annotations

import os
import pickle
import struct
import typing as t
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection

J = t.TypeVar("J")
R = t.TypeVar("R")

_LENGTH = struct.Struct("<QQ")
_READ = 1 << 20
_SECOND = 1.0


class WorkerDied(Exception):
    """A process has ended in the middle of its work: killed, most likely for want of memory."""


class Orphaned(BaseException):
    """Nobody waits for the result any more."""


def processes() -> int:
    """How many processes have a core each."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # pragma: no cover - macOS
        return os.cpu_count() or 1


def each(
    jobs: t.Sequence[J], work: t.Callable[[J], R], count: int, check: t.Callable[[], None]
) -> t.Iterator[tuple[int, R | BaseException]]:
    """The number of each job with its result, or with what it raised, as they come. count: processes; with one none is begun.

    check: is called every second while this waits, and raises where nobody waits for it any more. A process ends when the one
    that began it has: its pipe breaks, and L(still_wanted) raises.
    """
    if min(count, len(jobs)) <= 1:
        for number, job in enumerate(jobs):
            yield number, _result(work, job)
        return
    yield from _Pool(jobs, work, min(count, len(jobs)), check).results()


def still_wanted() -> t.Callable[[], None]:
    """To be called in a worker: from now on what raises Orphaned once the parent has gone."""
    parent = os.getppid()

    def check() -> None:
        if os.getppid() != parent:
            raise Orphaned

    return check


def wanted_by(gone: t.Callable[[], bool]) -> t.Callable[[], None]:
    """Raises Orphaned where the process that the work is done for has gone."""

    def check() -> None:
        if gone():
            raise Orphaned

    return check


def _result(work: t.Callable[[J], R], job: J) -> R | BaseException:
    try:
        return work(job)
    except Exception as failure:
        return failure


@dataclass
class _Worker:
    """pid, the pipe that results come by, what has come of it, and the job that it is at."""

    pid: int
    pipe: int
    to: int
    came: bytearray = field(default_factory=bytearray)
    job: int | None = None


class _Pool(t.Generic[J, R]):
    def __init__(self, jobs: t.Sequence[J], work: t.Callable[[J], R], count: int, check: t.Callable[[], None]) -> None:
        self._check = check
        self._jobs = jobs
        self._work = work
        self._next = 0
        self._workers: dict[int, _Worker] = {}
        self._count = count

    def results(self) -> t.Iterator[tuple[int, R | BaseException]]:
        try:
            for _number in range(self._count):
                worker = self._begin()
                self._workers[worker.pipe] = worker
                self._hand_out(worker)
            while self._workers:
                ready = connection.wait(list(self._workers), _SECOND)
                self._check()
                for pipe in ready:
                    yield from self._read(self._workers[t.cast(int, pipe)])
        finally:
            for worker in list(self._workers.values()):
                self._end(worker, kill=True)

    def _begin(self) -> _Worker:
        down, to = os.pipe()
        up, back = os.pipe()
        with warnings.catch_warnings():
            # Of threads, Python 3.12 warns; the child imports nothing, takes no lock of the parent's, and never returns from here.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            # Nothing of the parent's may run at the end here: no finally, no atexit, no flushing of its buffers.
            status = 1
            try:
                for other in self._workers.values():
                    os.close(other.pipe)
                    os.close(other.to)
                os.close(to)
                os.close(up)
                self._serve(down, back)
                status = 0
            except BaseException:
                pass
            finally:
                os._exit(status)
        os.close(down)
        os.close(back)
        return _Worker(pid, up, to)

    def _serve(self, down: int, back: int) -> None:
        while number := os.read(down, 8):
            index = int.from_bytes(number, "little")
            result = _result(self._work, self._jobs[index])
            try:
                data = pickle.dumps(result)
            except Exception as failure:
                data = pickle.dumps(RuntimeError(f"{type(failure).__name__}: {failure}"))
            _write(back, _LENGTH.pack(index, len(data)) + data)

    def _hand_out(self, worker: _Worker) -> None:
        if self._next < len(self._jobs):
            worker.job = self._next
            self._next += 1
            with suppress(BrokenPipeError):
                os.write(worker.to, worker.job.to_bytes(8, "little"))
        else:
            worker.job = None
            self._end(worker)

    def _read(self, worker: _Worker) -> t.Iterator[tuple[int, R | BaseException]]:
        data = os.read(worker.pipe, _READ)
        if not data:
            job = worker.job
            self._end(worker)
            if job is not None:
                yield job, WorkerDied("the process that read it has ended")
                if self._next < len(self._jobs):
                    again = self._begin()
                    self._workers[again.pipe] = again
                    self._hand_out(again)
            return
        worker.came += data
        if len(worker.came) < _LENGTH.size:
            return
        index, size = _LENGTH.unpack_from(worker.came)
        if len(worker.came) < _LENGTH.size + size:
            return
        # Its own child wrote it: no bytes from outside are unpickled.
        result = pickle.loads(bytes(worker.came[_LENGTH.size :]))
        worker.came.clear()
        self._hand_out(worker)
        yield index, result

    def _end(self, worker: _Worker, kill: bool = False) -> None:
        self._workers.pop(worker.pipe, None)
        os.close(worker.pipe)
        os.close(worker.to)
        if kill:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, 9)
        with suppress(ChildProcessError):
            os.waitpid(worker.pid, 0)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
