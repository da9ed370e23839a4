# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source secops.defender.alerts: its options, and what it does and says at each turn.

The source itself is a door of its own, as a module's is: it opens L(Source) and hands on what comes out.
"""

from __future__ import annotations

import logging
import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._service.alerts import SEVERITIES, STATUSES, Choice, Watch
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.connection import Connection
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._service.token import ALERT_PERMISSIONS
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import count
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock, Stopped
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AuthError,
    DefenderError,
    MissingLibrary,
    OptionsError,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import duration
from ansible_collections.secops.defender.plugins.module_utils._words.options import (
    Given,
    Spec,
    near,
    read,
    secrets_in,
    shown,
    unknown_variables,
)
from ansible_collections.secops.defender.plugins.module_utils._words.reporter import Reporter
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

NAME = "secops.defender.alerts"
# Trouble that stays is told again after so many seconds.
_REMIND = 900.0
# A sign-in that is refused is tried again less and less often, down to once in so many seconds: the same wrong password every
# minute would lock a user out.
_SELDOM = 900.0
# ansible-doc knows no event sources.
_MANUAL = "Its guide, docs/alerts.md, lists its own options, and ansible-doc secops.defender.defender_machine_info those of the connection."
# What ansible-rulebook adds to a source's arguments if its rulebook asks for feedback, which this source has no use for.
_FEEDBACK = "eda_feedback_queue"


def spec() -> Spec:
    """Credentials and connection, and which alerts count."""
    return {
        **connection_spec(),
        "severities": {"type": "list", "elements": "str", "default": ["High"], "choices": list(SEVERITIES)},
        "statuses": {"type": "list", "elements": "str", "default": ["New", "InProgress"], "choices": list(STATUSES)},
        "filter": {"type": "str"},
        "poll_interval": {"type": "str", "default": "60"},
        "look_back": {"type": "str", "default": "1h"},
    }


@dataclass(frozen=True)
class Options:
    """poll_interval, look_back: seconds."""

    settings: Settings
    choice: Choice
    poll_interval: float
    look_back: float

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        return cls(
            Settings.of(given),
            Choice(
                _words("severities", given["severities"], SEVERITIES),
                _words("statuses", given["statuses"], STATUSES),
                given["filter"],
            ),
            given.positive("poll_interval"),
            given.seconds("look_back"),
        )


def _words(option: str, given: t.Sequence[t.Any], known: t.Sequence[str]) -> tuple[str, ...]:
    """What was asked for in the service's own spelling. Raises OptionsError."""
    spellings = {word.lower(): word for word in known}
    strange = [each for each in given if not isinstance(each, str) or each.lower() not in spellings]
    if strange:
        raise OptionsError(
            f"{option} has {shown(strange[0])}.", advice=f"{near(str(strange[0]), known)}Known are {', '.join(known)}."
        )
    if not given:
        raise OptionsError(f"{option} is an empty list, so no alert would ever be told.", advice="Name at least one.")
    return tuple(dict.fromkeys(spellings[each.lower()] for each in given))


class LogReporter:
    """Says what is to be said in the log of ansible-rulebook, of which only warnings are shown unless more is asked for."""

    live = True

    def __init__(self, secrets: Secrets) -> None:
        self.launched_by: t.Mapping[str, str] = {}
        self._secrets = secrets
        self._log = logging.getLogger(NAME)

    def say(self, text: str) -> None:
        self._write(logging.WARNING, text)

    trouble = warn = say

    def detail(self, text: str) -> None:
        self._write(logging.INFO, text)

    def http(self, text: str) -> None:
        self._write(logging.DEBUG, text)

    def _write(self, level: int, text: str) -> None:
        self._log.log(level, "%s", self._secrets.scrub(text))


class Source:
    """Reads alerts turn by turn. Trouble is said and outlived; only what a rulebook's author got wrong is an end."""

    def __init__(self, options: Options, reporter: Reporter, secrets: Secrets, clock: Clock) -> None:
        """Raises OptionsError, MissingLibrary."""
        self._options = options
        self._reporter = reporter
        self._secrets = secrets
        self._clock = clock
        self._watch = Watch(options.choice, options.look_back, clock)
        self._connection: Connection | None = self._connect()
        self._api: Api | None = None
        self._trouble: _Trouble | None = None
        self._first = True

    def _connect(self) -> Connection:
        """Raises OptionsError, MissingLibrary."""
        return Connection(self._options.settings, self._reporter, self._secrets, self._clock)

    def stop(self) -> None:
        """End what a thread may still be waiting for."""
        self._clock.stop()

    def turn(self) -> tuple[list[dict[str, t.Any]], float]:
        """The events of what is new, and seconds until the next turn.

        Raises OptionsError where it has never read an alert: for a filter that is none, or a certificate that is not there. Later
        such a file is only being replaced.
        """
        began = self._clock.monotonic()
        news = []
        try:
            news = self._look()
        except (Stopped, MissingLibrary):
            raise
        except Exception as failure:
            if self._first and isinstance(failure, OptionsError):
                raise
            pause = self._failed(failure)
        else:
            self._recovered()
            pause = self._options.poll_interval
        return [{"alert": alert} for alert in news], max(0.0, began + pause - self._clock.monotonic())

    def _look(self) -> list[dict[str, t.Any]]:
        if self._api is None:
            self._connection = self._connection or self._connect()
            self._api = self._connection.sign_in((ALERT_PERMISSIONS,))
        try:
            news = self._watch.look(self._api)
        except ServiceError as failure:
            if failure.status == 400 and self._first and self._options.choice.filter:
                raise OptionsError(
                    f"The service refused the query: {failure.message}",
                    advice=f"Check filter, which is {self._options.choice.filter!r}: the properties' names, the operators, quotes "
                    "around texts and none around times.",
                ) from None
            raise
        if self._first:
            self._first = False
            self._say_what_is_older()
        self._reporter.detail(f"{count(len(news), 'alert')} told.")
        return [alert.as_event() for alert in news]

    def _say_what_is_older(self) -> None:
        if self._watch.older:
            choice = self._options.choice
            self._reporter.warn(
                f"{count(self._watch.older, 'alert')} ({', '.join(choice.severities)}; {', '.join(choice.statuses)}) with no change "
                f"in the last {duration(self._options.look_back)} (look_back): not told, look at them in the Defender portal."
            )

    def _failed(self, failure: Exception) -> float:
        """Says it, and returns the seconds until it is tried again."""
        now = self._clock.monotonic()
        # What the answer of a stranger, or a fault in here, is called does not matter: it must not be the end.
        told = str(failure) if isinstance(failure, DefenderError) else f"{type(failure).__name__}: {failure}"
        trouble = self._trouble = self._trouble or _Trouble(now)
        trouble.tries += 1
        refused = isinstance(failure, (AuthError, OptionsError)) or getattr(failure, "status", 0) in (401, 403)
        if refused:
            # Credentials and permissions may have been mended meanwhile, and a token remembers the old ones.
            self._connection = self._api = None
        poll = self._options.poll_interval
        if isinstance(failure, AuthError) and failure.code == AuthError.default_code:
            # The login host is in trouble, or something in its place answers: that is no refusal, and may be over any minute.
            refused = False
        pause = max(poll, min(poll * 2.0 ** min(trouble.tries, 20), _SELDOM)) if refused else poll
        if told != trouble.told or now >= trouble.told_at + _REMIND:
            trouble.told, trouble.told_at = told, now
            since = f" for {duration(now - trouble.began)}" if now > trouble.began else ""
            self._reporter.trouble(
                f"No alerts can be read{since}: {told} Tried again in {duration(pause)}; none is lost that the service still lists."
            )
        return pause

    def _recovered(self) -> None:
        if self._trouble:
            now = self._clock.monotonic()
            tries = count(self._trouble.tries, "attempt")
            self._reporter.say(
                f"Alerts are read again, after {duration(now - self._trouble.began)} and {tries} that failed."
            )
            self._trouble = None


@dataclass
class _Trouble:
    """Reading that fails since a moment of the monotonic clock."""

    began: float
    tries: int = 0
    told: str = ""
    told_at: float = 0.0


def open_source(
    args: t.Mapping[str, t.Any],
    environ: t.Mapping[str, str],
    reporter: t.Callable[[Secrets], Reporter] = LogReporter,
    clock: Clock | None = None,
) -> Source:
    """From a source's arguments in a rulebook to the source. Raises OptionsError, MissingLibrary; neither shows a secret."""
    described = spec()
    secrets = Secrets()
    given = {name: value for name, value in args.items() if name != _FEEDBACK}
    secrets.add(*secrets_in(given, described))
    taken = read(given, described, environ, called=NAME, manual=_MANUAL)
    secrets.add(*secrets_in(taken.values, described))
    teller = reporter(secrets)
    for sentence in unknown_variables(environ, described):
        teller.warn(sentence)
    return Source(Options.of(taken), teller, secrets, clock or Clock())
