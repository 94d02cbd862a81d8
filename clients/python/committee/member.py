"""A member of a signing committee, as examples/committee has it in Go, that talks to
its node's daemon.

    python3 member.py SOCKET COMMITTEE STATE

COMMITTEE is the file committee.json on which the members have agreed, STATE the
member's own file, which it makes. It says on stdout, as JSON, how far it is, and goes
on until it is ended, since others may still ask. The program and its node may be
killed at any moment, and started again.

What makes that safe is what the Go member does, too: an effect is synced together with
its exchange's ID before the node is told that the event is done with; what is to be
asked follows from the state, under keys that follow from what is asked; and a nonce is
consumed, durably, before it signs.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import musig2
from parley import Down, Parley, Refused
from state import State, question
from transactions import sighashes

PAUSE = 0.002  # seconds, when there is nothing to do
MAX_ATTEMPTS = 1000  # at a transaction's signature


class Member:
    def __init__(self, node, committee, state):
        self.node, self.committee, self.state = node, committee, state
        self.me = node.call("Status")["peerId"]
        self.others = [peer for peer in committee["members"] if peer != self.me]
        self.all = range(committee["transactions"])
        self.key = None  # the committee's, once all members' are known
        self.open = {}  # requests that can't be answered yet: the node gives them again after a crash
        self.owed = []  # calls that the node hasn't had yet
        self.behind = True

    def turn(self):
        """Works on what has happened and takes in what happens next, without waiting.
        The tick comes first: after a crash it makes again, under their keys, the
        requests of which the state doesn't know, before their replies come."""
        self.pay()
        if self.behind:
            self.tick()
            self.behind = False
        worked = False
        while (event := self.node.check_receive()) is not None:
            worked = self.behind = True
            self.receive(event)
            self.pay()
        return worked

    def pay(self):
        """Tells the node what it is to be told; what it can't be now, at another turn."""
        while self.owed:
            tell, *args = self.owed[0]
            try:
                tell(*args)
            except Refused as err:
                if not err.over:  # it had the answer, or nobody wants it any more
                    raise
            self.owed.pop(0)

    # What comes.

    def receive(self, event):
        if event.kind == "request":
            self.receive_request(event)
        elif event.kind == "abandoned":
            self.open.pop(event.id, None)
            self.owed.append((self.node.commit, event.id))
        elif event.kind == "reply":
            self.receive_reply(event)
            self.owed.append((self.node.commit, event.id))
        elif event.kind == "failed":
            raise SystemExit(f"{event.name or event.peer}: exchange {event.id} was {event.outcome}: {event.reason}")

    def receive_request(self, event):
        if event.peer not in self.others:
            self.reject(event.id, "you are no member of this committee")
        elif event.id in self.state.answers:
            self.answer_again(event.id)
        else:
            try:
                self.open[event.id] = self.parse(event.body), event.peer
            except (ValueError, TypeError, KeyError) as err:
                self.reject(event.id, f"request: {err}")

    def parse(self, body):
        """Refuses what no member of this committee would ask."""
        request = json.loads(body)
        subject, transaction, attempt, _ = question(request, "")
        if subject == "key" and (transaction, attempt) == (0, 0):
            return request
        if subject not in ("nonce", "partial") or transaction not in self.all or not 1 <= attempt <= MAX_ATTEMPTS:
            raise ValueError(f"nobody asks for {subject} of attempt {attempt} at transaction {transaction}")
        return request

    def receive_reply(self, event):
        """Applies a reply once, however often it is given."""
        if event.id in self.state.applied:
            return
        subject, transaction, attempt, peer = self.state.unanswered[event.id]
        answer = json.loads(event.body)
        self.check(subject, transaction, attempt, peer, answer)
        ask = {"subject": subject, "transaction": transaction, "attempt": attempt}
        self.state.append("reply applied", exchange=event.id, peer=peer, ask=ask, answer=answer)
        self.state.sync()

    def check(self, subject, transaction, attempt, peer, answer):
        """Names who spoils the signature, before it is spoiled."""
        if subject == "partial" and answer.get("void"):
            return
        value = bytes.fromhex(answer["value"])
        if subject == "key":
            musig2.parse(value)
        elif subject == "nonce":
            musig2.parse(value[:33]), musig2.parse(value[33:])
        else:
            r = self.state.round(transaction, attempt)
            if not self.key.verify_partial(value, self.state.keys[peer], r.nonces[peer], r.aggregate, self.sighashes[transaction]):
                raise SystemExit(f"{peer}: its partial signature of transaction {transaction} is not valid")

    # What is done.

    def tick(self):
        """Does all that can be done with what is known. Each step follows from the
        durable state alone."""
        for step in (self.aggregate_keys, self.join, self.prepare_nonces, self.sign, self.combine, self.answer, self.ask):
            step()
        self.pay()

    def aggregate_keys(self):
        if self.key is None and len(self.state.keys) == len(self.others):
            self.public = musig2.public(self.state.key)
            self.key = musig2.Key([self.public, *self.state.keys.values()])
            self.sighashes = sighashes(self.committee, self.key)

    def join(self):
        """Goes on to a further attempt that a peer has begun: the present one is void."""
        for exchange, (request, _) in list(self.open.items()):
            subject, transaction, attempt, _ = question(request, "")
            _, current = self.state.current(transaction)
            if subject == "key" or attempt <= current:
                continue
            if attempt > current + 1 or transaction in self.state.signatures:
                self.reject(exchange, f"attempt {attempt} can't be begun: the member is at {current}")
            else:
                self.state.append("round joined", round=named(transaction, attempt))

    def prepare_nonces(self):
        for name in map(self.state.current, self.all if self.key else ()):
            if not self.state.round(*name).made:
                secret, public = self.key.nonce(self.state.key, self.sighashes[name[0]])
                self.state.append("nonce made", round=named(*name), secret=secret.hex(), public_nonce=public.hex())

    def sign(self):
        """Consumes the nonces of the rounds whose nonces are all known, and then signs."""
        ready = []
        for name in map(self.state.current, self.all):
            r = self.state.round(*name)
            if r.secret is not None and len(r.nonces) == len(self.others):
                aggregate, sighash = musig2.aggregate([r.public, *r.nonces.values()]), self.sighashes[name[0]]
                ready.append((name, r.secret, aggregate, sighash))
                self.state.append("nonce consumed", round=named(*name), sighash=sighash.hex(), aggregate_nonce=aggregate.hex())
        self.state.sync()
        for name, secret, aggregate, sighash in ready:
            partial, point = self.key.sign(self.state.key, secret, aggregate, sighash)
            self.state.append("partial signed", round=named(*name), partial=partial.hex(), nonce_point=point.hex())

    def combine(self):
        for name in map(self.state.current, self.all):
            r, transaction = self.state.round(*name), name[0]
            if transaction in self.state.signatures or r.partial is None or len(r.partials) < len(self.others):
                continue
            signature = self.key.combine([r.partial, *r.partials.values()], r.aggregate, r.sighash)
            if not self.key.verify(signature, r.sighash):
                raise SystemExit(f"transaction {transaction}: the aggregated signature is not valid")
            self.state.append("signed", round=named(*name), signature=signature.hex())

    # What is answered and asked.

    def answer(self):
        """Stores the effect, the exchange's ID and the answer as one before any leaves."""
        answered = []
        for exchange, (request, peer) in list(self.open.items()):
            if self.differs(request):
                self.reject(exchange, "sighash or nonces differ from this member's")
                continue
            answer = self.answer_to(request)
            if answer is not None:
                ask = dict(zip(("subject", "transaction", "attempt"), question(request, "")))
                self.state.append("request applied", exchange=exchange, peer=peer, ask=ask, answer=answer)
                answered.append(exchange)
        self.state.sync()
        for exchange in answered:
            del self.open[exchange]
            self.answer_again(exchange)

    def answer_to(self, request):
        """Is the answer as far as there is one yet."""
        subject, transaction, attempt, _ = question(request, "")
        if subject == "key":
            return {"value": musig2.public(self.state.key).hex()}
        r = self.state.round(transaction, attempt)
        if subject == "nonce":
            return {"value": r.public.hex()} if r.made else None
        if r.partial is not None:
            return {"value": r.partial.hex()}
        return {"void": True} if attempt < self.state.current(transaction)[1] else None

    def differs(self, request):
        subject, transaction, attempt, _ = question(request, "")
        r = self.state.round(transaction, attempt) if subject == "partial" else None
        return r is not None and r.partial is not None and (request.get("sighash"), request.get("aggregate_nonce")) != (r.sighash.hex(), r.aggregate.hex())

    def answer_again(self, exchange):
        self.owed.append((self.node.response, exchange, self.encode(self.state.answers[exchange])))

    def reject(self, exchange, reason):
        self.open.pop(exchange, None)
        self.owed.append((self.node.reject, exchange, reason))

    def ask(self):
        """Makes the requests that follow from the state and that it doesn't know to be
        made. One that was made before a crash is, by its key, the same exchange. The
        notes are durable with the next fact, hence before any that follow from them."""
        for request in self.wanted():
            for peer in self.others:
                asked = question(request, peer)
                if asked in self.state.made:
                    continue
                subject, transaction, attempt, _ = asked
                text = subject if subject == "key" else f"{subject}/tx-{transaction}/attempt-{attempt}"
                exchange = self.node.request(peer, self.encode(request), lane=self.lane(*asked), key=f"{text}/{peer}")
                ask = {"subject": subject, "transaction": transaction, "attempt": attempt}
                self.state.append("request made", exchange=exchange, peer=peer, ask=ask)

    def wanted(self):
        """Is what this member asks every other: the keys; all nonces once the keys are
        known; and each partial signature once it has signed itself."""
        yield {"subject": "key", "transaction": 0, "attempt": 0}
        current = list(map(self.state.current, self.all if self.key else ()))
        for name in current:
            yield {"subject": "nonce", **named(*name)}
        for name in current:
            r = self.state.round(*name)
            if r.partial is not None:
                yield {"subject": "partial", **named(*name), "sighash": r.sighash.hex(), "aggregate_nonce": r.aggregate.hex()}

    def lane(self, subject, transaction, attempt, _):
        program = f"program-{transaction % self.committee['programs']}"
        if subject == "key":
            return "keys"
        return program if attempt <= 1 else f"{program}/tx-{transaction}"

    def encode(self, message):
        return json.dumps(message).encode().ljust(self.committee["message_size"])

    def progress(self):
        signatures, made = len(self.state.signatures), len(self.state.made)
        done = signatures == len(self.all) and not self.state.unanswered
        return {"signatures": signatures, "asked": made, "served": len(self.state.answers), "done": done}


def named(transaction, attempt):
    return {"transaction": transaction, "attempt": attempt}


def main(socket, committee, state):
    with open(committee) as file:
        agreed = json.load(file)
    member, told = None, None
    while True:
        try:
            if member is None:
                member = Member(Parley(socket), agreed, State(state))
            worked = member.turn()
        except Down:
            worked = False  # the node was stopped: it will be back
        except Refused as err:
            if not err.later:
                raise
            worked = False
        if member is not None and member.progress() != told:
            told = member.progress()
            print(json.dumps(told), flush=True)
        if not worked:
            time.sleep(PAUSE)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
