"""The section `management`: where operators' own programs ask."""

from __future__ import annotations

from pydantic import Field

from notary_common.config import Section
from notary_common.values import TcpAddress


class Management(Section):
    """A listener for probes and metrics, apart from the one for clients."""

    http_addr: TcpAddress | None = Field(
        default=None,
        description="`host:port` or `:port` for `/livez`, `/readyz` and `/metrics`, in plain HTTP; they name neither keys "
        "nor repositories. Without it: not listened on.",
    )
