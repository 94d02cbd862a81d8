//! A program that asks and answers in a loop that never waits, and has each effect once.
//!
//! ```text
//! tick SOCKET LEDGER ask PEER LANE COUNT    until all are answered
//! tick SOCKET LEDGER answer LANE            until it is ended
//! ```
//!
//! The effect, here, is a line in the ledger, synced together with the exchange's ID
//! before the node is told that the event is done with. The program and the node may be
//! killed at any moment, and started again: every request still has its effect once, on
//! either side. Python's tick.py and curl's exchange.sh write the same ledger.

use parley_client::{Client, Error, Event, Kind, Message};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::time::Duration;

const AHEAD: u64 = 16; // requests under way, each in a lane of its own
const PAUSE: Duration = Duration::from_millis(2); // when there is nothing to do

/// Lines of a word, an exchange and a text. A torn one, after a crash, never was.
struct Ledger {
    file: File,
    asked: HashMap<String, String>, // exchanges by their texts
    effects: HashMap<String, String>,
    done: HashSet<String>,
}

impl Ledger {
    fn open(path: &str) -> io::Result<Ledger> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut content = String::new();
        file.read_to_string(&mut content)?;
        let whole = content.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        let mut ledger = Ledger { file, asked: HashMap::new(), effects: HashMap::new(), done: HashSet::new() };
        for line in content[..whole].lines() {
            let mut parts = line.splitn(3, '\t');
            let mut next = || parts.next().unwrap_or_default();
            let (word, exchange, text) = (next(), next(), next());
            ledger.learn(word, exchange, text);
        }
        Ok(ledger)
    }

    fn note(&mut self, word: &str, exchange: &str, text: &str) -> io::Result<()> {
        self.file.write_all(format!("{word}\t{exchange}\t{text}\n").as_bytes())?;
        self.learn(word, exchange, text);
        Ok(())
    }

    fn learn(&mut self, word: &str, exchange: &str, text: &str) {
        match word {
            "asked" => drop(self.asked.insert(text.to_string(), exchange.to_string())),
            "effect" => drop(self.effects.insert(exchange.to_string(), text.to_string())),
            "done" => drop(self.done.insert(exchange.to_string())),
            _ => {}
        }
    }
}

/// What it is that the program does.
enum Part {
    Ask { peer: String, lane: String, count: u64, next: u64, open: HashSet<String> },
    Answer,
}

struct Worker {
    node: Client,
    ledger: Ledger,
    part: Part,
    /// Exchanges that the node hasn't been told are done with; or it was, in a run that
    /// was ended before it noted so.
    owed: Vec<String>,
}

/// Why a tick has ended early.
enum Stop {
    Later, // what was owed is told at another tick
    Failed(Box<dyn std::error::Error>),
}

impl From<Error> for Stop {
    fn from(err: Error) -> Stop {
        match err {
            later if later.later() => Stop::Later,
            refused => Stop::Failed(Box::new(refused)),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(err: io::Error) -> Stop {
        Stop::Failed(Box::new(err))
    }
}

impl Worker {
    /// Does all that can be done now; says whether there was anything.
    fn tick(&mut self) -> Result<bool, Stop> {
        self.tell()?;
        self.ask()?;
        let mut worked = false;
        while let Some(event) = self.node.check_receive()? {
            worked = true;
            if matches!(event.kind, Kind::Request | Kind::Reply | Kind::Failed) {
                self.receive(event)?;
            }
        }
        Ok(worked)
    }

    /// Asks as far ahead as it may. After a crash it asks again for all that isn't
    /// answered: by their keys these are the same exchanges as before.
    fn ask(&mut self) -> Result<(), Stop> {
        let Part::Ask { peer, lane, count, next, open } = &mut self.part else { return Ok(()) };
        open.retain(|exchange| !self.ledger.done.contains(exchange));
        while *next <= *count && (open.len() as u64) < AHEAD {
            let job = format!("{lane} {next}");
            if self.ledger.asked.get(&job).is_some_and(|exchange| self.ledger.effects.contains_key(exchange)) {
                *next += 1;
                continue;
            }
            let of = format!("{lane}/{}", *next % AHEAD);
            let message = Message { peer, body: job.as_bytes(), lane: &of, key: &job, ..Message::default() };
            let exchange = match self.node.request(&message) {
                Err(err @ Error::Refused { .. }) if err.later() => return Ok(()), // there may be room once events are taken
                made => made?,
            };
            self.ledger.note("asked", &exchange, &job)?;
            open.insert(exchange);
            *next += 1;
        }
        Ok(())
    }

    fn receive(&mut self, event: Event) -> Result<(), Stop> {
        let body = String::from_utf8_lossy(&event.body).into_owned();
        self.ledger.note(if event.redelivered { "again" } else { "first" }, &event.id, &body)?;
        if !self.ledger.effects.contains_key(&event.id) {
            let effect = match self.part {
                Part::Ask { .. } => format!("{} {body}", event.outcome),
                Part::Answer => format!("done: {body}"),
            };
            self.ledger.note("effect", &event.id, &effect)?;
            self.ledger.file.sync_data()?;
        }
        self.owed.push(event.id);
        self.tell()
    }

    /// Tells the node which exchanges are done with.
    fn tell(&mut self) -> Result<(), Stop> {
        while let Some(exchange) = self.owed.first() {
            let told = match self.part {
                Part::Ask { .. } => self.node.commit(exchange),
                Part::Answer => self.node.response(exchange, self.ledger.effects[exchange].as_bytes()),
            };
            match told {
                Ok(()) => {}
                Err(err) if err.over() => {} // an answer that is there, isn't wanted any more, or was long ago
                Err(err) => return Err(err.into()),
            }
            let exchange = self.owed.remove(0);
            self.ledger.note("done", &exchange, "")?;
        }
        Ok(())
    }

    fn finished(&self) -> bool {
        match &self.part {
            Part::Ask { count, next, open, .. } => {
                next > count && self.owed.is_empty() && open.iter().all(|exchange| self.ledger.done.contains(exchange))
            }
            Part::Answer => false,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (socket, ledger, lane, part) = match words[..] {
        [socket, ledger, "ask", peer, lane, count] => {
            let part = Part::Ask { peer: peer.to_string(), lane: lane.to_string(), count: count.parse()?, next: 1, open: HashSet::new() };
            (socket, ledger, lane, part)
        }
        [socket, ledger, "answer", lane] => (socket, ledger, lane, Part::Answer),
        _ => return Err("want SOCKET LEDGER ask PEER LANE COUNT, or SOCKET LEDGER answer LANE".into()),
    };
    let node = Client::unix(socket).lanes(lane).without_notices();
    let ledger = Ledger::open(ledger)?;
    let owed = ledger.effects.keys().filter(|exchange| !ledger.done.contains(*exchange)).cloned().collect();
    let mut worker = Worker { node, ledger, part, owed };
    while !worker.finished() {
        match worker.tick() {
            Ok(true) => {}
            Ok(false) | Err(Stop::Later) => std::thread::sleep(PAUSE),
            Err(Stop::Failed(err)) => return Err(err),
        }
    }
    Ok(())
}
