//! Places: what strangers open can neither take the log's descriptors nor lock the operator out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::net::TcpStream;
use std::process::Command;

use crate::support::daemon::{BANKD, Client, Daemon, SAMI, Store, deposit};
use bankd::model::types::RequestNumber;
use bankd::wire::message::{Ask, Reply, VERSION};

#[test]
fn strangers_cannot_take_the_logs_descriptors() {
    let store = Store::new();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", BANKD]);
    let daemon = Daemon::start_by(limited, &store, &[]);
    let mut teller = daemon.login("Sami");
    teller.open_session();
    let mut strangers: Vec<TcpStream> = Vec::new();
    for round in 0..60_u64 {
        let more = if round < 8 { 10 } else { 0 };
        strangers.extend((0..more).map(|_| {
            let mut client = Client::bare(daemon.address);
            let mut hello = Vec::new();
            bankd::wire::frame::put(&Ask::Hello { version: VERSION }, &mut hello).unwrap();
            // Those that are one too many are closed at once.
            let _ = std::io::Write::write_all(&mut client.stream, &hello);
            client.stream
        }));
        // Several segments of 1 MiB and more.
        let first = RequestNumber(round * 1024 + 1);
        let reply = teller.ask(&Ask::Run { first, acked_below: first, commands: vec![deposit(SAMI, 1); 1024] });
        assert!(matches!(reply, Reply::RunAnswer { .. }), "{reply:?}");
    }
    let listed = store.bankd(&["account", "list", "--data-dir", store.data().to_str().unwrap()]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    assert_eq!(teller.balance(SAMI), 45_720 + 60 * 1024);
    let (code, said) = daemon.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("--max-connections is lowered from 10000 to"), "{said}");
    assert!(said.lines().filter(|line| line.contains("were closed at once")).count() <= 30, "{said}");
    assert!(said.contains("were closed at once"), "{said}");
}

#[test]
fn the_operator_has_places_of_its_own() {
    let store = Store::new();
    let daemon = Daemon::start(&store, &["--max-connections", "3"]);
    let strangers: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(daemon.address).unwrap()).collect();
    let listed = store.bankd(&["account", "list", "--data-dir", store.data().to_str().unwrap()]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    drop(strangers);
}

#[test]
fn a_daemon_for_nobody_is_refused() {
    let store = Store::new();
    assert_eq!(store.bankd(&["serve", "--demo", "--max-connections", "0"]).status.code(), Some(2));
}
