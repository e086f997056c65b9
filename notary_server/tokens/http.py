"""The service's addresses, and what comes over the wire in either of the two ways to ask for a token.

`GET /token` with Basic is the distribution specification's way, `POST /token` with a form is that of OAuth 2 (RFC 6749,
4.3; RFC 8693 for identity tokens). Both answer in words that every client finds: `token` and `access_token`.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from notary_common.guests import Guest
from notary_common.log import get_logger
from notary_server.http.forwarded import Proxies
from notary_server.http.peer import client_address

from .errors import BadCredentials, BadRequest, Busy, TokenRefused, TooManyFailures, UnsupportedGrant
from .people import Credentials
from .service import Asked, Issued, TokenService

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_IDENTITY: Final = frozenset(
    {"urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"}
)
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name of RFC 8693
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_HEADER: Final = 24 << 10
"""Bytes of one header field: an identity token of 16 KiB as a Basic password."""
_MAX_HEADERS: Final = 64 << 10
"""Bytes of all header fields together, as far as they have arrived."""
_MAX_FIELDS: Final = 100
"""Parameters in one request; clients send ten."""

_log = get_logger("notary_server.tokens")

Form = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Api:
    """What answers at the service's addresses.

    Attributes:
        proxies: whose word is taken for a client's address.
        request_timeout: seconds that a body may take to arrive.
    """

    service: TokenService
    proxies: Proxies
    request_timeout: float

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """The answer to any request."""
        request_id = uuid.uuid4().hex
        try:
            response = await self._routed(request, request_id)
        except TokenRefused as refused:
            response = self._refusal(refused)
        except web.HTTPRequestEntityTooLarge:
            response = _plain(413, "the request is too large")
        except Exception as error:  # noqa: BLE001 - nothing may leave without an answer of our form
            self.service.metrics.defect()
            # Only the type: an unforeseen text could hold a password.
            _log.error("unexpected error", request_id=request_id, kind=type(error).__name__)
            response = _plain(500, "the token service met an unexpected error; its log has the details")
        response.headers["X-Request-ID"] = request_id
        response.headers["Cache-Control"] = "no-store"
        response.headers["Server"] = "notary-tokens"
        # Clients ask once and go; a connection that stays is one that somebody wants to hold.
        response.force_close()
        return response

    async def _routed(self, request: web.BaseRequest, request_id: str) -> web.Response:
        match request.method, request.path:
            case "GET" | "POST", "/token":
                asked = await self._asked(request, request_id)
                return _issued(await self.service.token(asked), asked.identity_token is not None)
            case "GET", "/jwks.json":
                return _json(200, self.service.published)
            case "GET", "/health":
                return _json(200, {}) if self.service.ready else _plain(503, "no key may sign now")
            case _, "/token" | "/jwks.json" | "/health":
                response = _plain(405, "the method is not allowed here")
                response.headers["Allow"] = "GET, POST" if request.path == "/token" else "GET"
                return response
        return _plain(404, "there is nothing at this address")

    async def _asked(self, request: web.BaseRequest, request_id: str) -> Asked:
        address = client_address(request.transport, request.headers, self.proxies)
        try:
            if request.method == "GET":
                return _basic_way(request, address, request_id)
            return _oauth_way(await self._form(request), request, address, request_id)
        except TokenRefused as refused:
            self.service.refusal(refused, request_id=request_id, address=address)
            raise

    async def _form(self, request: web.BaseRequest) -> Form:
        if request.content_type != _FORM:
            raise BadRequest(f"the body is not of the type {_FORM}")
        try:
            async with asyncio.timeout(self.request_timeout):
                body = await request.read()
        except TimeoutError:
            raise BadRequest("the body did not arrive in time") from None
        return _fields(body)

    def _refusal(self, refused: TokenRefused) -> web.Response:
        # docker shows `errors`; OAuth clients read `error`.
        text = str(refused)
        response = _json(
            refused.status,
            {
                "errors": [{"code": refused.code, "message": text}],
                "error": refused.oauth,
                "error_description": text,
            },
        )
        if isinstance(refused, BadCredentials):
            response.headers["WWW-Authenticate"] = f'Basic realm="{self.service.realm}", charset="UTF-8"'
        if isinstance(refused, TooManyFailures | Busy):
            response.headers["Retry-After"] = str(refused.wait)
        return response


class Connection(web.RequestHandler):
    """A connection for one request, which closes if that does not begin in time.

    Attributes:
        busy: whether its request's header has arrived; then it keeps its place until the answer.
    """

    def __init__(self, guest: Guest, seconds: float, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._guest = guest
        self._seconds = seconds
        self._header_bytes = 0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake of TLS is over; until then its guest can be sent away without this."""
        self._guest.served_by(self)
        self._opening = self._loop.call_later(self._seconds, self.force_close)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is closed, by either side."""
        self._opening.cancel()
        self._guest.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound what is kept of a header that does not end: aiohttp bounds each of its fields only."""
        if not self.busy:
            self._header_bytes += len(data)
            if self._header_bytes > _MAX_HEADERS + len(data):
                self.force_close()
                return
        super().data_received(data)

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def request_began(self) -> None:
        """The whole header has arrived."""
        self._opening.cancel()
        self.busy = True


class Listener(web.Server):
    """Makes connections."""

    def __init__(
        self, service: TokenService, proxies: Proxies, *, max_request_bytes: int, request_timeout: float
    ) -> None:
        """For the running event loop.

        Args:
            proxies: whose word is taken for a client's address.
            max_request_bytes: longer bodies are refused.
            request_timeout: seconds that a request's header may take from the connection on, and then its body.
        """
        self._bytes = max_request_bytes
        self._seconds = request_timeout
        # aiohttp's own lines about broken requests would repeat them.
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
        answer = Api(service, proxies, request_timeout).answer
        super().__init__(
            answer,
            request_factory=self._request,
            access_log=None,
            auto_decompress=False,
            max_field_size=_MAX_HEADER,
        )

    def connection(self, guest: Guest) -> Connection:
        """A new connection, which takes the place of `guest`."""
        return Connection(guest, self._seconds, self, loop=self._loop, **self._kwargs)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        """A request whose header has arrived."""
        protocol.request_began()
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=self._bytes
        )


def _basic_way(request: web.BaseRequest, address: str, request_id: str) -> Asked:
    # As sent: what aiohttp calls the query string is decoded already, and would be decoded twice.
    form = _fields(request.rel_url.raw_query_string.encode("utf-8", "surrogateescape"))
    return Asked(
        credentials=_basic(request.headers.get("Authorization")),
        scopes=tuple(form.get("scope", ())),
        service=_one(form, "service"),
        client=_one(form, "client_id") or request.headers.get("User-Agent", ""),
        address=address,
        request_id=request_id,
    )


def _oauth_way(form: Form, request: web.BaseRequest, address: str, request_id: str) -> Asked:
    credentials: Credentials | None = None
    identity_token: str | None = None
    grant_type = _one(form, "grant_type")
    if grant_type == "password":
        credentials = Credentials(_needed(form, "username"), _needed(form, "password"))
    elif grant_type == EXCHANGE:
        if _one(form, "subject_token_type") not in _IDENTITY:
            raise BadRequest("subject_token_type is none of an identity token")
        identity_token = _needed(form, "subject_token")
    elif not grant_type:
        raise BadRequest("grant_type is missing")
    else:
        raise UnsupportedGrant("this grant_type is not supported; use password or token-exchange")
    return Asked(
        credentials=credentials,
        scopes=tuple(form.get("scope", ())),
        # RFC 8693 calls it the audience.
        service=_one(form, "service") or _one(form, "audience"),
        client=_one(form, "client_id") or request.headers.get("User-Agent", ""),
        address=address,
        request_id=request_id,
        identity_token=identity_token,
    )


def _basic(header: str | None) -> Credentials | None:
    """The credentials of an Authorization header; None without one.

    Raises:
        BadCredentials: it is not Basic, or malformed.
    """
    if header is None:
        return None
    scheme, _, encoded = header.partition(" ")
    try:
        name, colon, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise BadCredentials("the Authorization header is malformed") from None
    if scheme.lower() != "basic" or not colon:
        raise BadCredentials("the Authorization header is not Basic")
    return Credentials(name, password)


def _fields(data: bytes) -> Form:
    try:
        return parse_qs(data.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise BadRequest("the parameters are malformed, or too many") from None


def _one(form: Form, name: str) -> str:
    values = form.get(name, ())
    if len(values) > 1:
        raise BadRequest(f"{name} is given twice")
    return values[0] if values else ""


def _needed(form: Form, name: str) -> str:
    value = _one(form, name)
    if not value:
        raise BadRequest(f"{name} is missing")
    return value


def _issued(issued: Issued, exchanged: bool) -> web.Response:
    answer: dict[str, object] = {
        "token": issued.token,
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": issued.lifetime,
        "issued_at": issued.issued.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if exchanged:
        answer["issued_token_type"] = _ACCESS_TOKEN
    return _json(200, answer)


def _plain(status: int, text: str) -> web.Response:
    return _json(status, {"errors": [{"code": "UNKNOWN", "message": text}]})


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
