"""What a member must not forget: examples/committee/record.go and state.go have the
same file, which committee.Audit reads."""

import json
import os
import secrets
import time
from dataclasses import dataclass, field

import musig2


class Damaged(Exception):
    """The file was changed after it had been synced: start the member anew."""


@dataclass
class Round:
    """One attempt at a transaction's signature."""

    made: bool = False  # this member's nonce
    secret: bytes = None  # None once consumed
    public: bytes = None
    consumed: bool = False
    voided: bool = False
    sighash: bytes = None  # for which the nonce was consumed
    aggregate: bytes = None
    partial: bytes = None  # this member's
    nonces: dict = field(default_factory=dict)  # of the others
    partials: dict = field(default_factory=dict)


class State:
    """An index over the records of a file. A batch of them is one line: its CRC-32C, a
    space, a JSON array. A torn last line, after a crash, never was."""

    def __init__(self, path):
        self.key = None
        self.made, self.unanswered, self.applied, self.answers = {}, {}, set(), {}
        self.keys, self.rounds, self.attempts, self.signatures = {}, {}, {}, {}
        self._pending = []
        self._file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb+")
        self._read()
        if self.key is None:
            self.append("signing key made", secret=(secrets.randbelow(musig2.N - 1) + 1).to_bytes(32, "big").hex())
        for (transaction, attempt), r in list(self.rounds.items()):
            if r.consumed and r.partial is None and not r.voided:  # it may have signed: nobody knows
                self.append("round voided", round=_round(transaction, attempt))
        self.sync()

    def _read(self):
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].splitlines()):
            if line[:8] != b"%08x" % crc32c(line[9:]) or line[8:9] != b" ":
                raise Damaged(f"line {number + 1} of the state")
            for record in json.loads(line[9:]):
                self._add(record)
        self._file.truncate(whole)
        self._file.seek(whole)

    def append(self, kind, **fields):
        """Notes a fact at once; it is durable after the next sync."""
        record = {"kind": kind, "time": time.time_ns() // 1000, **fields}
        self._add(record)
        self._pending.append(record)

    def sync(self):
        """Makes what was appended durable: all of it or nothing. Nothing that depends
        on a fact may leave the member before. When it fails, the member must end."""
        if not self._pending:
            return
        text = json.dumps(self._pending).encode()
        self._file.write(b"%08x %s\n" % (crc32c(text), text))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._pending = []

    def round(self, transaction, attempt):
        return self.rounds.setdefault((transaction, attempt), Round())

    def current(self, transaction):
        """Names the attempt that a transaction's signature is at."""
        return transaction, max(1, self.attempts.get(transaction, 1))

    def _add(self, record):
        kind = record["kind"]
        if kind == "signing key made":
            self.key = bytes.fromhex(record["secret"])
        elif kind == "request made":
            asked = question(record["ask"], record["peer"])
            self.made[asked] = record["exchange"]
            self.unanswered[record["exchange"]] = asked
        elif kind == "request applied":
            self.answers[record["exchange"]] = record["answer"]
        elif kind == "reply applied":
            self._add_reply(*question(record["ask"], record["peer"]), record["answer"])
            self.applied.add(record["exchange"])
            self.unanswered.pop(record["exchange"], None)
        else:
            self._add_to_round(kind, record["round"]["transaction"], record["round"]["attempt"], record)

    def _add_reply(self, subject, transaction, attempt, peer, answer):
        value = bytes.fromhex(answer.get("value", ""))
        if subject == "key":
            self.keys[peer] = value
        elif subject == "nonce":
            self.round(transaction, attempt).nonces[peer] = value
        elif answer.get("void"):
            self._advance(transaction, attempt + 1)
        else:
            self.round(transaction, attempt).partials[peer] = value

    def _add_to_round(self, kind, transaction, attempt, record):
        r = self.round(transaction, attempt)
        if kind == "nonce made":
            r.made, r.secret, r.public = True, bytes.fromhex(record["secret"]), bytes.fromhex(record["public_nonce"])
        elif kind == "nonce consumed":
            if r.secret is None:
                raise Damaged(f"the nonce of transaction {transaction} is consumed without being there")
            r.secret, r.consumed = None, True
            r.sighash, r.aggregate = bytes.fromhex(record["sighash"]), bytes.fromhex(record["aggregate_nonce"])
        elif kind == "partial signed":
            r.partial = bytes.fromhex(record["partial"])
        elif kind == "round voided":
            r.voided = True
            self._advance(transaction, attempt + 1)
        elif kind == "round joined":
            self._advance(transaction, attempt)
        elif kind == "signed":
            self.signatures[transaction] = bytes.fromhex(record["signature"])
        else:
            raise Damaged(f"a record of the unknown kind {kind!r}")

    def _advance(self, transaction, attempt):
        self.attempts[transaction] = max(attempt, self.attempts.get(transaction, 1))


def question(ask, peer):
    """Is an ask and whom it is put to."""
    return ask["subject"], ask.get("transaction", 0), ask.get("attempt", 0), peer


def _round(transaction, attempt):
    return {"transaction": transaction, "attempt": attempt}


def _table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        yield n


_CRC = list(_table())


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF
