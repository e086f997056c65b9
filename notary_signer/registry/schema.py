"""Notary's table `private_keys` (docs/reference/protocol.md, 22), and how this signer fills it.

| keeping  | encryption_alg    | keywrap_alg                  | passphrase_alias | private                      |
|----------|-------------------|------------------------------|------------------|------------------------------|
| wrapped  | `PKCS11-WRAPPED`  | `AES256-KWP` or another way  | label of the KEK | the wrapped PKCS#8 key       |
| resident | `PKCS11-RESIDENT` | `none`                       | empty            | empty: the token has the key |

The last four columns are ours alone (docs/adr/0022-what-is-noted-of-a-key.md). `deleted_at` is when a key was retired; a
destroyed one has an empty `private`. `updated_at` of a key that never signed is when it was last heard of.

Notary's own signer writes a JWE (`A256GCM`) under a passphrase: those rows are left as they are.
All times are UTC without a zone.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from notary_signer.ports import Keeping

WRAPPED: Final = "PKCS11-WRAPPED"
RESIDENT: Final = "PKCS11-RESIDENT"

UNWRAPPED: Final = "none"
"""`keywrap_alg` of a resident key."""

ENCRYPTION_ALG: Final[dict[Keeping, str]] = {"wrapped": WRAPPED, "resident": RESIDENT}
KEEPING: Final[dict[str, Keeping]] = {WRAPPED: "wrapped", RESIDENT: "resident"}

private_keys: Final = sa.Table(
    "private_keys",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("deleted_at", sa.DateTime),
    sa.Column("key_id", sa.String(255), nullable=False),
    sa.Column("encryption_alg", sa.String(255), nullable=False),
    sa.Column("keywrap_alg", sa.String(255), nullable=False),
    sa.Column("algorithm", sa.String(50), nullable=False),
    sa.Column("passphrase_alias", sa.String(50), nullable=False),
    sa.Column("public", sa.LargeBinary, nullable=False),
    sa.Column("private", sa.LargeBinary, nullable=False),
    sa.Column("gun", sa.String(255), nullable=False),
    sa.Column("role", sa.String(255), nullable=False),
    sa.Column("last_used", sa.DateTime),
    sa.Column("highest_version", sa.Integer),
    sa.Column("activated_at", sa.DateTime),
    sa.Column("destroyed_at", sa.DateTime),
    sa.Column("dialect", sa.String(16)),
)

OURS: Final = sa.or_(*(private_keys.c.encryption_alg == ours for ours in KEEPING))
"""What tells this signer's rows from those of Notary's own."""
