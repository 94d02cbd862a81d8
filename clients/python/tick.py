"""A program that asks and answers in a loop that never waits, and has each effect once.

    python3 tick.py SOCKET LEDGER ask PEER LANE COUNT    until all are answered
    python3 tick.py SOCKET LEDGER answer LANE            until it is ended

The effect, here, is a line in the ledger, synced together with the exchange's ID
before the node is told that the event is done with. The program and the node may be
killed at any moment, and started again: every request still has its effect once, on
either side. Rust's examples/tick.rs and curl's exchange.sh write the same ledger.
"""

import os
import sys
import time

from parley import Down, Parley, Refused

AHEAD = 16  # requests under way, each in a lane of its own
PAUSE = 0.002  # seconds, when there is nothing to do


class Ledger:
    """Lines of a word, an exchange and a text. A torn one, after a crash, never was."""

    def __init__(self, path):
        self.asked, self.effects, self.done = {}, {}, set()
        self._file = open(path, "ab+")
        self._file.seek(0)
        whole = self._file.read().rpartition(b"\n")[0]
        self._file.truncate(len(whole) + 1 if whole else 0)
        for line in whole.decode().splitlines():
            self._learn(*line.split("\t", 2))

    def note(self, word, exchange, text="", sync=False):
        self._file.write(f"{word}\t{exchange}\t{text}\n".encode())
        self._file.flush()
        if sync:
            os.fsync(self._file.fileno())
        self._learn(word, exchange, text)

    def _learn(self, word, exchange, text):
        if word == "asked":
            self.asked[text] = exchange
        elif word == "effect":
            self.effects[exchange] = text
        elif word == "done":
            self.done.add(exchange)


class Worker:
    def __init__(self, node, ledger):
        self.node, self.ledger = node, ledger
        # What the node hasn't been told yet, or was told in a run that was ended before
        # it noted so: by exchange, how to tell it.
        self.owed = {exchange: self.ending(exchange) for exchange in ledger.effects if exchange not in ledger.done}

    def tick(self):
        """Does all that can be done now; says whether there was anything."""
        for exchange, tell in list(self.owed.items()):
            self._tell(exchange, tell)
        self.ask()
        worked = False
        while (event := self.node.check_receive()) is not None:
            worked = True
            if event.kind in ("request", "reply", "failed"):
                self.receive(event)
        return worked

    def ask(self):
        pass

    def receive(self, event):
        self.ledger.note("again" if event.redelivered else "first", event.id, event.body.decode())
        if event.id not in self.ledger.effects:
            self.ledger.note("effect", event.id, self.effect(event), sync=True)
        self._tell(event.id, self.ending(event.id))

    def _tell(self, exchange, tell):
        """Tells the node that an exchange is done with, now or at a later tick."""
        self.owed[exchange] = tell
        try:
            tell()
        except Refused as err:
            if err.later:
                return
            if not err.over:  # an answer that is there, isn't wanted any more, or was long ago
                raise
        del self.owed[exchange]
        self.ledger.note("done", exchange)


class Asker(Worker):
    def __init__(self, node, ledger, peer, lane, count):
        super().__init__(node, ledger)
        self.peer, self.lane, self.count = peer, lane, count
        self.next = 1  # those before it have been asked for in this run
        self.open = set()

    def ask(self):
        """Asks as far ahead as it may. After a crash it asks again for all that isn't
        answered: by their keys these are the same exchanges as before."""
        self.open -= self.ledger.done
        while self.next <= self.count and len(self.open) < AHEAD:
            job = f"{self.lane} {self.next}"
            if self.ledger.asked.get(job) in self.ledger.effects:
                self.next += 1
                continue
            try:
                exchange = self.node.request(self.peer, job.encode(), lane=f"{self.lane}/{self.next % AHEAD}", key=job)
            except Refused as err:
                if err.later:  # there may be room once events are taken
                    return
                raise
            self.ledger.note("asked", exchange, job)
            self.open.add(exchange)
            self.next += 1

    def effect(self, event):
        return f"{event.outcome} {event.body.decode()}"

    def ending(self, exchange):
        return lambda: self.node.commit(exchange)

    def finished(self):
        return self.next > self.count and not self.owed and not self.open - self.ledger.done


class Answerer(Worker):
    def effect(self, event):
        return "done: " + event.body.decode()

    def ending(self, exchange):
        return lambda: self.node.response(exchange, self.ledger.effects[exchange].encode())

    def finished(self):
        return False


def main(socket, ledger, part, *rest):
    lane = rest[1] if part == "ask" else rest[0]
    node, ledger = Parley(socket, lanes=lane, notices=False), Ledger(ledger)
    worker = Asker(node, ledger, rest[0], lane, int(rest[2])) if part == "ask" else Answerer(node, ledger)
    while not worker.finished():
        try:
            worked = worker.tick()
        except Down:
            worked = False  # what was owed is told at another tick
        except Refused as err:
            if not err.later:
                raise
            worked = False
        if not worked:
            time.sleep(PAUSE)


if __name__ == "__main__":
    if len(sys.argv) < 5 or sys.argv[3] not in ("ask", "answer"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
