# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The budget of API calls, shared by every fork, play and job of this control node.

The service counts calls by application, tenant and endpoint (Microsoft's answer in microsoft-365-docs issue 10124). A call
takes a slot here before it is sent. Whether the service's windows slide or tick is not documented, so every window of that
length, wherever it begins, holds no more calls than allowed. A call counts from the moment its reply came: the service saw
it somewhen before, so its own window cannot end later.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration

if t.TYPE_CHECKING:  # pragma: no cover
    import sqlite3

PACKAGE_LINK = "package_link"
ENDPOINTS = (
    "collect",
    PACKAGE_LINK,
    "cancel",
    "isolate",
    "unisolate",
    "machine_actions",
    "machine_action",
    "machines",
    "find_by_ip",
    "find_by_tag",
    "alerts",
)


# Nodes that share nothing find their places by being refused, once or twice each, and keep them. That needs room: where every
# place is taken to the second, whoever is a moment late is in the next one's, and each link is refused for ever.
_ROOM = 1.03
# Who was refused comes back within this part of its window: nobody else can use the time that it stays away for longer.
_SPREAD = 0.003


@dataclass(frozen=True)
class Limit:
    """At most C(calls) in any C(seconds). stretched: the share of one call, so that other nodes' calls fall into its window."""

    calls: int
    seconds: float
    stretched: bool = field(default=False, compare=False)

    def share(self, part: float) -> Limit:
        """This limit for one of several control nodes, 0 < part <= 1; never less than one call."""
        calls = int(self.calls * part + 1e-9)
        if calls:
            return Limit(calls, self.seconds)
        return Limit(1, self.seconds / (self.calls * part) * _ROOM, stretched=True)


# Rate limits: Collect investigation package API and Get package SAS URI API, Limitations.
DEFAULT_LIMITS: dict[str, tuple[Limit, ...]] = {
    "default": (Limit(100, 60.0), Limit(1500, 3600.0)),
    PACKAGE_LINK: (Limit(2, 60.0), Limit(120, 3600.0)),
}

# What a shorter window of some task's quotas must not forget, in seconds: other tasks count by the documented ones.
_KEPT = max(limit.seconds for limits in DEFAULT_LIMITS.values() for limit in limits)
_LEASED = max(min(limit.seconds for limit in limits) for limits in DEFAULT_LIMITS.values())
# What this process knows of its own calls is pruned when there are so many.
_MANY = 4000

# Nobody watches a job that says nothing for longer, in seconds.
_SILENCE = 30.0
_LIMIT = re.compile(r"^\s*([1-9]\d{0,6})\s*/\s*(\d+(?:\.\d+)?)\s*$")


def parse_quotas(quotas: t.Mapping[str, t.Any] | None, share: float = 1.0) -> dict[str, tuple[Limit, ...]]:
    """The limits for each endpoint class, from C(quotas) (such as C({"package_link": ["2/60"]})) and C(quota_share).

    Raises OptionsError for an unknown class, a limit that is not calls/seconds, and a share outside 0 < share <= 1.
    """
    if not 0 < share <= 1:
        raise OptionsError(
            f"quota_share is {share:g}.", advice="Give a number above 0 and up to 1, such as 0.5 for two nodes."
        )
    limits = dict(DEFAULT_LIMITS)
    for name, texts in (quotas or {}).items():
        if name not in ("default", *ENDPOINTS):
            raise OptionsError(
                f"quotas names an unknown endpoint class {name!r}.",
                advice=f"Known are default, {', '.join(ENDPOINTS)}.",
            )
        listed = [texts] if isinstance(texts, str) else texts if isinstance(texts, list) else []
        matches = [_LIMIT.match(text) if isinstance(text, str) else None for text in listed]
        if not matches or not all(match and float(match[2]) > 0 for match in matches):
            raise OptionsError(
                f"quotas.{name} is {texts!r}.", advice="Give a list of calls/seconds, such as ['2/60', '120/3600']."
            )
        limits[name] = tuple(Limit(int(match[1]), float(match[2])) for match in matches if match)
    return {name: tuple(limit.share(share) for limit in each) for name, each in limits.items()}


def schedule(past: list[float], limits: t.Sequence[Limit], earliest: float, calls: int) -> list[float]:
    """When the next C(calls) calls may be made at the soonest, given the sorted times of past ones."""
    times = list(past)
    for _each in range(calls):
        moment = max(earliest, times[-1] if len(times) > len(past) else earliest)
        for limit in limits:
            if len(times) >= limit.calls:
                moment = max(moment, times[-limit.calls] + limit.seconds)
        times.append(moment)
    return times[len(past) :]


@dataclass(frozen=True)
class Slot:
    """Leave to make one call now."""

    id: int
    bucket: str


class Budget:
    """Slots for API calls. Safe for threads; across processes through a file.

    scope: what the service counts by, besides the endpoint (tenant, application, host).
    folder: where the shared file is; None for a budget of this process alone.
    warn: told, once, that the file cannot be used; the budget then goes on for this process alone.
    say: told, every half minute, what a call that has to wait is waiting for.
    """

    def __init__(
        self,
        scope: str,
        limits: t.Mapping[str, tuple[Limit, ...]],
        clock: Clock,
        folder: Path | None = None,
        warn: t.Callable[[str], None] = lambda text: None,
        say: t.Callable[[str], None] = lambda text: None,
    ) -> None:
        self._scope = hashlib.sha256(scope.encode()).hexdigest()[:16]
        self._limits = limits
        self._clock = clock
        self._warn = warn
        self._say = say
        self._lock = threading.Lock()
        # This process's own calls and pauses, by which a private budget begins should the file be lost.
        self._own: dict[int, tuple[str, str, float]] = {}
        self._pauses: dict[str, float] = {}
        self._offset: set[str] = set()
        self._store, self._started = _open_shared(folder, clock, warn) if folder else (_open_private(), 0.0)

    def _now(self) -> float:
        """In the file's time: the same on every computer that shares it, and not moved by steps of this one's clock."""
        return self._started + self._clock.monotonic()

    def limits(self, endpoint: str) -> tuple[Limit, ...]:
        return self._limits.get(endpoint) or self._limits["default"]

    def take(self, endpoint: str, ticket: int | None = None) -> tuple[Slot | None, float, int | None]:
        """A slot if one is free now; otherwise how many seconds until it is worth asking again, and a place in the queue.

        Give the ticket back when asking again: who asked first is served first, in whichever process.
        """
        bucket = self._bucket(endpoint)
        limits = self.limits(endpoint)

        def take(store: sqlite3.Connection) -> tuple[Slot | None, float, int | None]:
            def work() -> tuple[Slot | None, float, int | None]:
                if bucket not in self._offset:
                    self._begin_at_random(store, bucket, limits)
                return self._take(store, bucket, limits, ticket)

            return t.cast("tuple[Slot | None, float, int | None]", _transaction(store, work))

        slot, delay, ticket = self._with_store(take)
        if slot:
            self._remember(slot, "sent")
        return slot, delay, ticket

    def acquire(self, endpoint: str) -> Slot:
        """A slot, waiting for it as long as it takes. Nothing is locked meanwhile."""
        ticket: int | None = None
        while True:
            slot, delay, ticket = self.take(endpoint, ticket)
            if slot:
                return slot
            if delay > _SILENCE:
                self._say(f"Waiting {duration(delay)} for the quota of {endpoint.replace('_', ' ')}.")
            self._clock.sleep(min(delay, _SILENCE))

    def done(self, slot: Slot) -> None:
        """The call's reply came (or will not come)."""
        self._remember(slot, "done")
        self._with_store(
            lambda store: store.execute(
                "UPDATE call SET state = 'done', at = ? WHERE id = ? AND bucket = ?",
                (self._now(), slot.id, slot.bucket),
            )
        )

    def give_back(self, slot: Slot) -> None:
        """The call will not be made."""
        with self._lock:
            self._own.pop(slot.id, None)
        self._with_store(
            lambda store: store.execute("DELETE FROM call WHERE id = ? AND bucket = ?", (slot.id, slot.bucket))
        )

    def pause(self, endpoint: str, seconds: float | None) -> None:
        """The service said when to call again (429, C(Retry-After)): everyone on this node waits. None: it did not say."""
        limits = self.limits(endpoint)
        wait = seconds if seconds is not None else min(limit.seconds for limit in limits)
        bucket, stretched = self._bucket(endpoint), [each.seconds for each in limits if each.stretched]
        # Nodes that were refused together must not come back together.
        until = self._now() + wait + (self._chance(max(stretched) * _SPREAD) if stretched else 0.0)
        with self._lock:
            self._pauses[bucket] = until

        def told(store: sqlite3.Connection) -> None:
            _pause(store, bucket, until)
            if stretched:
                # A whole window after the refused call, this node would meet the same others again, and be refused for ever.
                newest = "SELECT max(id) FROM call WHERE bucket = ? AND state = 'done'"
                store.execute(f"DELETE FROM call WHERE id = ({newest})", (bucket,))

        self._with_store(told)

    def forecast(self, endpoint: str, calls: int) -> float:
        """Seconds until the last of that many further calls can be made, going by what was used so far."""
        if calls <= 0:
            return 0.0
        bucket, limits = self._bucket(endpoint), self.limits(endpoint)

        def read(store: sqlite3.Connection) -> float:
            now = self._now()
            past, resumes = _past(store, bucket, limits, now), _resumes(store, bucket, now)
            return schedule(past, limits, resumes, calls)[-1] - now

        return self._with_store(read)

    def _chance(self, seconds: float) -> float:
        """Anything from 0 to so many seconds."""
        return 2 * self._clock.jitter(seconds) - seconds

    def _begin_at_random(self, store: sqlite3.Connection, bucket: str, limits: tuple[Limit, ...]) -> None:
        """An offset of this node's own, where its share is less than a call a window: nodes begin together, but must not call
        together."""
        self._offset.add(bucket)
        widest = max((limit.seconds for limit in limits if limit.stretched), default=0.0)
        now = self._now()
        recent = "SELECT 1 FROM call WHERE bucket = ? AND at > ? LIMIT 1"
        if widest and not store.execute(recent, (bucket, now - widest)).fetchone():
            _pause(store, bucket, now + self._chance(widest))

    def _remember(self, slot: Slot, state: str) -> None:
        now = self._now()
        with self._lock:
            self._own[slot.id] = (slot.bucket, state, now)
            if len(self._own) > _MANY:
                kept = sorted(self._own.items(), key=lambda each: each[1][2])[_MANY // 2 :]
                self._own = dict(kept)

    def _bucket(self, endpoint: str) -> str:
        return f"{self._scope}/{endpoint}"

    def _take(
        self, store: sqlite3.Connection, bucket: str, limits: tuple[Limit, ...], ticket: int | None
    ) -> tuple[Slot | None, float, int | None]:
        now = self._now()
        shortest, longest = min(limit.seconds for limit in limits), max(limit.seconds for limit in limits)
        old = now - max(longest, _KEPT) - max(shortest, _LEASED)
        named = {"bucket": bucket, "now": now, "old": old}
        store.execute(
            "DELETE FROM call WHERE bucket = :bucket AND at < CASE state WHEN 'waiting' THEN :now ELSE :old END", named
        )
        ahead = store.execute(
            "SELECT count(*) FROM call WHERE bucket = ? AND state = 'waiting' AND id < ?",
            (bucket, ticket if ticket is not None else 1 << 62),
        ).fetchone()[0]
        resumes = _resumes(store, bucket, now)
        # Reading the past row by row is slow beside busy threads, and is needed only where there is no room.
        if resumes <= now and all(_used(store, bucket, limits, each, now) + ahead < each.calls for each in limits):
            delay = 0.0
        else:
            delay = schedule(_past(store, bucket, limits, now), limits, resumes, ahead + 1)[-1] - now
        if delay <= 0:
            if ticket is not None:
                store.execute("DELETE FROM call WHERE id = ?", (ticket,))
            row = store.execute("INSERT INTO call (bucket, state, at) VALUES (?, 'sent', ?)", (bucket, now))
            return Slot(row.lastrowid or 0, bucket), 0.0, None
        # A ticket lapses soon after its owner should have asked again: a process that died holds nobody up.
        lapses = now + delay + shortest / 20
        renewed = ticket is not None and store.execute(
            "UPDATE call SET at = ? WHERE id = ? AND state = 'waiting'", (lapses, ticket)
        )
        if not renewed or not renewed.rowcount:
            ticket = store.execute(
                "INSERT INTO call (bucket, state, at) VALUES (?, 'waiting', ?)", (bucket, lapses)
            ).lastrowid
        return None, delay, ticket

    def _with_store(self, work: t.Callable[[sqlite3.Connection], t.Any]) -> t.Any:
        """Some work on the store; one that fails is replaced by one of this process alone, and the work is done there."""
        import sqlite3

        with self._lock:
            try:
                return work(self._store)
            except sqlite3.Error as failure:
                self._warn(_unshared(str(failure)))
                with contextlib.suppress(sqlite3.Error):
                    self._store.close()
                self._store = _open_private()
                rows = [(number, *call) for number, call in self._own.items()]
                self._store.executemany("INSERT INTO call (id, bucket, state, at) VALUES (?, ?, ?, ?)", rows)
                for bucket, until in self._pauses.items():
                    _pause(self._store, bucket, until)
                return work(self._store)


def _pause(store: sqlite3.Connection, bucket: str, until: float) -> None:
    store.execute(
        "INSERT INTO pause VALUES (:bucket, :until) ON CONFLICT (bucket) DO UPDATE SET until = max(until, :until)",
        {"bucket": bucket, "until": until},
    )


def _transaction(store: sqlite3.Connection, work: t.Callable[[], t.Any]) -> t.Any:
    import sqlite3

    store.execute("BEGIN IMMEDIATE")
    try:
        result = work()
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            store.execute("ROLLBACK")
        raise
    store.execute("COMMIT")
    return result


# When a past call counts from; one that is still under way counts as made now.
_MOMENT = "CASE state WHEN 'sent' THEN min(:now, at + :lease) ELSE at END"
_MADE = "FROM call WHERE bucket = :bucket AND state != 'waiting'"


def _past(store: sqlite3.Connection, bucket: str, limits: t.Sequence[Limit], now: float) -> list[float]:
    """When past calls count from, sorted."""
    named = _named(bucket, limits, now) | {"calls": max(limit.calls for limit in limits)}
    rows = store.execute(f"SELECT {_MOMENT} AS moment {_MADE} ORDER BY moment DESC LIMIT :calls", named)
    return [row[0] for row in rows][::-1]


def _used(store: sqlite3.Connection, bucket: str, limits: t.Sequence[Limit], limit: Limit, now: float) -> int:
    """How many past calls one of the limits still counts."""
    named = _named(bucket, limits, now) | {"window": limit.seconds}
    used: int = store.execute(f"SELECT count(*) {_MADE} AND {_MOMENT} + :window > :now", named).fetchone()[0]
    return used


def _named(bucket: str, limits: t.Sequence[Limit], now: float) -> dict[str, t.Any]:
    return {"bucket": bucket, "now": now, "lease": min(limit.seconds for limit in limits)}


def _resumes(store: sqlite3.Connection, bucket: str, now: float) -> float:
    row = store.execute("SELECT until FROM pause WHERE bucket = ?", (bucket,)).fetchone()
    return max(now, row[0]) if row else now


_SCHEMA = """
CREATE TABLE IF NOT EXISTS call (id INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL, state TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS call_bucket ON call (bucket, state, at);
CREATE TABLE IF NOT EXISTS pause (bucket TEXT PRIMARY KEY, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS boot (id TEXT PRIMARY KEY, started REAL NOT NULL);
"""
_FILE = "quota-1.sqlite3"
_BUSY_SECONDS = 20.0
_LONGEST_PAUSE = 3600.0


def _open_private() -> sqlite3.Connection:
    import sqlite3

    store = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    store.executescript(_SCHEMA)
    return store


def _open_shared(folder: Path, clock: Clock, warn: t.Callable[[str], None]) -> tuple[sqlite3.Connection, float]:
    import sqlite3

    path = folder / _FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _open_file(path, clock)
        except sqlite3.DatabaseError as failure:
            if isinstance(failure, sqlite3.OperationalError):
                raise
            # Not a database: nothing in it can be counted on, and every later run would stumble over it too.
            os.replace(path, path.with_suffix(".corrupt"))
            warn(f"The shared quota file {path} was damaged ({failure}); it was set aside and a new one begun.")
            return _open_file(path, clock)
    except (OSError, sqlite3.Error) as failure:
        warn(_unshared(f"{folder}: {failure}"))
        return _open_private(), 0.0


def _open_file(path: Path, clock: Clock) -> tuple[sqlite3.Connection, float]:
    import sqlite3

    store = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS)
    try:
        # A process that is killed leaves a file that repairs itself; only a power cut may damage it, and then it is replaced.
        store.execute("PRAGMA synchronous = OFF")
        # Otherwise a file is made and removed for every call.
        store.execute("PRAGMA journal_mode = PERSIST")
        _transaction(store, lambda: [store.execute(line) for line in _SCHEMA.split(";")])
        started = _transaction(store, lambda: _start(store, clock))
    except BaseException:
        store.close()
        raise
    return store, started


def _start(store: sqlite3.Connection, clock: Clock) -> float:
    """When this computer started, in seconds since 1970, as the first process after its start has found.

    Times in the file are this plus the seconds since. Several computers can share it as far as their clocks agree.
    """
    started = clock.wall() - clock.monotonic()
    boot = _boot_id(started)
    row = store.execute("SELECT started FROM boot WHERE id = ?", (boot,)).fetchone()
    if row:
        started = float(row[0])
    else:
        store.execute("INSERT INTO boot VALUES (?, ?)", (boot, started))
        # Who waited here before the restart is there no more; who waits on another computer takes a new place.
        store.execute("DELETE FROM call WHERE state = 'waiting'")
    # What lies in the future comes of a wrong clock or a damaged file. It counts as just made, and holds nobody up for longer
    # than the service ever does.
    named = {"now": started + clock.monotonic(), "longest": _LONGEST_PAUSE}
    store.execute("UPDATE call SET at = :now WHERE state != 'waiting' AND at > :now", named)
    store.execute("UPDATE pause SET until = min(until, :now + :longest)", named)
    return started


def _boot_id(started: float) -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        # No such file outside Linux: the time of the start itself, coarse because a clock is corrected all the time.
        return str(int(started // 100))


def _unshared(why: str) -> str:
    return (
        f"The quota is not shared with other runs on this computer ({why}). Do not run several at once, "
        "or set quota_dir to a folder that can be written."
    )


def default_folder() -> Path | None:
    """Where the shared file is kept unless C(quota_dir) says otherwise. None: whoever runs this has no home."""
    chosen = os.environ.get("ANSIBLE_HOME") or "~/.ansible"
    if chosen.startswith("~/") and not os.environ.get("HOME", "").strip():
        # An empty HOME would be taken for the root of the file system, and a tilde that nobody resolves for a folder's name.
        home = _home_of_account()
        return Path(home) / chosen[2:] / "secops.defender" if home else None
    return Path(os.path.expanduser(chosen)) / "secops.defender"


def _home_of_account() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def without_a_home() -> str:
    """What to warn of where default_folder knows none."""
    return _unshared("HOME is not set, and this user has no home")
