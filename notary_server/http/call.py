"""One request as handlers see it, and what they all share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from notary_common.health import Health
from notary_server.auth.access import AccessController, Everybody, Identity
from notary_server.metrics import Metrics
from notary_server.operations.change_stream import Streams
from notary_server.operations.context import Context
from notary_server.tuf.names import Gun, RoleName

from .audit import AuditLog
from .caching import CachePolicy
from .forwarded import Proxies
from .rate import Rates


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides about the HTTP surface.

    Attributes:
        gun_prefixes: repositories that are served, by the beginning of their name; all if empty.
        max_upload_bytes, max_parts: bounds on one publish.
        max_buffered_bytes: bound on the bodies that one process holds at the same time.
        max_unread_bytes: bound on the answers that wait in one process for clients to read them.
        min_upload_rate: bytes a second that a body must bring; 0: any.
        max_connections, max_client_connections: bounds on open connections, of all and of one client; 0: no other.
        header_timeout: seconds from a connection to the end of its first request's header.
        request_timeout: seconds that a client may take to send one request.
        proxies: whose word about a client's address is taken.
        targets_base_urls: where target files are kept, by the beginning of the repository's name; each ends in a slash.
        trust_client_traces: whether a request may say which trace it belongs to.
    """

    caching: CachePolicy = field(default_factory=CachePolicy)
    gun_prefixes: tuple[str, ...] = ()
    max_upload_bytes: int = 100 << 20
    max_parts: int = 256
    max_buffered_bytes: int = 512 << 20
    max_unread_bytes: int = 512 << 20
    min_upload_rate: int = 1024
    max_connections: int = 4096
    max_client_connections: int = 0
    header_timeout: float = 20.0
    request_timeout: float = 60.0
    proxies: Proxies = field(default_factory=Proxies)
    targets_base_urls: Mapping[str, str] = field(default_factory=dict)
    trust_client_traces: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may need, opened by the application."""

    context: Context
    settings: Settings
    metrics: Metrics
    health: Health
    access: AccessController = field(default_factory=Everybody)
    rates: Rates = field(default_factory=Rates)
    audit: AuditLog = field(default_factory=AuditLog)
    streams: Streams = field(default_factory=Streams)


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose address was found in the table of routes.

    Attributes:
        gun, role: of the address, decoded; empty where it has none. The GUN is a possible one.
        selector: the version or checksum of the address, as spelled.
        headers: by lower-case name.
        identity: who sends it; may do what the address asks for.
        client: the address of whoever sends it, without port; empty if that is not known.
        request_id: the name of this request in every log.
        read_body: the whole body, bounded; raises `MalformedUpload` if it cannot be had.
    """

    services: Services
    gun: Gun
    role: RoleName
    selector: str
    query: str
    headers: Mapping[str, str]
    identity: Identity
    client: str
    request_id: str
    read_body: Callable[[], Awaitable[bytes]]
