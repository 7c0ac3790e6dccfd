//! The daemon as a process: starting, refusing to start, ending, hostile bytes, lockout, secrets on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::support::daemon::{Client, Daemon, FARHAN, SAMI, Store, answer, deposit, refusal, request, withdraw};
use bankd::model::types::RequestNumber;
use bankd::wire::message::{Ask, Refusal, Reply};

#[test]
fn the_demo_has_the_reports_accounts() {
    let store = Store::new();
    let daemon = store.serve();
    for (name, balance) in [("Farhan", 1_169), ("Sami", 45_720), ("Moyeed", 70_000), ("Kader", 1_200)] {
        let mut client = daemon.login(name);
        let Reply::Account { account } = client.ask(&Ask::FindAccount { name: name.to_owned() }) else { panic!("no {name}") };
        assert_eq!(client.balance(account), balance);
    }
}

#[test]
fn a_second_daemon_names_who_holds_the_store() {
    let store = Store::new();
    let daemon = store.serve();
    let (code, said) = store.serve_fails();
    assert_eq!(code, 7, "{said}");
    assert!(said.contains(&format!("process {}", daemon.child.id())), "{said}");
    daemon.kill();
    // The lock is free at once.
    store.serve();
}

#[test]
fn signals_end_it_cleanly_and_nothing_is_lost() {
    let store = Store::new();
    for (round, signal) in ["TERM", "INT"].into_iter().enumerate() {
        let daemon = store.serve();
        let mut client = daemon.login("Sami");
        client.open_session();
        client.request(1, deposit(SAMI, 1));
        daemon.signal("HUP");
        assert_eq!(client.balance(SAMI), 45_721 + round as u64);
        daemon.signal(signal);
        assert_eq!(daemon.wait().0, Some(0));
    }
    assert_eq!(store.serve().login("Sami").balance(SAMI), 45_722);
}

/// The simulated disk does it a thousand times (`tests/wal/starts.rs`); here is the real one, with whole files compared.
#[test]
fn starts_that_log_nothing_take_no_disk() {
    let store = Store::new();
    store.serve().stop();
    let taken = || {
        let names = fs::read_dir(store.data()).unwrap().map(|entry| entry.unwrap());
        // The lock names its last holder; the operator's socket goes with the next start. The manifest says whether the log was
        // closed, and so changes in place.
        let kept = names.filter(|entry| entry.file_name() != "LOCK" && entry.file_type().unwrap().is_file());
        let content = |entry: &fs::DirEntry| {
            let bytes = fs::read(entry.path()).unwrap();
            if entry.file_name() == "MANIFEST" { vec![u8::from(bytes.len() == 8192)] } else { bytes }
        };
        let mut files: Vec<_> = kept.map(|entry| (entry.file_name(), content(&entry))).collect();
        files.sort();
        files
    };
    let before = taken();
    for round in 0..12 {
        let daemon = store.serve();
        if round % 2 == 0 {
            assert_eq!(daemon.connect().ask(&Ask::Ping), Reply::Pong);
            daemon.stop();
        } else {
            daemon.kill();
        }
        assert!(taken() == before, "start {round} left something");
    }
}

#[test]
fn what_cannot_be_served_is_refused() {
    let store = Store::new();
    // No store.
    let output = store.bankd(&["serve", "--data-dir", "nowhere", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bankd init"));
    let (code, _) = store.serve().stop();
    assert_eq!(code, Some(0));
    // Another store's key, a damaged key, a loose key, no key.
    let key = store.root().join("store.key");
    let good = fs::read(&key).unwrap();
    let mut other = good.clone();
    let place = other.len() - 3;
    other[place] = if other[place] == b'0' { b'1' } else { b'0' };
    for (bytes, mode) in [(other, 0o600), (b"junk".to_vec(), 0o600), (good.clone(), 0o644)] {
        fs::write(&key, bytes).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let (code, said) = store.serve_fails();
        assert_eq!(code, 8, "{said}");
        assert!(said.contains("store.key"), "{said}");
    }
    fs::remove_file(&key).unwrap();
    assert_eq!(store.serve_fails().0, 8);
    fs::write(&key, good).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    // A store that others may read.
    fs::set_permissions(store.data(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(store.serve_fails().0, 8);
    fs::set_permissions(store.data(), fs::Permissions::from_mode(0o700)).unwrap();
    // An address that is taken, one that is open to all.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let data = store.data();
    let serve = |listen: &str| store.bankd(&["serve", "--data-dir", data.to_str().unwrap(), "--listen", listen]).status.code();
    assert_eq!(serve(&taken.local_addr().unwrap().to_string()), Some(8));
    assert_eq!(serve("0.0.0.0:0"), Some(8));
    assert_eq!(store.serve().login("Sami").balance(SAMI), 45_720);
}

#[test]
fn a_directory_that_holds_anything_else_is_left_alone() {
    let store = Store::new();
    fs::create_dir(store.data()).unwrap();
    fs::write(store.data().join("letter.txt"), "dear").unwrap();
    let output = store.bankd(&["init", "--data-dir", store.data().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&output.stderr).contains("letter.txt"));
    assert_eq!(fs::read_dir(store.data()).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "LOCK").count(), 1);
}

#[test]
fn five_wrong_pins_lock_across_kills_and_copies_cost_nothing() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.connect();
    for _ in 0..7 {
        assert_eq!(refusal(&client.login("Sami", "9999")), Refusal::BadLogin);
    }
    for pin in ["0001", "0002", "0003"] {
        assert_eq!(refusal(&client.login("Sami", pin)), Refusal::BadLogin);
    }
    assert_eq!(refusal(&client.login("Nobody", "1234")), Refusal::BadLogin);
    daemon.kill();
    let daemon = store.serve();
    let mut client = daemon.connect();
    assert_eq!(refusal(&client.login("Sami", "0004")), Refusal::BadLogin);
    assert_eq!(refusal(&client.login("Sami", "1234")), Refusal::LoginLocked);
    daemon.kill();
    let daemon = store.serve();
    assert_eq!(refusal(&daemon.connect().login("Sami", "1234")), Refusal::LoginLocked);
    assert!(matches!(daemon.connect().login("Farhan", "1234"), Reply::LoggedIn { .. }));
    let data = store.data();
    let unlocked = store.bankd(&["account", "unlock", "Sami", "--data-dir", data.to_str().unwrap()]);
    assert!(unlocked.status.success(), "{}", String::from_utf8_lossy(&unlocked.stderr));
    assert!(matches!(daemon.connect().login("Sami", "1234"), Reply::LoggedIn { .. }));
}

#[test]
fn many_guesses_in_one_read_gain_nothing() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.connect();
    let guesses: Vec<Ask> = (1000..1300)
        .map(|pin| Ask::Login {
            role: bankd::wire::message::Role::Customer,
            name: "Sami".to_owned(),
            secret: bankd::model::secret::Secret::new(pin.to_string()),
        })
        .collect();
    client.send(&guesses);
    let replies: Vec<Refusal> = guesses.iter().map(|_| refusal(&client.receive())).collect();
    assert!(replies[..5].iter().all(|refusal| *refusal == Refusal::BadLogin));
    assert!(replies[5..].iter().all(|refusal| *refusal == Refusal::LoginLocked));
}

#[test]
fn no_pin_in_the_clear_anywhere() {
    let store = Store::new();
    let accounts = store.root().join("accounts.csv");
    fs::write(&accounts, "kind,name,secret,balance\naccount,Ada,PIN-7391-PIN,5\nteller,office,TOKEN-xyzzy-TOKEN,\n").unwrap();
    let data = store.data();
    let made = store.bankd(&["init", "--data-dir", data.to_str().unwrap(), "--accounts", accounts.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::remove_file(&accounts).unwrap();
    let daemon = Daemon::start(&store, &["--log-level", "trace"]);
    let mut client = daemon.connect();
    assert!(matches!(client.login("Ada", "PIN-0000-PIN"), Reply::Refused(Refusal::BadLogin)));
    assert!(matches!(client.login("Ada", "PIN-7391-PIN"), Reply::LoggedIn { .. }));
    let (_, logged) = daemon.stop();
    let mut haystacks = vec![("the log lines".to_owned(), logged.into_bytes())];
    for entry in fs::read_dir(&data).unwrap().chain(fs::read_dir(store.root()).unwrap()) {
        let path = entry.unwrap().path();
        if path.is_file() {
            haystacks.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    assert!(haystacks.len() > 4);
    for (name, bytes) in haystacks {
        for needle in [&b"PIN-7391-PIN"[..], b"PIN-0000-PIN", b"TOKEN-xyzzy-TOKEN"] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{name} holds a secret");
        }
    }
}

#[test]
fn garbage_closes_its_own_connection_only() {
    let store = Store::new();
    let daemon = store.serve();
    let mut honest = daemon.login("Sami");
    honest.open_session();
    let garbage: [&[u8]; 5] =
        [b"GET / HTTP/1.1\r\n\r\n", &[0; 64], &[255; 64], &[4, 0, 0, 0, 9, 9, 9, 9, 1, 2, 3, 4], &[0, 0, 1, 0, 0, 0, 0, 0]];
    for (number, bytes) in garbage.into_iter().enumerate() {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        // The connection is ended by the daemon, with at most a refusal before.
        let ended = stream.read_to_end(&mut Vec::new()).map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true);
        assert!(ended, "the connection is still open");
        assert!(!answer(&honest.request(number as u64 + 1, deposit(SAMI, 1))).1);
    }
    // A message before Hello, and a second Hello.
    let mut client = Client::bare(daemon.address);
    assert_eq!(refusal(&client.ask(&Ask::Ping)), Refusal::HelloFirst);
    assert_eq!(client.try_receive(), None);
    let mut client = daemon.connect();
    assert_eq!(refusal(&client.ask(&Ask::Hello { version: 1 })), Refusal::HelloFirst);
    assert_eq!(client.try_receive(), None);
    let mut client = Client::bare(daemon.address);
    assert_eq!(refusal(&client.ask(&Ask::Hello { version: 9 })), Refusal::UnsupportedVersion { supported: 1 });
}

#[test]
fn refusals_by_content_and_by_login_record_nothing() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.connect();
    assert_eq!(refusal(&client.request(1, deposit(SAMI, 1))), Refusal::NotLoggedIn);
    assert_eq!(refusal(&client.ask(&Ask::Balance { account: SAMI })), Refusal::NotLoggedIn);
    assert_eq!(refusal(&client.ask(&Ask::OpenSession)), Refusal::NotLoggedIn);
    client.login("Sami", "1234");
    assert_eq!(refusal(&client.login("Sami", "1234")), Refusal::AlreadyLoggedIn);
    assert_eq!(refusal(&client.request(1, deposit(SAMI, 1))), Refusal::NoSession);
    assert_eq!(refusal(&client.ask(&Ask::Balance { account: FARHAN })), Refusal::NotPermitted);
    client.open_session();
    assert_eq!(refusal(&client.request(1, deposit(SAMI, 0))), Refusal::Malformed(bankd::model::command::Malformed::ZeroAmount));
    assert_eq!(refusal(&client.request(0, deposit(SAMI, 1))), Refusal::BadNumbers);
    let ahead = Ask::Request { number: RequestNumber(1), acked_below: RequestNumber(2), command: deposit(SAMI, 1) };
    assert_eq!(refusal(&client.ask(&ahead)), Refusal::BadNumbers);
    assert_eq!(
        refusal(&client.ask(&Ask::Run { first: RequestNumber(1), acked_below: RequestNumber(1), commands: vec![] })),
        Refusal::BadNumbers
    );
    assert!(!answer(&client.request(1, withdraw(SAMI, 1))).1, "the number is still free");
    for (ask, expected) in [
        (Ask::Prime { number: "97".to_owned() }, Reply::Truth(true)),
        (Ask::Palindrome { number: "007".to_owned() }, Reply::Truth(true)),
        (Ask::Lower { text: "HELLO".to_owned() }, Reply::Text("hello".to_owned())),
        (Ask::Prime { number: "ten".to_owned() }, Reply::Refused(Refusal::NotAnInteger)),
        (Ask::Lower { text: "X".repeat(40_000) }, Reply::Refused(Refusal::TextTooLong)),
        (Ask::Ping, Reply::Pong),
    ] {
        assert_eq!(daemon.connect().ask(&ask), expected);
    }
}

#[test]
fn a_frame_split_at_every_byte_is_one_request() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.open_session();
    let mut bytes = Vec::new();
    bankd::wire::frame::put(&request(1, deposit(SAMI, 1)), &mut bytes).unwrap();
    for cut in 1..bytes.len() {
        client.stream.write_all(&bytes[..cut]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        client.stream.write_all(&bytes[cut..]).unwrap();
        assert_eq!(answer(&client.receive()).1, cut > 1);
    }
    assert_eq!(client.balance(SAMI), 45_721);
}

#[test]
fn who_hangs_up_after_asking_has_asked() {
    let store = Store::new();
    let daemon = store.serve();
    let mut client = daemon.login("Sami");
    client.open_session();
    client.send(&[request(1, deposit(SAMI, 1)), request(2, deposit(SAMI, 1))]);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(!answer(&client.receive()).1);
    assert!(!answer(&client.receive()).1);
    assert_eq!(client.try_receive(), None);
}

#[test]
fn a_client_that_reads_no_replies_is_dropped_and_delays_no_other() {
    let store = Store::new();
    let daemon = store.serve();
    let mut deaf = daemon.connect();
    deaf.stream.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    bankd::wire::frame::put(&Ask::Lower { text: "A".repeat(30_000) }, &mut bytes).unwrap();
    // Sends until the daemon reads no more.
    let mut sent = 0_usize;
    let began = Instant::now();
    let mut stuck = Instant::now();
    while stuck.elapsed() < Duration::from_millis(500) && began.elapsed() < Duration::from_secs(20) {
        match deaf.stream.write(&bytes) {
            Ok(count) => {
                sent += count;
                stuck = Instant::now();
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    assert!(sent < 64 << 20, "the daemon took {sent} bytes from somebody who reads nothing");
    let mut honest = daemon.login("Sami");
    honest.open_session();
    assert!(!answer(&honest.request(1, deposit(SAMI, 1))).1);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let resident: u64 =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    assert!(resident < 128 << 10, "{resident} KiB resident");
}

#[test]
fn a_full_descriptor_table_is_survived() {
    let store = Store::new();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", crate::support::daemon::BANKD]);
    let daemon = Daemon::start_by(command, &store, &[]);
    let mut crowd: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(daemon.address).ok()).collect();
    std::thread::sleep(Duration::from_millis(200));
    crowd.clear();
    let began = Instant::now();
    loop {
        let mut client = Client::bare(daemon.address);
        client.send(&[Ask::Hello { version: 1 }]);
        if matches!(client.try_receive(), Some(Reply::Welcome(_))) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the daemon accepts nobody any more");
        std::thread::sleep(Duration::from_millis(50));
    }
}
