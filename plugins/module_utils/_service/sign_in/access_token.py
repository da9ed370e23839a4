# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A token that was got elsewhere, and that nobody here can renew."""

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.token import Fetch
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


def prepare(settings: Settings, where: Endpoints, http: Http, secrets: Secrets) -> Fetch:
    """Raises OptionsError for what cannot be a token."""
    # As people paste it, in several lines.
    token = "".join(str(settings.access_token).split())
    secrets.add(token)
    if not token.isascii() or not token.isprintable():
        raise OptionsError(
            "access_token has characters that no token has.", advice="Give it as it was issued, in one line."
        )
    return lambda force: (token, float("inf"))
