# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the connection options to an open API."""

from __future__ import annotations

import contextlib
import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._service import sources
from ansible_collections.secops.defender.plugins.module_utils._service.api import Api
from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints, endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.quota import (
    Budget,
    default_folder,
    parse_quotas,
    without_a_home,
)
from ansible_collections.secops.defender.plugins.module_utils._service.session import Session
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.tenant import check_tenant
from ansible_collections.secops.defender.plugins.module_utils._service.token import (
    COLLECT_PERMISSION,
    ISOLATE_PERMISSION,
    READ_PERMISSIONS,
    Tokens,
    check_claims,
)
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import NetworkError, ReplyLost
from ansible_collections.secops.defender.plugins.module_utils._words.reporter import Reporter
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

READ = (READ_PERMISSIONS,)
COLLECT_AND_READ = ((COLLECT_PERMISSION,), READ_PERMISSIONS)
ISOLATE_AND_READ = ((ISOLATE_PERMISSION,), READ_PERMISSIONS)


class Connection:
    """The way to the service that the settings describe.

    Nothing is sent before sign_in. open_tokens: the way to sign in, if it is not the settings' to say.
    Raises OptionsError, MissingLibrary.
    """

    def __init__(
        self,
        settings: Settings,
        reporter: Reporter,
        secrets: Secrets,
        clock: Clock,
        open_tokens: t.Callable[[Settings, Endpoints, Http, Secrets], tuple[Tokens, str]] = sources.open_tokens,
    ) -> None:
        secrets.add(*settings.secrets())
        self.settings = settings
        self.where: Endpoints = endpoints(
            settings.cloud,
            settings.region,
            settings.api_url,
            settings.login_url,
            settings.audience,
            settings.origins,
        )
        self.limits = parse_quotas(settings.quotas, settings.quota_share)
        self.http = Http(settings.ca_path, settings.validate_certs, settings.timeout, clock)
        self.tokens, why = open_tokens(settings, self.where, self.http, secrets)
        # The one that the token is for, as far as it can be read; known after sign_in.
        self.tenant: str | None = None
        self._reporter = reporter
        self._secrets = secrets
        reporter.detail(why)

    def sign_in(self, required: t.Sequence[tuple[str, ...]]) -> Api:
        """Get a token, check that it is the tenant's and permits what is required, and open the API.

        Raises AuthError, NetworkError, ReplyLost.
        """
        claims = self.tokens.claims()
        if claims.expires is not None and claims.expires <= self.http.now() and not self.http.knows_time:
            self._ask_the_time()
        # What the token says of itself first: whose tenant it is may have to be asked of the login host.
        check_claims(claims, self.where, required, self.http.now(), 0.0)
        check_tenant(claims, self.settings.tenant, self.where, self.http)
        self.tenant = claims.tenant or self.settings.tenant
        # What the service counts by; a token that cannot be read leaves what the settings say.
        app = claims.app_id or self.settings.client_id or ""
        folder = Path(self.settings.quota_dir) if self.settings.quota_dir else default_folder()
        if folder is None:
            self._reporter.warn(without_a_home())
        scope = f"{self.tenant or ''}/{app}/{self.where.api_host}".lower()
        reporter = self._reporter
        budget = Budget(scope, self.limits, self.http.clock, folder, reporter.warn, reporter.say)
        return Api(Session(self.http, self.where, self.tokens, budget, reporter.http), self._secrets)

    def check_lifetime(self, work: float) -> None:
        """Whether a token that cannot be renewed lives for the work ahead, in seconds. Raises AuthError."""
        if not self.tokens.renewable:
            check_claims(self.tokens.claims(), self.where, (), self.http.now(), work)

    def _ask_the_time(self) -> None:
        """Before a token is called expired, its issuer is asked what time it is: this computer's clock may be wrong."""
        with contextlib.suppress(NetworkError, ReplyLost):
            self.http.send("GET", f"{self.where.login_url}/common/v2.0/.well-known/openid-configuration")
