//! What the tests of the real daemon share: a store in a temporary directory, a daemon on port 0 that is ended by its
//! own pid, and a bare client that sends exactly the frames of its test.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs
)]

use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use bankd::model::amount::Amount;
use bankd::model::command::{Body, Command as Money};
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, RequestNumber, SessionId};
use bankd::wire::frame::{self, Front};
use bankd::wire::message::{Ask, Refusal, Reply, Role, VERSION};

pub const BANKD: &str = env!("CARGO_BIN_EXE_bankd");
/// The demo's accounts, in order.
pub const FARHAN: AccountId = AccountId(0);
pub const SAMI: AccountId = AccountId(1);

/// Repeats a system call that a signal interrupts. A read with a time limit is interrupted even when the process is only
/// stopped and continued.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

pub fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

/// A directory that holds a demo store and its key.
pub struct Store {
    dir: tempfile::TempDir,
}

impl Store {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The temporary directory around everything.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.root().join("store")
    }

    pub fn serve(&self) -> Daemon {
        Daemon::start(self, &[])
    }

    /// Runs `bankd` and waits for its end.
    pub fn bankd(&self, args: &[&str]) -> Output {
        Command::new(BANKD).args(args).current_dir(self.root()).stdin(Stdio::null()).output().unwrap()
    }

    /// Tries to serve; returns the exit code and what was printed.
    pub fn serve_fails(&self) -> (i32, String) {
        let data = self.data();
        let mut child = Command::new(BANKD)
            .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        for _ in 0..400 {
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                return (status.code().unwrap(), said);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("it serves what it should have refused");
    }
}

/// A running daemon. Dropped, it is killed.
pub struct Daemon {
    pub child: Child,
    pub address: SocketAddr,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Daemon {
    pub fn start(store: &Store, args: &[&str]) -> Self {
        Self::start_by(Command::new(BANKD), store, args)
    }

    /// Starts the daemon through another program, such as a tracer.
    pub fn start_by(mut command: Command, store: &Store, args: &[&str]) -> Self {
        let mut child = command
            .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(store.data())
            .args(args)
            .current_dir(store.root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).ok();
            text
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            match lines.next() {
                Some(line) => {
                    if let Some(address) = line.unwrap().strip_prefix("ready native ") {
                        break address.parse().unwrap();
                    }
                }
                None => panic!("the daemon did not start: {}", stderr.join().unwrap()),
            }
        };
        Self { child, address, stdout: lines, stderr: Some(stderr) }
    }

    /// Where the next front end listens, which must be of that name.
    pub fn ready(&mut self, name: &str) -> SocketAddr {
        let line = self.stdout.next().unwrap().unwrap();
        line.strip_prefix("ready ").and_then(|rest| rest.strip_prefix(name)).unwrap().trim().parse().unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A connection that has logged in as a demo customer.
    pub fn login(&self, name: &str) -> Client {
        let mut client = self.connect();
        assert!(matches!(client.login(name, "1234"), Reply::LoggedIn { .. }));
        client
    }

    /// SIGKILL.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        keep_port(self.address);
        self.stderr.take().unwrap().join().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Sends SIGTERM; returns the exit code and the log.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        let code = self.child.wait().unwrap().code();
        (code, self.stderr.take().unwrap().join().unwrap())
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.stderr.take().unwrap().join().unwrap())
    }
}

/// Keeps a dead daemon's port for the rest of this process, refusing connections: a daemon of another test that got it
/// would be taken for the one that came back.
fn keep_port(address: SocketAddr) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    // If another process was faster, nothing can be done about it.
    if bind(&socket, &address).is_ok() {
        let _ = std::os::fd::IntoRawFd::into_raw_fd(socket);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A connection that sends what its test asks for and nothing by itself.
pub struct Client {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    /// Connects and greets.
    pub fn connect(address: SocketAddr) -> Self {
        let mut client = Self::bare(address);
        assert!(matches!(client.ask(&Ask::Hello { version: VERSION }), Reply::Welcome(_)));
        client
    }

    /// Connects and says nothing.
    pub fn bare(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, input: Vec::new() }
    }

    pub fn ask(&mut self, ask: &Ask) -> Reply {
        self.send(std::slice::from_ref(ask));
        self.receive()
    }

    /// Sends everything in one write.
    pub fn send(&mut self, asks: &[Ask]) {
        let mut bytes = Vec::new();
        for ask in asks {
            frame::put(ask, &mut bytes).unwrap();
        }
        self.stream.write_all(&bytes).unwrap();
    }

    pub fn receive(&mut self) -> Reply {
        self.try_receive().expect("a reply")
    }

    /// The next reply, or none if the connection ended.
    pub fn try_receive(&mut self) -> Option<Reply> {
        loop {
            if let Front::Whole { payload, consumed } = frame::front(&self.input).unwrap() {
                let reply = bankd::model::codec::decode(payload).unwrap();
                self.input.drain(..consumed);
                return Some(reply);
            }
            let mut buffer = [0; 65536];
            match uninterrupted(|| self.stream.read(&mut buffer)) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    pub fn login(&mut self, name: &str, pin: &str) -> Reply {
        self.ask(&Ask::Login { role: Role::Customer, name: name.to_owned(), secret: Secret::new(pin.to_owned()) })
    }

    pub fn open_session(&mut self) -> SessionId {
        match self.ask(&Ask::OpenSession) {
            Reply::Session(info) => info.session,
            other => panic!("no session: {other:?}"),
        }
    }

    pub fn resume(&mut self, session: SessionId) -> Reply {
        self.ask(&Ask::ResumeSession { session })
    }

    pub fn request(&mut self, number: u64, command: Money) -> Reply {
        self.ask(&request(number, command))
    }

    pub fn balance(&mut self, account: AccountId) -> u64 {
        match self.ask(&Ask::Balance { account }) {
            Reply::Balance { balance, .. } => balance.get(),
            other => panic!("no balance: {other:?}"),
        }
    }
}

pub fn request(number: u64, command: Money) -> Ask {
    Ask::Request { number: RequestNumber(number), acked_below: RequestNumber(1), command }
}

pub fn cancel(number: u64) -> Ask {
    Ask::Cancel { number: RequestNumber(number), acked_below: RequestNumber(1) }
}

pub fn deposit(account: AccountId, units: u64) -> Money {
    Money::Deposit { account, amount: amount(units) }
}

pub fn withdraw(account: AccountId, units: u64) -> Money {
    Money::Withdraw { account, amount: amount(units) }
}

/// The recorded body of an answer, and whether it was replayed.
pub fn answer(reply: &Reply) -> (Body, bool) {
    match reply {
        Reply::Answer { body, replayed, .. } => (*body, *replayed),
        other => panic!("not an answer: {other:?}"),
    }
}

pub fn refusal(reply: &Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => *refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}
