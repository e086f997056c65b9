"""Bounds on what a connection may send and on how long it may take."""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTES: Final = 16_384
"""Of a request line: a repository name of 255 characters, percent-encoded, fits several times."""
MAX_FIELD_BYTES: Final = 65_536
"""Of one header field: tokens with many grants are long."""
MAX_FIELDS: Final = 100
MAX_HEADER_BYTES: Final = 262_144
"""Of all fields of one header together, as far as they have arrived."""
HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds for the handshake of TLS."""
KEEPALIVE_TIMEOUT: Final = 75.0
"""Seconds that an idle connection is kept; longer than the usual 60 of proxies, so that these close first."""
LINGER_TIMEOUT: Final = 2.0
"""Seconds for which what a client still sends is read after its answer."""
BACKLOG: Final = 1024
"""Clients open a connection for each request."""
LAST_CALL: Final = 1.0
"""Seconds for which a stopping server still takes a request on each open connection: closing them at once would cut
off whoever has just connected, or asks again at this very moment."""
FLUSH_TIMEOUT: Final = 1.0
"""Seconds that a stopping server gives clients to read the last answers."""
STREAM_WRITE_TIMEOUT: Final = 30.0
"""Seconds that a client may leave a piece of a stream unread, before it is taken for gone."""
HEARTBEAT: Final = 15
"""Seconds without an event after which a stream says that it is there."""
