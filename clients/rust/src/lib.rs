//! A client of a Parley node, for programs that tick: the standard library alone,
//! no async, one thread, no call that waits for a peer.
//!
//! ```no_run
//! # fn main() -> Result<(), parley_client::Error> {
//! use parley_client::{Client, Kind, Message};
//!
//! let mut node = Client::unix("/home/alice/.config/parley/parley.sock");
//! node.request(&Message { peer: "bob", body: b"what time is it?", key: "question-1", ..Message::default() })?;
//! loop {
//!     match node.check_receive()? {
//!         None => std::thread::sleep(std::time::Duration::from_millis(10)),
//!         Some(event) => match event.kind {
//!             Kind::Request => node.response(&event.id, b"half past nine")?,
//!             // Have the effect, store it with event.id, then:
//!             Kind::Reply | Kind::Failed => node.commit(&event.id)?,
//!             Kind::Abandoned | Kind::Notice => {}
//!         },
//!     }
//! }
//! # }
//! ```
//!
//! Every call may give [`Error::Down`]: the node can't be reached, or went away amid
//! the call, which may or may not have had its effect. Make the call again: a request
//! that has a key is the same exchange then, and all others do no harm the second
//! time. What the node doesn't want gives [`Error::Refused`]. If [`Error::later`], it
//! can't do it now: make that call too again, later. Of an answer, and of commit,
//! [`Error::over`] says that nothing is left to do: the peer has one, or gave the
//! request up, or the node knows the exchange no longer.
//!
//! Events come again, to a new `Client` or after the node was started anew, until they
//! are done with. So a program stores the effect of an event together with its ID, and
//! looks there before it has the effect again: `examples/tick.rs` does.

mod http;

use http::{encode, Answer, Connection, Place};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long the node may take for an answer. It answers at once; a large payload or a
/// slow disk may take it a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node.
pub struct Client {
    place: Place,
    token: Option<String>,
    lanes: String,
    notices: bool,
    after: u64,
    connection: Option<Connection>,
}

/// A request to be made.
#[derive(Clone, Copy, Default)]
pub struct Message<'a> {
    /// The peer's name on the allow list, its ID, or the beginning of that.
    pub peer: &'a str,
    pub body: &'a [u8],
    /// Of one lane each waits for the one before.
    pub lane: &'a str,
    /// The same key is the same exchange, however often it is asked for. Without one,
    /// `Error::Down` leaves open whether the request was made.
    pub key: &'a str,
    /// RFC 3339; empty: never.
    pub deadline: &'a str,
}

/// What has happened.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: Kind,
    /// Its place among the node's events.
    pub seq: u64,
    /// The exchange's; empty for most notices.
    pub id: String,
    pub peer: String,
    /// The peer's, as the allow list has it.
    pub name: String,
    pub lane: String,
    /// Of what was asked here: answered, rejected, expired or cancelled.
    pub outcome: String,
    pub reason: String,
    pub notice: String,
    /// Somebody has, or may have, been given it before.
    pub redelivered: bool,
    /// A journal was lost or set back: look twice.
    pub possibly_seen: bool,
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A peer asks: `response` or `reject` it.
    Request,
    /// A peer gave up a request of its own.
    Abandoned,
    /// To a request made here: `commit` it.
    Reply,
    /// A request made here has ended otherwise: `commit` it.
    Failed,
    /// What an operator acts on.
    Notice,
}

#[derive(Debug)]
pub enum Error {
    /// The node can't be reached: make the call again later.
    Down(io::Error),
    /// The node said no; again it would say the same, unless it is for later.
    Refused { status: u16, reason: String },
}

impl Error {
    /// Whether the call is to be made again later: the node can't be reached, a queue or
    /// the disk is full, or the node stops.
    pub fn later(&self) -> bool {
        matches!(self, Error::Down(_) | Error::Refused { status: 429 | 503, .. })
    }

    /// Whether, of `response`, `reject` and `commit`, the exchange is over.
    pub fn over(&self) -> bool {
        matches!(self, Error::Refused { status: 404 | 409, .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Down(err) => write!(f, "the node can't be reached: {err}"),
            Error::Refused { status, reason } => write!(f, "{reason} ({status})"),
        }
    }
}

impl std::error::Error for Error {}

impl Client {
    /// The node that serves a unix socket. Nothing is connected before the first call.
    pub fn unix(socket: impl Into<PathBuf>) -> Client {
        Client::at(Place::Unix(socket.into()), None)
    }

    /// The node that serves a TCP address, to whoever has a token.
    pub fn tcp(address: impl Into<String>, token: impl Into<String>) -> Client {
        Client::at(Place::Tcp(address.into()), Some(token.into()))
    }

    fn at(place: Place, token: Option<String>) -> Client {
        Client { place, token, lanes: String::new(), notices: true, after: 0, connection: None }
    }

    /// Wants the events of lanes that begin so alone.
    pub fn lanes(mut self, prefix: &str) -> Client {
        self.lanes = prefix.to_string();
        self
    }

    /// Wants no notices.
    pub fn without_notices(mut self) -> Client {
        self.notices = false;
        self
    }

    /// Begins after an event that the program has, by its seq.
    pub fn after(mut self, seq: u64) -> Client {
        self.after = seq;
        self
    }

    /// Makes a request and gives its exchange's ID: it is on disk then, and will end
    /// in exactly one event.
    pub fn request(&mut self, m: &Message) -> Result<String, Error> {
        let query = [("peer", m.peer), ("lane", m.lane), ("key", m.key), ("deadline", m.deadline)];
        let answer = self.call("POST", "/v1/requests", &query, m.body, !m.key.is_empty())?;
        Ok(answer.header("parley-id").to_string())
    }

    /// Gives the next event, or none when there is none now.
    pub fn check_receive(&mut self) -> Result<Option<Event>, Error> {
        let (after, lanes) = (self.after.to_string(), self.lanes.clone());
        let notices = if self.notices { "yes" } else { "no" };
        let query = [("after", after.as_str()), ("lane", &lanes), ("wait", "0s"), ("notices", notices)];
        let answer = self.call("GET", "/v1/next", &query, b"", true)?;
        if answer.status == 204 {
            return Ok(None);
        }
        let event = event_of(answer)?;
        self.after = event.seq;
        Ok(Some(event))
    }

    /// Answers a request: the answer is on disk when this returns.
    pub fn response(&mut self, id: &str, body: &[u8]) -> Result<(), Error> {
        self.end(id, "reply", body)
    }

    /// Refuses a request for good.
    pub fn reject(&mut self, id: &str, reason: &str) -> Result<(), Error> {
        self.end(id, "reject", reason.as_bytes())
    }

    /// Says that a reply or a failure is done with: it never comes again.
    pub fn commit(&mut self, id: &str) -> Result<(), Error> {
        self.end(id, "commit", b"")
    }

    /// Gives up a request made here; the event that it is cancelled follows.
    pub fn cancel(&mut self, id: &str) -> Result<(), Error> {
        self.end(id, "cancel", b"")
    }

    fn end(&mut self, id: &str, how: &str, body: &[u8]) -> Result<(), Error> {
        self.call("POST", &format!("/v1/exchanges/{id}/{how}"), &[], body, true).map(drop)
    }

    /// Makes a call; once more, if that does no harm, where the connection was an old
    /// one: the node may have been started anew since the last call.
    fn call(&mut self, method: &str, path: &str, query: &[(&str, &str)], body: &[u8], again: bool) -> Result<Answer, Error> {
        let mut target = path.to_string();
        for (name, text) in query.iter().filter(|(_, text)| !text.is_empty()) {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&format!("{name}={}", encode(text)));
        }
        let old = self.connection.is_some();
        let mut answer = self.once(method, &target, body);
        if answer.is_err() && old && again {
            answer = self.once(method, &target, body);
        }
        let answer = answer.map_err(Error::Down)?;
        if answer.status >= 400 {
            let reason = String::from_utf8_lossy(&answer.body).trim().to_string();
            return Err(Error::Refused { status: answer.status, reason });
        }
        Ok(answer)
    }

    fn once(&mut self, method: &str, target: &str, body: &[u8]) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.place, PATIENCE)?,
        };
        let answer = connection.call(method, target, self.token.as_deref(), body)?;
        if !answer.closes() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

fn event_of(answer: Answer) -> Result<Event, Error> {
    let strange = |what: &str| Error::Down(io::Error::new(io::ErrorKind::InvalidData, what.to_string()));
    let kind = match answer.header("parley-kind") {
        "request" => Kind::Request,
        "abandoned" => Kind::Abandoned,
        "reply" => Kind::Reply,
        "failed" => Kind::Failed,
        "notice" => Kind::Notice,
        other => return Err(strange(&format!("an event of the unknown kind {other:?}"))),
    };
    let seq = answer.header("parley-seq").parse().map_err(|_| strange("an event without a place"))?;
    let text = |name: &str| http::decode(answer.header(name));
    Ok(Event {
        kind,
        seq,
        id: text("parley-id"),
        peer: text("parley-peer"),
        name: text("parley-name"),
        lane: text("parley-lane"),
        outcome: text("parley-outcome"),
        reason: text("parley-reason"),
        notice: answer.header("parley-notice").to_string(),
        redelivered: answer.header("parley-redelivered") == "yes",
        possibly_seen: answer.header("parley-possibly-seen") == "yes",
        body: answer.body,
    })
}
