//! What the tests of the client's commands share: running them as a customer would, and a proxy that loses messages.
#![allow(dead_code, missing_docs, clippy::missing_panics_doc)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bankd::wire::frame::{self, Front};
use bankd::wire::message::Ask;

use super::daemon::{BANKD, uninterrupted};

/// A user at a terminal: a directory for the journal, a PIN file, and a server.
pub struct Desk {
    dir: PathBuf,
    pub server: SocketAddr,
}

/// What a command came to.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// The request id that was shown.
    pub fn request(&self) -> String {
        let line = self.err.lines().find_map(|line| line.strip_prefix("request ")).unwrap_or_else(|| panic!("no request id: {self:?}"));
        line.split(' ').next().unwrap().to_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl Desk {
    pub fn new(dir: &Path, server: SocketAddr) -> Self {
        let desk = Self { dir: dir.to_owned(), server };
        desk.secret("pin", "1234");
        desk
    }

    /// Writes a file that only its owner reads.
    pub fn secret(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, format!("{content}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BANKD);
        command.args(args).current_dir(&self.dir).env("BANKD_SERVER", self.server.to_string()).env("BANKD_JOURNAL", self.journal());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        done(self.command(args).spawn().unwrap())
    }

    /// Runs a command as the customer of the PIN file.
    pub fn pin(&self, args: &[&str]) -> Done {
        self.run(&[args, &["--pin-file", "pin"]].concat())
    }

    /// Runs a command with this on standard input.
    pub fn typed(&self, args: &[&str], input: &str) -> Done {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A command that refuses its arguments has ended without reading.
        let written = child.stdin.take().unwrap().write_all(input.as_bytes());
        assert!(written.is_ok() || written.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe));
        done(child)
    }

    pub fn balance(&self, name: &str) -> String {
        let told = self.pin(&["balance", name]);
        assert_eq!(told.code, 0, "{told:?}");
        told.out.trim().strip_prefix("Current balance is ").unwrap().to_owned()
    }
}

pub fn done(child: Child) -> Done {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// What the proxy does to the first money request that it sees on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lose {
    /// Passes it on, and hangs up instead of passing the reply back.
    Reply,
    /// Hangs up instead of passing it on.
    Request,
    /// Passes it on, keeps the reply and the connection, and says nothing any more.
    Silently,
}

/// A proxy on the way to the bank, which loses a message on each of its first connections.
pub struct Proxy {
    pub address: SocketAddr,
    bank: Arc<Mutex<SocketAddr>>,
    lost: Arc<AtomicUsize>,
}

impl Proxy {
    /// Loses in that way on `times` connections; later ones pass untouched.
    pub fn start(bank: SocketAddr, lose: Lose, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lost = Arc::new(AtomicUsize::new(0));
        let bank = Arc::new(Mutex::new(bank));
        let (counter, target) = (Arc::clone(&lost), Arc::clone(&bank));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, counter, target) = (client.unwrap(), Arc::clone(&counter), *target.lock().unwrap());
                std::thread::spawn(move || {
                    let Ok(bank) = TcpStream::connect(target) else { return };
                    carry(&client, &bank, lose, times, &counter);
                    let _ = client.shutdown(std::net::Shutdown::Both);
                    let _ = bank.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { address, bank, lost }
    }

    /// Where later connections go.
    pub fn point_to(&self, bank: SocketAddr) {
        *self.bank.lock().unwrap() = bank;
    }

    /// How many messages were lost so far.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

/// Carries question and answer in turn until something is lost or one side hangs up.
fn carry(mut client: &TcpStream, mut bank: &TcpStream, lose: Lose, times: usize, counter: &AtomicUsize) {
    loop {
        let Some(asked) = next_frame(client) else { return };
        let Ok(Front::Whole { payload, .. }) = frame::front(&asked) else { return };
        let is_money = matches!(bankd::model::codec::decode(payload), Ok(Ask::Request { .. }));
        let loses = is_money && counter.load(Ordering::SeqCst) < times;
        if loses && lose == Lose::Request {
            counter.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if bank.write_all(&asked).is_err() {
            return;
        }
        let Some(answered) = next_frame(bank) else { return };
        if loses {
            counter.fetch_add(1, Ordering::SeqCst);
            if lose == Lose::Silently {
                let _ = uninterrupted(|| client.read(&mut [0; 1]));
            }
            return;
        }
        if client.write_all(&answered).is_err() {
            return;
        }
    }
}

fn next_frame(mut from: &TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; frame::HEADER];
    from.read_exact(&mut header).ok()?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let mut whole = header.to_vec();
    whole.resize(frame::HEADER + length as usize, 0);
    from.read_exact(&mut whole[frame::HEADER..]).ok()?;
    Some(whole)
}
