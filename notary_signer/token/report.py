"""What `token check` found: plain values for programs, and a page for people."""

from __future__ import annotations

from typing import Final

import msgspec

from notary_common.wire import Algorithm


class ModuleFacts(msgspec.Struct):
    """The library."""

    path: str
    description: str
    manufacturer: str
    version: str
    pkcs11: str


class TokenFacts(msgspec.Struct):
    """The token. `flags`: the names of those that are set."""

    label: str
    manufacturer: str
    model: str
    serial: str
    slot: int
    flags: list[str]


class MechanismFacts(msgspec.Struct):
    """One that matters to the signer."""

    name: str
    purpose: str
    there: bool


class KekFacts(msgspec.Struct):
    """The key-encryption key. `keywraps`: how it can wrap, the way that is used first. `opens_registry`: whether it
    unwraps the newest wrapped key of the registry; None if there is none, or the registry was not asked."""

    label: str
    found: bool
    fit: bool = False
    keywraps: list[str] = []
    opens_registry: bool | None = None


class AlgorithmFacts(msgspec.Struct):
    """What the token does with keys of an algorithm, in milliseconds where it was done; `kept` is empty if new keys
    cannot be made."""

    algorithm: Algorithm
    kept: str = ""
    keywrap: str = ""
    why: str = ""
    generate_ms: float | None = None
    wrap_ms: float | None = None
    unwrap_ms: float | None = None
    sign_ms: float | None = None


class Finding(msgspec.Struct):
    """Something that is wrong, with what to do about it. `fatal`: the signer could not work."""

    fatal: bool
    text: str


class Report(msgspec.Struct):
    """All of it, as far as it was found."""

    module: ModuleFacts | None = None
    token: TokenFacts | None = None
    mechanisms: list[MechanismFacts] = []
    kek: KekFacts | None = None
    algorithms: list[AlgorithmFacts] = []
    findings: list[Finding] = []

    @property
    def works(self) -> bool:
        """Whether the signer could work."""
        return not any(finding.fatal for finding in self.findings)

    def problem(self, text: str) -> None:
        """Note what keeps the signer from working."""
        self.findings.append(Finding(True, text))

    def warn(self, text: str) -> None:
        """Note what is worth knowing."""
        self.findings.append(Finding(False, text))


_NEVER: Final = "-"


def page(report: Report) -> str:
    """The report for people."""
    lines: list[str] = []
    if (module := report.module) is not None:
        lines += [
            f"module     {module.path}",
            f"           {module.description}, {module.manufacturer}, version {module.version}, PKCS#11 {module.pkcs11}",
        ]
    if (token := report.token) is not None:
        lines += [
            f"token      {token.label!r}, serial {token.serial}, slot {token.slot}",
            f"           {token.manufacturer}, {token.model}",
            f"           {', '.join(token.flags)}",
        ]
    if report.mechanisms:
        lines += ["", "mechanisms"]
        width = max(len(mechanism.name) for mechanism in report.mechanisms)
        lines += [
            f"  {'yes' if one.there else 'no ':3}  {one.name:{width}}  {one.purpose}"
            for one in report.mechanisms
        ]
    if report.kek is not None:
        lines += ["", _kek(report.kek)]
    if report.algorithms:
        lines += ["", "algorithm  new keys  generate      wrap    unwrap      sign"]
        for found in report.algorithms:
            times = (found.generate_ms, found.wrap_ms, found.unwrap_ms, found.sign_ms)
            lines.append(
                f"{found.algorithm:10} {found.kept or 'none':9}"
                + "".join(f"{_ms(time):>9} " for time in times).rstrip()
            )
            lines.append(f"           {found.why}")
    for heading, fatal in (("problems", True), ("warnings", False)):
        texts = [finding.text for finding in report.findings if finding.fatal is fatal]
        if texts:
            lines += ["", heading, *(f"  {text}" for text in texts)]
    lines += [
        "",
        "the signer can work with this token" if report.works else "the signer cannot work with this token",
    ]
    return "\n".join(lines)


def _kek(kek: KekFacts) -> str:
    if not kek.found:
        return f"KEK        {kek.label!r} not found"
    ways = ", ".join(kek.keywraps) or "nothing"
    opens = {True: "; opens the registry's keys", False: "; does NOT open the registry's keys", None: ""}
    return f"KEK        {kek.label!r} found, {'fit' if kek.fit else 'unfit'}; wraps as {ways}{opens[kek.opens_registry]}"


def _ms(time: float | None) -> str:
    return _NEVER if time is None else f"{time:.2f} ms"
