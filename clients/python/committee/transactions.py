"""The transactions that a committee signs: examples/committee/transaction.go."""

import hashlib

from musig2 import tagged

FUNDED, FEE, DUST = 1_000_000, 300, 330  # satoshi


def sighashes(committee, key):
    """Makes the BIP-341 sighash of each transaction, for a key-path spend of outputs
    that pay to the key. Those of a program are a chain."""
    programs, script = committee["programs"], b"\x51\x20" + key.x
    outpoints, amounts, hashes = [], [], []
    for n in range(committee["transactions"]):
        if n < programs:
            seed = committee["seed"].to_bytes(8, "big") + n.to_bytes(8, "big")
            spent, amount = hashlib.sha256(seed).digest() + bytes(4), FUNDED
        else:
            spent, amount = outpoints[n - programs], amounts[n - programs]
        left = max(amount - FEE, DUST)
        output = left.to_bytes(8, "little") + _sized(script)
        sequence = b"\xff" * 4
        raw = _number(2) + b"\x01" + spent + b"\x00" + sequence + b"\x01" + output + _number(0)
        outpoints.append(_sha(_sha(raw)) + bytes(4))
        amounts.append(left)
        parts = (spent, amount.to_bytes(8, "little"), _sized(script), sequence, output)
        message = b"\x00\x00" + _number(2) + _number(0) + b"".join(_sha(part) for part in parts) + b"\x00" + _number(0)
        hashes.append(tagged("TapSighash", message))
    return hashes


def _sha(content):
    return hashlib.sha256(content).digest()


def _number(n):
    return n.to_bytes(4, "little")


def _sized(script):
    return bytes([len(script)]) + script
