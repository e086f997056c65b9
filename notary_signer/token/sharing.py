"""The files that carry a key-encryption key (KEK) from one token to another: formats, shares, checks. Knows no token.

| file                   | what it is                                                       | secret |
|------------------------|------------------------------------------------------------------|--------|
| `notary-transport-key` | public half of an RSA key pair whose private half a token holds   | no     |
| `notary-kek`           | the KEK encrypted for one transport key                          | no     |
| `notary-kek-share`     | one custodian's share (SLIP-39): as many as the threshold make it | yes    |

Each KEK file brings a witness: a key pair made for that purpose, wrapped under the KEK. A token that unwraps it and
signs with it has the same KEK.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .problems import TokenProblem

TRANSPORT_BITS: Final = 3072
"""As strong as AES-128 (NIST SP 800-57), and made in a second or so by a slow token."""
KEK_BYTES: Final = 32
MAX_CUSTODIANS: Final = 16
"""What SLIP-39 allows."""
MAX_FILE_BYTES: Final = 1 << 16

OaepHash = Literal["sha256", "sha1"]
OAEP_HASHES: Final[dict[OaepHash, hashes.HashAlgorithm]] = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1()}  # noqa: S303 - OAEP needs no collision resistance, and SoftHSM knows no other
"""The best first."""

_Text = Annotated[str, msgspec.Meta(max_length=4096)]
_Label = Annotated[str, msgspec.Meta(pattern=r"\Anotary-kek-[1-9][0-9]{0,5}\Z")]


class Witness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A P-256 key pair to recognise a KEK by: DER SubjectPublicKeyInfo, and the private half wrapped."""

    public: bytes
    blob: bytes
    keywrap: _Text


class TransportKey(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="notary-transport-key"
):
    """The public half of a token's transport key; `oaep`: the hashes that the token can decrypt with."""

    modulus: bytes
    exponent: int
    oaep: list[OaepHash]
    token: _Text

    @property
    def fingerprint(self) -> str:
        """To be compared between the two machines: SHA-256 of the key's numbers, in groups of eight."""
        digest = hashlib.sha256(self.modulus + b"\0" + str(self.exponent).encode()).hexdigest()
        return " ".join(digest[i : i + 8] for i in range(0, len(digest), 8))


class WrappedKek(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="notary-kek"):
    """A KEK encrypted for the transport key with `fingerprint`, by RSA-OAEP."""

    label: _Label
    fingerprint: _Text
    oaep: OaepHash
    wrapped: bytes
    witness: Witness


class KekShare(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="notary-kek-share"
):
    """One of `custodians` shares of a KEK, `threshold` of which make it."""

    label: _Label
    number: int
    custodians: int
    threshold: int
    words: _Text
    witness: Witness


KekFile = WrappedKek | KekShare


def write_new(path: Path, content: msgspec.Struct) -> None:
    """Write a file that only its owner may read, durably; one that is there is never touched.

    Raises:
        TokenProblem: it exists, or cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise TokenProblem(f"{path} exists already; it was left as it is") from None
    except OSError as error:
        raise TokenProblem(f"cannot write {path}: {error.strerror}") from None


def require_new(paths: list[Path]) -> None:
    """Return if none of the files exists, so that nothing is begun that could not be finished.

    Raises:
        TokenProblem: one does, or its folder does not.
    """
    for path in paths:
        if path.exists():
            raise TokenProblem(f"{path} exists already; it was left as it is")
        if not path.parent.is_dir():
            raise TokenProblem(f"the folder {path.parent} does not exist; make it first")


def read_transport_key(path: Path) -> TransportKey:
    """What `token transport-key` wrote.

    Raises:
        TokenProblem: the file is something else, or the key too weak.
    """
    key: TransportKey = _read(path, TransportKey, "a transport key")
    if int.from_bytes(key.modulus, "big").bit_length() < TRANSPORT_BITS or not key.oaep:
        raise TokenProblem(f"{path}: the transport key is too weak")
    return key


def read_kek_files(paths: list[Path]) -> WrappedKek | list[KekShare]:
    """What `token export-kek` wrote: one encrypted KEK, or shares enough to make it.

    Raises:
        TokenProblem: a file is something else, or they do not belong together, or are too few.
    """
    files: list[KekFile] = [_read(path, KekFile, "a KEK or a share of one") for path in paths]
    shares = [file for file in files if isinstance(file, KekShare)]
    if len(files) == 1 and isinstance(files[0], WrappedKek):
        return files[0]
    if len(shares) < len(files):
        raise TokenProblem("give one file with an encrypted KEK, or the shares of custodians, not both")
    if len({(share.label, share.witness) for share in shares}) > 1:
        raise TokenProblem("the shares are of different KEKs")
    numbers = {share.number for share in shares}
    threshold = shares[0].threshold
    if len(numbers) < threshold:
        raise TokenProblem(f"{threshold} custodians' shares are needed; given: {len(numbers)}")
    return [
        next(share for share in shares if share.number == number) for number in sorted(numbers)[:threshold]
    ]


def _read(path: Path, kind: Any, name: str) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
        return msgspec.json.decode(content, type=kind)
    except OSError as error:
        raise TokenProblem(f"cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError:
        raise TokenProblem(f"{path} is no file with {name}") from None


def split(label: str, kek: bytearray, custodians: int, threshold: int, witness: Witness) -> list[KekShare]:
    """Shares of a KEK (SLIP-39), any `threshold` of which make it; fewer tell nothing about it."""
    from shamir_mnemonic import generate_mnemonics  # noqa: PLC0415 - its word list would slow every command down

    (words,) = generate_mnemonics(
        1, [(threshold, custodians)], bytes(kek), passphrase=b"", iteration_exponent=0
    )
    return [
        KekShare(label, number, custodians, threshold, line, witness)
        for number, line in enumerate(words, start=1)
    ]


def sharing_problem(custodians: int, threshold: int) -> str | None:
    """Why a KEK cannot be shared like that, or None if it can."""
    if not 2 <= custodians <= MAX_CUSTODIANS:
        return f"a KEK can be shared among 2 to {MAX_CUSTODIANS} custodians"
    if not 2 <= threshold <= custodians:
        return f"the threshold can be 2 to {custodians}, the number of custodians"
    return None


def combine(shares: list[KekShare]) -> bytearray:
    """The KEK. The caller wipes it.

    Raises:
        TokenProblem: a share is damaged, or they do not belong together.
    """
    from shamir_mnemonic import MnemonicError, combine_mnemonics  # noqa: PLC0415

    try:
        kek = bytearray(combine_mnemonics([share.words for share in shares], passphrase=b""))
    except MnemonicError:
        raise TokenProblem("the shares do not make a KEK: one is damaged, or of another set") from None
    if len(kek) != KEK_BYTES:
        raise TokenProblem("the shares make something else than a KEK")
    return kek


def encrypt(key: bytearray, modulus: bytes, exponent: int, oaep: OaepHash) -> bytes:
    """The key encrypted for a transport key, as a token unwraps it."""
    numbers = rsa.RSAPublicNumbers(exponent, int.from_bytes(modulus, "big"))
    return numbers.public_key().encrypt(bytes(key), _oaep(oaep))


def decrypt(wrapped: bytes, private: rsa.RSAPrivateKey, oaep: OaepHash) -> bytearray:
    """What a token wrapped for a key of this process. The caller wipes it."""
    return bytearray(private.decrypt(wrapped, _oaep(oaep)))


def _oaep(name: OaepHash) -> padding.OAEP:
    digest = OAEP_HASHES[name]
    return padding.OAEP(padding.MGF1(digest), digest, label=None)
