"""`python -m notary_signer`: the same as the command `notary-signer`."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main(prog_name="notary-signer")
