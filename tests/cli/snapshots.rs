//! Every help text, and the messages of every command, held by snapshots in `tests/cli/snapshots/`.
//!
//! A snapshot is a transcript: the command line, what it prints on stdout and stderr, and its exit code. After an intended
//! change run `INSTA_UPDATE=always cargo test --test cli snapshots`, and read the difference.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::daemon::{BANKD, Daemon, Store};

/// What differs from run to run, and what stands for it. Applied in this order.
const VARIABLE: [(&str, &str); 9] = [
    (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "<TIME>"),
    (r"(127\.0\.0\.1|\[::1\]):\d{4,5}", "<ADDRESS>"),
    (r"\b[0-9a-f]{32,64}\b", "<HEX>"),
    (r"\b[0-9a-f]{16}\b", "<ID>"),
    (r"process \d+", "process <PID>"),
    (r"\bin \d+\.\d+ s", "in <SECONDS> s"),
    (r"\(\d+ entries/s\)", "(<RATE> entries/s)"),
    (r"bytes in \d+", "bytes in <COMPRESSED>"),
    (r"checkpoints?, \d{6,} bytes", "checkpoints, <BYTES> bytes"),
];

/// A user at a terminal, with the files that the commands name.
struct Terminal {
    store: Store,
    server: SocketAddr,
    transcript: String,
}

impl Terminal {
    /// In a directory with a demo store, as `serve --demo` makes it, and at a bank that may be gone.
    fn new(server: SocketAddr, store: Store) -> Self {
        let terminal = Self { store, server, transcript: String::new() };
        for (name, content) in [("pin", "1234\n"), ("wrong-pin", "4321\n"), ("long-pin", "123456\n"), ("bad-pin", "12 34\n"), ("empty", "")]
        {
            terminal.file(name, content);
        }
        terminal
    }

    fn file(&self, name: &str, content: &str) {
        let path = self.store.root().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs each line as a command of `bankd`; words are separated by blanks, and `~` stands for one in a word.
    fn run(&mut self, lines: &[&str]) {
        for line in lines {
            self.typed(line, "");
        }
    }

    /// Runs a command with this on standard input.
    fn typed(&mut self, line: &str, input: &str) {
        let words: Vec<String> = line.split_whitespace().map(|word| word.replace('~', " ")).collect();
        self.file("stdin", input);
        let output = Command::new(BANKD)
            .args(words)
            .current_dir(self.store.root())
            .env("BANKD_SERVER", self.server.to_string())
            .env("BANKD_JOURNAL", "journal")
            .env_remove("COLUMNS")
            .stdin(Stdio::from(fs::File::open(self.store.root().join("stdin")).unwrap()))
            .output()
            .unwrap();
        let shown = if input.is_empty() { String::new() } else { format!(" <<< {input:?}") };
        self.transcript += &format!("$ bankd {}{shown}\n", line.replace('~', "\\ "));
        for (mark, bytes) in [("", &output.stdout), ("2> ", &output.stderr)] {
            for text in String::from_utf8_lossy(bytes).lines() {
                self.transcript += &format!("{mark}{text}\n");
            }
        }
        self.transcript += &format!("exit code {}\n\n", output.status.code().unwrap());
    }

    fn hold(&self, name: &str) {
        let root = fs::canonicalize(self.store.root()).unwrap();
        hold(name, &self.transcript.replace(root.to_str().unwrap(), "<DIR>"));
    }
}

fn hold(name: &str, text: &str) {
    insta::with_settings!({ filters => VARIABLE.to_vec(), omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

/// A running demo bank, and a terminal at it.
fn at_a_bank() -> (Daemon, Terminal) {
    let store = Store::new();
    let daemon = store.serve();
    let server = daemon.address;
    (daemon, Terminal::new(server, store))
}

/// A terminal at an address where nothing listens, beside a store that no daemon has open.
fn alone() -> Terminal {
    let terminal = Terminal::new("127.0.0.1:1".parse().unwrap(), Store::new());
    // By `init`, not by a daemon: how many segments a killed one had made would be chance.
    terminal.file("demo-accounts", "kind,name,secret,balance\naccount,Sami,1234,45720\naccount,Kader,1234,1200\n");
    let made = terminal.store.bankd(&["init", "--data-dir", "store", "--accounts", "demo-accounts", "--allow-short-pins"]);
    assert!(made.status.success(), "{made:?}");
    terminal
}

/// The commands of a help text, and those below them.
fn commands(words: &[&str]) -> Vec<Vec<String>> {
    let help = help(words);
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
    let mut all = vec![words.iter().map(|word| (*word).to_owned()).collect()];
    for line in listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            all.extend(commands(&[words, &[name]].concat()));
        }
    }
    all
}

fn help(words: &[&str]) -> String {
    let output = Command::new(BANKD).args(words).arg("--help").stdin(Stdio::null()).env_remove("COLUMNS").output().unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_help_text_is_as_recorded() {
    let all = commands(&[]);
    assert!(all.len() > 30, "{all:?}");
    for words in &all {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        hold(&["help", &words.join("-")].join("-"), &help(&words));
    }
    let recorded = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/snapshots")).unwrap();
    let names = recorded.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let helps = names.filter(|name| name.starts_with("help-") && name.ends_with(".snap")).count();
    assert_eq!(helps, all.len(), "each recorded help text is of a command that exists");
}

#[test]
fn messages_of_money_commands_are_as_recorded() {
    let (_daemon, mut terminal) = at_a_bank();
    terminal.run(&[
        "balance Sami --pin-file pin",
        "balance Sami --pin-file pin --json",
        "balance Sami --pin-file wrong-pin",
        "balance Samy --pin-file pin",
        "balance Sami --pin-file no-such-file",
        "balance Sami --pin-file empty",
        "balance Sami --pin-file bad-pin",
        "deposit Sami 100 --pin-file pin",
        "withdraw Sami 100 --pin-file pin --json",
        "withdraw Sami 5000000 --pin-file pin",
        "withdraw Sami 5000000 --pin-file pin --json",
        "withdraw Sami 0 --pin-file pin",
        "withdraw Sami -5 --pin-file pin",
        "withdraw Sami 1.5 --pin-file pin",
        "withdraw Sami much --pin-file pin",
        "withdraw Sami much --pin-file pin --json",
        "withdraw Sami 99999999999999999999 --pin-file pin",
        "transfer Sami Kader 20 --pin-file pin",
        "transfer Sami Sami 20 --pin-file pin",
        "transfer Sami Nobody 20 --pin-file pin",
        "withdraw Sami 5 --pin-file pin --request what",
        "withdraw Sami 5 --pin-file pin --request 0123456789abcdef-9/1",
        "withdraw Sami",
        "balance Sami --pin-file pin --server nonsense",
        "balance Sami --pin-file pin --journal no/such/directory",
    ]);
    terminal.hold("messages-money");
}

#[test]
fn messages_without_a_bank_are_as_recorded() {
    let mut terminal = alone();
    terminal.run(&[
        "balance Sami --pin-file pin --timeout 1",
        "withdraw Sami 5 --pin-file pin --timeout 1",
        "withdraw Sami 5 --pin-file pin --timeout 1 --json",
        "batch empty --pin-file pin --timeout 1",
        "resolve",
        "sessions list Sami --pin-file pin --timeout 1",
        "lower ABC --timeout 1",
        "prime 7 --timeout 1",
        "account list --data-dir store",
        "account list --data-dir no-such-store",
        "account open New --data-dir store --pin-file long-pin",
        "teller add office --data-dir store --token-file long-pin",
    ]);
    terminal.hold("messages-no-bank");
}

#[test]
fn messages_of_the_operator_are_as_recorded() {
    let (_daemon, mut terminal) = at_a_bank();
    terminal.file("token", "a-token-of-24-characters\n");
    terminal.run(&[
        "account list --data-dir store",
        "account list --data-dir store --json",
        "account open New --data-dir store --pin-file long-pin",
        "account open New --data-dir store --pin-file long-pin",
        "account open Newer --data-dir store --pin-file pin",
        "account open Newer --data-dir store --pin-file bad-pin",
        "account open Newer --data-dir store --pin-file empty",
        "account lock New --data-dir store",
        "account lock New --data-dir store --json",
        "account unlock New --data-dir store",
        "account pin New --data-dir store --pin-file long-pin",
        "account close Sami --data-dir store",
        "account close New --data-dir store",
        "account lock Nobody --data-dir store",
        "teller add office --data-dir store --token-file token",
        "teller add office --data-dir store --token-file token",
        "teller add second --data-dir store --token-file pin",
        "teller revoke office --data-dir store",
        "teller revoke office --data-dir store",
        "sessions list Sami --pin-file pin",
        "withdraw Sami 20 --pin-file pin",
        "sessions list Sami --pin-file pin",
        "sessions list Sami --pin-file pin --json",
        "sessions revoke nonsense --data-dir store",
        "sessions revoke 0123456789abcdef-9 --data-dir store",
    ]);
    terminal.hold("messages-operator");
}

#[test]
fn messages_of_batches_are_as_recorded() {
    let (_daemon, mut terminal) = at_a_bank();
    terminal.file("good", "withdraw Sami 20\ndeposit Sami 30\n");
    terminal.file("unknown", "withdraw Sami 20\nborrow Sami 30\n");
    terminal.file("no-account", "withdraw Sami 20\ntransfer Sami Nobody 20\n");
    terminal.file("unfinished", "withdraw Sami 20\nwithdraw Sami 2");
    terminal.file("short", "withdraw Sami 20\nwithdraw Sami 9000000\n");
    for file in ["good", "unknown", "no-account", "unfinished", "short", "empty", "no-such-file"] {
        terminal.run(&[&format!("batch {file} --pin-file pin"), &format!("batch {file} --pin-file pin --json")]);
    }
    terminal.typed("batch --pin-file pin", "withdraw Sami 20\n");
    terminal.run(&["resolve --list", "resolve Sami --pin-file pin", "resolve Sami --pin-file pin --json"]);
    terminal.hold("messages-batch");
}

#[test]
fn messages_of_utilities_are_as_recorded() {
    let (_daemon, mut terminal) = at_a_bank();
    terminal.run(&[
        "lower HELLO",
        "lower HELLO --json",
        "prime 7",
        "prime 8",
        "prime seven",
        "prime seven --json",
        "palindrome 121",
        "palindrome 122 --json",
        "bench run --connections 0",
        "bench run --duration never",
        "prove --seconds 0",
        "proxy --listen nonsense",
        "no-such-command",
    ]);
    terminal.hold("messages-utilities");
}

#[test]
fn messages_about_stores_are_as_recorded() {
    let mut terminal = alone();
    terminal.file("accounts", "kind,name,secret,balance\naccount,Ann,123456,500\nteller,office,a-token-of-24-characters,\n");
    terminal.file("bad-accounts", "kind,name,secret,balance\naccount,Ann,123456,500\naccount,Bob,12,5\n");
    terminal.file("torn-accounts", "kind,name,secret,balance\naccount,Ann\n");
    terminal.run(&[
        "init --data-dir fresh --accounts accounts",
        "init --data-dir fresh --accounts accounts",
        "init --data-dir other --accounts bad-accounts",
        "init --data-dir other --accounts torn-accounts",
        "init --data-dir other --accounts no-such-file",
        "init --data-dir no/such/parent",
        "serve --data-dir no-such-store --listen 127.0.0.1:0",
        "serve --data-dir fresh --key-file pin --listen 127.0.0.1:0",
        "serve --data-dir fresh --key-file no-such-key --listen 127.0.0.1:0",
        "serve --data-dir fresh --listen nonsense",
        "serve --data-dir fresh --listen 192.0.2.1:7070",
        "wal verify --data-dir store",
        "wal verify --data-dir store --json",
        "wal verify --data-dir no-such-store",
        "wal dump --data-dir store",
        "wal repair --data-dir store",
        "snapshot --data-dir store copy",
        "snapshot --data-dir store copy",
        "explain what --data-dir store",
        "explain 0123456789abcdef-9/1 --data-dir store",
    ]);
    damage(&terminal.store.data());
    terminal.run(&[
        "serve --data-dir store --listen 127.0.0.1:0",
        "wal verify --data-dir store",
        "wal verify --data-dir store --json",
        "wal stat --data-dir store",
        "wal repair --data-dir store",
        "snapshot --data-dir store second-copy",
    ]);
    terminal.hold("messages-stores");
}

/// Changes a byte of the first batch of the first segment.
fn damage(store: &Path) {
    let path = store.join("0000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 300] ^= 1;
    fs::write(&path, bytes).unwrap();
}
