"""A process that signs in a token as fast as python-pkcs11 can, with one session key: what no signer can exceed.

    python -m bench.token_alone MODULE LABEL PIN_FILE SECONDS    (SOFTHSM2_CONF names the store)

Writes a line when it is ready, begins at a line on its standard input, and writes its latencies in milliseconds as JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters

DIGEST = hashlib.sha256(b"what a timestamp hashes to").digest()


def main(module: str, label: str, pin_file: str, seconds: str) -> None:
    """See above."""
    token = pkcs11.lib(module).get_token(token_label=label)
    with token.open(user_pin=Path(pin_file).read_text().strip()) as session:
        curve = session.create_domain_parameters(
            KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
        )
        private: Any = curve.generate_keypair(store=False)[1]
        print("ready", flush=True)
        sys.stdin.readline()
        latencies = []
        last = time.perf_counter()
        end = last + float(seconds)
        while last < end:
            private.sign(DIGEST, mechanism=Mechanism.ECDSA)
            now = time.perf_counter()
            latencies.append((now - last) * 1000)
            last = now
    print(json.dumps(latencies))


if __name__ == "__main__":
    main(*sys.argv[1:])
