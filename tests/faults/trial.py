# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of a collection in a process of its own, and what the simulator says of it."""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import traceback
import typing as t
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, open_door
from ansible_collections.secops.defender.plugins.module_utils._words import clock as _clock
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

if t.TYPE_CHECKING:
    from breakage import Break

# Nothing in a trial takes that long; a run that does has hung. Seconds.
PATIENCE = 90
KILLED = "killed"


@dataclass(frozen=True)
class Facts:
    """How to reach the simulator."""

    connection: dict[str, str]
    devices: list[dict[str, str]]
    identity_url: str
    work: Path
    # The options of a task that seals, and who verifies it trusts.
    sealing: dict[str, str]
    allowed_signers: str

    @classmethod
    def of(cls, published: dict[str, t.Any], work: Path) -> Facts:
        names = ("api_url", "login_url", "audience", "ca_path", "tenant", "client_id", "client_secret")
        seals = published["sealing"]
        return cls(
            {name: published[name] for name in names},
            published["devices"],
            published["identity_url"],
            work,
            {name: seals[name] for name in ("tsa_url", "tsa_ca_path", "signing_key", "identity")},
            seals["allowed_signers"],
        )


@dataclass(frozen=True)
class Outcome:
    """How a run ended: with every package, or carried to its end with some that failed, or not even that."""

    complete: bool = False
    ended: bool = False
    failed: tuple[str, ...] = ()
    traceback: bool = False
    message: str = ""


class Hasty(_clock.Clock):
    """Real time, but retries come soon: nothing is learned by waiting for them."""

    def jitter(self, seconds: float) -> float:
        return super().jitter(seconds) / 50


class Silent:
    """Says nothing to nobody."""

    launched_by: t.ClassVar[dict[str, str]] = {}

    def __getattr__(self, _name: str) -> Callable[..., float]:
        return lambda *_args, **_more: 30.0


def options(facts: Facts, names: list[str], dest: Path) -> dict[str, t.Any]:
    """Of the collecting task."""
    return {
        **facts.connection,
        "machines": names,
        "comment": "Fault campaign",
        "dest": str(dest),
        "poll_interval": 0.1,
        "wait_timeout": 20,
        "timeout": 2,
        "quota_dir": str(facts.work / "quota"),
        "quotas": {"default": ["100/0.1", "1500/6"], "package_link": ["2/0.1", "120/6"]},
    }


def collect(facts: Facts, names: list[str], dest: Path, breaks: Break | None) -> Outcome:
    """A run as the module makes it, with something broken."""
    clock = Hasty()
    if breaks:
        breaks.install(clock)
    context = Context(False, t.cast(t.Any, Silent()), Secrets(), "here", clock)
    result = open_door(TASK, options(facts, names, dest), {}, None, context)
    failed = tuple(package["machine"] for package in result["packages"] if package["package"] is None)
    return Outcome(not result["failed"] and not failed, has_ended(dest), failed, message=result["msg"])


def has_ended(dest: Path) -> bool:
    """Whether the last run says of itself that it carried everything to its end."""
    log = dest / "custody.jsonl"
    return log.exists() and '"event":"run_ended"' in "".join(log.read_text(encoding="utf-8").splitlines()[-1:])


def forked(work: Callable[[], Outcome], patience: float = PATIENCE) -> Outcome:
    """The work in a child, which may be killed; a killed one is neither complete nor has it a traceback."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.setitimer(signal.ITIMER_REAL, patience)
        try:
            outcome = work()
        except BaseException:
            outcome = Outcome(traceback=True, message=traceback.format_exc())
        os.write(writer, json.dumps(outcome.__dict__).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return Outcome(traceback=True, message=f"hung for {patience:g} seconds")
    outcome = Outcome(**json.loads(told)) if told else Outcome(message=KILLED)
    if outcome.traceback:
        print(outcome.message, file=sys.stderr)
    return outcome


def control(facts: Facts, what: str, body: dict[str, t.Any] | None = None) -> t.Any:
    """The simulator's own view, or a fault for it."""
    trust = ssl.create_default_context(cafile=facts.connection["ca_path"])
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{facts.connection['api_url']}/_simulator/{what}", data=data)
    with urllib.request.urlopen(request, context=trust) as reply:
        text = reply.read()
    return json.loads(text) if text else None
