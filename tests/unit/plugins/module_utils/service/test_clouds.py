# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
import requests
import urllib3.util
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._service.clouds import (
    CLOUDS,
    REGIONS,
    endpoints,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import AZURE_CLOUD_NAMES

PUBLIC = "https://api.securitycenter.microsoft.com"
GCC = "https://api-gcc.securitycenter.microsoft.us"
PUBLIC_API = "https://api.security.microsoft.com"
GOV = "https://api-gov.securitycenter.microsoft.us"


# Defender for Endpoint for US Government customers, API table.
@pytest.mark.parametrize(
    ("cloud", "login_url", "api_url", "audience"),
    [
        ("public", "https://login.microsoftonline.com", "https://api.security.microsoft.com", PUBLIC),
        ("gcc", "https://login.microsoftonline.com", GCC, GCC),
        ("gcc_high", "https://login.microsoftonline.us", GOV, GOV),
        ("dod", "https://login.microsoftonline.us", GOV, GOV),
    ],
)
def test_clouds(cloud: str, login_url: str, api_url: str, audience: str) -> None:
    where = endpoints(cloud)
    assert (where.cloud, where.login_url, where.api_url, where.audience) == (cloud, login_url, api_url, audience)
    assert where.accepts_audience(audience) and where.accepts_audience(audience + "/")
    assert where.accepts_audience("fc780465-2017-40d4-a0c5-307022471b92")
    assert not where.accepts_audience("https://api.security.microsoft.com")
    assert not where.accepts_audience("https://graph.microsoft.com")


@pytest.mark.parametrize(
    ("cloud", "portal"),
    [
        ("public", "https://security.microsoft.com"),
        ("gcc", "https://security.microsoft.com"),
        ("gcc_high", "https://security.microsoft.us"),
        ("dod", "https://security.apps.mil"),
    ],
)
def test_each_cloud_has_its_portal(cloud: str, portal: str) -> None:
    where = endpoints(cloud)
    assert where.device_page("ab12", None) == f"{portal}/machines/v2/ab12/overview"
    assert where.device_page("../x?", "a b") == f"{portal}/machines/v2/..%2Fx%3F/overview?tid=a%20b"
    assert where.action_center("t1") == f"{portal}/action-center/history?tid=t1"


def test_there_are_no_other_clouds() -> None:
    assert list(CLOUDS) == ["public", "gcc", "gcc_high", "dod"]
    assert set(AZURE_CLOUD_NAMES.values()) <= set(CLOUDS)
    assert set(REGIONS) == {"us", "eu", "uk", "au", "swa", "ina", "aea"}


@pytest.mark.parametrize("region", REGIONS)
def test_regions_change_the_api_host_only(region: str) -> None:
    where = endpoints("public", region)
    assert where.api_url == f"https://{region}.api.security.microsoft.com"
    assert where.api_host == f"{region}.api.security.microsoft.com"
    assert (where.login_url, where.audience) == ("https://login.microsoftonline.com", PUBLIC)


@pytest.mark.parametrize("cloud", ["gcc", "gcc_high", "dod"])
def test_regions_are_public_only(cloud: str) -> None:
    with pytest.raises(OptionsError, match=f"region eu does not exist in the cloud {cloud}"):
        endpoints(cloud, "eu")


@pytest.mark.parametrize(
    ("given_audience", "used"),
    [
        (f"{PUBLIC}/", PUBLIC),
        (f"{PUBLIC}/.default", PUBLIC),
        (f" {PUBLIC}/.default/ ", PUBLIC),
        ("https://api.securitycenter.windows.com", "https://api.securitycenter.windows.com"),
    ],
)
def test_an_audience_may_be_written_as_a_scope(given_audience: str, used: str) -> None:
    assert endpoints(audience=given_audience).audience == used


def test_legacy_audiences_open_the_public_cloud_only() -> None:
    for host in ("api-us.securitycenter.microsoft.com", "api.securitycenter.windows.com"):
        assert endpoints("public").accepts_audience(f"https://{host}")
        assert not endpoints("gcc").accepts_audience(f"https://{host}")
    assert endpoints("public").accepts_audience("https://securitycenter.onmicrosoft.com/windowsatpservice")
    assert not endpoints("public").accepts_audience(GCC)


@pytest.mark.parametrize(
    "url",
    ["", " ", "api.security.microsoft.com", "http://api.security.microsoft.com", "ftp://127.0.0.1", "https://", "https:///x",
     "https://host:port", "https://host:99999", "https://[::1"],
)  # fmt: skip
@pytest.mark.parametrize("option", ["api_url", "login_url"])
def test_urls_that_are_none(option: str, url: str) -> None:
    options: dict[str, Any] = {option: url}
    if not url:
        assert endpoints(**options) == endpoints()
        return
    with pytest.raises(OptionsError, match=f"{option} is not a base URL") as caught:
        endpoints(**options)
    assert "https://host" in caught.value.advice


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost/", "http://[::1]:1", "https://proxy.corp/mde/"]
)
def test_urls_of_ones_own(url: str) -> None:
    where = endpoints(api_url=url, login_url=url)
    assert where.api_url == where.login_url == url.rstrip("/")
    assert where.audience == PUBLIC


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"audience": GCC}, ["audience https://api-gcc", PUBLIC, "cloud to gcc", "login.microsoftonline.com"]),
        ({"cloud": "gcc", "audience": PUBLIC}, [f"api_url {GCC}", "different clouds", f"audience {GCC}", "cloud to gcc"]),
        ({"cloud": "gcc_high", "login_url": "https://login.microsoftonline.com"},
         ["login_url https://login.microsoftonline.com", "login_url https://login.microsoftonline.us", f"audience {GOV}"]),
        ({"cloud": "public", "login_url": "https://login.microsoftonline.us"},
         ["different clouds", "login_url https://login.microsoftonline.com", f"audience {PUBLIC}"]),
        ({"cloud": "gcc", "api_url": GOV}, ["different clouds", f"audience {GOV}", "login_url https://login.microsoftonline.us"]),
        ({"cloud": "public", "region": "eu", "audience": GOV}, ["eu.api.security.microsoft.com", f"audience {PUBLIC}"]),
        # Tokens of another product, by far the most common mistake.
        ({"audience": "https://api.security.microsoft.com"}, ["Microsoft Threat Protection", f"Use audience {PUBLIC}"]),
        ({"audience": "https://api.security.microsoft.com/.default"}, ["Microsoft Threat Protection", f"Use audience {PUBLIC}"]),
        ({"cloud": "gcc", "audience": "https://api-gcc.security.microsoft.us"}, ["Threat Protection", f"Use audience {GCC}"]),
        ({"cloud": "dod", "audience": "https://api-gov.security.microsoft.us"}, ["Threat Protection", f"Use audience {GOV}"]),
    ],
)  # fmt: skip
def test_contradictions_are_refused_with_the_right_set(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(OptionsError) as caught:
        endpoints(**options)
    text = str(caught.value)
    # The cloud that is named is one of those that the API host belongs to; for gcc there is only one.
    for word in words:
        assert word in text or (word == "cloud to gcc" and "cloud to public" in text)


def test_the_gcc_shares_its_login_host_with_the_public_cloud() -> None:
    assert endpoints("gcc", login_url="https://login.microsoftonline.com").api_url == GCC
    assert endpoints("public", api_url=GCC, audience=GCC).login_url == "https://login.microsoftonline.com"


def test_behind_a_host_of_ones_own_anything_goes() -> None:
    where = endpoints("gcc", api_url="https://gateway.corp.example", audience=PUBLIC)
    assert where.audience == PUBLIC


@pytest.mark.parametrize(
    "link",
    [
        "https://userrequests-us.securitycenter.windows.com:443/safedownload/WDATP_Investigation_Package.zip?token=x",
        "https://api.security.microsoft.com:443/safedownload/WDATP_Investigation_Package.zip?token=x",
        "https://eu.api.security.microsoft.com/x?token=a%2Fb%3D%3D",
        "https://API.Security.Microsoft.COM/x",
        "https://api-gov.securitycenter.microsoft.us/x",
        "https://api-eu.securitycenter.microsoft.com/x",
        "HTTPS://x.securitycenter.windows.us/x",
    ],
)
def test_links_to_the_service(link: str) -> None:
    assert endpoints().trusts_link(link)


HOSTILE = [
    "",
    "no link",
    "https://",
    "https://[",
    "https://[::1]/x",
    "https://127.0.0.1/x",
    "https://localhost/x",
    "https://169.254.169.254/metadata",
    "http://api.security.microsoft.com/x",
    "ftp://api.security.microsoft.com/x",
    "file:///etc/passwd",
    "//api.security.microsoft.com/x",
    "api.security.microsoft.com/x",
    "https://evil.example/x",
    "https://evil.example/api.security.microsoft.com",
    "https://evil.example/?https://api.security.microsoft.com/",
    "https://evil.example#.security.microsoft.com",
    "https://evil.example?.security.microsoft.com",
    "https://api.security.microsoft.com@evil.example/x",
    "https://api.security.microsoft.com:443@evil.example/x",
    "https://user:secret@api.security.microsoft.com/x",
    "https://evilsecurity.microsoft.com/x",
    "https://security.microsoft.com/x",
    "https://securitycenter.windows.com.evil.example/x",
    "https://api.security.microsoft.com.evil.example/x",
    "https://api.security.microsoft.com.:443/x",
    "https://evil.example%2f.security.microsoft.com/x",
    "https://evil.example%00.security.microsoft.com/x",
    "https://api.security.microsoft.com:port/x",
    "https://api.security.microsoft.com:99999/x",
    # Here the standard library and the library that connects see different hosts.
    "https://evil.example\\@api.security.microsoft.com/x",
    "https://evil.example\\.security.microsoft.com/x",
    "https:\\\\evil.example\\@api.security.microsoft.com/x",
    "https://evil.example\t.security.microsoft.com/x",
    "https://evil.example\n.security.microsoft.com/x",
    "https://evil.example .security.microsoft.com/x",
    " https://api.security.microsoft.com/x",
    "https://api.security.microsoft.com/x\r\nHost: evil.example",
    "https://evil.example\uff0f.security.microsoft.com/x",
    "https://evil.example\u2044.security.microsoft.com/x",
    "https://evil.example\u3002security.microsoft.com/x",
    "https://\u24d4vil.security.microsoft.com/x",
]


@pytest.mark.parametrize("link", HOSTILE)
def test_links_elsewhere(link: str) -> None:
    for cloud in CLOUDS:
        assert not endpoints(cloud).trusts_link(link)


def test_links_of_a_gateway_and_of_a_simulator() -> None:
    gateway = endpoints(api_url="https://gateway.corp.example:8443")
    assert gateway.trusts_link("https://gateway.corp.example:8443/safedownload/x")
    assert not gateway.trusts_link("http://gateway.corp.example:8443/safedownload/x")
    assert not gateway.trusts_link("https://corp.example/x") and not gateway.trusts_link("https://127.0.0.1/x")
    plain = endpoints(api_url="http://127.0.0.1:8080")
    assert plain.trusts_link("http://localhost:9090/x") and plain.trusts_link("http://[::1]:1/x")
    assert plain.trusts_link("https://127.0.0.1:1/x")
    assert not plain.trusts_link("http://api.security.microsoft.com/x") and not plain.trusts_link(
        "http://evil.example/x"
    )
    secure = endpoints(api_url="https://127.0.0.1:8443")
    assert secure.trusts_link("https://127.0.0.1:9/x") and not secure.trusts_link("http://127.0.0.1:8443/x")


_PIECES = st.one_of(
    st.sampled_from(["https://", "http://", "api.security.microsoft.com", ".security.microsoft.com", "evil.example", "@", "\\",
                     "/", "#", "?", ":", ":443", "[", "]", "%2f", "\t", "\n", " ", ".", "user:pw@", "\uff0f", ".securitycenter.windows.com"]),
    st.text(max_size=3),
)  # fmt: skip
_SUFFIXES = (
    ".securitycenter.windows.com",
    ".securitycenter.microsoft.com",
    ".security.microsoft.com",
    ".securitycenter.microsoft.us",
    ".securitycenter.windows.us",
)


@given(st.lists(_PIECES, max_size=8).map("".join), st.booleans())
def test_no_link_is_trusted_that_would_be_connected_elsewhere(text: str, secure: bool) -> None:
    link = "https://" + text if secure else text
    if not endpoints().trusts_link(link):
        return
    # What decides is where the library that connects goes with it.
    sent_to = urllib3.util.parse_url(requests.Request("GET", link).prepare().url or "")
    assert sent_to.scheme == "https"
    assert (sent_to.host or "").endswith(_SUFFIXES)
    assert sent_to.auth is None


@pytest.mark.parametrize(
    "link",
    [
        "https://.security.microsoft.com/x", "https://a..security.microsoft.com/x", "https://-a.security.microsoft.com/x",
        "https://a-.security.microsoft.com/x", "https://a.security.microsoft.com:8443/x", "https://a.security.microsoft.com:22/x",
        "https://api.security.microsoft.com:80/x", "http://a.security.microsoft.com:443/x", "https://a.security.microsoft.com./x",
    ],
)  # fmt: skip
def test_hosts_and_ports_that_are_not_the_services(link: str) -> None:
    assert not endpoints().trusts_link(link)
    assert endpoints().trusts_link("https://a.security.microsoft.com:443/x")


# Nearer and farther


@pytest.mark.parametrize(
    ("given", "origins", "named"),
    [
        ({"cloud": "gcc_high", "api_url": PUBLIC_API}, {"cloud": "task", "api_url": "DEFENDER_API_URL"}, "DEFENDER_API_URL"),
        ({"cloud": "gcc_high", "login_url": "https://login.microsoftonline.com"},
         {"cloud": "task", "login_url": "DEFENDER_LOGIN_URL"}, "DEFENDER_LOGIN_URL"),
        ({"cloud": "public", "audience": GOV}, {"cloud": "task", "audience": "DEFENDER_AUDIENCE"}, "DEFENDER_AUDIENCE"),
        ({"region": "uk", "api_url": "https://us.api.security.microsoft.com"}, {}, "region uk"),
        ({"region": "uk", "api_url": "https://us.api.security.microsoft.com"},
         {"region": "task", "api_url": "DEFENDER_API_URL"}, "DEFENDER_API_URL"),
        ({"region": "uk", "api_url": "https://proxy.example"}, {"region": "task", "api_url": "DEFENDER_API_URL"}, "proxy.example"),
        ({"region": "uk", "api_url": "https://us.api.security.microsoft.com"}, {"region": "task", "api_url": "task"}, "api_url https://us"),
    ],
)  # fmt: skip
def test_what_contradicts_from_farther_away_is_refused(
    given: dict[str, Any], origins: dict[str, str], named: str
) -> None:
    with pytest.raises(OptionsError) as caught:
        endpoints(**given, origins=origins)
    assert named in caught.value.message
    for value in given.values():
        assert value in caught.value.message


def test_what_overrides_from_nearby_is_taken() -> None:
    near = dict.fromkeys(("api_url", "login_url", "audience"), "task")
    where = endpoints(
        "gcc_high",
        None,
        PUBLIC_API,
        "https://login.microsoftonline.com",
        PUBLIC,
        {**near, "cloud": "AZURE_CLOUD_ENVIRONMENT"},
    )
    assert where.api_url == PUBLIC_API
    far = {"region": "task", "api_url": "DEFENDER_API_URL"}
    assert endpoints("public", "uk", "https://uk.api.security.microsoft.com/", origins=far).api_host.startswith("uk.")
    near = {"region": "DEFENDER_REGION", "api_url": "task"}
    assert endpoints("public", "uk", "https://proxy.example", origins=near).api_host == "proxy.example"
    # A host that is nobody's cloud contradicts none.
    far = {"cloud": "task", "api_url": "DEFENDER_API_URL"}
    assert endpoints("gcc_high", None, "https://proxy.example", origins=far).audience == GOV
