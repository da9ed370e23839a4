# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Credentials and connection, for every module that calls the API.
    DOCUMENTATION = r"""
options:
  auth_source:
    description:
      - How to sign in.
      - V(auto) takes the first of the sign-ins below, in this order, for which the telling option is given - O(access_token),
        O(client_secret), O(certificate_path), O(federated_token_file), O(password). With C(-v) it says which one it took.
      - V(managed_identity) and V(azure_cli) need no option and are therefore only taken when they are named.
      - If not given, E(DEFENDER_AUTH_SOURCE) is used. As with all options that an environment variable can give,
        an empty one counts as unset.
    type: str
    choices:
      - auto
      - access_token
      - client_secret
      - certificate
      - federated_token
      - username_password
      - managed_identity
      - azure_cli
    default: auto
  tenant:
    description:
      - The Entra ID tenant, by its ID or by one of its domains.
      - If not given, the first of E(DEFENDER_TENANT), E(AZURE_TENANT) and E(AZURE_TENANT_ID) that is not empty is used.
    type: str
  client_id:
    description:
      - The application (client) ID of the app registration; with O(auth_source=managed_identity) that of a user-assigned
        managed identity.
      - If not given, the first of E(DEFENDER_CLIENT_ID) and E(AZURE_CLIENT_ID) that is not empty is used.
    type: str
  client_secret:
    description:
      - A client secret of the app, its value and not its ID.
      - If not given, the first of E(DEFENDER_CLIENT_SECRET), E(AZURE_SECRET) and E(AZURE_CLIENT_SECRET) that is not empty
        is used.
    type: str
    aliases:
      - secret
  certificate_path:
    description:
      - A file with the app's certificate and its private key, as PEM (both in one file) or as PFX.
      - If not given, the first of E(DEFENDER_CERTIFICATE_PATH) and E(AZURE_CLIENT_CERTIFICATE_PATH) that is not empty is used.
    type: path
  certificate_password:
    description:
      - The password of the private key in O(certificate_path), if it has one.
      - If not given, E(DEFENDER_CERTIFICATE_PASSWORD) is used.
    type: str
  federated_token_file:
    description:
      - A file with a token of another identity provider that the app trusts (workload identity federation). It is read again
        whenever a token is renewed.
      - If not given, the first of E(DEFENDER_FEDERATED_TOKEN_FILE) and E(AZURE_FEDERATED_TOKEN_FILE) that is not empty is used.
    type: path
  username:
    description:
      - A user to sign in as, with delegated permissions. Only for accounts without a second factor; an app is the better choice.
      - A user who is named nearer than any proof of who signs in is meant; without a password as near, V(auto) refuses to sign in.
      - If not given, E(DEFENDER_USERNAME) is used.
    type: str
  password:
    description:
      - The password of O(username).
      - If not given, E(DEFENDER_PASSWORD) is used.
    type: str
  access_token:
    description:
      - A token for the Defender API that was got elsewhere. It cannot be renewed, so work for which the quota alone takes longer
        than it lives is refused before anything is started.
      - If not given, E(DEFENDER_ACCESS_TOKEN) is used.
    type: str
  cloud:
    description:
      - The Microsoft cloud of the tenant. It sets login host, API host and audience together.
      - If not given, E(DEFENDER_CLOUD) is used, or what E(AZURE_CLOUD_ENVIRONMENT) says (V(AzureCloud),
        V(AzureUSGovernment)).
    type: str
    choices:
      - public
      - gcc
      - gcc_high
      - dod
    default: public
  region:
    description:
      - Use the API host of this geography instead of the global one (public cloud only).
      - If not given, E(DEFENDER_REGION) is used.
    type: str
    choices:
      - us
      - eu
      - uk
      - au
      - swa
      - ina
      - aea
  api_url:
    description:
      - The base URL of the API, such as V(https://api.security.microsoft.com), where what O(cloud) and O(region) give is not
        right.
      - If not given, E(DEFENDER_API_URL) is used.
    type: str
  login_url:
    description:
      - The base URL of the login host, such as V(https://login.microsoftonline.com), where what O(cloud) gives is not right.
      - If not given, E(DEFENDER_LOGIN_URL) is used.
    type: str
  audience:
    description:
      - The resource to ask a token for, such as V(https://api.securitycenter.microsoft.com), where what O(cloud) gives is not
        right.
      - If not given, E(DEFENDER_AUDIENCE) is used.
    type: str
  ca_path:
    description:
      - A PEM file, or a folder of hashed certificates, with the authorities to trust instead of the usual ones. It has
        precedence over E(REQUESTS_CA_BUNDLE).
      - If not given, E(DEFENDER_CA_PATH) is used.
    type: path
  validate_certs:
    description:
      - Whether to check TLS certificates. Without the check anyone on the way can read tokens and packages.
      - If not given, E(DEFENDER_VALIDATE_CERTS) is used.
    type: bool
    default: true
  timeout:
    description:
      - How long one call may take, from the connection to the end of the answer. Seconds, or a number with V(s), V(m), V(h) or
        V(d). A download may take longer, as long as it goes on.
      - If not given, E(DEFENDER_TIMEOUT) is used.
    type: str
    default: '60'
  quotas:
    description:
      - Limits that replace the documented ones, for the day Microsoft changes them. A dictionary from endpoint class to a list
        of limits, each as calls per seconds.
      - Endpoint classes are V(collect), V(package_link), V(cancel), V(isolate), V(unisolate), V(machine_actions), V(machine_action),
        V(machines), V(find_by_ip), V(find_by_tag) and V(alerts); V(default) is for all that are not named. Without this option the limits are
        V(100/60) and V(1500/3600), and for V(package_link) V(2/60) and V(120/3600).
    type: dict
  quota_share:
    description:
      - The share of every limit that this control node may use, above 0 and up to 1. Set it to one divided by the number of
        nodes on which jobs with the same app run at the same time; for sliced AWX jobs, by the number of slices.
      - If not given, E(DEFENDER_QUOTA_SHARE) is used.
    type: float
    default: 1
  quota_dir:
    description:
      - Where the budget is kept that all jobs on this control node share, by default below E(ANSIBLE_HOME) or V(~/.ansible).
        If it cannot be used, there is a warning, and the task keeps a budget of its own.
      - If not given, E(DEFENDER_QUOTA_DIR) is used.
    type: path
requirements:
  - Python 3.10 or later on the control node
  - requests
  - msal (not with O(access_token) and O(auth_source=azure_cli))
notes:
  - Proxies are taken from the environment (E(HTTPS_PROXY), E(NO_PROXY)) only, and a managed identity is asked for without one.
    C(~/.netrc) is never read.
"""

    # The same options for plugins, which say themselves where else a value may come from. It stands beside the half above:
    # C([secops.defender.connection, secops.defender.connection.plugins]).
    PLUGINS = r"""
options:
  auth_source:
    env:
      - name: DEFENDER_AUTH_SOURCE
  tenant:
    env:
      - name: DEFENDER_TENANT
      - name: AZURE_TENANT
      - name: AZURE_TENANT_ID
  client_id:
    env:
      - name: DEFENDER_CLIENT_ID
      - name: AZURE_CLIENT_ID
  client_secret:
    env:
      - name: DEFENDER_CLIENT_SECRET
      - name: AZURE_SECRET
      - name: AZURE_CLIENT_SECRET
  certificate_path:
    env:
      - name: DEFENDER_CERTIFICATE_PATH
      - name: AZURE_CLIENT_CERTIFICATE_PATH
  certificate_password:
    env:
      - name: DEFENDER_CERTIFICATE_PASSWORD
  federated_token_file:
    env:
      - name: DEFENDER_FEDERATED_TOKEN_FILE
      - name: AZURE_FEDERATED_TOKEN_FILE
  username:
    env:
      - name: DEFENDER_USERNAME
  password:
    env:
      - name: DEFENDER_PASSWORD
  access_token:
    env:
      - name: DEFENDER_ACCESS_TOKEN
  cloud:
    env:
      - name: DEFENDER_CLOUD
      - name: AZURE_CLOUD_ENVIRONMENT
  region:
    env:
      - name: DEFENDER_REGION
  api_url:
    env:
      - name: DEFENDER_API_URL
  login_url:
    env:
      - name: DEFENDER_LOGIN_URL
  audience:
    env:
      - name: DEFENDER_AUDIENCE
  ca_path:
    env:
      - name: DEFENDER_CA_PATH
  validate_certs:
    env:
      - name: DEFENDER_VALIDATE_CERTS
  timeout:
    env:
      - name: DEFENDER_TIMEOUT
  quota_share:
    env:
      - name: DEFENDER_QUOTA_SHARE
  quota_dir:
    env:
      - name: DEFENDER_QUOTA_DIR
"""
