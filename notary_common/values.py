"""The kinds of value a configuration leaf may hold: each says what it takes and, if it can't, what to write.

Values come from a document (typed) or from the environment (strings), so numbers are taken as numbers or as
their digits, and lists as lists or as words. An error text never repeats a value that could be a secret.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, InstanceOf, SecretStr, ValidationInfo

from .config import kind

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_HOST = re.compile(r"[^\s:/?#@\[\]%\x00-\x1f\x7f]{1,253}")
_DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a daemon listens: a TCP address (`host` empty: every address) or a Unix socket.

    Attributes:
        host: name or address without brackets; "" for all.
        port: 0 lets the system choose; 0 with a socket.
        socket: absolute path of the Unix socket, or None for TCP.
    """

    host: str
    port: int
    socket: Path | None = None

    def __str__(self) -> str:
        if self.socket is not None:
            return f"unix://{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that are this machine."""


def web_address(value: object, example: str) -> tuple[str, str, str]:
    """An address with its scheme and host. A name or password in it is refused, and not shown."""
    address = text(value)
    if "@" in address.partition("?")[0]:
        raise ValueError(f"holds a name or password, which is not used; write {example}")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"https", "http"}:
        raise ValueError(f'is "{shown(address.partition("?")[0])}"; write {example}')
    return address, parts.scheme, host


def text(value: object) -> str:
    """A non-empty string."""
    if not isinstance(value, str):
        # ValueError throughout: it is what pydantic collects.
        raise ValueError(  # noqa: TRY004
            f"is {kind(value)}; write a string in quotes"
        )
    if "\0" in value:
        raise ValueError("holds a NUL character; remove it")
    return value


def whole(value: object) -> int:
    """A whole number, or its digits as a string."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(
        f"is {kind(value)}{' that is no whole number' * isinstance(value, str | float)}; write a whole number"
    )


def between(low: int, high: int) -> Callable[[object], int]:
    """A validator of whole numbers from `low` to `high`, both included."""

    def check(value: object) -> int:
        number = whole(value)
        if not low <= number <= high:
            raise ValueError(f"is {number}; write a whole number from {low} to {high}")
        return number

    return check


def duration(low: float, high: float) -> Callable[[object], float]:
    """A validator of durations in seconds, fractions allowed, from `low` to `high`."""

    def check(value: object) -> float:
        if isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = float(value)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or math.isnan(value := _float(value))
        ):
            raise ValueError(f"is {kind(value)}; write a number of seconds from {low:g} to {high:g}")
        if not low <= value <= high:
            raise ValueError(f"is {value:g}; write a number of seconds from {low:g} to {high:g}")
        return float(value)

    return check


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def boolean(value: object) -> bool:
    """True or false, or that word as a string."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise ValueError(f"is {kind(value)}; write true or false")


def one_of(*words: str) -> Callable[[object], str]:
    """A validator of one of `words`, spelled exactly so."""

    def check(value: object) -> str:
        word = text(value)
        if word not in words:
            raise ValueError(f'is "{shown(word)}"; write one of {", ".join(words)}')
        return word

    return check


def shown(word: str) -> str:
    """`word` as it may stand in an error text: short, printable."""
    printable = "".join(c if c.isprintable() else "?" for c in word)
    return printable if len(printable) <= 60 else printable[:60] + "..."


def existing_file(value: object, info: ValidationInfo) -> Path:
    """A readable regular file; a relative path is relative to the configuration file's directory."""
    path = _resolve(text(value), info)
    try:
        if not path.is_file():
            fault = "is not a regular file" if path.exists() else "does not exist"
            raise ValueError(
                f"the file {path} {fault}; correct the path (relative paths start at the configuration)"
            )
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(
            f"the file {path} cannot be read ({error.strerror}); check its permissions"
        ) from None


def working_file(value: object) -> str:
    """A readable regular file; a relative path is relative to the working directory, as Notary's bundle was."""
    path = Path(text(value)).absolute()
    if not path.is_file():
        fault = "is not a regular file" if path.exists() else "does not exist"
        raise ValueError(
            f"the file {path} {fault}; correct the path (a relative one starts at the working directory)"
        )
    return str(path)


def new_file(value: object, info: ValidationInfo) -> Path:
    """A file to be made or gone on with, in a directory that is there; a relative path as in `existing_file`."""
    path = _resolve(text(value), info)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file; name a file")
    writable = path if path.exists() else path.parent
    if not path.parent.is_dir():
        raise ValueError(f"the directory {path.parent} does not exist; make it, writable by this user")
    if not os.access(writable, os.W_OK):
        raise ValueError(
            f"{writable} cannot be written by this user; change its owner or choose another file"
        )
    return path


def pin_file(value: object, info: ValidationInfo) -> Path:
    """A file with a secret: readable by this user, and nobody else may change it."""
    path = existing_file(value, info)
    if path.stat().st_mode & 0o022:
        raise ValueError(f"the file {path} may be changed by others than its owner; run: chmod 600 {path}")
    return path


def socket_path(value: object, info: ValidationInfo) -> Path:
    """The path of a Unix socket, short enough for one (107 bytes on Linux)."""
    path = _resolve(text(value).removeprefix("unix://"), info)
    if len(bytes(path)) > 107:
        raise ValueError("is longer than the 107 bytes a socket's path may have; choose a shorter directory")
    return path


def tcp_address(value: object) -> Listen:
    """`host:port`, `:port` or `[address]:port`."""
    address = text(value)
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not colon
        or not _WHOLE.fullmatch(port)
        or not 0 <= int(port) <= 65535
        or (":" in host and not bracketed)
    ):
        raise ValueError(f'is "{shown(address)}"; write host:port or :port, e.g. ":4443"')
    return Listen(host[1:-1] if bracketed else host, int(port))


def tcp_or_unix_address(value: object, info: ValidationInfo) -> Listen:
    """`host:port`, `:port`, or `unix:///path` for a Unix socket."""
    if isinstance(value, str) and value.startswith("unix://"):
        return Listen("", 0, socket_path(value, info))
    return tcp_address(value)


def addresses(maximum: int) -> Callable[[object, ValidationInfo], tuple[Listen, ...]]:
    """A validator of up to `maximum` addresses to connect to: `host:port` or `unix:///path`, none twice."""

    def check(value: object, info: ValidationInfo) -> tuple[Listen, ...]:
        words = value.split() if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f'is {kind(value)}; write a list of strings, e.g. ["signer-2.example.org:7899"]')
        if not 1 <= len(words) <= maximum:
            raise ValueError(f"holds {len(words)} addresses; write 1 to {maximum}, or remove it")
        found = tuple(tcp_or_unix_address(word, info) for word in words)
        for word, address in zip(words, found, strict=True):
            if address.socket is None and not (address.host and address.port):
                raise ValueError(f'holds "{shown(word)}"; write host:port, or unix:///path')
        if len(set(found)) < len(found):
            raise ValueError("names an address twice; keep one")
        return found

    return check


def gun_prefixes(value: object) -> tuple[str, ...]:
    """Prefixes of repository names, each relative, clean and ending in exactly one slash."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f'is {kind(value)}; write a list of strings, e.g. ["registry.example.org/"]')
    if bad := [f'"{shown(word)}"' for word in words if not _is_prefix(word)]:
        raise ValueError(
            f"{', '.join(bad)} {'is no prefix' if len(bad) == 1 else 'are no prefixes'}; "
            'write each relative, clean, with one slash at its end ("a/b/")'
        )
    return tuple(words)


def _is_prefix(word: str) -> bool:
    *segments, end = word.split("/")
    return not end and bool(segments) and {"", ".", ".."}.isdisjoint(segments)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(value: object) -> tuple[Network, ...]:
    """Addresses and networks, as a list or as words."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f'is {kind(value)}; write a list of strings, e.g. ["10.0.0.0/8", "2001:db8::1"]')
    return tuple(map(_network, words))


def _network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError:
        raise ValueError(
            f'"{shown(word)}" is no address or network; write e.g. 10.1.2.3 or 10.0.0.0/8 (no bits set behind the prefix)'
        ) from None


_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+", re.ASCII)


def spiffe_id(value: object) -> str:
    """The name of a workload, with a path: a trust domain alone is nobody's."""
    name = text(value)
    if not _SPIFFE_ID.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise ValueError(
            f'is "{shown(name)}"; write spiffe://TRUST-DOMAIN/PATH, e.g. spiffe://example.org/signer'
        )
    return name


def host_name(value: object) -> str:
    """The name or address of a machine, without scheme, port or path; an IPv6 address with or without brackets."""
    host = text(value)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if ":" in host and _is_ipv6(host):
        return host
    if not _HOST.fullmatch(host):
        raise ValueError(f'is "{shown(host)}"; write a name or an address alone, without https:// and port')
    return host


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _resolve(value: str, info: ValidationInfo) -> Path:
    base: dict[str, Any] = info.context or {}
    return Path(base["base_dir"]) / value


Text = Annotated[str, BeforeValidator(text)]
Secret = Annotated[SecretStr, BeforeValidator(text)]
Host = Annotated[str, BeforeValidator(host_name)]
Port = Annotated[int, BeforeValidator(between(1, 65535))]
Flag = Annotated[bool, BeforeValidator(boolean)]
File = Annotated[Path, BeforeValidator(existing_file)]
WorkingFile = Annotated[str, BeforeValidator(working_file)]
NewFile = Annotated[Path, BeforeValidator(new_file)]
PinFile = Annotated[Path, BeforeValidator(pin_file)]
SocketPath = Annotated[Path, BeforeValidator(socket_path)]
TcpAddress = Annotated[InstanceOf[Listen], BeforeValidator(tcp_address)]
Address = Annotated[InstanceOf[Listen], BeforeValidator(tcp_or_unix_address)]
SpiffeId = Annotated[str, BeforeValidator(spiffe_id)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(networks)]
GunPrefixes = Annotated[tuple[str, ...], BeforeValidator(gun_prefixes)]
