"""What is kept of an answered request: its share of the metrics and a line in the log."""

from __future__ import annotations

import logging
from asyncio import BaseTransport
from collections.abc import Mapping

from notary_common.log import get_logger

from .call import Services
from .dispatch import Outcome
from .peer import client_endpoint, client_subject

_log = get_logger()
_level = logging.getLogger("notary")


def record(
    services: Services,
    outcome: Outcome,
    method: str,
    target: str,
    fields: Mapping[str, str],
    transport: BaseTransport | None,
    seconds: float,
) -> None:
    """Count and log one request.

    Args:
        target: as sent.
        fields: the request's header, by lower-case name.
        transport: of its connection; None if that is lost.
        seconds: from the end of the request's header to the answer.
    """
    answer = outcome.answer
    if outcome.operation is not None:
        services.metrics.request(
            outcome.operation,
            method,
            answer.status,
            seconds=seconds,
            request_bytes=_request_size(method, target, fields),
            response_bytes=len(answer.body),
        )
    # Asked first: gathering the line costs more than the whole answer, and most servers do not show it.
    if _level.isEnabledFor(logging.INFO):
        subject = client_subject(transport)
        _log.info(
            "response completed",
            **{
                "http.request.method": method,
                "http.request.uri": target,
                "http.request.host": fields.get("host", ""),
                "http.request.remoteaddr": client_endpoint(transport, fields, services.settings.proxies),
                "http.request.useragent": fields.get("user-agent", ""),
                "http.response.status": answer.status,
                "http.response.duration": f"{seconds * 1000:.3f}ms",
                "http.response.written": len(answer.body),
                "http.response.contenttype": answer.content_type or "",
                **({"tls.client.subject": subject} if subject else {}),
            },
        )


def _request_size(method: str, target: str, fields: Mapping[str, str]) -> int:
    header = sum(map(len, fields)) + sum(map(len, fields.values()))
    return len(method) + len(target) + header + int(fields.get("content-length", 0))
