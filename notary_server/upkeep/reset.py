"""PURE: what a reset repository was, and what everybody who used it does next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from notary_common.table import printable

SHOWN: Final = 20
"""Tags that are named for people; JSON has all."""


@dataclass(frozen=True, slots=True)
class Reset:
    """What was put away, or would be.

    Attributes:
        report: the repository as `repo show` tells it.
        rows: stored files.
        standard: whether it held TUF 1.0 metadata.
    """

    gun: str
    dry_run: bool
    rows: int
    report: Mapping[str, Any]
    standard: bool

    @property
    def tags(self) -> list[str]:
        """What was signed, in any role."""
        return sorted({entry["tag"] for entry in self.report["tags"]})

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "gun": self.gun,
            "dry_run": self.dry_run,
            "files": self.rows,
            "versions": {role["role"]: role["version"] for role in self.report["roles"]},
            "delegations": [
                {"role": entry["role"], "keys": [key["id"] for key in entry["keys"]], "paths": entry["paths"]}
                for entry in self.report["delegations"]
            ],
            "tags": self.report["tags"],
            "next": {who: list(steps) for who, steps in steps_of(self.gun, standard=self.standard).items()},
        }

    def as_text(self) -> str:
        """For people."""
        did = "would be put away" if self.dry_run else "were put away, and nothing of it is served any more"
        lines = [f"{printable(self.gun)}: {self.rows} files {did}"]
        if self.report["delegations"]:
            lines += ["", "Delegations that the new owner makes again, with the keys they had:"]
            lines += [
                f"  {printable(entry['role'])}: {', '.join(printable(key['id']) for key in entry['keys'])}"
                for entry in self.report["delegations"]
            ]
        if self.tags:
            more = f" and {len(self.tags) - SHOWN} more; --json names all" if len(self.tags) > SHOWN else ""
            lines += ["", f"Tags that were signed: {', '.join(map(printable, self.tags[:SHOWN]))}{more}"]
        for who, steps in steps_of(self.gun, standard=self.standard).items():
            lines += ["", f"{who}:", *(f"  {step}" for step in steps)]
        return "\n".join(lines)


def steps_of(gun: str, *, standard: bool) -> Mapping[str, Sequence[str]]:
    """For each kind of user what to do, once the repository was published anew; names are quoted, for they are other people's.

    Args:
        standard: whether it held TUF 1.0 metadata, which has other users.
    """
    name = shlex.quote(printable(gun))
    telling = "tell all of the following the new root key, by a way that they trust: nothing else tells it from an attack"
    if standard:
        return {
            "The owner": (
                f"publish root and targets anew, with the keys that /v2/{name}/_trust/tuf/ROLE.key.json gives",
                telling,
            ),
            "python-tuf and other clients": (
                "remove the metadata directory, and begin with the new root as the first one",
            ),
        }
    cached = f"~/.docker/trust/tuf/{name}"
    return {
        "The owner": (
            f"rm -r {cached}",
            f"notary init -p {name}, or sign any tag: DOCKER_CONTENT_TRUST=1 docker push {name}:TAG",
            "sign every tag again that is to stay, and give signers their delegations again",
            telling,
        ),
        "Who pulls or signs with docker, or uses notary": (
            f"rm -r {cached}; for notary the same below its -d directory",
            "until then: could not rotate trust to a new trusted root",
        ),
        "Portieris": (
            "restart its pods, which have the old root cached; replace a pinned signer's key in the policy",
        ),
        "Connaisseur": ("put the new root key into its configuration: it trusts that key and no other",),
        "Who pins with trust_pinning (notary, docker's clients)": (
            "replace the certificate ID or CA in the configuration",
        ),
    }
