"""Root certificates in every shape that Notary's root role may hold (docs/reference/protocol.md, 9)."""

from __future__ import annotations

import datetime as dt
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from .keys import Key, PrivateKey

PemBundle = bytes
_CURVE_HASH = {"secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}


@dataclass(frozen=True)
class RootKey(Key):
    """A key filed as a PEM certificate bundle; `certificate` is the leaf."""

    certificate: x509.Certificate


@dataclass(frozen=True)
class Authority:
    """A certification authority: its private key and certificate."""

    private: PrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def _x509_type(private: PrivateKey) -> str:
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return "ecdsa-x509"
    return "rsa-x509" if isinstance(private, rsa.RSAPrivateKey) else "ed25519-x509"


def _signing_hash(private: PrivateKey) -> Any:
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return _CURVE_HASH.get(private.curve.name, hashes.SHA256())
    return hashes.SHA256()


def issue(
    private: PrivateKey,
    common_name: str | None,
    *,
    issuer: Authority | None = None,
    not_before: dt.timedelta = dt.timedelta(minutes=-5),
    not_after: dt.timedelta = dt.timedelta(days=3650),
    ca: bool | None = None,
) -> x509.Certificate:
    """A certificate over `private`, self-signed unless `issuer` is given.

    Args:
        common_name: the subject's CN; None for a subject without one.
        not_before, not_after: relative to now.
        ca: what the basic constraints say; None leaves the extension out.
    """
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name is not None else []
    subject = x509.Name(names)
    signer = issuer.private if issuer else private
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() + not_before)
        .not_valid_after(_now() + not_after)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(signer, _signing_hash(signer))


def certificate_authority(
    common_name: str = "test CA", *, not_after: dt.timedelta = dt.timedelta(days=3650)
) -> Authority:
    """A new authority with a self-signed P-256 certificate."""
    private = ec.generate_private_key(ec.SECP256R1())
    before = min(dt.timedelta(minutes=-5), not_after - dt.timedelta(days=1))
    certificate = issue(private, common_name, ca=True, not_before=before, not_after=not_after)
    return Authority(private, certificate)


def sha1_certificate(private: PrivateKey, common_name: str) -> x509.Certificate:
    """A self-signed certificate whose signature is over SHA-1; made by openssl, as pyca refuses to."""
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory() as folder:
        key, out, settings = Path(folder, "key"), Path(folder, "cert"), Path(folder, "settings")
        key.write_bytes(pem)
        settings.write_text(f"[req]\nprompt=no\ndistinguished_name=dn\n[dn]\nCN={common_name}\n")
        command = ["openssl", "req", "-new", "-x509", "-sha1", "-days", "3650", "-config", str(settings)]
        subprocess.run([*command, "-key", str(key), "-out", str(out)], check=True, capture_output=True)
        return x509.load_pem_x509_certificate(out.read_bytes())


def root_key(
    common_name: str | None,
    private: PrivateKey | None = None,
    *,
    certificate: x509.Certificate | None = None,
    issuer: Authority | None = None,
    not_before: dt.timedelta = dt.timedelta(minutes=-5),
    not_after: dt.timedelta = dt.timedelta(days=3650),
    ca: bool | None = None,
    keytype: str | None = None,
    chain: tuple[x509.Certificate, ...] = (),
    bundle: PemBundle | None = None,
) -> RootKey:
    """A root key as the original client makes it: a P-256 key under a ten-year certificate for `common_name`.

    Args:
        private: the key to certify; a new P-256 key if None.
        certificate: a ready-made leaf, instead of issuing one.
        keytype: what the key object says, if not what fits the key.
        chain: further certificates of the bundle.
        bundle: the whole PEM text, if it is to be spelled by hand.
    """
    private = private or ec.generate_private_key(ec.SECP256R1())
    leaf = certificate or issue(
        private, common_name, issuer=issuer, not_before=not_before, not_after=not_after, ca=ca
    )
    pems = [item.public_bytes(serialization.Encoding.PEM) for item in (leaf, *chain)]
    text = bundle if bundle is not None else b"".join(pems)
    return RootKey(keytype or _x509_type(private), text, private, leaf)
