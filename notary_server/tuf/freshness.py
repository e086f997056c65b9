"""What of the server-signed roles is due for renewal at a given time."""

from __future__ import annotations
