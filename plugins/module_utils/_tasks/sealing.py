# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How evidence folders are sealed: the options that all modules with seals share, and what is said of a seal."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.sealing import (
    Made,
    Sealer,
    Signing,
    Stamping,
)
from ansible_collections.secops.defender.plugins.module_utils._service import time_stamps
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec

# An option that says nothing without the other one.
_NEEDS = {"tsa_ca_path": "tsa_url", "identity": "signing_key"}


def sealing_spec() -> Spec:
    """Where time stamps come from, and who signs."""
    return {
        "tsa_url": {"type": "str"},
        "tsa_ca_path": {"type": "path"},
        "signing_key": {"type": "path", "no_log": False},
        "identity": {"type": "str"},
    }


@dataclass(frozen=True)
class Sealing:
    """The seals that are wanted. False if none is."""

    tsa_url: str | None = None
    tsa_ca_path: str | None = None
    signing_key: str | None = None
    identity: str | None = None

    @classmethod
    def of(cls, given: Given) -> Sealing:
        """Raises OptionsError."""
        for name, other in _NEEDS.items():
            if given[name] and not given[other]:
                raise OptionsError(
                    f"{name} is given, but there is no {other}.", advice=f"Give {other} as well. Nothing was started."
                )
        identity = (given["identity"] or "").strip()
        if not identity.isprintable() or any(each in identity for each in ' ,!*?"'):
            raise OptionsError(
                f"identity is {identity!r}.",
                advice="Give the signer as allowed_signers names it, such as analyst@contoso.com. Nothing was started.",
            )
        url = time_stamps.check_url(given["tsa_url"]) if given["tsa_url"] else None
        return cls(url, given["tsa_ca_path"], given["signing_key"], identity or None)

    def __bool__(self) -> bool:
        return bool(self.tsa_url or self.signing_key)

    @property
    def called(self) -> str:
        """The option that asks for a seal."""
        return "tsa_url" if self.tsa_url else "signing_key"

    @property
    def signing(self) -> Signing | None:
        return Signing(self.signing_key, self.identity) if self.signing_key else None

    def stamping(self, clock: Clock) -> Stamping | None:
        url = self.tsa_url
        if not url:
            return None
        # Its query may hold a key, and the log is handed on.
        return Stamping(url.split("?")[0], self.tsa_ca_path, lambda question: time_stamps.ask(url, question, clock))

    def sealer(self, custody: Custody, clock: Clock) -> Sealer:
        return Sealer(custody, self.signing, self.stamping(clock))


def seal(sealing: Sealing, custody: Custody, context: Context) -> None:
    """Seal the folder of a run that has ended. What fails is a warning: the evidence is there, and the next run seals it."""
    sealer = sealing.sealer(custody, context.clock)
    try:
        sealer.seal()
    except DefenderError as failure:
        done = f"{told(sealer.made)}, but not all of it" if sealer.made else "not sealed"
        context.reporter.warn(f"{custody.path.parent}: {done}: {failure}")
    else:
        if sealer.made:
            context.reporter.say(f"{custody.path.parent}: {told(sealer.made)}")


def told(made: t.Sequence[Made]) -> str:
    """New seals in a sentence without its end: sealed at which time, by whom; empty without any."""
    if not made:
        return ""
    times = [f"at {each.time} by {each.signer}" for each in made if each.time]
    people = [f"signed by {each.signer or 'a key without an identity'}" for each in made if not each.time]
    return f"sealed up to line {made[0].seq}: {', '.join([*people, *(f'stamped {each}' for each in times)])}"
