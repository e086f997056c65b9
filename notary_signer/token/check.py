"""Try everything that the signer needs of a token, and report it. Leaves nothing behind in the token.

Synchronous, and for a process of its own: no other thread may use PKCS#11 meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Final, TypeVar, get_args

from pkcs11 import Mechanism, PrivateKey, SecretKey, Session, Token, TokenFlag
from pkcs11.exceptions import PKCS11Error

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.ports import KeyRecord

from . import keks, objects
from .choice import choose, serial_of
from .connection import WRAPPING_MECHANISMS
from .login import log_in
from .module import Module, find_module
from .problems import TokenProblem
from .report import AlgorithmFacts, KekFacts, MechanismFacts, ModuleFacts, Report, TokenFacts
from .settings import TokenSettings
from .wrapper import KEK_LABEL
from .wrapping import KW, Wrappings, wrappings

SIGNATURES_TIMED: Final = 9
"""Of which the median is reported; the first of a process is slower."""

_PURPOSES: Final = (
    ("CKM_EC_KEY_PAIR_GEN", Mechanism.EC_KEY_PAIR_GEN, "makes ecdsa keys"),
    ("CKM_ECDSA", Mechanism.ECDSA, "signs with them"),
    ("CKM_RSA_PKCS_KEY_PAIR_GEN", Mechanism.RSA_PKCS_KEY_PAIR_GEN, "makes rsa keys"),
    ("CKM_SHA256_RSA_PKCS_PSS", Mechanism.SHA256_RSA_PKCS_PSS, "signs with them"),
    ("CKM_EC_EDWARDS_KEY_PAIR_GEN", Mechanism.EC_EDWARDS_KEY_PAIR_GEN, "makes ed25519 keys"),
    ("CKM_EDDSA", Mechanism.EDDSA, "signs with them"),
    ("CKM_AES_KEY_GEN", Mechanism.AES_KEY_GEN, "makes the KEK"),
    ("CKM_AES_KEY_WRAP_KWP", Mechanism.AES_KEY_WRAP_KWP, "wraps keys, RFC 5649"),
    ("CKM_AES_KEY_WRAP_PKCS7", Mechanism.AES_KEY_WRAP_PKCS7, "wraps keys, RFC 3394 after PKCS#7 padding"),
    ("CKM_AES_KEY_WRAP_PAD", Mechanism.AES_KEY_WRAP_PAD, "wraps keys, in one of these two ways"),
    ("CKM_AES_KEY_WRAP", Mechanism.AES_KEY_WRAP, "wraps keys of a length that is a multiple of 8"),
    ("CKM_RSA_PKCS_OAEP", Mechanism.RSA_PKCS_OAEP, "brings a KEK to another token"),
)

Result = TypeVar("Result")


def check(settings: TokenSettings, sample: list[KeyRecord], *, final_try: bool = False) -> Report:
    """The report; what cannot be found out is missing from it, with the reason among its findings.

    Args:
        settings: the token.
        sample: wrapped keys of the registry, which the KEK must open.
        final_try: log in although the token says that one more wrong PIN locks it.
    """
    report = Report()
    try:
        module = Module(find_module(settings.module_path), settings.arguments)
    except TokenProblem as problem:
        report.problem(str(problem))
        return report
    try:
        _describe_module(report, module)
        token = choose(module, settings)
        _describe_token(report, token)
        session = log_in(module.native, token, settings, final_try=final_try)
        _Trial(report, settings, session, module.library.manufacturer_id).run(sample)
    except TokenProblem as problem:
        report.problem(str(problem))
    except PKCS11Error as error:
        report.problem(
            f"the token does not work ({type(error).__name__}): ask its vendor's own tool about its state"
        )
    finally:
        module.close()
    return report


def _describe_module(report: Report, module: Module) -> None:
    library = module.library
    report.module = ModuleFacts(
        path=str(module.path),
        description=library.library_description,
        manufacturer=library.manufacturer_id,
        version=".".join(map(str, library.library_version)),
        pkcs11=".".join(map(str, library.cryptoki_version)),
    )


def _describe_token(report: Report, token: Token) -> None:
    flags = token.flags
    report.token = TokenFacts(
        label=token.label,
        manufacturer=token.manufacturer_id,
        model=token.model,
        serial=serial_of(token),
        slot=token.slot.slot_id,
        flags=[flag.name for flag in TokenFlag if flag in flags and flag.name is not None],
    )
    listed = token.slot.get_mechanisms()
    report.mechanisms = [
        MechanismFacts(name=name, purpose=purpose, there=mechanism in listed)
        for name, mechanism, purpose in _PURPOSES
    ]
    if TokenFlag.USER_PIN_TO_BE_CHANGED in flags:
        report.warn("the token wants its PIN changed: run notary-signer token change-pin")
    if TokenFlag.USER_PIN_COUNT_LOW in flags:
        report.warn("somebody gave the token a wrong PIN since the last login")


class _Trial:
    def __init__(self, report: Report, settings: TokenSettings, session: Session, manufacturer: str) -> None:
        self._report = report
        self._settings = settings
        self._session = session
        self._manufacturer = manufacturer
        self._kek: SecretKey | None = None
        self._wrappings: Wrappings = {}

    def run(self, sample: list[KeyRecord]) -> None:
        listed = self._session.token.slot.get_mechanisms()
        wraps = any(mechanism in listed for mechanism in WRAPPING_MECHANISMS)
        if self._settings.mode == "wrapped" and not wraps:
            self._report.problem(
                "the token has no mechanism to wrap keys with: set pkcs11.keys to auto or resident"
            )
        if wraps:
            self._look_at_kek()
        self._report.algorithms = [self._tried(algorithm) for algorithm in get_args(Algorithm)]
        if not any(found.kept for found in self._report.algorithms):
            self._report.problem(
                "the token makes none of the key types ecdsa, rsa and ed25519, or can keep none as pkcs11.keys says"
            )
        self._open(sample)

    def _look_at_kek(self) -> None:
        labels = keks.labels(self._session) or [KEK_LABEL]
        label = next((one for one in reversed(labels) if keks.is_fit(self._session, one)), labels[-1])
        for later in labels[labels.index(label) + 1 :]:
            self._report.warn(
                f"the KEK {later!r} is not used: run notary-signer token export-kek, which seals it"
            )
        facts = self._report.kek = KekFacts(label, found=False)
        needed = self._settings.mode != "resident"
        note = self._report.problem if needed else self._report.warn
        found = objects.find_keks(self._session, label)
        if len(found) != 1:
            number = "no" if not found else "more than one"
            note(
                f"the token holds {number} KEK {label!r}: run notary-signer token init --existing, or name another token"
            )
            return
        facts.found = True
        problem = objects.kek_problem(found[0])
        if problem is not None:
            remedy = (
                ": run notary-signer token export-kek, which seals it" if "EXTRACTABLE" in problem else ""
            )
            note(f"the KEK {label!r} is unfit, {problem}{remedy}")
            return
        facts.fit = True
        self._wrappings = wrappings(self._session, found[0])
        facts.keywraps = list(self._wrappings)
        self._kek = found[0]

    def _tried(self, algorithm: Algorithm) -> AlgorithmFacts:
        facts = AlgorithmFacts(algorithm)
        try:
            (public, private), facts.generate_ms = _timed(
                lambda: objects.generate_pair(self._session, algorithm, extractable=True)
            )
        except objects.GONE:
            raise
        except PKCS11Error as error:
            facts.why = f"the token makes no such keys ({type(error).__name__})"
            return facts
        public_key = objects.public_bytes(algorithm, public)
        public.destroy()
        try:
            facts.sign_ms = self._sign(algorithm, private, public_key)
            reason = self._wrap(facts, private, public_key)
        finally:
            private.destroy()
        if facts.sign_ms is None:
            self._report.problem(f"the token's {algorithm} signatures do not verify: do not use it")
            facts.why = "its signatures do not verify"
        elif self._settings.mode == "resident":
            facts.kept, facts.why = "resident", "pkcs11.keys is resident"
        elif facts.keywrap:
            facts.kept, facts.why = "wrapped", f"a key went out as {facts.keywrap} and in again, and signed"
        elif self._settings.mode == "wrapped":
            facts.why = f"pkcs11.keys is wrapped, and {reason}"
        else:
            facts.kept, facts.why = "resident", reason
        return facts

    def _sign(self, algorithm: Algorithm, private: PrivateKey, public: bytes) -> float | None:
        """Milliseconds for one signature, None if it is wrong."""
        times = []
        for _ in range(SIGNATURES_TIMED):
            signature, took = _timed(lambda: objects.sign(private, algorithm, objects.PROBE_MESSAGE))
            if not encoding.verifies(algorithm, public, signature, objects.PROBE_MESSAGE):
                return None
            times.append(took)
        return median(times)

    def _wrap(self, facts: AlgorithmFacts, private: PrivateKey, public: bytes) -> str:
        """Fill in how such a key is wrapped; why not, if it is not."""
        kek, algorithm = self._kek, facts.algorithm
        if kek is None:
            return (
                "the token has no KEK that is fit"
                if self._report.kek is not None
                else "the token wraps no keys"
            )
        reason = "the KEK wraps nothing"
        for keywrap, mechanism in self._wrappings.items():
            if keywrap == KW and algorithm != "ecdsa":
                continue
            try:
                survivor = self._round(facts, kek, private, mechanism)
            except objects.GONE:
                raise
            except PKCS11Error as error:
                reason = f"the token does not wrap such keys ({type(error).__name__})"
                facts.wrap_ms = facts.unwrap_ms = None
                continue
            if self._sign(algorithm, survivor, public) is not None:
                facts.keywrap = keywrap
                self._try_again(kek, survivor, mechanism, algorithm)
            survivor.destroy()
            return "what was wrapped does not sign"
        return reason

    def _round(
        self, facts: AlgorithmFacts, kek: SecretKey, private: PrivateKey, mechanism: Mechanism
    ) -> PrivateKey:
        """The key after it went out and in again, timed."""
        blob, facts.wrap_ms = _timed(lambda: objects.wrap(kek, private, mechanism))
        survivor, facts.unwrap_ms = _timed(lambda: self._unwrap(kek, facts.algorithm, blob, mechanism))
        return survivor

    def _unwrap(self, kek: SecretKey, algorithm: Algorithm, blob: bytes, mechanism: Mechanism) -> PrivateKey:
        extras = objects.unwrap_extras(self._manufacturer, algorithm)
        return objects.unwrap(kek, algorithm, blob, mechanism, extras)

    def _try_again(
        self, kek: SecretKey, survivor: PrivateKey, mechanism: Mechanism, algorithm: Algorithm
    ) -> None:
        try:
            objects.wrap(kek, survivor, mechanism)
        except PKCS11Error:
            return
        self._report.warn(
            f"the token wraps {algorithm} keys that are marked not extractable: who has its PIN can take them out "
            "under a key of their own"
        )

    def _open(self, sample: list[KeyRecord]) -> None:
        """Whether the KEK opens the registry's keys."""
        facts = self._report.kek
        if facts is None or not sample:
            return
        facts.opens_registry = all(self._opens(record) for record in sample)
        if not facts.opens_registry:
            self._report.problem(
                "the KEK does not open the wrapped keys of the registry (storage.db_url): this is another token, or its "
                "KEK was made anew; import the right one, see docs/operations/tokens.md"
            )

    def _opens(self, record: KeyRecord) -> bool:
        mechanism = self._wrappings.get(record.private.keywrap)
        # Not always the one above: keys that were not moved to a newer KEK yet are under an older one.
        found = objects.find_keks(self._session, record.private.kek_label)
        if len(found) != 1 or mechanism is None:
            return False
        try:
            private = self._unwrap(found[0], record.algorithm, record.private.blob, mechanism)
        except PKCS11Error:
            return False
        try:
            signature = objects.sign(private, record.algorithm, objects.PROBE_MESSAGE)
        finally:
            private.destroy()
        return encoding.verifies(record.algorithm, record.public, signature, objects.PROBE_MESSAGE)


def _timed(call: Callable[[], Result]) -> tuple[Result, float]:
    begun = time.perf_counter()
    result = call()
    return result, (time.perf_counter() - begun) * 1000
