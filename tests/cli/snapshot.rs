//! Snapshots and packed logs as an operator meets them: taken beside a running daemon, started elsewhere or in place of
//! the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::daemon::{Daemon, SAMI, Store, answer, deposit, refusal, withdraw};
use crate::support::desk::{Desk, Lose, Proxy};
use bankd::wire::message::{Refusal, Reply};

/// Takes a snapshot of one store to be another one, key and all; returns what was printed.
fn take(store: &Store, copy: &Store) -> serde_json::Value {
    // The seal comes a moment after the last answer; a snapshot goes as far as the last sealed batch.
    std::thread::sleep(Duration::from_millis(400));
    let (from, to) = (store.data(), copy.data());
    let made = store.bankd(&["snapshot", to.to_str().unwrap(), "--data-dir", from.to_str().unwrap(), "--json"]);
    assert!(made.status.success(), "{made:?}");
    assert!(fs::read_dir(&to).unwrap().all(|entry| entry.unwrap().file_name() != "store.key"), "the key is not in it");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&to).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    fs::copy(store.root().join("store.key"), copy.root().join("store.key")).unwrap();
    serde_json::from_slice(&made.stdout).unwrap()
}

fn segments(store: &Store) -> Vec<String> {
    let names = fs::read_dir(store.data()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains(".seg") && !name.ends_with(".tmp")).collect();
    names.sort();
    names
}

/// An ordinary nightly backup: copied while the daemon is stopped, and put back later. What it knows nothing of was answered
/// to clients, who still hold the ids of those sessions.
#[test]
fn a_copy_put_back_names_no_session_again() {
    let (store, copy) = (Store::new(), Store::new());
    store.serve().stop();
    let put = |from: &Store, to: &Store| {
        fs::create_dir_all(to.data()).unwrap();
        fs::set_permissions(to.data(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(from.data()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.data().join(entry.file_name())).unwrap();
        }
    };
    put(&store, &copy);
    let open = |daemon: &Daemon| {
        let mut client = daemon.login("Sami");
        let sessions: Vec<_> = (0..5).map(|_| client.open_session()).collect();
        answer(&client.request(1, deposit(SAMI, 5)));
        sessions
    };
    let daemon = store.serve();
    let lost = open(&daemon);
    daemon.stop();

    fs::remove_dir_all(store.data()).unwrap();
    put(&copy, &store);
    let daemon = store.serve();
    let new = open(&daemon);
    assert_eq!(lost.iter().map(|id| id.lsn).collect::<Vec<_>>(), new.iter().map(|id| id.lsn).collect::<Vec<_>>(), "the same places");
    assert!(lost.iter().all(|id| !new.contains(id)), "{lost:?} {new:?}");
    let mut client = daemon.login("Sami");
    for id in &lost {
        assert_eq!(refusal(&client.resume(*id)), Refusal::StoreRolledBack);
        assert_eq!(refusal(&client.ask(&bankd::wire::message::Ask::CloseSession { session: *id })), Refusal::StoreRolledBack);
    }
    // Its own go on through a further start.
    daemon.stop();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    assert!(matches!(client.resume(new[4]), Reply::Session(_)));
    assert!(answer(&client.request(1, deposit(SAMI, 5))).1);
}

#[test]
fn a_copy_taken_beside_the_daemon_is_a_bank_of_its_own() {
    let (store, copy) = (Store::new(), Store::new());
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    let session = client.open_session();
    answer(&client.request(1, deposit(SAMI, 5)));
    let made = take(&store, &copy);
    assert!(made["lsn"].as_u64().unwrap() > 6 && made["segments"].as_u64().unwrap() >= 1, "{made}");
    let into = |target: std::path::PathBuf| {
        let done = store.bankd(&["snapshot", target.to_str().unwrap(), "--data-dir", store.data().to_str().unwrap()]);
        done.status.code().unwrap()
    };
    assert_eq!((into(copy.data()), into(store.data().join("inside"))), (8, 2), "there is something already; inside the store");
    // The original goes on, and the copy knows nothing of it.
    answer(&client.request(2, withdraw(SAMI, 700)));
    let other = copy.serve();
    let mut there = other.login("Sami");
    assert_eq!(there.balance(SAMI), 45_725);
    assert_eq!(refusal(&there.resume(session)), Refusal::StoreRolledBack);
    let own = there.open_session();
    assert_ne!(own.epoch, session.epoch);
    answer(&there.request(1, withdraw(SAMI, 25)));
    assert_eq!((there.balance(SAMI), client.balance(SAMI)), (45_700, 45_025));
    let said = other.stop().1;
    assert!(said.contains("is a snapshot of the store") && said.contains("new lineage"), "{said}");
    // A second start of it is one like any other.
    let other = copy.serve();
    let mut there = other.login("Sami");
    assert!(matches!(there.resume(own), Reply::Session(_)));
    let said = other.stop().1;
    assert!(!said.contains("snapshot"), "{said}");
    let dumped = copy.bankd(&["wal", "dump", "--data-dir", copy.data().to_str().unwrap()]);
    assert!(String::from_utf8(dumped.stdout).unwrap().contains("a snapshot was started"));
}

/// A store is lost and its last snapshot put in its place. What was done since is gone; a client that was answered must
/// not take another answer for its own, and one that was not must not have its request executed as if it were new.
#[test]
fn a_store_that_was_rolled_back_to_a_snapshot_says_so_to_its_clients() {
    let (store, copy) = (Store::new(), Store::new());
    let daemon = store.serve();
    let mut desk = Desk::new(store.root(), daemon.address);
    assert_eq!(desk.pin(&["deposit", "Sami", "100"]).code, 0);
    take(&store, &copy);
    let answered = desk.pin(&["withdraw", "Sami", "820"]);
    assert_eq!((answered.code, answered.out.trim()), (0, "New balance is 45000"));
    let proxy = Proxy::start(daemon.address, Lose::Reply, usize::MAX);
    desk.server = proxy.address;
    let doubtful = desk.pin(&["withdraw", "Sami", "500", "--timeout", "1"]);
    assert_eq!(doubtful.code, 5, "{doubtful:?}");
    daemon.kill();
    fs::rename(store.data(), store.root().join("lost")).unwrap();
    fs::rename(copy.data(), store.data()).unwrap();
    let daemon = store.serve();
    desk.server = daemon.address;
    assert_eq!(desk.balance("Sami"), "45820", "both withdrawals are gone with the store");
    // The very requests again: neither is executed, and the one in doubt stays so for a client that can ask the bank.
    let again = desk.pin(&["withdraw", "Sami", "820", "--request", &answered.request()]);
    assert!(again.code == 3 && again.err.contains("rolled back"), "{again:?}");
    let again = desk.pin(&["withdraw", "Sami", "500", "--request", &doubtful.request(), "--json"]);
    assert_eq!((again.code, again.json()["outcome"].as_str()), (5, Some("unknown")), "{again:?}");
    assert!(again.err.contains("bankd explain"), "{again:?}");
    assert_eq!(desk.pin(&["resolve", "Sami"]).code, 0, "nothing is left that resending could end");
    assert_eq!(desk.balance("Sami"), "45820");
    // The receipts of that time expose the store.
    let journal = desk.journal();
    let verified = desk.run(&["wal", "verify", "--data-dir", store.data().to_str().unwrap(), "--against", journal.to_str().unwrap()]);
    assert_eq!(verified.code, 6, "{verified:?}");
    // A new request is a new one, under a new session.
    let new = desk.pin(&["withdraw", "Sami", "20"]);
    assert_eq!((new.code, new.out.trim()), (0, "New balance is 45800"));
}

/// Lives of a daemon leave segments behind that are almost empty: they are packed when the log moves on.
#[test]
fn a_daemon_packs_what_it_has_finished() {
    let store = Store::new();
    for life in 1..=3 {
        let daemon = store.serve();
        let mut client = daemon.login("Sami");
        client.open_session();
        answer(&client.request(1, deposit(SAMI, life)));
        daemon.stop();
    }
    let daemon = store.serve();
    answer(&{
        let mut client = daemon.login("Sami");
        client.open_session();
        client.request(1, deposit(SAMI, 4))
    });
    let is_packed = |names: &[String]| names.iter().filter(|name| name.ends_with(".zst")).count() >= 3;
    for _ in 0..200 {
        if is_packed(&segments(&store)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let names = segments(&store);
    assert!(is_packed(&names), "{names:?}");
    let size = |name: &String| fs::metadata(store.data().join(name)).unwrap().len();
    let packed: Vec<u64> = names.iter().filter(|name| name.ends_with(".zst")).map(size).collect();
    assert!(packed.iter().all(|bytes| *bytes < 8_192), "{packed:?}");
    daemon.kill();
    let data = store.data();
    let tool = |args: &[&str]| store.bankd(&[args, &["--data-dir", data.to_str().unwrap()]].concat());
    assert!(tool(&["wal", "verify"]).status.success());
    let stat = String::from_utf8(tool(&["wal", "stat"]).stdout).unwrap();
    assert!(stat.contains("0000000001.seg.zst") && stat.contains(" bytes in "), "{stat}");
    // Started without, it leaves the rest as it is, and reads what is packed all the same.
    let before = segments(&store);
    let daemon = Daemon::start(&store, &["--no-compress"]);
    assert_eq!(daemon.login("Sami").balance(SAMI), 45_730);
    std::thread::sleep(Duration::from_millis(300));
    let plain = |names: &[String]| names.iter().filter(|name| name.ends_with(".seg")).count();
    assert!(plain(&segments(&store)) >= plain(&before));
    drop(daemon);
    // A packed file that was changed is named.
    let path: PathBuf = data.join("0000000001.seg.zst");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, said) = store.serve_fails();
    assert!(code == 6 && said.contains("0000000001.seg.zst"), "{code}: {said}");
}
