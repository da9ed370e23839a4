# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clouds and regions: which login host, API host and token audience belong together."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError


@dataclass(frozen=True)
class Cloud:
    """One Microsoft cloud as seen by Defender for Endpoint (Defender for Endpoint for US Government customers, API table)."""

    name: str
    login_url: str
    api_url: str
    audience: str
    # Microsoft Defender XDR for US Government customers, Portal URLs.
    portal_url: str = "https://security.microsoft.com"


# The audience stays on securitycenter although the API host moved: https://api.security.microsoft.com is a service
# principal of another product (Microsoft Threat Protection), whose tokens the machine APIs answer with 403.
_PUBLIC_AUDIENCE = "https://api.securitycenter.microsoft.com"
_GCC = "https://api-gcc.securitycenter.microsoft.us"
_GOV = "https://api-gov.securitycenter.microsoft.us"

CLOUDS: dict[str, Cloud] = {
    "public": Cloud(
        "public", "https://login.microsoftonline.com", "https://api.security.microsoft.com", _PUBLIC_AUDIENCE
    ),
    "gcc": Cloud("gcc", "https://login.microsoftonline.com", _GCC, _GCC),
    "gcc_high": Cloud("gcc_high", "https://login.microsoftonline.us", _GOV, _GOV, "https://security.microsoft.us"),
    "dod": Cloud("dod", "https://login.microsoftonline.us", _GOV, _GOV, "https://security.apps.mil"),
}

REGIONS = ("us", "eu", "uk", "au", "swa", "ina", "aea")

# App ID of WindowsDefenderATP, the service whose permissions are used; a token may carry it as its audience.
DEFENDER_APP_ID = "fc780465-2017-40d4-a0c5-307022471b92"
_THREAT_PROTECTION_HOSTS = (
    "api.security.microsoft.com",
    "api-gcc.security.microsoft.us",
    "api-gov.security.microsoft.us",
)

# Audiences other than CLOUDS' own that are service principal names of WindowsDefenderATP.
_OTHER_PUBLIC_AUDIENCES = (
    "api-us.securitycenter.microsoft.com",
    "api-eu.securitycenter.microsoft.com",
    "api-uk.securitycenter.microsoft.com",
    "api.securitycenter.windows.com",
    "securitycenter.onmicrosoft.com",
)

_LINK_HOST_SUFFIXES = (
    ".securitycenter.windows.com",
    ".securitycenter.microsoft.com",
    ".security.microsoft.com",
    ".securitycenter.microsoft.us",
    ".securitycenter.windows.us",
)
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")

# In anything else (a backslash, a user name, an escape) libraries may disagree about where the host begins and ends: the
# standard one sees https://evil.example\@api.security.microsoft.com at Microsoft's, the one that connects at the other host.
_LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_PLAIN_LINK = re.compile(
    rf"https?://(?:{_LABEL}(?:\.{_LABEL})*|\[::1\])(?::[0-9]{{1,5}})?(?:[/?][!-\[\]-~]*)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Endpoints:
    """Where one run talks to: base URLs without a trailing slash, and the token's audience."""

    cloud: str
    login_url: str
    api_url: str
    audience: str

    @property
    def api_host(self) -> str:
        return urlsplit(self.api_url).netloc.lower()

    def device_page(self, machine_id: str, tenant: str | None) -> str:
        """A device in the portal. tenant: for people who have several."""
        return f"{CLOUDS[self.cloud].portal_url}/machines/v2/{quote(machine_id, safe='')}/overview{_tid(tenant)}"

    def action_center(self, tenant: str | None) -> str:
        """Where the portal lists actions; it has no address for one of them."""
        return f"{CLOUDS[self.cloud].portal_url}/action-center/history{_tid(tenant)}"

    def accepts_audience(self, audience: str) -> bool:
        """Whether a token with this C(aud) claim opens the API (service principal names of WindowsDefenderATP)."""
        wanted = _host(self.audience)
        given = _host(audience)
        if given in (wanted, DEFENDER_APP_ID):
            return True
        return self.cloud == "public" and wanted == _host(_PUBLIC_AUDIENCE) and given in _OTHER_PUBLIC_AUDIENCES

    def trusts_link(self, link: str) -> bool:
        """Whether a package link leads to the service: its credential must not be sent anywhere else."""
        if not _PLAIN_LINK.fullmatch(link):
            return False
        try:
            parts = urlsplit(link)
            port = parts.port or 443
            host = (parts.hostname or "").lower()
        except ValueError:
            return False
        api = urlsplit(self.api_url)
        api_host = (api.hostname or "").lower()
        if host in _LOOPBACK_HOSTS:
            return api_host in _LOOPBACK_HOSTS and parts.scheme in ("https", api.scheme)
        if parts.scheme != "https":
            return False
        return (host, port) == (api_host, api.port or 443) or (port == 443 and host.endswith(_LINK_HOST_SUFFIXES))


def _tid(tenant: str | None) -> str:
    return f"?tid={quote(tenant, safe='')}" if tenant else ""


def _host(url: str) -> str:
    text = url.strip().lower()
    return (urlsplit(text).hostname or "") if "://" in text else text.strip("/")


def _base_url(option: str, value: str) -> str:
    text = value.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for a port that is no number
    except ValueError:
        parts = urlsplit("")
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS)
    if not parts.hostname or not secure:
        raise OptionsError(
            f"{option} is not a base URL: {value!r}.", advice="Give it as https://host or https://host:port."
        )
    return text


def endpoints(
    cloud: str = "public",
    region: str | None = None,
    api_url: str | None = None,
    login_url: str | None = None,
    audience: str | None = None,
    origins: t.Mapping[str, str] | None = None,
) -> Endpoints:
    """Where to talk to, from the options of the same names. origins: where each of them came from, see Given.

    Raises OptionsError for a region outside the public cloud, a URL that is none, hosts of different clouds, a region beside
    another api_url, and a cloud beside the URLs of another one that come from farther away.
    """
    base = CLOUDS[cloud]
    if region and cloud != "public":
        raise OptionsError(
            f"region {region} does not exist in the cloud {cloud}: geographic API hosts are in the public cloud only.",
            advice="Leave region out, or set cloud to public.",
        )
    regional = f"https://{region}.api.security.microsoft.com" if region else base.api_url
    chosen = Endpoints(
        cloud=cloud,
        login_url=_base_url("login_url", login_url) if login_url else base.login_url,
        api_url=_base_url("api_url", api_url) if api_url else regional,
        audience=(audience or base.audience).strip().rstrip("/"),
    )
    chosen_audience = chosen.audience.removesuffix("/.default").rstrip("/")
    chosen = Endpoints(chosen.cloud, chosen.login_url, chosen.api_url, chosen_audience)
    places = _Places(origins or {})
    # An api_url that is nearer than the region overrides it.
    if region and _host(chosen.api_url) != _host(regional) and places.of("region") <= places.of("api_url"):
        raise OptionsError(
            f"{places.named('region', region)} and {places.named('api_url', chosen.api_url)} lead to different hosts.",
            advice=f"Leave one of them out: the region's host is {regional}.",
        )
    _refuse_another_cloud(chosen, {"api_url": api_url, "login_url": login_url, "audience": audience}, places)
    _refuse_contradictions(chosen)
    return chosen


class _Places:
    """Where options came from: the nearer beats the farther, and one that does not is a contradiction."""

    def __init__(self, origins: t.Mapping[str, str]) -> None:
        self._origins = origins

    def of(self, option: str) -> int:
        return place(self._origins.get(option))

    def named(self, option: str, value: str) -> str:
        origin = self._origins.get(option, "task")
        return f"{option} {value}" if origin == "task" else f"{option} {value} (from {origin})"


def place(origin: str | None) -> int:
    """How far away an option's value came from: the task, C(DEFENDER_*), C(AZURE_*), a default."""
    if origin is None:
        return 3
    return 0 if origin == "task" else 1 if origin.startswith("DEFENDER_") else 2


def _refuse_another_cloud(chosen: Endpoints, urls: t.Mapping[str, str | None], places: _Places) -> None:
    """A URL may override the cloud where it stands beside it or nearer, but one that lies in wait farther away may not."""
    for option, url in urls.items():
        clouds = _cloud_of(_host(url)) if url else frozenset()
        if clouds and chosen.cloud not in clouds and places.of("cloud") < places.of(option):
            raise OptionsError(
                f"{places.named('cloud', chosen.cloud)} and {places.named(option, str(url))} contradict each other.",
                advice=f"Leave one of them out: {option} belongs to {' and '.join(sorted(clouds))}.",
            )


def _cloud_of(host: str) -> frozenset[str]:
    """The clouds that a Microsoft host belongs to; empty for any other host (a proxy, a simulator)."""
    if host.endswith((".security.microsoft.com", ".securitycenter.microsoft.com")) or host in _OTHER_PUBLIC_AUDIENCES:
        return frozenset({"public"})
    return frozenset(name for name, cloud in CLOUDS.items() if host in (_host(cloud.api_url), _host(cloud.login_url)))


def _refuse_contradictions(chosen: Endpoints) -> None:
    api_host, audience_host = _host(chosen.api_url), _host(chosen.audience)
    if not _cloud_of(api_host):
        return
    if audience_host in _THREAT_PROTECTION_HOSTS:
        right = next(CLOUDS[name] for name in sorted(_cloud_of(api_host), reverse=True))
        raise OptionsError(
            f"The audience {chosen.audience} belongs to Microsoft Threat Protection; its tokens do not open the machine APIs.",
            advice=f"Use audience {right.audience} with {chosen.api_url}.",
        )
    for what, host in (("audience", audience_host), ("login_url", _host(chosen.login_url))):
        clouds = _cloud_of(host)
        if clouds and not clouds & _cloud_of(api_host):
            right = CLOUDS[sorted(_cloud_of(api_host))[0]]
            raise OptionsError(
                f"api_url {chosen.api_url} and {what} https://{host} belong to different clouds.",
                advice=f"With {chosen.api_url} goes login_url {right.login_url} and audience {right.audience}; "
                f"setting cloud to {right.name} alone sets all three.",
            )
