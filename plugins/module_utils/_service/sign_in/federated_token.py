# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An app that another identity provider vouches for, by a token that it keeps in a file (workload identity federation)."""

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import Endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.confidential_app import fetch_for
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.credential_file import read
from ansible_collections.secops.defender.plugins.module_utils._service.token import Fetch
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets


def prepare(settings: Settings, where: Endpoints, http: Http, secrets: Secrets) -> Fetch:
    """Raises OptionsError for a file that cannot be read, MissingLibrary."""
    path = str(settings.federated_token_file)

    # Read again at each renewal: whoever writes the file replaces its token long before this run ends.
    def assertion() -> str:
        token = read("federated_token_file", path).decode("ascii", "replace").strip()
        secrets.add(token)
        return token

    assertion()
    return fetch_for(settings, where, http, secrets, {"client_assertion": assertion})
