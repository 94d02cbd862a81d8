//! The client at work with real nodes: trials/clients starts two that list each other as
//! "a" and "b", and says where they are.

use parley_client::{Client, Error, Event, Kind, Message};
use std::time::{Duration, Instant};

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} isn't set: run this by go test ./trials/clients"))
}

fn by_tcp() -> Client {
    Client::tcp(env("NODE_TCP"), env("NODE_TOKEN"))
}

fn by_socket() -> Client {
    Client::unix(env("NODE_SOCKET"))
}

/// Ticks until an event comes.
fn next(node: &mut Client) -> Event {
    let begun = Instant::now();
    loop {
        if let Some(event) = node.check_receive().unwrap() {
            return event;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing comes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_large_payload_goes_and_comes_as_it_is() {
    let lane = "rust: größe & more/1+1";
    let (mut a, mut b) = (by_tcp().lanes("rust:").without_notices(), by_socket().lanes("rust:").without_notices());
    let body: Vec<u8> = (0..1 << 20).map(|n: u32| (n * 7 + n / 251) as u8).collect();
    let message = Message { peer: "b", body: &body, lane, key: "rust large", ..Message::default() };
    let id = a.request(&message).unwrap();
    assert_eq!(a.request(&message).unwrap(), id, "the same key is another exchange");
    let asked = next(&mut b);
    assert_eq!((asked.kind, asked.id.as_str(), asked.lane.as_str(), asked.name.as_str()), (Kind::Request, id.as_str(), lane, "a"));
    assert!(asked.body == body && !asked.redelivered);
    b.response(&id, &asked.body[1..]).unwrap();
    match b.response(&id, &asked.body[1..]) {
        Ok(()) | Err(Error::Refused { status: 409, .. }) => {} // 409: its dialer has the answer, it is over
        Err(other) => panic!("{other}"),
    }
    let answer = next(&mut a);
    assert_eq!((answer.kind, answer.outcome.as_str()), (Kind::Reply, "answered"));
    assert!(answer.body == body[1..]);
    assert!(by_tcp().lanes("rust:").without_notices().check_receive().unwrap().unwrap().redelivered);
    a.commit(&id).unwrap();
    a.commit(&id).unwrap();
    assert!(a.check_receive().unwrap().is_none());
}

#[test]
fn what_a_node_doesnt_want_it_says() {
    let (mut a, mut b) = (by_tcp().lanes("rust no").without_notices(), by_socket().lanes("rust no").without_notices());
    let message = Message { peer: "b", body: b"?", lane: "rust no", key: "rust no", ..Message::default() };
    let id = a.request(&message).unwrap();
    let asked = next(&mut b);
    b.reject(&asked.id, "not today: 50% off").unwrap();
    let end = next(&mut a);
    assert_eq!((end.kind, end.outcome.as_str(), end.reason.as_str(), end.id), (Kind::Failed, "rejected", "not today: 50% off", id.clone()));
    a.commit(&id).unwrap();
    for (refused, want) in [
        (a.request(&Message { body: b"!", ..message }).map(drop), 409),
        (a.request(&Message { peer: "nobody", ..message }).map(drop), 400),
        (a.commit(&format!("{}{}", &id[..id.len() - 32], "0".repeat(32))), 404),
        (Client::tcp(env("NODE_TCP"), "guessed").check_receive().map(drop), 401),
    ] {
        match refused {
            Err(Error::Refused { status, reason }) => assert!(status == want && !reason.is_empty(), "{status}, want {want}: {reason}"),
            other => panic!("{other:?}, want {want}"),
        }
    }
    assert!(matches!(Client::unix("/nowhere.sock").check_receive(), Err(Error::Down(_))));
}
