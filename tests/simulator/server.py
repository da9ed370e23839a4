# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulator: one tenant on loopback, served by aiohttp in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from .alerts import Alert, Alerts
from .assertions import EXCHANGE_AUDIENCE
from .control import Control
from .defender import Defender
from .devices import Device
from .downloads import Downloads
from .entra import Entra
from .faults import Fault, Faults
from .fleet import Fleet
from .gateway import Gateway, routes
from .keys import authority, key_pair, write_private
from .managed_identity import ManagedIdentityEndpoints
from .messages import LoggedRequest
from .quota import Quota
from .settings import (
    App,
    Clock,
    ManagedIdentity,
    Settings,
    User,
    default_apps,
    default_identities,
    default_users,
    steady_clock,
)
from .tokens import Tokens, tenant_of

_HOST = "127.0.0.1"


class Simulator:
    """A tenant with its devices; the keyword arguments beyond the named ones are those of Settings."""

    def __init__(
        self,
        devices: Iterable[Device] = (),
        *,
        apps: Iterable[App] | None = None,
        users: Iterable[User] | None = None,
        identities: Iterable[ManagedIdentity] | None = None,
        alerts: Iterable[Alert] = (),
        clock: Clock | None = None,
        port: int = 0,
        state_dir: Path | str | None = None,
        front: Simulator | None = None,
        **settings: Any,
    ) -> None:
        """front: another tenant, whose addresses this one shares, as all tenants share the service's.

        Sign-in names, tokens and links tell whose call it is. Beside that, each tenant answers at its control_url.
        """
        self.settings = Settings(**settings)
        true_time, skew = clock or steady_clock(), self.settings.clock_skew
        self.clock = (lambda: true_time() + skew) if skew else true_time
        self._own_state_dir = state_dir is None
        self.state_dir = Path(state_dir or tempfile.mkdtemp(prefix="simulator-"))
        self.state_dir.mkdir(parents=True, exist_ok=True)
        # Bound here, so that the addresses are known before anything else is made.
        self._sockets = [_listen(port), _listen(0)]
        self.control_url = f"https://{_HOST}:{self._sockets[0].getsockname()[1]}"
        self.login_url: str = front.login_url if front else self.control_url
        self.api_url = self.login_url
        self._behind: list[Simulator] = []
        self.identity_url = f"http://{_HOST}:{self._sockets[1].getsockname()[1]}"

        self.apps = default_apps() if apps is None else list(apps)
        self.users = default_users() if users is None else list(users)
        self.identities = default_identities() if identities is None else list(identities)
        self.fleet = Fleet(list(devices), self.settings, self.clock)
        self.alerts = Alerts(alerts, self.fleet, self.tenant)
        self.quota = Quota(self.settings)
        self.faults = Faults()
        self.tokens = Tokens(self.settings, self.login_url)
        self.entra = Entra(self.settings, self.tokens, self.apps, self.users)
        self.managed_identity = ManagedIdentityEndpoints(self.tokens, self.identities)
        self._gateway = self._make_gateway()
        self._write_credentials()
        if front:
            front.share_with(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def _make_gateway(self) -> Gateway:
        defender = Defender(self.settings, self.tokens, self.fleet, self.alerts, self.quota, self.api_url)
        table = [
            *routes(Control(self).routes()),
            *routes(defender.routes()),
            *routes(Downloads(self.fleet).routes()),
            *routes(self.entra.routes()),
            *routes(self.managed_identity.routes(), tls=False),
        ]
        return Gateway(table, self.fleet, self.faults, self.clock, lambda: self.api_url, self.settings.date_skew)

    # Connection facts

    @property
    def tenant(self) -> str:
        return self.settings.tenant

    @property
    def audience(self) -> str:
        return self.settings.audience

    @property
    def client_id(self) -> str:
        return self.apps[0].client_id

    @property
    def client_secret(self) -> str:
        return self.apps[0].secret

    @property
    def identity_header(self) -> str:
        return self.managed_identity.header

    def _write_credentials(self) -> None:
        self.certificate_password = self.tokens.random_secret()
        pair = key_pair("app")
        self.ca_path = str(self.state_dir / "ca.pem")
        authority()[0].cert_pem.write_to_path(self.ca_path)
        self.certificate_path = str(write_private(self.state_dir / "app.pem", pair.pem))
        self.certificate_pfx_path = str(write_private(self.state_dir / "app.pfx", pair.pfx(self.certificate_password)))
        self.stranger_certificate_path = str(write_private(self.state_dir / "stranger.pem", key_pair("stranger").pem))

    # Tenants of one address

    def share_with(self, tenant: Simulator) -> None:
        if tenant.tenant in (self.tenant, *(other.tenant for other in self._behind)):
            raise ValueError(f"there are two tenants {tenant.tenant}: give the second one a tenant and a tenant_name")
        self._behind.append(tenant)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        for tenant in self._behind:
            if tenant.is_meant_by(request):
                return await tenant._gateway.handle(request)
        return await self._gateway.handle(request)

    def is_meant_by(self, request: web.Request) -> bool:
        name = request.path.split("/")[1].lower()
        if self.settings.tenant_ids.get(name) == self.tenant or request.query.get("token") in self.fleet.links:
            return True
        return tenant_of(request.headers.get("Authorization", "").rpartition(" ")[2]) == self.tenant

    # Life

    def start(self) -> Simulator:
        ready: list[BaseException | None] = []
        listening = threading.Event()

        def run() -> None:
            asyncio.run(self._serve(ready, listening))

        self._thread = threading.Thread(target=run, name="simulator", daemon=True)
        self._thread.start()
        listening.wait()
        if ready and ready[0] is not None:
            raise RuntimeError("the simulator could not start") from ready[0]
        return self

    async def _serve(self, ready: list[BaseException | None], listening: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            app = web.Application(client_max_size=1024 * 1024)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(
                app, access_log=None, max_line_size=256 * 1024, max_field_size=64 * 1024, shutdown_timeout=0.1
            )
            await runner.setup()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority()[1].configure_cert(context)
            await web.SockSite(runner, self._sockets[0], ssl_context=context).start()
            await web.SockSite(runner, self._sockets[1]).start()
        except BaseException as error:
            ready.append(error)
            raise
        finally:
            listening.set()
        await self._stop.wait()
        await runner.cleanup()

    def stop(self) -> None:
        if self._loop is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None
        for listener in self._sockets:
            listener.close()
        if self._own_state_dir:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # What happened

    @property
    def requests(self) -> list[LoggedRequest]:
        return list(self._gateway.requests)

    @property
    def actions(self) -> list[dict[str, Any]]:
        return self.fleet.state_of(self.clock())

    @property
    def secrets(self) -> set[str]:
        """Whatever was given out, received, or repeated in another encoding."""
        return self.tokens.secrets | self.faults.echoed

    def accepted_starts(self) -> dict[str, int]:
        return dict(self.fleet.starts)

    def throttled(self) -> dict[str, int]:
        """How many calls of each endpoint got a 429."""
        return dict(self.quota.rejected)

    # What shall happen

    def add_fault(
        self, endpoint: str, kind: str, count: int = 1, after: int = 0, machine_id: str = "", **args: Any
    ) -> Fault:
        fault = Fault(endpoint, kind, count, after, machine_id, args)
        self.faults.add(fault)
        return fault

    def add_alert(self, alert: Alert) -> str:
        """The ID of an alert that comes up now, or as many seconds ago as its age says."""
        return self.alerts.add(alert, self.clock())

    def change_alert(self, alert_id: str, severity: str = "", status: str = "") -> None:
        self.alerts.change(alert_id, self.clock(), severity, status)

    def reset_log(self) -> None:
        """Forgets the requests and the count of 429s; devices, actions, quota use and faults stay."""
        self._gateway.requests.clear()
        self.quota.rejected.clear()

    def reset(self) -> None:
        """Everything as at the start; tokens stay valid."""
        self.reset_log()
        self.quota.reset()
        self.faults.reset()
        self.fleet.reset()
        self.alerts.reset()

    def issue_token(
        self,
        app: App | str | None = None,
        audience: str | None = None,
        roles: Iterable[str] | None = None,
        lifetime: float | None = None,
        user: User | str | None = None,
        tenant: str = "",
    ) -> str:
        """A token as the tenant would issue it, or one with other permissions, audience, tenant or lifetime.

        A negative lifetime makes one that has expired.
        """
        owner = self.app(app) if isinstance(app, str) else app or self.apps[0]
        person = self.user(user) if isinstance(user, str) else user
        resource = self.audience if audience is None else audience
        return self.tokens.access_token(
            self.clock(), owner, resource, user=person, permissions=roles, lifetime=lifetime, tenant=tenant
        )

    def federated_token(
        self,
        subject: str | None = None,
        issuer: str | None = None,
        audience: str = EXCHANGE_AUDIENCE,
        lifetime: float = 3600,
    ) -> str:
        """A token of another issuer that the first app's federated credential trusts, unless told otherwise."""
        return self.tokens.federated_token(
            self.clock(),
            self.apps[0].federated_subject if subject is None else subject,
            issuer or self.entra.federation_issuer,
            audience,
            lifetime,
        )

    def approve_device_code(self, username: str = "") -> int:
        return self.entra.approve_device_code(username)

    def app(self, name: str) -> App:
        return next(app for app in self.apps if name in (app.name, app.client_id))

    def user(self, name: str) -> User:
        return next(user for user in self.users if user.username == name)

    def device(self, name: str) -> Device:
        return next(device for device in self.fleet.devices if name in (device.name, device.id))


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((_HOST, port))
    listener.listen(128)
    return listener
