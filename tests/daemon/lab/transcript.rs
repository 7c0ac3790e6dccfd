//! Transcripts: what a client sends and what each of its reads brings, word for word.
//!
//! A line is `connect PORT`, `> "sent"`, `< "received"`, `closed` or a comment. Several lines of `<` are one answer, with
//! line ends between them; escapes are Rust's `\r`, `\n`, `\\` and `\u{}`. `serve FLAGS` at the front starts the daemon
//! with them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::daemon::{Daemon, Store, uninterrupted};

/// The three ports of a daemon with the lab's front ends.
#[derive(Clone, Copy)]
pub struct Ports {
    pub lower: SocketAddr,
    pub number: SocketAddr,
    pub atm: SocketAddr,
}

pub fn serve(store: &Store, more: &[&str]) -> (Daemon, Ports) {
    let any = "127.0.0.1:0";
    let flags = ["--lab", "--lab-listen-lower", any, "--lab-listen-number", any, "--lab-listen-atm", any];
    let mut daemon = Daemon::start(store, &[&flags[..], more].concat());
    let [lower, number, atm] = ["lab-lower", "lab-number", "lab-atm"].map(|name| daemon.ready(name));
    (daemon, Ports { lower, number, atm })
}

/// A client like the report's: one `send` a message, one `recv(1024)` an answer.
pub struct Text(pub TcpStream);

impl Text {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    pub fn send(&mut self, message: &str) {
        assert!(!message.is_empty(), "to send nothing is to say nothing");
        self.0.write_all(message.as_bytes()).unwrap();
    }

    /// One read; empty if the connection is closed.
    pub fn receive(&mut self) -> String {
        let mut buffer = [0; 1024];
        let count = uninterrupted(|| self.0.read(&mut buffer)).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    pub fn ask(&mut self, message: &str) -> String {
        self.send(message);
        self.receive()
    }

    /// Everything up to the end of the connection, however it ends.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).ok();
        String::from_utf8(bytes).unwrap()
    }

    /// At the teller machine: all that comes before the menu; the answer to the PIN.
    pub fn login(address: SocketAddr, name: &str) -> (Self, String) {
        let mut text = Self::connect(address);
        assert_eq!(text.receive(), "Enter Your Account Name : ");
        assert_eq!(text.ask(name), "Enter Your Account Pin : ");
        let answer = text.ask("1234");
        (text, answer)
    }

    /// At the menu: a command with an amount.
    pub fn moves(&mut self, command: &str, amount: &str) -> String {
        assert_eq!(self.ask(command), "Enter Amount : ");
        self.ask(amount)
    }
}

/// A client at the menu.
pub fn at_the_menu(address: SocketAddr, name: &str) -> Text {
    let (text, answer) = Text::login(address, name);
    assert!(answer.starts_with("Successfully Logged in\n"), "{answer}");
    text
}

/// Plays a transcript against a daemon of its own; returns the daemon's log.
pub fn play(name: &str, script: &str) -> String {
    let store = Store::new();
    let flags: Vec<&str> =
        script.lines().find_map(|line| line.strip_prefix("serve ")).map(|flags| flags.split(' ').collect()).unwrap_or_default();
    let (daemon, ports) = serve(&store, &flags);
    let mut client = None;
    let mut lines = script.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let place = format!("{name}:{}", number + 1);
        match line.split_once(' ').unwrap_or((line, "")) {
            ("#" | "serve", _) => {}
            ("connect", port) => {
                client = Some(Text::connect(match port {
                    "lower" => ports.lower,
                    "number" => ports.number,
                    "atm" => ports.atm,
                    other => panic!("{place}: no port {other}"),
                }));
            }
            (">", message) => client.as_mut().unwrap().send(&unquote(message)),
            ("<", answer) => {
                let mut expected = unquote(answer);
                while let Some((_, more)) = lines.next_if(|(_, line)| line.starts_with("< ")) {
                    expected = format!("{expected}\n{}", unquote(&more[2..]));
                }
                assert_eq!(client.as_mut().unwrap().receive(), expected, "{place}");
            }
            ("closed", "") => assert_eq!(client.take().unwrap().receive(), "", "{place}"),
            other => panic!("{place}: {other:?}"),
        }
    }
    assert!(client.is_none(), "{name} ends with a connection open");
    let (code, logged) = daemon.stop();
    assert_eq!(code, Some(0), "{logged}");
    logged
}

fn unquote(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_else(|| panic!("no quotes: {quoted}"));
    let mut text = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        text.push(match letters.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('\\') => '\\',
            Some('u') => {
                let hex: String = letters.by_ref().take_while(|letter| *letter != '}').skip(1).collect();
                char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap()
            }
            other => panic!("an escape that is none: {other:?}"),
        });
    }
    text
}
