"""MuSig2 (BIP-327) over secp256k1, with the tweak of a key-path spend (BIP-86).

Plain arithmetic, to be read beside the BIP. It isn't constant-time: where others can
measure the signer's time, sign with a library that is.
"""

import hashlib
import secrets

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(a, b):
    """Adds two points; None is the one at infinity."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if a != b:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(point, k):
    result = None
    while k:
        if k & 1:
            result = add(result, point)
        point, k = add(point, point), k >> 1
    return result


def odd(point):
    return point[1] & 1


def x_only(point):
    return point[0].to_bytes(32, "big")


def compress(point):
    return bytes([2 + odd(point)]) + x_only(point)


def parse(key):
    """Reads a compressed point; ValueError: it is none."""
    x = int.from_bytes(key[1:], "big")
    y = pow(x**3 + 7, (P + 1) // 4, P)
    if len(key) != 33 or key[0] not in (2, 3) or x >= P or (y * y - x**3 - 7) % P:
        raise ValueError(f"{key.hex()} is no point of the curve")
    return x, y if y & 1 == key[0] & 1 else P - y


def tagged(tag, *parts):
    prefix = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(prefix + prefix + b"".join(parts)).digest()


def scalar(digest):
    return int.from_bytes(digest, "big") % N


def public(secret):
    return compress(multiply(G, int.from_bytes(secret, "big")))


class Key:
    """The common key of some, given as compressed points: point is it with its tweak."""

    def __init__(self, keys):
        self._keys = sorted(keys)
        self._list = tagged("KeyAgg list", *self._keys)
        inner = None
        for key in self._keys:
            inner = add(inner, multiply(parse(key), self.coefficient(key)))
        self._sign = -1 if odd(inner) else 1  # gacc
        self._tweak = scalar(tagged("TapTweak", x_only(inner)))  # tacc
        self.point = add(multiply(inner, self._sign % N), multiply(G, self._tweak))
        self.x = x_only(self.point)

    def coefficient(self, key):
        second = next((k for k in self._keys if k != self._keys[0]), None)
        return 1 if key == second else scalar(tagged("KeyAgg coefficient", self._list, key))

    def nonce(self, secret, message):
        """Draws a secret nonce and its public nonce. One that has signed twice gives
        the secret key away."""
        key = public(secret)
        drawn = bytes(a ^ b for a, b in zip(secrets.token_bytes(32), tagged("MuSig/aux", secret)))
        about = (drawn, b"\x21", key, b"\x20", self.x, b"\x01", len(message).to_bytes(8, "big"), message, bytes(4))
        parts = [scalar(tagged("MuSig/nonce", *about, bytes([i]))).to_bytes(32, "big") for i in (0, 1)]
        return b"".join(parts) + key, b"".join(public(k) for k in parts)

    def session(self, aggregate, message):
        """What all signers of a message come to: the nonces' factor b, the nonce point R
        and the challenge e."""
        b = scalar(tagged("MuSig/noncecoef", aggregate, self.x, message))
        r = add(parse(aggregate[:33]), multiply(parse(aggregate[33:]), b)) or G
        return b, r, scalar(tagged("BIP0340/challenge", x_only(r), self.x, message))

    def sign(self, secret, nonce, aggregate, message):
        """Makes a partial signature; it also gives the compressed nonce point R."""
        b, r, e = self.session(aggregate, message)
        k1, k2 = (int.from_bytes(nonce[i : i + 32], "big") * (-1 if odd(r) else 1) for i in (0, 32))
        d = self._signed(int.from_bytes(secret, "big"))
        s = (k1 + b * k2 + e * self.coefficient(public(secret)) * d) % N
        return s.to_bytes(32, "big"), compress(r)

    def verify_partial(self, partial, key, nonce, aggregate, message):
        b, r, e = self.session(aggregate, message)
        theirs = add(parse(nonce[:33]), multiply(parse(nonce[33:]), b))
        theirs = multiply(theirs, (-1 if odd(r) else 1) % N)
        factor = self._signed(e * self.coefficient(key))
        s = int.from_bytes(partial, "big")
        return s < N and multiply(G, s) == add(theirs, multiply(parse(key), factor))

    def combine(self, partials, aggregate, message):
        """Makes the signature out of all partial ones."""
        _, r, e = self.session(aggregate, message)
        s = sum(int.from_bytes(partial, "big") for partial in partials)
        s += e * self._tweak * (-1 if odd(self.point) else 1)
        return x_only(r) + (s % N).to_bytes(32, "big")

    def verify(self, signature, message):
        """Is BIP-340's."""
        s = int.from_bytes(signature[32:], "big")
        e = scalar(tagged("BIP0340/challenge", signature[:32], self.x, message))
        even = (self.point[0], P - self.point[1]) if odd(self.point) else self.point
        r = add(multiply(G, s), multiply(even, -e % N))
        return s < N and r is not None and not odd(r) and x_only(r) == signature[:32]

    def _signed(self, value):
        return value * self._sign * (-1 if odd(self.point) else 1) % N


def aggregate(nonces):
    """Adds public nonces up."""
    sums = [None, None]
    for nonce in nonces:
        sums = [add(sums[0], parse(nonce[:33])), add(sums[1], parse(nonce[33:]))]
    if None in sums:
        raise ValueError("the nonces cancel one another out: somebody chose his to do so")
    return compress(sums[0]) + compress(sums[1])
