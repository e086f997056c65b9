"""A repository that these tests publish to: every upload brings targets and a delegation, the first a root as well."""

from __future__ import annotations

import uuid

from tests.publisher import Client, Publisher, Reply, Verifier, entry

DELEGATION = "targets/a"


class Repository:
    """A GUN of its own and its owner's keys. What is published as number n has version n in every file of its owner but root."""

    def __init__(self, client: Client) -> None:
        """Asks for the server's keys, as `notary init` does."""
        self.client = client
        self.gun = f"example.com/{uuid.uuid4().hex[:10]}/app"
        self.owner = Publisher(self.gun).learn(client)

    def files(self, number: int, word: str = "") -> dict[str, bytes]:
        """The upload of publish `number`; `word` tells apart what two people publish under one number."""
        content = {f"{number}{word}": entry(f"{number}{word}".encode())}
        files = {
            "targets": self.owner.targets(number, targets=content, delegates=[DELEGATION]),
            DELEGATION: self.owner.delegation(DELEGATION, number, targets=content),
        }
        return {"root": self.owner.root()} | files if number == 1 else files

    def publish(self, number: int, word: str = "") -> Reply:
        """Publish."""
        return self.client.publish(self.gun, self.files(number, word))

    def problems(self, published: int) -> list[str]:
        """What a strict client finds wrong if so many publishes are stored."""
        if not published:
            reply = self.client.role(self.gun, "timestamp.json")
            return [] if reply.status == 404 else [f"timestamp: answered {reply.status}"]
        verifier = Verifier(self.client, self.gun)
        found = verifier.problems()
        versions = {
            role: signed["version"] for role, signed in verifier.found.signed.items() if role != "root"
        }
        fit = set(versions) == {"targets", DELEGATION, "snapshot", "timestamp"} and all(
            # What the server signs may have been signed before, for a publish that was never stored.
            version == published if role in {"targets", DELEGATION} else version >= published
            for role, version in versions.items()
        )
        return found if fit else [*found, f"serves {versions} instead of {published}"]
