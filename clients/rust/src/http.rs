//! As much of HTTP/1.1 as a node speaks: one call after the other on a connection that
//! stays, and answers whose length is given, or that come in chunks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// What an answer's head may have, in bytes: more isn't from a node.
const MAX_HEAD: u64 = 64 << 10;

pub enum Place {
    Unix(PathBuf),
    Tcp(String),
}

pub struct Connection {
    stream: BufReader<Stream>,
}

pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>, // names in lower case
    pub body: Vec<u8>,
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    pub fn open(place: &Place, patience: Duration) -> io::Result<Connection> {
        let stream = match place {
            Place::Unix(path) => {
                let s = UnixStream::connect(path)?;
                s.set_read_timeout(Some(patience))?;
                s.set_write_timeout(Some(patience))?;
                Stream::Unix(s)
            }
            Place::Tcp(address) => {
                let s = TcpStream::connect(address.as_str())?;
                s.set_nodelay(true)?;
                s.set_read_timeout(Some(patience))?;
                s.set_write_timeout(Some(patience))?;
                Stream::Tcp(s)
            }
        };
        Ok(Connection { stream: BufReader::new(stream) })
    }

    pub fn call(&mut self, method: &str, target: &str, token: Option<&str>, body: &[u8]) -> io::Result<Answer> {
        let mut call = format!("{method} {target} HTTP/1.1\r\nHost: parley\r\nContent-Length: {}\r\n", body.len());
        if let Some(token) = token {
            call.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        call.push_str("\r\n");
        let to = self.stream.get_mut();
        to.write_all(call.as_bytes())?;
        to.write_all(body)?;
        to.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let answer = self.head()?;
            if answer.status >= 200 {
                return self.content(answer);
            }
        }
    }

    fn head(&mut self) -> io::Result<Answer> {
        let mut room = MAX_HEAD;
        let first = self.line(&mut room)?;
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|digits| digits.parse().ok());
        let status = status.ok_or_else(|| strange("the answer isn't HTTP/1"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line(&mut room)?;
            if line.is_empty() {
                return Ok(Answer { status, headers, body: Vec::new() });
            }
            let (name, text) = line.split_once(':').ok_or_else(|| strange("a header without a colon"))?;
            headers.push((name.to_ascii_lowercase(), text.trim().to_string()));
        }
    }

    fn content(&mut self, mut answer: Answer) -> io::Result<Answer> {
        if answer.status == 204 || answer.status == 304 {
            return Ok(answer);
        }
        if answer.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            answer.body = self.chunks()?;
        } else if answer.header("content-length").is_empty() {
            self.stream.read_to_end(&mut answer.body)?; // its end is the connection's
            answer.headers.push(("connection".to_string(), "close".to_string()));
        } else {
            let length = answer.header("content-length").parse().map_err(|_| strange("a length that is no number"))?;
            self.take(length, &mut answer.body)?;
        }
        Ok(answer)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line(&mut { MAX_HEAD })?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = u64::from_str_radix(digits, 16).map_err(|_| strange("a chunk's length that is no number"))?;
            if length == 0 {
                let mut room = MAX_HEAD;
                while !self.line(&mut room)?.is_empty() {} // trailers
                return Ok(body);
            }
            self.take(length, &mut body)?;
            if !self.line(&mut { MAX_HEAD })?.is_empty() {
                return Err(strange("a chunk that is longer than it said"));
            }
        }
    }

    /// Reads so many bytes. Memory grows with what comes, not with what was said.
    fn take(&mut self, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
        match (&mut self.stream).take(length).read_to_end(into)? as u64 {
            read if read == length => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn line(&mut self, room: &mut u64) -> io::Result<String> {
        let mut text = Vec::new();
        let read = (&mut self.stream).take(*room).read_until(b'\n', &mut text)? as u64;
        *room -= read;
        if text.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if text.last() == Some(&b'\r') {
            text.pop();
        }
        String::from_utf8(text).map_err(|_| strange("a head that isn't text"))
    }
}

impl Answer {
    /// A header, by its name in lower case; empty: it isn't there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, text)| text)
    }

    pub fn closes(&self) -> bool {
        self.header("connection").eq_ignore_ascii_case("close")
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.read(buffer),
            Stream::Tcp(s) => s.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.write(buffer),
            Stream::Tcp(s) => s.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Unix(s) => s.flush(),
            Stream::Tcp(s) => s.flush(),
        }
    }
}

/// Writes a text as a query has it.
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Reads a text as a header of a node's has it, and a query would.
pub fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| u8::from_str_radix(d, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(bytes: &'static [u8]) -> io::Result<Answer> {
        let (near, mut far) = UnixStream::pair()?;
        far.write_all(bytes)?;
        drop(far);
        Connection { stream: BufReader::new(Stream::Unix(near)) }.answer()
    }

    #[test]
    fn what_is_escaped_is_read_as_it_was() {
        for text in ["", "lane/1", "a b+c%d", "größe", "100%", "%zz"] {
            assert_eq!(decode(&encode(text)), text);
        }
        assert_eq!(decode("a+b%2Fc"), "a b/c");
        assert_eq!(decode("100%"), "100%");
    }

    #[test]
    fn chunks_are_put_together() {
        let a = answer_to(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nParley-Seq: 7\r\n\r\n4;x=y\r\nhalf\r\n5\r\n past\r\n0\r\nT: x\r\n\r\n",
        )
        .unwrap();
        assert_eq!((a.status, a.header("parley-seq"), a.body.as_slice()), (200, "7", b"half past".as_slice()));
    }

    #[test]
    fn an_answer_that_is_cut_off_is_an_error() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalf";
        assert_eq!(answer_to(whole).unwrap().body, b"half");
        for length in 0..whole.len() {
            assert!(answer_to(&whole[..length]).is_err(), "{length} bytes of it were taken");
        }
    }

    #[test]
    fn what_comes_before_the_answer_is_passed_over() {
        let a = answer_to(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        assert!(a.status == 204 && a.closes() && a.body.is_empty());
    }
}
