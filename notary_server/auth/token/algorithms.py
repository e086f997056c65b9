"""The signature algorithms of tokens (RFC 7518, 3.1; RFC 8037, 3.1)."""

from __future__ import annotations

from typing import Final

ALGORITHMS: Final = (
    "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA",
)  # fmt: skip
"""All that can be allowed. Neither `none` nor a shared secret ever is."""
DEFAULT_ALGORITHMS: Final = ALGORITHMS[:6]
"""Those that Docker's token services sign with."""
