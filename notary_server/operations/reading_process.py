"""The process that reads large files, and the words it exchanges with the server over two pipes.

A question is the sizes of its two parts, role and limits pickled, and the bytes of the file. An answer is a size and
what was found; the message is only measured where it stands in the file, as the server has that. Both ends are this
program; nothing else reaches the pipes.
"""

from __future__ import annotations

import gc
import pickle
import struct
import sys
from dataclasses import replace
from typing import BinaryIO, Final

from notary_server.tuf.document import Findings, examine
from notary_server.tuf.model import AnyParsed
from notary_server.tuf.names import RoleName
from notary_server.tuf.parse import Limits
from notary_server.tuf.written import PREFIX

QUESTION: Final = struct.Struct("!IQ")
ANSWER: Final = struct.Struct("!Q")


def spell_question(role: RoleName, size: int, limits: Limits) -> bytes:
    """All of a question but the file itself, which has `size` bytes."""
    about = pickle.dumps((role, limits))
    return QUESTION.pack(len(about), size) + about


def spell_answer(findings: Findings, data: bytes) -> bytes:
    """What was found in `data`; of the message only the length, if it stands where clients write it."""
    parsed = findings.reading.parsed
    if parsed is None:
        return pickle.dumps((findings, None))
    in_place = data.startswith(PREFIX + parsed.message)
    message = len(parsed.message) if in_place else parsed.message
    return pickle.dumps((_with(findings, replace(parsed, data=b"", message=b"")), message))


def read_answer(answer: bytes, data: bytes) -> Findings:
    """What was found in `data`, whole again."""
    findings: Findings
    message: bytes | int
    findings, message = pickle.loads(answer)  # noqa: S301 - from our own process
    parsed = findings.reading.parsed
    if parsed is None:
        return findings
    if isinstance(message, int):
        message = data[len(PREFIX) : len(PREFIX) + message]
    return _with(findings, replace(parsed, data=data, message=message))


def _with(findings: Findings, parsed: AnyParsed) -> Findings:
    return replace(findings, reading=replace(findings.reading, parsed=parsed))


def answer_questions(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more questions: the server has closed its end, or is no more."""
    while len(head := questions.read(QUESTION.size)) == QUESTION.size:
        about, size = QUESTION.unpack(head)
        role, limits = pickle.loads(questions.read(about))  # noqa: S301 - from our own server
        data = questions.read(size)
        if len(data) < size:
            return
        answer = spell_answer(examine(role, data, limits), data)
        answers.write(ANSWER.pack(len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    # Files are trees: there is nothing for the collector to find while one is read.
    gc.disable()
    try:
        answer_questions(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        sys.exit(1)
