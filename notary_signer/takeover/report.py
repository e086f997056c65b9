"""What became of each key that was to move from or to an old signer, for people and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from notary_common.table import printable

Outcome = Literal["moved", "present", "skipped", "refused"]
"""Now at the other side; was there already; not wanted; wanted, and not to be had."""
Exposure = Literal["well-known passphrase", "go-1.15 derivation"]
"""Why others may know the key: everybody knows its passphrase, or it was derived by a faulty program."""

SHOWN: Final = 20
"""Keys of one kind that are named for people; the JSON report has all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row. `reason`: why it was skipped or refused, else empty."""

    key_id: str
    gun: str
    role: str
    outcome: Outcome
    reason: str = ""
    exposures: tuple[Exposure, ...] = ()


@dataclass(slots=True)
class Report:
    """All keys, in the order of their making. `done`: the word for what was done to those that moved."""

    done: Literal["imported", "exported"]
    findings: list[Finding] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether no key was refused."""
        return not any(finding.outcome == "refused" for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "counts": self._counts(),
            "exposed": dict(Counter(why for finding in self.findings for why in finding.exposures)),
            "keys": [
                {
                    "key_id": finding.key_id,
                    "gun": finding.gun,
                    "role": finding.role,
                    "outcome": self._word(finding.outcome),
                    "reason": finding.reason,
                    "exposed": list(finding.exposures),
                }
                for finding in self.findings
            ],
        }

    def as_text(self) -> str:
        """For people: the counts, then what needs somebody's attention."""
        lines = ["keys: " + ", ".join(f"{count} {word}" for word, count in self._counts().items())]
        for outcome in ("refused", "skipped"):
            lines += _named(outcome, [one for one in self.findings if one.outcome == outcome])
        exposed = [finding for finding in self.findings if finding.exposures]
        if exposed:
            lines.append(
                f"exposed: {len(exposed)} keys must be taken for known to others, whoever held a copy of the old "
                "database; have their owners rotate them once clients go to this server "
                "(notary key rotate GUN timestamp -r, and snapshot -r)"
            )
            lines += [
                f"  {printable(finding.gun)} {finding.role}: {', '.join(finding.exposures)}"
                for finding in exposed[:SHOWN]
            ]
            lines += _more(exposed)
        return "\n".join(lines)

    def _counts(self) -> dict[str, int]:
        counts = Counter(finding.outcome for finding in self.findings)
        return {self._word(outcome): counts[outcome] for outcome in get_args(Outcome)}

    def _word(self, outcome: Outcome) -> str:
        return self.done if outcome == "moved" else outcome


def _named(title: str, findings: list[Finding]) -> list[str]:
    if not findings:
        return []
    lines = [f"{title}:"]
    lines += [
        f"  {printable(f'{one.gun} {one.role} {one.key_id[:12]}: {one.reason}')}" for one in findings[:SHOWN]
    ]
    return lines + _more(findings)


def _more(findings: list[Finding]) -> list[str]:
    return [f"  and {len(findings) - SHOWN} more; --report FILE names all"] if len(findings) > SHOWN else []
