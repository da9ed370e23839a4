# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the connection options to an open API, and who is told what happens on the way."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._fleet.run import Observer
from ansible_collections.secops.defender.plugins.module_utils._service import sign_in as _auth
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints, endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.quota import Budget, default_folder, parse_quotas
from ansible_collections.secops.defender.plugins.module_utils._service.session import Http, Session
from ansible_collections.secops.defender.plugins.module_utils._tasks.specs import require_paths, require_positive
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

READ = (_auth.READ_PERMISSIONS,)
COLLECT_AND_READ = ((_auth.COLLECT_PERMISSION,), _auth.READ_PERMISSIONS)


class Reporter(Observer, t.Protocol):
    """What a door (module or action plugin) does with what is said while the work goes on."""

    # Whether anybody sees it before the work has ended.
    live: bool
    # Who asked, as far as only the playbook knows: for custody log, records and report.
    launched_by: t.Mapping[str, str]

    def say(self, text: str) -> None:
        """For everybody who looks on."""

    def detail(self, text: str) -> None:
        """For whoever asks for more."""

    def http(self, text: str) -> None:
        """One line for each call of the API."""

    def warn(self, text: str) -> None:
        """A warning, which Ansible shows whatever the verbosity."""


class Connection:
    """The way to the service that the connection options describe.

    Nothing is sent before sign_in. open_tokens: the way to sign in, if it is not the options' to say.
    Raises OptionsError, MissingLibrary.
    """

    def __init__(
        self,
        options: t.Mapping[str, t.Any],
        reporter: Reporter,
        secrets: Secrets,
        clock: Clock,
        open_tokens: t.Callable[..., tuple[_auth.Tokens, str]] | None = None,
    ) -> None:
        require_positive(options, "timeout")
        require_paths(options)
        for name in ("client_secret", "certificate_password", "password", "access_token"):
            secrets.add(options.get(name))
        self.where: Endpoints = endpoints(
            options["cloud"], options["region"], options["api_url"], options["login_url"], options["audience"]
        )
        self.limits = parse_quotas(options["quotas"], options["quota_share"])
        self.http = Http(options["ca_path"], options["validate_certs"], options["timeout"], clock)
        self.tokens, why = (open_tokens or _auth.open_tokens)(options, self.where, self.http, secrets)
        self._options = options
        self._reporter = reporter
        self._secrets = secrets
        reporter.detail(why)

    def sign_in(self, required: t.Sequence[tuple[str, ...]]) -> Api:
        """Get a token, check that it permits what is required, and open the API. Raises AuthError, NetworkError."""
        claims = self.tokens.claims()
        _auth.check_claims(claims, self.where, required, self.http.clock.wall(), 0.0)
        # What the service counts by; a token that cannot be read leaves what the options say.
        tenant = claims.tenant or self._options["tenant"] or ""
        app = claims.app_id or self._options["client_id"] or ""
        folder = Path(self._options["quota_dir"]) if self._options["quota_dir"] else default_folder()
        scope = f"{tenant}/{app}/{self.where.api_host}".lower()
        reporter = self._reporter
        budget = Budget(scope, self.limits, self.http.clock, folder, reporter.warn, reporter.say)
        return Api(Session(self.http, self.where, self.tokens, budget, reporter.http), self._secrets)

    def check_lifetime(self, work: float) -> None:
        """Whether a token that cannot be renewed lives for the work ahead, in seconds. Raises AuthError."""
        if not self.tokens.renewable:
            _auth.check_claims(self.tokens.claims(), self.where, (), self.http.clock.wall(), work)
