//! A herd: a thousand clients whose bank was killed under them come back at once, and each gets its answer again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::float_arithmetic,
    missing_docs
)]

use std::fs;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::support::daemon::{Client, Store, amount, answer};
use bankd::model::command::Command;
use bankd::model::secret::Secret;
use bankd::model::types::AccountId;
use bankd::wire::message::{Ask, Reply, Role};

const CLIENTS: usize = 1_000;
const TOKEN: &str = "a token of the herd";

fn enter(address: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(address);
    let login = Ask::Login { role: Role::Teller, name: "herd".to_owned(), secret: Secret::new(TOKEN.to_owned()) };
    assert!(matches!(client.ask(&login), Reply::LoggedIn { .. }));
    client
}

#[test]
fn a_thousand_clients_come_back_after_a_kill() {
    bankd::env::os::raise_descriptor_limit();
    let store = Store::new();
    let accounts = store.root().join("accounts.csv");
    fs::write(&accounts, format!("kind,name,secret,balance\nteller,herd,{TOKEN},\naccount,Ada,314159,0\n")).unwrap();
    let data = store.data();
    let made = store.bankd(&["init", "--data-dir", data.to_str().unwrap(), "--accounts", accounts.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let daemon = store.serve();
    let address = Mutex::new(daemon.address);
    let (before, after) = (Barrier::new(CLIENTS + 1), Barrier::new(CLIENTS + 1));
    let command = Command::Deposit { account: AccountId(0), amount: amount(1) };
    std::thread::scope(|scope| {
        let herd: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let client = || {
                    let (session, first) = {
                        let mut client = enter(*address.lock().unwrap());
                        (client.open_session(), answer(&client.request(1, command)).0)
                    };
                    before.wait();
                    after.wait();
                    let target = *address.lock().unwrap();
                    let mut client = enter(target);
                    assert!(matches!(client.resume(session), Reply::Session(_)));
                    assert_eq!(answer(&client.request(1, command)), (first, true));
                    assert!(!answer(&client.request(2, command)).1);
                };
                std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, client).unwrap()
            })
            .collect();
        before.wait();
        daemon.kill();
        let daemon = store.serve();
        *address.lock().unwrap() = daemon.address;
        let began = Instant::now();
        after.wait();
        herd.into_iter().for_each(|client| client.join().unwrap());
        println!("{CLIENTS} clients served {:.2} s after the restart", began.elapsed().as_secs_f64());
        // Not a measure of speed: a client's patience.
        assert!(began.elapsed() < Duration::from_secs(30));
        drop(daemon);
    });
    let daemon = store.serve();
    assert_eq!(enter(daemon.address).balance(AccountId(0)), 2 * CLIENTS as u64);
}
