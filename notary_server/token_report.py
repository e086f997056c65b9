"""What the server would say of a token, in plain words: every check with its outcome, and what it may do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .auth.access import Wanted
from .auth.token.claims import Claims
from .auth.token.grants import access_refusal, scopes
from .auth.token.keys import KeyRing
from .auth.token.refusal import Refusal, shown
from .auth.token.verify import Unverified, checks, issuer_refusal, read
from .auth.token_access import Policy, TokenAccess

_HEADER = ("typ", "alg", "kid")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of a token: whether it passed, and what there is to say about it."""

    name: str
    passed: bool
    text: str = ""

    def __str__(self) -> str:
        return f"{'pass' if self.passed else 'FAIL'}  {self.name}" + (f": {self.text}" if self.text else "")


@dataclass(slots=True)
class Report:
    """All that can be said of one token.

    Attributes:
        header, claims: what it says of itself, as far as it matters; whoever made it may say anything.
        findings: the checks, in the order in which the server makes them.
        access: what it grants, one scope a line.
        decision: whether it opens what was asked about; None if nothing was.
    """

    header: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    access: list[str] = field(default_factory=list)
    decision: Finding | None = None

    @property
    def good(self) -> bool:
        """Whether the server takes the token, and lets it do what was asked about."""
        sound = all(finding.passed for finding in self.findings)
        return sound if self.decision is None else self.decision.passed

    def as_json(self) -> dict[str, object]:
        """For programs."""
        decision = self.decision
        return {
            "good": self.good,
            "header": self.header,
            "claims": self.claims,
            "checks": [{"check": one.name, "passed": one.passed, "text": one.text} for one in self.findings],
            "access": self.access,
            "decision": None
            if decision is None
            else {"wanted": decision.name, "granted": decision.passed, "text": decision.text},
        }

    def as_text(self) -> str:
        """For people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        said = self.header | self.claims
        yield "The token says of itself:" if said else "Nothing of the token can be read."
        yield from (f"  {name}: {value}" for name, value in said.items())
        yield "Checks:"
        yield from (f"  {finding}" for finding in self.findings)
        if self.access:
            yield "It grants:"
            yield from (f"  {scope}" for scope in self.access)
        if self.decision is not None:
            verdict = "granted" if self.decision.passed else "refused"
            yield f"{self.decision.name}: {verdict}" + (
                f", {self.decision.text}" if self.decision.text else ""
            )
        elif self.good:
            yield "The server takes this token."
        else:
            yield "The server refuses this token with 401."


def explain(token: str, access: TokenAccess, policy: Policy, wanted: Wanted | None, now: float) -> Report:
    """Look at a token as the server does, and go on where the server would stop.

    Args:
        access: the server's keys, fetched already where they come from an address.
        wanted: what to decide about, if anything.
    """
    report = Report()
    unverified = read(token, policy.rules)
    if isinstance(unverified, Refusal):
        report.findings.append(Finding("form", False, unverified.text))
    else:
        report.findings.append(Finding("form", True))
        _look(report, unverified, access, policy, now)
    if wanted is not None:
        report.decision = _decide(report, unverified, policy, wanted)
    return report


def _look(report: Report, token: Unverified, access: TokenAccess, policy: Policy, now: float) -> None:
    claims, header = token.claims, token.parts.header
    report.header = {name: shown(header[name]) for name in _HEADER if name in header}
    report.header |= {name: "given" for name in ("jwk", "x5c") if header.get(name)}
    report.claims = _told(claims)
    report.access = [scopes({resource: actions}) for resource, actions in claims.grants.items()]
    issuer = access.issuer(claims.issuer)
    if issuer is None:
        refusal = issuer_refusal(claims, access.issuers)
        report.findings.append(Finding("issuer", False, refusal.text))
        return
    report.findings.append(Finding("issuer", True))
    ring = access.ring(claims.issuer)
    if ring is None:
        text = "the keys of this issuer cannot be fetched; the lines above say why. The server answers 503"
        report.findings.append(Finding("keys", False, text))
    for check in checks(token, issuer.service, ring or KeyRing(), policy.rules, now):
        if ring is None and check.name == "key":
            continue
        text = check.refusal.text if check.refusal is not None else ""
        if check.key is not None:
            text = f"{check.key.fingerprint} (RFC 7638: {check.key.thumbprint})"
        report.findings.append(Finding(check.name, check.refusal is None, text))


def _told(claims: Claims) -> dict[str, str]:
    told = {"iss": shown(claims.issuer), "sub": shown(claims.subject)}
    told["aud"] = ", ".join(shown(one) for one in claims.audience[:5])
    told["exp"] = _moment(claims.expires)
    if claims.not_before is not None:
        told["nbf"] = _moment(claims.not_before)
    return told


def _moment(seconds: int) -> str:
    if seconds == 0:
        return "absent"
    try:
        return f"{seconds} ({datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _decide(report: Report, token: Unverified | Refusal, policy: Policy, wanted: Wanted) -> Finding:
    need = policy.required(wanted)
    if policy.public(wanted):
        return Finding(need.scope, True, "anybody may (auth.anonymous_pull); the token is not looked at")
    if isinstance(token, Refusal) or not all(finding.passed for finding in report.findings):
        return Finding(need.scope, False, "because the token is not good")
    refusal = access_refusal(need, token.claims.grants)
    return Finding(need.scope, refusal is None, "" if refusal is None else refusal.text)
