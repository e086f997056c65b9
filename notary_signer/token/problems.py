"""What can be wrong with the token before it works: told in a sentence, without foreign exceptions."""

from __future__ import annotations


class TokenProblem(Exception):
    """The token cannot be opened or made. The text says why and what to do; it never holds the PIN."""


class TokenExists(TokenProblem):
    """A token of that label is there already, and was left as it is."""


class PinRefused(TokenProblem):
    """The token refused the PIN, now or earlier, or must not be tried. A token locks itself after a few wrong ones."""
