"""`python -m notary_server`: the same as the command `notary-server`."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main(prog_name="notary-server")
