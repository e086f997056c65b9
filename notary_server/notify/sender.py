"""One delivery over HTTP: signed, not redirected, within a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from notary_common.tls import TlsError, client_context
from notary_server.config.notifications import Webhook, read_secret

from .cloud_events import headers

AGENT: Final = "notary-server-webhooks"


class NotDelivered(Exception):
    """The receiver did not take it; the text says why, without what it answered."""


class Sender:
    """Delivers to any of the configured receivers. Secrets and authorities are read at each delivery: they may be renewed."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, hook: Webhook, event_id: str, body: bytes) -> None:
        """Deliver it.

        Raises:
            NotDelivered: nobody answered in time, or not with a status from 200 to 299.
        """
        try:
            secret = read_secret(hook.secret_file)
            tls = client_context(hook.ca_file, None, None)
            fields = {"User-Agent": AGENT, **headers(event_id, body, secret, int(time.time()))}
            async with (
                asyncio.timeout(hook.timeout),
                self._session.post(
                    hook.url, data=body, headers=fields, ssl=tls, allow_redirects=False
                ) as answer,
            ):
                status = answer.status
        except TimeoutError:
            raise NotDelivered(f"no answer within {hook.timeout:g} seconds") from None
        except (aiohttp.ClientError, OSError, TlsError, ValueError) as error:
            raise NotDelivered(f"{type(error).__name__}: {error}") from None
        if not 200 <= status <= 299:
            raise NotDelivered(f"it answered {status}")


@asynccontextmanager
async def open_sender() -> AsyncIterator[Sender]:
    """A sender, closed at the end. Proxies of the environment are not used, and no cookies are kept."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session:
        yield Sender(session)
