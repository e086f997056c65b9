"""What the database rooms raise, as the errors that the port `MetadataStore` promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from notary_common.database import DatabaseConflict, DatabaseError
from notary_server.errors import HeadMoved, StoreUnavailable


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn a lost race into `HeadMoved` and everything else into `StoreUnavailable`; causes are kept for the log."""
    try:
        yield
    except DatabaseConflict as error:
        raise HeadMoved("another publish of this repository was first") from error
    except DatabaseError as error:
        raise StoreUnavailable("the database cannot be asked right now; try again in a moment") from error
