# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be adjusted about a simulated tenant, and who is registered in it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Clock = Callable[[], float]

AUDIENCE = "https://api.securitycenter.microsoft.com"
_FIRST_TENANT = "7f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
DEFAULT_ROLES = ("Machine.CollectForensics", "Machine.Read.All")
_LINK_BUGS = ("", "lost_filter", "loop", "endless", "endless_rows")


def steady_clock() -> Clock:
    """Seconds since the epoch that never step back, whatever happens to the machine's clock meanwhile."""
    start = time.time() - time.monotonic()
    return lambda: start + time.monotonic()


@dataclass(frozen=True)
class Settings:
    seed: int = 1
    tenant: str = _FIRST_TENANT
    tenant_name: str = "contoso.onmicrosoft.com"
    # Further domain names of the tenant, and other tenants that the sign-in host knows by domain name and ID.
    domains: tuple[str, ...] = ()
    foreign_tenants: dict[str, str] = field(default_factory=dict)
    audience: str = AUDIENCE

    # Seconds by which the header Date is ahead of the service's clock, and the service's clock of the true time.
    date_skew: float = 0.0
    clock_skew: float = 0.0

    minute: float = 60.0
    hour: float = 3600.0
    # Endpoint name to (calls a minute, calls an hour), over the documented limits.
    quotas: dict[str, tuple[int, int]] = field(default_factory=dict)
    quota_window: Literal["sliding", "tick"] = "sliding"
    retry_after: bool | Literal["http-date"] = True
    count_rejected: bool = False

    collect_seconds: tuple[float, float] = (1.0, 3.0)
    isolate_seconds: tuple[float, float] = (0.5, 1.5)
    cancel_seconds: float = 0.2
    unseen_seconds: float = 0.0
    unlisted_seconds: float = 0.0

    token_lifetime: int = 3599
    link_lifetime: float = 60.0
    # Seconds after its end for which an action's package is kept (None: for ever), and what answers afterwards:
    # getPackageUri by a 404, or the link by a 404 or 410.
    package_retention: float | None = None
    expired_package: Literal["no_link", "404", "410"] = "no_link"
    # None: only Simulator.approve_device_code() approves.
    device_code_seconds: float | None = None

    page_size: int = 10_000
    next_link_bug: Literal["", "lost_filter", "loop", "endless", "endless_rows"] = ""
    # The scheme and host of next links, when they are not those of the call. "": they are.
    next_link_base: str = ""
    # More rows than this never come at once, also when $top asks for them: a next link leads to the others. 0: off.
    short_page: int = 0
    # 0: no limit, none is documented. 100 is the default of the OData library whose error texts the service shows.
    filter_nodes: int = 0
    # How the service types aadDeviceId, and the id of a machine action, in a filter: True is a Guid, written without
    # quotes; False is a text, written with them. What is written the other way is refused.
    guid_literals: bool = True
    action_id_guid: bool = False
    # Whether computerDnsName is compared with its case, in filters and in the path of one machine.
    case_sensitive_names: bool = True

    # Whether isolating what is isolated, or releasing what is not, is refused.
    refuse_repeated_isolation: bool = True
    # The two forms of a 403 that were seen: "roles" (2026), "permissions" (2021).
    denial: Literal["roles", "permissions"] = "roles"
    # Two readings of the documentation that would make the usual pair of permissions insufficient.
    link_needs_read_write: bool = False
    cancel_needs_other_role: bool = False

    @property
    def realm(self) -> str:
        """What makes the IDs and secrets of another tenant others, although its devices and apps have the same names."""
        return "" if self.tenant == _FIRST_TENANT else f" {self.tenant}"

    @property
    def tenant_ids(self) -> dict[str, str]:
        """Every name under which the sign-in host knows a tenant, in lower case, with the ID of that tenant."""
        own = {name.lower(): self.tenant for name in (self.tenant, self.tenant_name, *self.domains)}
        others = {key.lower(): tenant for name, tenant in self.foreign_tenants.items() for key in (name, tenant)}
        return {**others, **own}

    def __post_init__(self) -> None:
        for name in ("minute", "hour", "link_lifetime", "page_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than 0")
        if self.quota_window not in ("sliding", "tick"):
            raise ValueError(f"quota_window is sliding or tick, not {self.quota_window!r}")
        if self.next_link_bug not in _LINK_BUGS:
            raise ValueError(f"next_link_bug is one of {', '.join(_LINK_BUGS[1:])}, not {self.next_link_bug!r}")
        if self.retry_after not in (True, False, "http-date"):
            raise ValueError(f"retry_after is true, false or http-date, not {self.retry_after!r}")
        if self.expired_package not in ("no_link", "404", "410"):
            raise ValueError(f"expired_package is no_link, 404 or 410, not {self.expired_package!r}")
        for name in ("collect_seconds", "isolate_seconds"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} is a pair, the smaller first")


@dataclass
class App:
    """An app registration with its service principal in the tenant."""

    name: str
    roles: tuple[str, ...] = DEFAULT_ROLES
    client_id: str = ""
    secret: str = ""
    secret_expired: bool = False
    certificate: bool = True
    federated_subject: str = ""
    # "Allow public client flows": without it, password and device code grants ask for a secret.
    public: bool = False
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.roles, self.scopes = tuple(self.roles), tuple(self.scopes)
        self.client_id = self.client_id or str(uuid.uuid5(uuid.NAMESPACE_DNS, f"app:{self.name}"))

    @property
    def object_id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"principal:{self.client_id}"))


@dataclass
class User:
    """A work account that may sign in with the password or a device code."""

    username: str
    password: str = ""
    scopes: tuple[str, ...] = ("Machine.CollectForensics", "Machine.Read")
    needs_mfa: bool = False

    def __post_init__(self) -> None:
        self.scopes = tuple(self.scopes)

    @property
    def object_id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"user:{self.username.lower()}"))


@dataclass
class ManagedIdentity:
    """An identity of the host; without a client id it is the system-assigned one."""

    name: str = "runner"
    client_id: str = ""
    roles: tuple[str, ...] = DEFAULT_ROLES
    system_assigned: bool = True
    # The tenant of its tokens, when it is not the one that is simulated here.
    tenant: str = ""

    def __post_init__(self) -> None:
        self.roles = tuple(self.roles)
        self.client_id = self.client_id or str(uuid.uuid5(uuid.NAMESPACE_DNS, f"identity:{self.name}"))


def default_apps() -> list[App]:
    return [
        App("secops-collector", federated_subject="system:serviceaccount:soc:runner"),
        App("secops-starter", roles=("Machine.CollectForensics",)),
        App("secops-reader", roles=("Machine.Read.All",)),
        App("secops-nothing", roles=()),
        App("secops-expired", secret_expired=True),
        App(
            "secops-desktop",
            roles=(),
            public=True,
            certificate=False,
            scopes=("Machine.CollectForensics", "Machine.Read"),
        ),
        App("secops-alerts", roles=("Alert.Read.All",)),
        App("secops-containment", roles=("Machine.Isolate", "Machine.Read.All")),
    ]


def default_users() -> list[User]:
    return [
        User("analyst@contoso.onmicrosoft.com"),
        User("reader@contoso.onmicrosoft.com", scopes=("Machine.Read",)),
        User("careful@contoso.onmicrosoft.com", needs_mfa=True),
    ]


def default_identities() -> list[ManagedIdentity]:
    return [ManagedIdentity("runner"), ManagedIdentity("runner-assigned", system_assigned=False)]
