"""A second, independent implementation of Notary publishing and verifying, for tests only.

It imports nothing from the product, so that a mistake there cannot hide behind the same mistake here.
`Publisher` makes files as the original client spells them and bends whatever a test asks it to bend;
`Client` sends them as the clients in the field do; `Verifier` reads a repository back as a strict client.
"""

from .canonical import canonical, travelling
from .certificates import (
    Authority,
    PemBundle,
    RootKey,
    certificate_authority,
    issue,
    root_key,
    sha1_certificate,
)
from .client import Client, Reply
from .files import Edit, Spell, entry, expires_in, file_of, signed_file
from .forms import Part, form
from .keys import Key, KeyObject, ecdsa_key, ed25519_key, key_id, key_object, pem_rsa_key, rsa_key
from .publisher import Publisher
from .verifier import Repository, Verifier

__all__ = [
    "Authority",
    "Client",
    "Edit",
    "Key",
    "KeyObject",
    "Part",
    "PemBundle",
    "Publisher",
    "Reply",
    "Repository",
    "RootKey",
    "Spell",
    "Verifier",
    "canonical",
    "certificate_authority",
    "ecdsa_key",
    "ed25519_key",
    "entry",
    "expires_in",
    "file_of",
    "form",
    "issue",
    "key_id",
    "key_object",
    "pem_rsa_key",
    "root_key",
    "rsa_key",
    "sha1_certificate",
    "signed_file",
    "travelling",
]
