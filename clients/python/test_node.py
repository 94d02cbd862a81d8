"""The client at work with real nodes: trials/clients starts two that list each other as
"a" and "b", and says where they are."""

import os
import time
import unittest

from parley import Down, Parley, Refused


def next_of(node):
    """Ticks until an event comes."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        event = node.check_receive()
        if event is not None:
            return event
        time.sleep(0.002)
    raise AssertionError("nothing comes")


class Node(unittest.TestCase):
    def by_tcp(self, lanes="", token=None):
        return self.closing(Parley(tcp=os.environ["NODE_TCP"], token=token or os.environ["NODE_TOKEN"], lanes=lanes, notices=False))

    def by_socket(self, lanes):
        return self.closing(Parley(os.environ["NODE_SOCKET"], lanes=lanes, notices=False))

    def closing(self, node):
        self.addCleanup(node.close)
        return node

    def refused(self, status, call, *args, **more):
        with self.assertRaises(Refused) as caught:
            call(*args, **more)
        self.assertEqual(caught.exception.status, status, caught.exception)

    def test_a_large_payload_goes_and_comes_as_it_is(self):
        a, b, lane = self.by_tcp("python:"), self.by_socket("python:"), "python: größe & more/1+1"
        body = bytes(range(256)) * 4096
        exchange = a.request("b", body, lane=lane, key="python large")
        self.assertEqual(a.request("b", body, lane=lane, key="python large"), exchange)
        asked = next_of(b)
        self.assertEqual((asked.kind, asked.id, asked.lane, asked.name, asked.redelivered), ("request", exchange, lane, "a", False))
        self.assertEqual(asked.body, body)
        b.response(exchange, body[1:])
        try:
            b.response(exchange, body[1:])
        except Refused as err:  # its dialer has the answer: it is over
            self.assertEqual(err.status, 409)
        answer = next_of(a)
        self.assertEqual((answer.kind, answer.outcome, answer.body), ("reply", "answered", body[1:]))
        self.assertTrue(self.by_tcp("python:").check_receive().redelivered)
        a.commit(exchange)
        a.commit(exchange)
        self.assertIsNone(a.check_receive())

    def test_what_a_node_doesnt_want_it_says(self):
        a, b = self.by_tcp("python no"), self.by_socket("python no")
        exchange = a.request("b", b"?", lane="python no", key="python no")
        b.reject(next_of(b).id, "not today: 50% off")
        end = next_of(a)
        self.assertEqual((end.kind, end.outcome, end.reason, end.id), ("failed", "rejected", "not today: 50% off", exchange))
        a.commit(exchange)
        self.refused(409, a.request, "b", b"!", lane="python no", key="python no")
        self.refused(400, a.request, "nobody", b"!")
        self.refused(404, a.commit, exchange[:-32] + "0" * 32)
        self.refused(400, a.call, "Status", peer="b")
        self.refused(401, self.by_tcp(token="guessed").check_receive)
        with self.assertRaises(Down):
            Parley("/nowhere.sock").check_receive()

    def test_a_request_can_be_given_up(self):
        a, b = self.by_tcp("python up"), self.by_socket("python up")
        exchange = a.request("b", b"?", lane="python up")
        self.assertEqual(next_of(b).kind, "request")
        a.cancel(exchange)
        self.assertEqual(next_of(a).outcome, "cancelled")
        abandoned = next_of(b)
        self.assertEqual((abandoned.kind, abandoned.id), ("abandoned", exchange))
        self.refused(409, b.response, exchange, b"too late")
        b.commit(exchange)
        self.assertIsNone(self.by_socket("python up").check_receive())


if __name__ == "__main__":
    unittest.main()
