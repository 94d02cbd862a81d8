"""A client of a Parley node, for Python's standard library alone.

A program that ticks asks its node, looks whether anything came, and never waits:

    node = Parley("/home/alice/.config/parley/parley.sock")
    node.request("bob", b"what time is it?", key="question-1")
    while True:
        event = node.check_receive()
        if event is None:
            time.sleep(0.01)
        elif event.kind == "request":
            node.response(event.id, b"half past nine")
        elif event.kind in ("reply", "failed"):
            ...                      # have the effect, and store it with event.id
            node.commit(event.id)

Every call may raise Down: the node can't be reached, or went away amid the call,
which may or may not have had its effect. Make the call again: a request that has a
key is the same exchange then, and all others do no harm the second time. What the
node doesn't want raises Refused. If err.later, it can't do it now: make that call too
again, later. Of an answer, and of commit, err.over says that nothing is left to do: the
peer has one, or gave the request up, or the node knows the exchange no longer.

Events come again, to a new Parley or after the node was started anew, until they are
done with. So a program stores the effect of an event together with its ID, and looks
there before it has the effect again: tick.py does.
"""

import http.client
import json
import socket
import urllib.parse
from dataclasses import dataclass


class Down(Exception):
    """The node can't be reached: make the call again later."""


class Refused(Exception):
    """The node said no; again it would say the same, unless it is for later."""

    def __init__(self, status, reason):
        super().__init__(f"{reason} ({status})")
        self.status = status
        self.reason = reason
        self.later = status in (429, 503)  # a queue or the disk is full, or the node stops
        self.over = status in (404, 409)  # of response, reject and commit: the exchange


@dataclass(frozen=True)
class Event:
    """What has happened; docs/api.md says which kind has what."""

    kind: str  # request, abandoned, reply, failed or notice
    seq: int  # its place among the node's events
    id: str  # of the exchange; empty for most notices
    peer: str
    name: str  # the peer's, as the allow list has it
    lane: str
    outcome: str  # answered, rejected, expired or cancelled: of what was asked here
    reason: str
    notice: str
    redelivered: bool  # somebody has, or may have, been given it before
    possibly_seen: bool  # a journal was lost or set back: look twice
    body: bytes


class Parley:
    """A node, by its socket, or by its TCP address and a token. For one thread."""

    def __init__(self, socket_path=None, *, tcp=None, token=None, after=0, lanes="", notices=True, timeout=60):
        """Lanes are those whose events are wanted, by their common beginning. After is
        the seq of the last event that this program has: 0 begins with the oldest."""
        if (socket_path is None) == (tcp is None):
            raise ValueError("name either the node's socket or its TCP address")
        self.after = after
        self._lanes, self._notices = lanes, notices
        self._headers = {"Authorization": "Bearer " + token} if token else {}
        self._connect = (lambda: _UnixConnection(socket_path, timeout)) if socket_path else (lambda: http.client.HTTPConnection(tcp, timeout=timeout))
        self._connection = None

    def request(self, peer, body, *, lane="", key="", deadline="", address=""):
        """Makes a request and returns its exchange's ID: it is on disk then, and will
        end in exactly one event. Give a key: without one, Down leaves open whether the
        request was made. Deadline is RFC 3339."""
        answer, _ = self._call("POST", "/v1/requests", {"peer": peer, "lane": lane, "key": key, "deadline": deadline, "address": address}, body, again=bool(key))
        return answer.headers["Parley-Id"]

    def check_receive(self):
        """Returns the next event, or None when there is none now."""
        query = {"after": str(self.after), "lane": self._lanes, "wait": "0s", "notices": "yes" if self._notices else "no"}
        answer, body = self._call("GET", "/v1/next", query)
        if answer.status == 204:
            return None
        event = _event(answer.headers, body)
        self.after = event.seq
        return event

    def response(self, exchange, body):
        """Answers a request: the answer is on disk when this returns."""
        self._call("POST", f"/v1/exchanges/{exchange}/reply", body=body)

    def reject(self, exchange, reason):
        """Refuses a request for good."""
        self._call("POST", f"/v1/exchanges/{exchange}/reject", body=reason.encode())

    def commit(self, exchange):
        """Says that a reply or a failure is done with: it never comes again."""
        self._call("POST", f"/v1/exchanges/{exchange}/commit")

    def cancel(self, exchange):
        """Gives up a request made here; the event that it is cancelled follows."""
        self._call("POST", f"/v1/exchanges/{exchange}/cancel")

    def call(self, name, **fields):
        """Makes any call of node.proto, as JSON: call("Status"), call("ListPeers")."""
        _, body = self._call("POST", "/parley.v1.Node/" + name, body=json.dumps(fields).encode(), kind="application/json")
        return json.loads(body)

    def _call(self, method, path, query=None, body=b"", *, kind="application/octet-stream", again=True):
        given = {name: text for name, text in (query or {}).items() if text}
        if given:
            path += "?" + urllib.parse.urlencode(given)
        fresh = self._connection is None
        try:
            answer, content = self._once(method, path, body, kind)
        except Down:
            if fresh or not again:
                raise
            answer, content = self._once(method, path, body, kind)  # the node may have restarted since the last call
        if answer.status >= 400:
            raise Refused(answer.status, content.decode(errors="replace").strip())
        return answer, content

    def _once(self, method, path, body, kind):
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.request(method, path, body, {**self._headers, "Content-Type": kind})
            answer = self._connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException) as err:
            self.close()
            raise Down(f"the node can't be reached: {err or type(err).__name__}") from err

    def close(self):
        """Ends the connection; the next call makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _event(headers, body):
    def text(name):
        return urllib.parse.unquote_plus(headers.get("Parley-" + name, ""))

    return Event(
        kind=text("Kind"), seq=int(text("Seq")), id=text("Id"), peer=text("Peer"), name=text("Name"), lane=text("Lane"),
        outcome=text("Outcome"), reason=text("Reason"), notice=headers.get("Parley-Notice", ""),
        redelivered=text("Redelivered") == "yes", possibly_seen=text("Possibly-Seen") == "yes", body=body,
    )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("parley", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
