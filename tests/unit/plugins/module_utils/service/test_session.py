# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import resource
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
import requests

from ansible_collections.secops.defender.plugins.module_utils._service import wire as _http
from ansible_collections.secops.defender.plugins.module_utils._service.quota import Limit
from ansible_collections.secops.defender.plugins.module_utils._service.session import Session
from ansible_collections.secops.defender.plugins.module_utils._service.token import Tokens
from ansible_collections.secops.defender.plugins.module_utils._service.wire import Http, retry_after
from ansible_collections.secops.defender.plugins.module_utils._service.wire_failures import explained
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AuthError,
    MissingLibrary,
    NetworkError,
    NotFound,
    OptionsError,
    ReplyLost,
    ServiceError,
    StrangeReply,
    TlsError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.module_utils._words.version import USER_AGENT
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.service_world import (
    StubTokens,
    TinyServer,
    answering,
    endpoints_of,
    private_budget,
    read_request,
)
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import Device, PastAction, Simulator
from simulator.testing import Client

Simulate = Callable[..., Simulator]
Connect = Callable[..., Session]

ROWS = ("value", list)
TOKEN = "sig-4711-secret"


def get(session: Session, **kwargs: Any) -> dict[str, Any]:
    return session.call("GET", "machines", "/api/machines", "list machines", expect=ROWS, **kwargs)


def post(session: Session, device: Device, **kwargs: Any) -> dict[str, Any]:
    path = f"/api/machines/{device.id}/collectInvestigationPackage"
    return session.call("POST", "collect", path, "start a collection on pc01", body={"Comment": "Alert 1"}, **kwargs)


def statuses(simulator: Simulator, endpoint: str) -> list[int]:
    return [entry.status for entry in simulator.requests if entry.endpoint == endpoint]


# What is repeated

SPOILT = [
    ("status", {"status": 500}),
    ("status", {"status": 502}),
    ("status", {"status": 503, "code": "InternalServerError"}),
    ("status", {"status": 504}),
    ("status_after", {"status": 504}),
    ("reset", {}),
    ("reset_after", {}),
    ("truncate", {}),
    ("garbage", {}),
    ("wrong_shape", {}),
    ("wrong_shape", {"body": {"value": "no list"}}),
    ("wrong_shape", {"body": {"id": 5}}),
]


@pytest.mark.parametrize(("kind", "args"), SPOILT)
def test_a_get_is_repeated(
    kind: str, args: dict[str, Any], simulate: Simulate, connect: Connect, clock: VirtualClock
) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault("machines", kind, count=2, **args)
    session = connect(simulator)
    assert [row["computerDnsName"] for row in get(session)["value"]] == ["pc01"]
    assert len(statuses(simulator, "machines")) == session.api_calls == 3
    assert clock.slept == [1.0, 2.0]


@pytest.mark.parametrize(("kind", "args"), SPOILT)
def test_a_get_is_not_repeated_for_ever(
    kind: str, args: dict[str, Any], simulate: Simulate, connect: Connect, clock: VirtualClock
) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault("machines", kind, count=0, **args)
    with pytest.raises(ReplyLost):
        get(connect(simulator))
    assert len(statuses(simulator, "machines")) == 5
    assert clock.slept == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(("kind", "args"), SPOILT)
def test_a_post_whose_outcome_is_unknown_is_sent_once(
    kind: str, args: dict[str, Any], simulate: Simulate, connect: Connect
) -> None:
    device = Device("pc01")
    simulator = simulate(device)
    simulator.add_fault("collect", kind, **args)
    with pytest.raises(ReplyLost) as caught:
        post(connect(simulator), device)
    assert len(statuses(simulator, "collect")) == 1
    assert caught.value.advice and caught.value.message.endswith(".")


def test_a_reply_that_takes_too_long_is_lost(simulate: Simulate, connect: Connect) -> None:
    device = Device("pc01")
    simulator = simulate(device)
    simulator.add_fault("collect", "hang_after", seconds=1.0)
    with pytest.raises(ReplyLost, match="did not arrive"):
        post(connect(simulator, timeout=0.2), device)
    assert simulator.accepted_starts() == {device.id: 1}


def test_tls_that_breaks_after_the_request_leaves_a_post_unknown(clock: VirtualClock, simulate: Simulate) -> None:
    """The request was received: whatever is wrong with TLS from then on, it may have been carried out."""
    simulator = simulate(Device("pc01"))

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        # A record that no key fits, past the TLS layer.
        os.write(connection.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
        connection.recv(1)

    with TinyServer(serve) as server:
        http = Http(simulator.ca_path, True, 5, clock)
        where = endpoints_of(simulator)
        session = Session(
            http, type(where)("public", server.url, server.url, where.audience), StubTokens("t"), private_budget(clock)
        )
        with pytest.raises(ReplyLost):
            post(session, Device("pc01"))
        assert server.connections == 1


def test_a_post_that_never_left_is_repeated(
    simulate: Simulate, connect: Connect, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    device = Device("pc01")
    simulator = simulate(device)
    session = connect(simulator)
    create, attempts = socket.socket.connect, []

    def refuse(self: socket.socket, address: Any) -> Any:
        attempts.append(address)
        if len(attempts) <= 2:
            raise ConnectionRefusedError(111, "Connection refused")
        return create(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert post(session, device)["status"] == "Pending"
    assert simulator.accepted_starts() == {device.id: 1}
    assert len(attempts) == 3 and session.api_calls == 3
    assert clock.slept == [1.0, 2.0]


def test_nobody_listens(simulate: Simulate, connect: Connect, clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    device = Device("pc01")
    simulator = simulate(device, state_dir=tmp_path)
    session = connect(simulator)
    simulator.stop()
    with pytest.raises(
        NetworkError, match=r"^127\.0\.0\.1:\d+ cannot be reached: (?!.*host=).*Connection refused\."
    ) as caught:
        post(session, device)
    assert "proxy" in caught.value.advice and clock.slept == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_401_renews_once(method: str, simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    device = Device("pc01")
    simulator = simulate(device)
    tokens = StubTokens("stale", simulator.issue_token())
    session = connect(simulator, tokens=tokens)
    assert get(session) if method == "GET" else post(session, device)
    assert tokens.renewed == 1 and clock.slept == []
    simulator.add_fault("any", "unauthorized", count=0)
    with pytest.raises(ServiceError) as caught:
        get(session) if method == "GET" else post(session, device)
    assert (caught.value.status, caught.value.code) == (401, "Unauthorized")
    assert tokens.renewed == 2 and "new token" in caught.value.advice


def test_401_with_a_token_that_cannot_be_renewed(simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    simulator = simulate(Device("pc01"))
    tokens = Tokens(lambda force: ("stale", float("inf")), clock, Secrets(), renewable=False)
    with pytest.raises(AuthError, match="refused the access token"):
        get(connect(simulator, tokens=tokens))
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("said", [True, "http-date"])
def test_429_is_obeyed_to_the_second(
    said: Any, method: str, simulate: Simulate, connect: Connect, clock: VirtualClock
) -> None:
    devices = [Device("pc01"), Device("pc02")]
    simulator = simulate(*devices, quotas={"machines": (1, 1000), "collect": (1, 1000)}, retry_after=said)
    session = connect(simulator)
    for device in devices:
        get(session) if method == "GET" else post(session, device)
        clock.now += 12.0
    endpoint = "machines" if method == "GET" else "collect"
    # The first was made at 0; the second refused at 12, told to come back in 48 seconds, and not a second later.
    assert statuses(simulator, endpoint) == [200 if method == "GET" else 201, 429, 200 if method == "GET" else 201]
    assert sum(clock.slept) == 48.0
    assert session.api_calls == 3


def test_429_without_a_word_waits_for_the_shortest_window(
    simulate: Simulate, connect: Connect, clock: VirtualClock
) -> None:
    simulator = simulate(Device("pc01"), quotas={"machines": (1, 1000)}, retry_after=False)
    session = connect(simulator, limits={"default": (Limit(1000, 3600.0), Limit(100, 60.0))})
    get(session)
    get(session)
    assert sum(clock.slept) == 60.0 and statuses(simulator, "machines") == [200, 429, 200]


def test_429_for_ever_ends(simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault("machines", "status", count=0, status=429, code="429", message="quota exceeded", retry_after=3)
    with pytest.raises(ServiceError) as caught:
        get(connect(simulator))
    assert caught.value.code == "TooManyRequests" and "used up by other work" in caught.value.advice
    assert len(simulator.requests) == 21


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("17", 17.0), (" 17 ", 17.0), ("0", 0.0), ("1.5", 1.5), ("-5", None), ("86400", 3600.0), ("inf", None), ("nan", None), ("", None),
     ("9" * 5000, 3600.0), ("1e9", None), ("\u00b2", None), ("\u0665", None), ("0x10", None), ("1_0", None), ("99999999999999999999", 3600.0),
     ("soon", None), ("Mon, 99 Foo 2026", None)],
)  # fmt: skip
def test_retry_after(text: str, seconds: float | None, clock: VirtualClock) -> None:
    reply = requests.Response()
    reply.headers["Retry-After"] = text
    assert retry_after(reply, clock) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(30, 30.0), (-30, 0.0), (100_000, 3600.0)])
def test_retry_after_as_a_date(ahead: float, seconds: float, clock: VirtualClock) -> None:
    reply = requests.Response()
    assert retry_after(reply, clock) is None
    reply.headers["Retry-After"] = formatdate(clock.wall() + ahead, usegmt=True)
    assert retry_after(reply, clock) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(400, ServiceError, "BadRequest"), (403, ServiceError, "Forbidden"), (404, NotFound, "NotFound"), (414, ServiceError, "ServiceError")],
)  # fmt: skip
def test_refusals_are_not_repeated(
    status: int, kind: type[ServiceError], code: str, simulate: Simulate, connect: Connect, clock: VirtualClock
) -> None:
    simulator = simulate(Device("pc01"))
    # Without a code the simulator sends a body that is not the service's.
    details: dict[str, Any] = {"code": "NotFound"} if status == 404 else {}
    simulator.add_fault("machines", "status", status=status, **details)
    with pytest.raises(kind, match="Failed to list machines") as caught:
        get(connect(simulator))
    assert caught.value.code == code and len(simulator.requests) == 1 and clock.slept == []


def test_what_the_service_says_of_its_trouble_is_kept(simulate: Simulate, connect: Connect) -> None:
    device = Device("pc01")
    simulator = simulate(device)
    simulator.add_fault("collect", "status", status=500, code="InternalServerError", message="Out of luck")
    with pytest.raises(ReplyLost, match="Failed to start a collection on pc01.*Out of luck") as caught:
        post(connect(simulator), device)
    assert caught.value.code == "InternalServerError" and caught.value.tracking_id


def test_redirects_are_not_followed(clock: VirtualClock, simulate: Simulate, connect: Connect) -> None:
    """Neither the bearer nor a link's token goes where somebody on the way points."""
    with TinyServer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as other:
        reply = f"HTTP/1.1 302 Found\r\nLocation: {other.url}/\r\nContent-Length: 0\r\n\r\n"
        with TinyServer(answering(reply.encode())) as server:
            simulator = simulate()
            session = connect(simulator)
            with pytest.raises(ServiceError) as caught:
                session.call("GET", "machines", f"{server.url}/api/machines", "list machines")
            assert caught.value.status == 302
            with pytest.raises(ServiceError), session.stream(f"{server.url}/p.zip?token={TOKEN}", 0):
                pass
        assert other.connections == 0


# Headers, counting, log


def test_headers_budget_and_log(simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    lines: list[str] = []
    device = Device("pc01")
    simulator = simulate(device, collect_seconds=(1, 1))
    bearer = simulator.issue_token()
    session = connect(simulator, tokens=StubTokens(bearer), log=lines.append)
    get(session, params={"$filter": "id eq 'x'"})
    action = post(session, device)
    clock.now += 2
    path = f"/api/machineactions/{action['id']}/getPackageUri"
    link = session.call("GET", "package_link", path, "get the link", expect=("value", str))["value"].strip('"')
    with session.stream(link, 0) as (_start, _size, chunks):
        assert b"".join(chunks).startswith(b"PK")
    assert session.api_calls == 3
    assert [entry.user_agent for entry in simulator.requests] == [USER_AGENT] * 4
    assert [entry.bearer for entry in simulator.requests] == [True, True, True, False]
    assert len(lines) == 3 and lines[0].startswith("GET /api/machines {'$filter': \"id eq 'x'\"}: 200 (")
    for secret in (*simulator.secrets, bearer, link):
        assert not any(secret in line for line in lines)


def test_log_of_what_fails_names_no_secret(simulate: Simulate, connect: Connect, tmp_path: pathlib.Path) -> None:
    lines: list[str] = []
    simulator = simulate(state_dir=tmp_path)
    bearer = simulator.issue_token()
    session = connect(simulator, tokens=StubTokens(bearer), log=lines.append)
    simulator.stop()
    with pytest.raises(NetworkError):
        get(session)
    assert len(lines) == 5 and session.api_calls == 5
    assert all("cannot be reached" in line and bearer not in line for line in lines)


def test_a_slot_taken_before_is_used_once(simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    simulator = simulate(Device("pc01"))
    session = connect(simulator, limits={"default": (Limit(2, 60.0),)})
    slot, _delay, _ticket = session.budget.take("machines")
    simulator.add_fault("machines", "status", status=503)
    get(session, slot=slot)
    # The repetition took the second one.
    assert session.budget.take("machines")[0] is None
    assert clock.slept == [1.0]


def test_every_call_gives_its_slot_back(simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    simulator = simulate(Device("pc01"))
    session = connect(simulator, limits={"default": (Limit(1, 60.0),)})
    simulator.add_fault("machines", "status", status=400)
    with pytest.raises(ServiceError):
        get(session)
    # Counted as under way, it would hold the slot for the lease and the window.
    assert session.budget.forecast("machines", 1) == 60.0
    clock.now += 61
    assert session.budget.forecast("machines", 1) == 0.0


# Trust


def test_a_certificate_that_is_not_trusted(simulate: Simulate, clock: VirtualClock, connect: Connect) -> None:
    simulator = simulate(Device("pc01"))
    session = connect(simulator)
    session._http = Http(None, True, 5, clock)
    for _each in range(2):
        with pytest.raises(TlsError, match=r"^The certificate of 127\.0\.0\.1:\d+ is not trusted: .+\.$") as caught:
            get(session)
        assert "ca_path" in caught.value.advice
    # Asking again would not help.
    assert clock.slept == [] and not simulator.requests


def test_ca_path_wins_over_the_environment(
    simulate: Simulate, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    simulator = simulate()
    other = str(tmp_path / "other.pem")
    pathlib.Path(other).write_bytes(pathlib.Path(simulator.certificate_path).read_bytes())
    url = f"{simulator.api_url}/api/machines"
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, other)
        assert Http(simulator.ca_path, True, 5, clock).send("GET", url).status_code == 401
        with pytest.raises(TlsError):
            Http(None, True, 5, clock).send("GET", url)
        monkeypatch.setenv(variable, simulator.ca_path)
        assert Http(None, True, 5, clock).send("GET", url).status_code == 401
        with pytest.raises(TlsError):
            Http(other, True, 5, clock).send("GET", url)
        monkeypatch.delenv(variable)


def test_a_bundle_of_the_environment_that_is_not_there(
    simulate: Simulate, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(OptionsError, match=r"/nowhere/ca\.pem") as caught:
        Http(None, True, 5, clock).send("GET", simulate().api_url)
    assert "REQUESTS_CA_BUNDLE" in caught.value.advice


def test_ca_path_that_cannot_be_read(clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    with pytest.raises(OptionsError, match=r"ca_path /nowhere/ca\.pem cannot be read\.") as caught:
        Http("/nowhere/ca.pem", True, 5, clock)
    assert "PEM" in caught.value.advice


def test_ca_path_without_certificates(simulate: Simulate, clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("this is no certificate")
    with pytest.raises((OptionsError, NetworkError, ReplyLost)) as caught:
        Http(str(path), True, 5, clock).send("GET", simulate().api_url)
    assert "certificate" in caught.value.message


@pytest.mark.filterwarnings("error::urllib3.exceptions.InsecureRequestWarning")
def test_without_validation_nothing_is_checked(
    simulate: Simulate, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    url = f"{simulate().api_url}/api/machines"
    assert Http(None, False, 5, clock).send("GET", url).status_code == 401


def test_plain_http_where_tls_is_expected(clock: VirtualClock) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(65536)

    with TinyServer(greet, tls=False) as server:
        with pytest.raises((NetworkError, ReplyLost), match=r"127\.0\.0\.1:\d+") as caught:
            Http(None, True, 5, clock).send("GET", server.url.replace("http:", "https:") + f"/x?token={TOKEN}")
    assert TOKEN not in str(caught.value)


# Messages


def _closing(connection: socket.socket) -> None:
    read_request(connection)


def _wait(lasting: threading.Event) -> None:
    lasting.wait(5)


@pytest.mark.parametrize("fault", ["refused", "name", "closed", "silent", "untrusted", "cut", "proxy", "proxy name"])
def test_messages_never_show_the_query(
    fault: str, clock: VirtualClock, simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate()
    lasting = threading.Event()
    serve: Callable[[socket.socket], None] = {
        "silent": lambda connection: _wait(lasting),
        "cut": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
    }.get(fault, _closing)
    with TinyServer(serve) as server:
        base = {"refused": "https://127.0.0.1:1", "name": "https://nowhere.invalid"}.get(fault, server.url)
        if fault.startswith("proxy"):
            proxy = {"proxy": "http://127.0.0.1:1", "proxy name": "http://nowhere.invalid:8080"}
            monkeypatch.setenv("HTTPS_PROXY", proxy[fault])
        http = Http(None if fault == "untrusted" else simulator.ca_path, True, 0.3, clock)
        with pytest.raises((NetworkError, ReplyLost)) as caught:
            http.send("GET", f"{base}/safedownload/p.zip?token={TOKEN}")
        lasting.set()
    for text in (str(caught.value), repr(caught.value), str(caught.value.as_result())):
        assert TOKEN not in text and "safedownload" not in text
    # A chained exception would show it in a traceback.
    assert caught.value.__suppress_context__
    host = base.removeprefix("https://")
    assert "HTTPS" not in caught.value.message and "object at" not in caught.value.message
    assert host in caught.value.message and caught.value.message.endswith(".") and caught.value.advice
    if fault in ("refused", "name", "untrusted", "proxy", "proxy name"):
        assert isinstance(caught.value, NetworkError)
    else:
        assert isinstance(caught.value, ReplyLost)
    if fault.startswith("proxy"):
        assert "proxy" in str(caught.value).lower()


# Proxies


class ConnectProxy(TinyServer):
    """Notes whom it was asked to connect to, and does."""

    def __init__(self, refuse: bytes = b"") -> None:
        self.asked: list[bytes] = []
        self.refuse = refuse
        super().__init__(self._tunnel, tls=False)

    def _tunnel(self, connection: socket.socket) -> None:
        head = read_request(connection)
        self.asked.append(head)
        if self.refuse:
            connection.sendall(self.refuse)
            return
        host, port = head.split(b" ")[1].decode().rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

            def copy(source: socket.socket, sink: socket.socket) -> None:
                try:
                    while data := source.recv(65536):
                        sink.sendall(data)
                except OSError:
                    pass

            threading.Thread(target=copy, args=(onward, connection), daemon=True).start()
            copy(connection, onward)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxies_of_the_environment(
    variable: str, simulate: Simulate, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate(Device("pc01"))
    bearer = simulator.issue_token()
    with ConnectProxy() as proxy:
        monkeypatch.setenv(variable, f"http://user:word@127.0.0.1:{proxy.port}")
        assert get(connect(simulator, tokens=StubTokens(bearer)))["value"]
        assert proxy.asked[0].startswith(b"CONNECT 127.0.0.1:") and b"Proxy-Authorization: Basic" in proxy.asked[0]
        assert bearer.encode() not in b"".join(proxy.asked)


@pytest.mark.parametrize("exempt", ["127.0.0.1", "localhost,127.0.0.1", "*", "127.0.0.1:{port}"])
def test_hosts_without_a_proxy(
    exempt: str, simulate: Simulate, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate(Device("pc01"))
    with ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", exempt.format(port=simulator.api_url.rsplit(":", 1)[1]))
        assert get(connect(simulator))["value"]
        assert not proxy.asked


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "address",
    [
        "http:///",
        "http://user:proxy-word@",
        "http://user:proxy-word@proxy.test:99999",
        "http://user:proxy-word@proxy.test:port",
        "http://user:proxy-word/more@proxy.test:8080",
        "user:proxy-word@proxy.test:8080",
    ],
)
def test_an_address_that_is_no_proxys(
    variable: str, address: str, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, address)
    with pytest.raises(OptionsError, match=f"^{variable.upper()} in the environment is not the address") as caught:
        Http(None, True, 5, clock)
    assert "proxy-word" not in str(caught.value)


def test_a_proxy_that_refuses(simulate: Simulate, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device("pc01")
    simulator = simulate(device)
    with ConnectProxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:proxy-word@127.0.0.1:{proxy.port}")
        with pytest.raises(NetworkError, match="The proxy on the way to .* failed: .*407") as caught:
            post(connect(simulator), device)
    assert "HTTPS_PROXY" in caught.value.advice and "proxy-word" not in str(caught.value)
    assert not simulator.requests


def test_netrc_does_not_replace_the_bearer(
    simulate: Simulate, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password nonsense\ndefault login any password nonsense\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert get(connect(simulate(Device("pc01"))))["value"]


# Patience of the sign-in


@pytest.mark.parametrize(("kind", "args"), SPOILT[:6])
def test_patient(kind: str, args: dict[str, Any], simulate: Simulate, clock: VirtualClock) -> None:
    simulator = simulate()
    url = f"{simulator.login_url}/{simulator.tenant}/v2.0/.well-known/openid-configuration"
    http = Http(simulator.ca_path, True, 5, clock)
    simulator.add_fault("discovery", kind, count=2, **args)
    assert http.patient("GET", url).status_code == 200
    assert clock.slept == [1.0, 2.0]


def test_patient_obeys_and_ends(simulate: Simulate, clock: VirtualClock, tmp_path: pathlib.Path) -> None:
    simulator = simulate(state_dir=tmp_path)
    url = f"{simulator.login_url}/{simulator.tenant}/v2.0/.well-known/openid-configuration"
    http = Http(simulator.ca_path, True, 5, clock)
    simulator.add_fault("discovery", "status", count=0, status=429, retry_after=7)
    assert http.patient("GET", url).status_code == 429
    assert clock.slept == [7.0] * 4
    with pytest.raises(TlsError):
        Http(None, True, 5, clock).patient("GET", url)
    assert len(clock.slept) == 4
    simulator.stop()
    with pytest.raises(NetworkError):
        http.patient("GET", url)
    assert clock.slept[4:] == [1.0, 2.0, 4.0, 8.0]


def test_requests_is_needed(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(MissingLibrary, match="requests") as caught:
        Http(None, True, 5, clock)
    assert "control node" in caught.value.advice


# Downloads


def package(simulate: Simulate, device: Device) -> tuple[Simulator, str, bytes]:
    simulator = simulate(device)
    client = Client(simulator)
    link = client.link(simulator.actions[0]["id"])
    whole = client.download(link).content
    simulator.reset_log()
    return simulator, link, whole


FINISHED = (PastAction(age=600.0),)


def test_download_and_resume(simulate: Simulate, connect: Connect) -> None:
    simulator, link, whole = package(simulate, Device("pc01", history=FINISHED, package_size=300_000))
    session = connect(simulator)
    for offset in (0, 1, 150_000, len(whole) - 1):
        with session.stream(link, offset) as (start, size, chunks):
            assert (start, size) == (offset, len(whole))
            assert b"".join(chunks) == whole[offset:]
    assert statuses(simulator, "download") == [200, 206, 206, 206]
    assert not any(entry.bearer for entry in simulator.requests)
    assert session.api_calls == 0


def test_resume_where_the_server_cannot(simulate: Simulate, connect: Connect) -> None:
    simulator, link, whole = package(simulate, Device("pc01", history=FINISHED, ranges=False))
    with connect(simulator).stream(link, 100) as (start, size, chunks):
        assert (start, size) == (0, len(whole))
        assert b"".join(chunks) == whole


def test_resume_of_what_is_complete(simulate: Simulate, connect: Connect) -> None:
    simulator, link, whole = package(simulate, Device("pc01", history=FINISHED))
    with connect(simulator).stream(link, len(whole)) as (start, size, chunks):
        assert (start, size, list(chunks)) == (len(whole), len(whole), [])
    assert statuses(simulator, "download") == [416]


def test_resume_of_what_is_longer_than_the_package(simulate: Simulate, connect: Connect) -> None:
    simulator, link, whole = package(simulate, Device("pc01", history=FINISHED))
    with connect(simulator).stream(link, len(whole) + 5) as (start, size, chunks):
        assert (start, size) == (0, len(whole))
        assert b"".join(chunks) == whole
    assert statuses(simulator, "download") == [416, 200]


@pytest.mark.parametrize("offset", [0, 10])
def test_an_expired_link(offset: int, simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    simulator, link, _whole = package(simulate, Device("pc01", history=FINISHED))
    clock.now += 61
    with pytest.raises(ServiceError, match="answered with 403") as caught, connect(simulator).stream(link, offset):
        pass
    assert (caught.value.code, caught.value.status) == ("LinkRefused", 403)
    assert link not in str(caught.value) and link.partition("token=")[2] not in str(caught.value)


def test_a_server_in_trouble_is_no_refused_link(simulate: Simulate, connect: Connect) -> None:
    simulator, link, _whole = package(simulate, Device("pc01", history=FINISHED))
    simulator.add_fault("download", "status", status=503)
    with pytest.raises(ServiceError) as caught, connect(simulator).stream(link, 0):
        pass
    assert (caught.value.code, caught.value.status) == ("ServiceError", 503)


def test_a_download_that_breaks_off(simulate: Simulate, connect: Connect) -> None:
    simulator, link, whole = package(simulate, Device("pc01", history=FINISHED, package_size=300_000))
    simulator.add_fault("download", "truncate")
    got = b""
    with pytest.raises(ReplyLost, match="broke off") as caught:
        with connect(simulator).stream(link, 0) as (_start, size, chunks):
            assert size == len(whole)
            for chunk in chunks:
                got += chunk
    assert whole.startswith(got) and link not in str(caught.value)


def test_a_download_that_falls_silent(simulate: Simulate, connect: Connect) -> None:
    simulator, link, _whole = package(simulate, Device("pc01", history=FINISHED))
    simulator.add_fault("download", "drip", seconds=8.0)
    with pytest.raises(ReplyLost), connect(simulator, timeout=0.2).stream(link, 0) as (_start, _size, chunks):
        b"".join(chunks)


@pytest.mark.parametrize(
    "header", [b"", b"Content-Range: bytes */5\r\n", b"Content-Range: items 1-2/3\r\n", b"Content-Range: nonsense\r\n"]
)
def test_a_part_that_does_not_say_which(header: bytes, simulate: Simulate, connect: Connect) -> None:
    reply = b"HTTP/1.1 206 Partial Content\r\n" + header + b"Content-Length: 2\r\n\r\nPK"
    with TinyServer(answering(reply)) as server:
        with pytest.raises(ReplyLost, match="without saying which"), connect(simulate()).stream(server.url, 5):
            pass


def test_a_server_that_does_not_tell_the_size(simulate: Simulate, connect: Connect) -> None:
    with TinyServer(answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nPK-and-so-on")) as server:
        with connect(simulate()).stream(server.url, 0) as (start, size, chunks):
            assert (start, size, b"".join(chunks)) == (0, None, b"PK-and-so-on")


@pytest.mark.parametrize("offset", [0, 5])
def test_a_download_asks_for_the_bytes_as_they_are(offset: int, simulate: Simulate, connect: Connect) -> None:
    """Compressed on the way, an offset would count something else."""
    heads: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heads.append(read_request(connection).lower())
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nPK")

    with TinyServer(serve) as server, connect(simulate()).stream(server.url, offset) as (_start, _size, chunks):
        assert b"".join(chunks) == b"PK"
    assert b"accept-encoding: identity\r\n" in heads[0] and b"authorization" not in heads[0]
    assert (b"range: bytes=5-\r\n" in heads[0]) is bool(offset)


def test_half_a_character_is_replaced_and_whole_ones_stay(simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault("any", "wrong_shape", body={"value": [{"a\ud83d": ["\udc00b", "\U0001f600", 5]}]})
    assert get(connect(simulator))["value"] == [{"a\ufffd": ["\ufffdb", "\U0001f600", 5]}]


def test_a_reply_that_is_nested_without_end_is_no_answer() -> None:
    assert _http.json_of(_http.Reply(200, "https://api.example", {}, b"[" * 100_000)) is None


GATEWAYS = ["text", "empty", "json", "json_error", "json_text", "html"]


@pytest.mark.parametrize("form", GATEWAYS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_404_that_is_not_the_services(
    method: str, form: str, simulate: Simulate, connect: Connect, clock: VirtualClock
) -> None:
    """A gateway that knows no route must not be taken for a tenant without devices."""
    device = Device("pc01")
    simulator = simulate(device)
    simulator.add_fault("any", "gateway", status=404, form=form, count=0)
    with pytest.raises(StrangeReply, match="answered 404, but not as the service does") as caught:
        get(connect(simulator)) if method == "GET" else post(connect(simulator), device)
    assert not isinstance(caught.value, NotFound) and caught.value.status == 404
    assert f"Check api_url, which is {simulator.api_url}" in caught.value.advice
    # Nor is it waited out.
    assert len(simulator.requests) == 1 and clock.slept == []


# An end to every call


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("endpoint", ["machines", "discovery"])
def test_a_reply_that_drips_ends_in_time(endpoint: str, head: bool, simulate: Simulate, clock: VirtualClock) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault(endpoint, "drip", count=0, byte_seconds=0.05, head=head)
    path = "/api/machines" if endpoint == "machines" else f"/{simulator.tenant}/v2.0/.well-known/openid-configuration"
    base = simulator.api_url if endpoint == "machines" else simulator.login_url
    http = Http(simulator.ca_path, True, 0.6, clock)
    began = time.monotonic()
    with pytest.raises(ReplyLost, match=r"did not arrive within 0\.6 seconds"):
        http.send("GET", base + path, headers={"Authorization": f"Bearer {simulator.issue_token()}"})
    assert time.monotonic() - began < 3


def test_a_proxy_that_drips_ends_in_time(
    simulate: Simulate, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(connection: socket.socket) -> None:
        read_request(connection)
        for byte in b"HTTP/1.1 200 Connection established\r\nX-Long: " + b"x" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with TinyServer(drip, tls=False) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        began = time.monotonic()
        with pytest.raises((ReplyLost, NetworkError)):
            Http(simulate().ca_path, True, 0.6, clock).send("GET", "https://127.0.0.1:1/")
    assert time.monotonic() - began < 3


def test_a_connection_is_good_for_another_call_after_a_slow_one(simulate: Simulate, connect: Connect) -> None:
    """What was left of the one's time is not what the next one has."""
    simulator = simulate(Device("pc01"))
    session = connect(simulator, timeout=1.5)
    simulator.add_fault("machines", "drip", seconds=1.0)
    assert get(session)["value"]
    simulator.add_fault("machines", "drip", seconds=1.0)
    assert get(session)["value"]
    assert statuses(simulator, "machines") == [200, 200]


def test_a_download_that_drips_ends(simulate: Simulate, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "_RATE_WINDOW", 0.5)
    simulator, link, _whole = package(simulate, Device("pc01", history=FINISHED))
    simulator.add_fault("download", "drip", byte_seconds=0.02)
    began = time.monotonic()
    with (
        pytest.raises(ReplyLost, match="1 KiB a second"),
        connect(simulator).stream(link, 0) as (_start, _size, chunks),
    ):
        b"".join(chunks)
    assert time.monotonic() - began < 5


def test_a_slow_download_may_take_longer_than_a_call(simulate: Simulate, connect: Connect) -> None:
    simulator, link, whole = package(simulate, Device("pc01", history=FINISHED))
    simulator.add_fault("download", "drip", seconds=1.5)
    with connect(simulator, timeout=1.0).stream(link, 0) as (_start, _size, chunks):
        assert b"".join(chunks) == whole


def test_what_a_server_may_make_wait_is_bounded(simulate: Simulate, connect: Connect, clock: VirtualClock) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault("machines", "status", status=429, code="429", count=0, retry_after="99999999999")
    with pytest.raises(ServiceError) as caught:
        get(connect(simulator))
    assert caught.value.code == "TooManyRequests" and 7200 <= sum(clock.slept) < 7300
    clock.slept.clear()
    url = f"{simulator.login_url}/{simulator.tenant}/v2.0/.well-known/openid-configuration"
    simulator.add_fault("discovery", "status", count=0, status=429, retry_after="99999999999")
    assert Http(simulator.ca_path, True, 5, clock).patient("GET", url).status_code == 429
    assert clock.slept == [300.0] * 2


# Sizes


@pytest.mark.parametrize("endpoint", ["machines", "discovery"])
def test_a_body_without_end_is_not_kept(endpoint: str, simulate: Simulate, clock: VirtualClock) -> None:
    simulator = simulate(Device("pc01"))
    simulator.add_fault(endpoint, "bomb", count=0)
    http = Http(simulator.ca_path, True, 30, clock)
    path = "/api/machines" if endpoint == "machines" else f"/{simulator.tenant}/v2.0/.well-known/openid-configuration"
    base = simulator.api_url if endpoint == "machines" else simulator.login_url
    size = _http.LIST_SIZE if endpoint == "machines" else _http.TOKEN_SIZE
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ReplyLost, match=f"longer than {size >> 20} MiB"):
        http.send("GET", base + path, size=size, headers={"Authorization": f"Bearer {simulator.issue_token()}"})
    # In KiB. The simulator of this process makes the body, too.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10


def test_an_encoding_that_was_not_asked_for(clock: VirtualClock, simulate: Simulate) -> None:
    ca_path = simulate().ca_path
    for encoding in (b"br", b"gzip, gzip", b"zstd"):
        reply = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + encoding + b"\r\nContent-Length: 2\r\n\r\n{}"
        with TinyServer(answering(reply)) as server, pytest.raises(ReplyLost, match="which was not asked for"):
            Http(ca_path, True, 5, clock).send("GET", server.url)


@pytest.mark.parametrize("header", [b"\xb2", b"9" * 5000, b"+5", b"-1", b"1_0", b" 5 ", b"5,5"])
def test_numbers_in_headers_that_are_none(header: bytes, simulate: Simulate, connect: Connect) -> None:
    reply = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " + header + b"-9/" + header + b"\r\n\r\nPK"
    with TinyServer(answering(reply)) as server, pytest.raises(ReplyLost):
        with connect(simulate()).stream(server.url, 5) as (_start, _size, chunks):
            list(chunks)
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: " + header + b"\r\nConnection: close\r\n\r\nPK"
    with TinyServer(answering(reply)) as server:
        with contextlib.suppress(ReplyLost), connect(simulate()).stream(server.url, 0) as (_start, size, chunks):
            assert size in (None, 5)
            list(chunks)


@pytest.mark.parametrize("kind", ["gzip", "block_page"])
def test_a_download_that_something_on_the_way_has_changed(kind: str, simulate: Simulate, connect: Connect) -> None:
    simulator, link, _whole = package(simulate, Device("pc01", history=FINISHED))
    details: dict[str, Any] = {"status": 200} if kind == "block_page" else {}
    simulator.add_fault("download", kind, **details)
    with pytest.raises(StrangeReply, match="something on the way has changed the download") as caught:
        with connect(simulator).stream(link, 0):
            pass
    assert caught.value.code == "DownloadAltered" and "not the service" in caught.value.advice


# Trust


@pytest.mark.parametrize(
    ("why", "advice"),
    [
        ("Missing Authority Key Identifier", "VERIFY_X509_STRICT"),
        ("Basic Constraints of CA cert not marked critical", "VERIFY_X509_STRICT"),
        ("CA cert does not include key usage extension", "VERIFY_X509_STRICT"),
        ("unable to get local issuer certificate", "ca_path /ca.pem does not hold the CA"),
        ("certificate has expired", "clock"),
        ("Hostname mismatch, certificate is not valid for 'x'", "host's name"),
    ],
)
def test_advice_for_a_certificate_names_what_is_wrong(why: str, advice: str) -> None:
    inner = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {why}")
    inner.verify_message = why
    failure = requests.exceptions.SSLError(inner)
    for ca_path in ("/ca.pem", None):
        error = explained(failure, "host", 5.0, ca_path)
        assert isinstance(error, TlsError) and why in error.message
        assert (advice in error.advice) is (ca_path is not None or "ca_path" not in advice)


# Clocks


@pytest.mark.parametrize("ahead", [0.0, -5 * 86_400.0, 400.0])
def test_the_skew_of_the_clocks_is_known(ahead: float, simulate: Simulate, connect: Connect) -> None:
    simulator = simulate(Device("pc01"), date_skew=-ahead)
    session = connect(simulator)
    assert session.skew == 0.0
    for _each in range(3):
        get(session)
    assert abs(session.skew - ahead) < 3


def test_a_date_that_is_none(clock: VirtualClock, simulate: Simulate) -> None:
    ca_path = simulate().ca_path
    for date in (b"", b"soon", b"Mon, 99 Foo 2026 00:00:00 GMT", b"Thu, 01 Jan 99999 00:00:00 GMT"):
        with TinyServer(answering(b"HTTP/1.1 200 OK\r\nDate: " + date + b"\r\nContent-Length: 2\r\n\r\n{}")) as server:
            http = Http(ca_path, True, 5, clock)
            http.send("GET", server.url)
            assert http.skew == 0.0 and not http.knows_time


@pytest.mark.parametrize("token", ["a.b\nc", "a.b\r\nc"])
def test_a_token_that_fits_no_header_is_not_told(simulate: Simulate, connect: Connect, token: str) -> None:
    with pytest.raises(AuthError) as caught:
        get(connect(simulate(Device("pc01")), tokens=StubTokens(token)))
    assert "a.b" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://api..example/", f"https://{'a' * 70}.example/"])
def test_a_host_that_can_be_none(url: str, clock: VirtualClock) -> None:
    with pytest.raises(NetworkError, match="cannot be reached"):
        Http(None, True, 5.0, clock).send("GET", url)


class _Listener(logging.Handler):
    def __init__(self, heard: list[logging.LogRecord]) -> None:
        super().__init__()
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(record)


def test_urllib3_tells_nobody_of_a_link(clock: VirtualClock) -> None:
    heard: list[logging.LogRecord] = []
    listener = _Listener(heard)
    logging.getLogger().addHandler(listener)
    try:
        Http(None, True, 5.0, clock)
        logging.getLogger("urllib3.connection").warning("Failed to parse headers (url=https://x?token=word)")
    finally:
        logging.getLogger().removeHandler(listener)
    assert not heard
