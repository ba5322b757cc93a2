"""The chain of an audit log, free of I/O: what is hashed, and what is wrong with rows that do not fit together.

Each row's hash is SHA-256 over the canonical form of what is stored and the hash before it; the first row's is over 32
zero bytes. The sequence has no gaps. So nothing can be changed, taken out, put in or moved without its showing, unless
everything after it is written anew; against that stand the end that a verification has noted and logged, and the head.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

START = b"\0" * 32
"""The hash that the first row follows."""

_FORMAT = b"loyalnest.audit.v1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encoder = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it is stored. What names a customer is in `sealed`; `subjects` are those whose keys open it."""

    merchant_id: str
    sequence: int
    event_id: UUID
    at: datetime
    actor: str
    role: str
    action: str
    subject: str
    before: dict[str, str]
    after: dict[str, str]
    subjects: tuple[UUID, ...] = ()
    sealed: bytes = b""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends."""

    sequence: int = 0
    hash: bytes = START


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a chain as it was written cannot have. sequence: where it shows; 0: in the log as a whole."""

    sequence: int
    detail: str


def hash_of(row: Row, previous: bytes) -> bytes:
    """The hash of a row that follows one with the hash `previous`.

    Every part goes in with its length, so that no two different rows have one canonical form.
    """
    parts = (
        _FORMAT,
        previous,
        row.merchant_id.encode(),
        struct.pack(">q", row.sequence),
        row.event_id.bytes,
        struct.pack(">q", (row.at - _EPOCH) // timedelta(microseconds=1)),
        row.actor.encode(),
        row.role.encode(),
        row.action.encode(),
        row.subject.encode(),
        _encoder.encode(row.before),
        _encoder.encode(row.after),
        b"".join(each.bytes for each in row.subjects),
        row.sealed,
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(struct.pack(">I", len(part)))
        digest.update(part)
    return digest.digest()


class Check:
    """Follows a chain from its start, page by page; `problems` has the first `MOST` of what is wrong."""

    MOST = 100

    def __init__(self, anchor: Head | None = None) -> None:
        """anchor: an end that was proven once, and so must be in the chain still."""
        self.end = Head()
        self.problems: list[Problem] = []
        self._anchor = anchor

    def follow(self, rows: Iterable[tuple[Row, bytes]]) -> None:
        """Take in the next rows with their stored hashes, in the order of their sequence."""
        for row, stored in rows:
            if row.sequence != self.end.sequence + 1:
                self._wrong(row.sequence, f"The entries after {self.end.sequence} are missing.")
            if hash_of(row, self.end.hash) != stored:
                self._wrong(row.sequence, "The entry, or the one before it, is not what was written.")
            if self._anchor is not None and row.sequence == self._anchor.sequence and stored != self._anchor.hash:
                self._wrong(row.sequence, "The log up to here was written anew since it was last verified.")
            self.end = Head(row.sequence, stored)

    def finish(self, head: Head) -> None:
        """Compare where the chain ended with where it should."""
        if self.end.sequence < head.sequence:
            self._wrong(0, f"The log ends at {self.end.sequence}; entries up to {head.sequence} are missing.")
        elif self.end != head:
            self._wrong(0, f"The log ends at {self.end.sequence} with another entry than was written there.")
        if self._anchor is not None and self.end.sequence < self._anchor.sequence:
            self._wrong(0, f"Entries up to {self._anchor.sequence} were there when the log was last verified.")

    def _wrong(self, sequence: int, detail: str) -> None:
        if len(self.problems) < self.MOST:
            self.problems.append(Problem(sequence, detail))
