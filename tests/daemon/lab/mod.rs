//! The lab's text protocol against the real daemon: the report's figures word for word, many clients at once, clients
//! that vanish, bytes that are no text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod transcript;

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::time::{Duration, Instant};

use self::transcript::{Text, at_the_menu, play, serve};
use crate::support::daemon::{Daemon, SAMI, Store, uninterrupted};
use bankd::model::types::RequestNumber;
use bankd::wire::message::{Ask, Reply, SessionInfo};

/// A customer's sessions, one that is opened to ask left out.
fn sessions(daemon: &Daemon, name: &str) -> Vec<SessionInfo> {
    match daemon.login(name).ask(&Ask::ListSessions) {
        Reply::Sessions(sessions) => sessions,
        other => panic!("no list: {other:?}"),
    }
}

/// Waits until that customer has no session left.
#[track_caller]
fn no_session_is_left(daemon: &Daemon, name: &str) {
    let began = Instant::now();
    while !sessions(daemon, name).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?} are left behind", sessions(daemon, name));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn transcripts() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    assert!(names.len() >= 9);
    for path in names {
        let name = path.file_name().unwrap().to_str().unwrap();
        play(name, &fs::read_to_string(&path).unwrap());
    }
}

/// Figures 7 to 9.
#[test]
fn the_servers_own_lines() {
    let store = Store::new();
    let (daemon, ports) = serve(&store, &[]);
    let mut client = at_the_menu(ports.atm, "Sami");
    let own = client.0.local_addr().unwrap().port();
    assert_eq!(client.ask("4"), "");
    let (_, logged) = daemon.stop();
    let mut lines = logged.lines().map(|line| line.split_once("[INFO] ").map_or(line, |(_, text)| text));
    for expected in [
        "Socket created successfully".to_owned(),
        "successfully Binded".to_owned(),
        "Server is listening".to_owned(),
        format!("Got connection from ('127.0.0.1', {own})"),
        format!("Disconnected from ('127.0.0.1', {own})"),
    ] {
        assert!(lines.any(|line| line == expected), "{expected} is missing, or not in its place, in:\n{logged}");
    }
    assert!(!logged.contains("1234"), "{logged}");
}

#[test]
fn balances_survive_a_kill_and_what_is_left_behind_can_be_evicted() {
    let store = Store::new();
    let (daemon, ports) = serve(&store, &[]);
    let mut client = at_the_menu(ports.atm, "Sami");
    assert_eq!(client.moves("2", "1000"), "New balance is 44720");
    assert_eq!(client.moves("3", "2000"), "New balance is 46720");
    assert_eq!(client.ask("2"), "Enter Amount : ");
    daemon.kill();
    let (daemon, ports) = serve(&store, &[]);
    assert_eq!(at_the_menu(ports.atm, "Sami").ask("1"), "Current balance is 46720");
    // A kill leaves no time to close sessions, but nothing in them is unacknowledged.
    let left = sessions(&daemon, "Sami").remove(0);
    assert_eq!((left.last, left.acked_below), (RequestNumber(2), RequestNumber(3)));
    let mut native = daemon.login("Sami");
    for _ in 0..64 {
        native.open_session();
    }
    assert!(sessions(&daemon, "Sami").iter().all(|session| session.session != left.session), "it was not evicted");
    // A clean end does leave time.
    let client = at_the_menu(ports.atm, "Kader");
    daemon.stop();
    drop(client);
    assert!(sessions(&store.serve(), "Kader").is_empty());
}

#[test]
fn everybody_has_a_dialogue_of_their_own() {
    let store = Store::new();
    let (_daemon, ports) = serve(&store, &[]);
    let customers = [("Farhan", 1_169), ("Sami", 45_720), ("Moyeed", 70_000), ("Kader", 1_200)];
    let mut clients: Vec<Text> = customers.iter().map(|(name, _)| at_the_menu(ports.atm, name)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("3"), "Enter Amount : ");
    }
    for (client, (_, balance)) in clients.iter_mut().zip(customers) {
        assert_eq!(client.ask("31"), format!("New balance is {}", balance + 31));
    }
    // Two machines, one account: each shows what the other did.
    let mut second = at_the_menu(ports.atm, "Sami");
    assert_eq!(second.moves("2", "51"), "New balance is 45700");
    assert_eq!(clients[1].ask("1"), "Current balance is 45700");
    assert_eq!(second.ask("4"), "");
    assert_eq!(clients[1].moves("2", "700"), "New balance is 45000");
}

#[test]
fn five_hundred_at_once() {
    let store = Store::new();
    let accounts = store.root().join("accounts.csv");
    let lines: String = (0..500).map(|index| format!("account,c{index},1234,{index}\n")).collect();
    fs::write(&accounts, format!("kind,name,secret,balance\n{lines}")).unwrap();
    let data = store.data();
    let made = store.bankd(&["init", "--allow-short-pins", "--data-dir", data.to_str().unwrap(), "--accounts", accounts.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (daemon, ports) = serve(&store, &[]);
    let mut clients: Vec<Text> = (0..500).map(|_| Text::connect(ports.atm)).collect();
    // Every client sends before any client reads.
    let names: Vec<String> = (0..500).map(|index| format!("c{index}")).collect();
    let words = ["1234", "3", "1000", "1", "4"];
    assert!(clients.iter_mut().all(|client| client.receive() == "Enter Your Account Name : "));
    for (client, name) in clients.iter_mut().zip(&names) {
        client.send(name);
    }
    assert!(clients.iter_mut().all(|client| client.receive() == "Enter Your Account Pin : "));
    for (step, word) in words.into_iter().enumerate() {
        for client in &mut clients {
            client.send(word);
        }
        for (index, client) in clients.iter_mut().enumerate() {
            let answer = client.receive();
            match step {
                0 => assert!(answer.starts_with("Successfully Logged in\n"), "{answer}"),
                1 => assert_eq!(answer, "Enter Amount : "),
                2 => assert_eq!(answer, format!("New balance is {}", 1_000 + index)),
                3 => assert_eq!(answer, format!("Current balance is {}", 1_000 + index)),
                _ => assert_eq!(answer, ""),
            }
        }
    }
    for name in ["c0", "c250", "c499"] {
        no_session_is_left(&daemon, name);
    }
}

#[test]
fn more_than_a_customer_may_have_get_a_line_and_room_comes_back() {
    let store = Store::new();
    let (daemon, ports) = serve(&store, &[]);
    let mut inside: Vec<Text> = (0..64).map(|_| at_the_menu(ports.atm, "Sami")).collect();
    for _ in 0..3 {
        let (mut refused, answer) = Text::login(ports.atm, "Sami");
        assert!(answer.starts_with("Sorry: too many sessions"), "{answer}");
        assert_eq!(refused.receive(), "");
    }
    // By its own word or by vanishing.
    assert_eq!(inside[0].ask("4"), "");
    inside.truncate(63);
    let began = Instant::now();
    let mut entered = Vec::new();
    while entered.len() < 2 {
        let (client, answer) = Text::login(ports.atm, "Sami");
        if answer.starts_with("Successfully") {
            entered.push(client);
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no room came back");
    }
    assert_eq!(entered[0].ask("1"), "Current balance is 45720");
    drop((inside, entered));
    no_session_is_left(&daemon, "Sami");
}

/// At each step: with the answers read, with them unread (which resets the connection), and with the last message's
/// answer not waited for.
#[test]
fn who_vanishes_leaves_nothing_behind() {
    let store = Store::new();
    let (daemon, ports) = serve(&store, &[]);
    let steps = ["Sami", "1234", "1", "3", "5", "2", "5", "4"];
    let mut honest = at_the_menu(ports.atm, "Kader");
    for length in 0..=steps.len() {
        for (reads, waits) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut client = Text::connect(ports.atm);
            assert_eq!(client.receive(), "Enter Your Account Name : ");
            for (index, step) in steps[..length].iter().enumerate() {
                client.send(&format!("{step}\n"));
                if index + 1 < length && reads || index + 1 == length && reads && waits {
                    client.receive();
                } else if waits {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            drop(client);
            assert_eq!(honest.moves("3", "1").split(' ').next(), Some("New"));
        }
    }
    no_session_is_left(&daemon, "Sami");
    let honest_balance = 1_200 + 4 * (steps.len() + 1);
    assert_eq!(honest.ask("1"), format!("Current balance is {honest_balance}"));
    // The sum moved is whole: only deposits without their withdrawals stay.
    let balance = daemon.login("Sami").balance(SAMI);
    assert_eq!((balance - 45_720) % 5, 0);
    drop(honest);
    no_session_is_left(&daemon, "Kader");
}

#[test]
fn who_stops_sending_is_still_answered() {
    let store = Store::new();
    let (daemon, ports) = serve(&store, &[]);
    let mut client = Text::connect(ports.atm);
    client.send("Sami\r\n1234\n\n3\n80\r\n2\n50000\n1");
    client.0.shutdown(Shutdown::Write).unwrap();
    let rest = client.rest();
    let end = "    Enter a valid commandEnter Amount : New balance is 45800Enter Amount : Insufficient BalanceCurrent balance is 45800";
    assert!(rest.ends_with(end), "{rest}");
    no_session_is_left(&daemon, "Sami");
}

/// `printf 'Sa'; sleep 0.02; printf 'mi\n...'`: a line that comes in pieces is one message, and lines that come at once are
/// several.
#[test]
fn a_line_that_comes_in_pieces_is_one_message() {
    let store = Store::new();
    let (daemon, ports) = serve(&store, &[]);
    let scripts: [&[&str]; 3] = [
        &["Sa", "mi\n1234\n1\n3\n1", "0\n4\n"],
        &["Sami\n1234\n3", "\n10", "00\n2\n99", "0\n1\n4", "\n"],
        &["Sami\r", "\n12", "34\r\n3\r\n5\r", "\n1\r\n", "4\r\n"],
    ];
    for (pieces, end) in scripts.into_iter().zip(["New balance is 45730", "Current balance is 45740", "Current balance is 45745"]) {
        let mut client = Text::connect(ports.atm);
        assert_eq!(client.receive(), "Enter Your Account Name : ");
        for piece in pieces {
            client.send(piece);
            std::thread::sleep(Duration::from_millis(20));
        }
        let rest = client.rest();
        assert!(rest.starts_with("Enter Your Account Pin : Successfully") && rest.ends_with(end), "{pieces:?}: {rest}");
    }
    for (address, pieces, answer) in [(ports.lower, ["HELLO ", "There\n"], "hello there"), (ports.number, ["9", "7 prime\n"], "Prime")] {
        let mut client = Text::connect(address);
        for piece in pieces {
            client.send(piece);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(client.rest(), answer);
    }
    no_session_is_left(&daemon, "Sami");
}

/// A script through `nc`: the reads of the daemon end anywhere, amounts are never cut.
#[test]
fn a_stream_of_lines_is_cut_nowhere() {
    const DEPOSITS: usize = 3_000;
    let store = Store::new();
    for piece in [600, 1_447, 16_384] {
        let (daemon, ports) = serve(&store, &[]);
        let before = daemon.login("Moyeed").balance(bankd::model::types::AccountId(2));
        let script = format!("Moyeed\n1234\n{}1\n4\n", "3\n1000000\n".repeat(DEPOSITS));
        let client = Text::connect(ports.atm);
        let mut sender = client.0.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            for (index, chunk) in script.as_bytes().chunks(piece).enumerate() {
                sender.write_all(chunk).unwrap();
                if index % 8 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let mut client = client;
        let heard = client.rest();
        sending.join().unwrap();
        let balance = before + DEPOSITS as u64 * 1_000_000;
        assert!(heard.ends_with(&format!("New balance is {balance}Current balance is {balance}")), "pieces of {piece}");
    }
}

#[test]
fn hundred_megabytes_without_a_line_end_are_closed_early() {
    let store = Store::new();
    let (daemon, ports) = serve(&store, &[]);
    let mut honest = at_the_menu(ports.atm, "Sami");
    for address in [ports.lower, ports.number, ports.atm] {
        let mut client = Text::connect(address).0;
        let block = vec![b'A'; 1 << 20];
        let sent = (0..100).take_while(|_| client.write_all(&block).is_ok()).count();
        assert!(sent < 50, "{sent} MB were taken");
        assert!(client.read_to_end(&mut Vec::new()).unwrap_or(0) < 1024);
        assert_eq!(honest.moves("3", "1").split(' ').next(), Some("New"));
    }
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let resident: u64 =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    assert!(resident < 64 << 10, "{resident} KiB resident at most");
}

#[test]
fn a_message_that_is_no_text_or_too_long_gets_a_line() {
    let store = Store::new();
    let (_daemon, ports) = serve(&store, &[]);
    for address in [ports.lower, ports.number] {
        let mut client = Text::connect(address);
        client.0.write_all(b"\xff\xfe").unwrap();
        assert_eq!(client.rest(), "Invalid input. Please send UTF-8 text.");
        let mut client = Text::connect(address);
        client.send(&"A".repeat(1_025));
        assert_eq!(client.rest(), "Invalid input. Please send at most 1024 bytes at a time.");
    }
    let mut client = Text::connect(ports.lower);
    client.send(&"A".repeat(1_024));
    assert_eq!(client.rest(), "a".repeat(1_024));
    let mut client = at_the_menu(ports.atm, "Sami");
    client.0.write_all(b"\xc3\x28").unwrap();
    assert_eq!(client.receive(), "Invalid input. Please send UTF-8 text.");
    assert_eq!(client.ask("1"), "Current balance is 45720");
    // The native protocol on the wrong port.
    let mut native = crate::support::daemon::Client::bare(ports.atm);
    native.send(&[Ask::Hello { version: 1 }]);
    let mut buffer = [0; 1024];
    let count = uninterrupted(|| native.stream.read(&mut buffer)).unwrap();
    assert!(buffer[..count].starts_with(b"Enter Your Account Name : "));
}

#[test]
fn silent_clients_delay_no_other() {
    let store = Store::new();
    let (_daemon, ports) = serve(&store, &[]);
    let silent: Vec<Text> =
        [ports.lower, ports.number, ports.atm].iter().cycle().take(300).map(|address| Text::connect(*address)).collect();
    let mut client = at_the_menu(ports.atm, "Sami");
    assert_eq!(client.moves("3", "1"), "New balance is 45721");
    assert_eq!(Text::connect(ports.number).ask("97 prime"), "Prime");
    drop(silent);
    assert_eq!(client.moves("3", "1"), "New balance is 45722");
}

/// Another client of the same customer closes the session, or takes it over.
#[test]
fn a_session_that_is_gone_ends_the_dialogue() {
    let store = Store::new();
    let (daemon, ports) = serve(&store, &[]);
    let mut client = at_the_menu(ports.atm, "Sami");
    let session = sessions(&daemon, "Sami")[0].session;
    assert_eq!(daemon.login("Sami").ask(&Ask::CloseSession { session }), Reply::Closed);
    assert_eq!(client.moves("3", "1"), "Sorry: no session is open on this connection");
    assert_eq!(client.receive(), "");
    let mut client = at_the_menu(ports.atm, "Sami");
    let session = sessions(&daemon, "Sami")[0].session;
    let mut native = daemon.login("Sami");
    assert!(matches!(native.resume(session), Reply::Session(_)));
    assert_eq!(client.receive(), "");
    // It is the other's now, and does not end with the dialogue.
    assert_eq!(sessions(&daemon, "Sami").len(), 1);
    assert_eq!(native.balance(SAMI), 45_720);
}

#[test]
fn ports_are_moved_switched_off_or_refused() {
    let store = Store::new();
    let any = "127.0.0.1:0";
    let mut daemon = Daemon::start(&store, &["--lab", "--lab-listen-lower", "off", "--lab-listen-number", any, "--lab-listen-atm", "off"]);
    assert_eq!(Text::connect(daemon.ready("lab-number")).ask("2 prime"), "Prime");
    drop(daemon);
    let taken = std::net::TcpListener::bind(any).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let data = store.data();
    let serve = |flags: &[&str]| {
        let fixed = ["serve", "--data-dir", data.to_str().unwrap(), "--listen", any, "--lab", "--lab-listen-lower", "off"];
        let output = store.bankd(&[&fixed[..], &["--lab-listen-number", "off"], flags].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for (flags, code, said) in [
        (&["--lab-listen-atm", taken.as_str()][..], 8, "cannot listen on"),
        (&["--lab-listen-atm", "0.0.0.0:0"], 8, "nothing is encrypted"),
        (&["--lab-listen-atm", "nowhere"], 2, "not an address"),
        (&["--lab-error-rate", "1.5"], 2, "from 0 to 1"),
        (&["--lab-max-transactions", "0"], 2, "0"),
    ] {
        let (found, stderr) = serve(flags);
        assert_eq!((found, stderr.contains(said)), (code, true), "{flags:?}: {stderr}");
    }
    let (code, said) = {
        let output = store.bankd(&["serve", "--data-dir", data.to_str().unwrap(), "--listen", any, "--lab-seed", "1"]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(code == Some(2) && said.contains("--lab"), "{said}");
}

#[test]
fn errors_on_purpose_keep_their_rate_and_move_nothing() {
    let store = Store::new();
    let (daemon, ports) = serve(&store, &["--lab-error-rate", "0.3", "--lab-seed", "7"]);
    let mut client = at_the_menu(ports.atm, "Sami");
    let answers: Vec<String> = (0..200).map(|_| client.moves("3", "1")).collect();
    let errors = answers.iter().filter(|answer| *answer == "Transaction error. Please try again.").count();
    assert!((40..80).contains(&errors), "{errors} of 200");
    let done = answers.iter().filter(|answer| answer.starts_with("New balance is ")).count();
    assert_eq!(errors + done, 200);
    assert_eq!(client.ask("1"), format!("Current balance is {}", 45_720 + done));
    let session = sessions(&daemon, "Sami")[0];
    assert_eq!(session.last.0, done as u64);
    let again = Store::new();
    let (_daemon, ports) = serve(&again, &["--lab-error-rate", "0.3", "--lab-seed", "7"]);
    let mut client = at_the_menu(ports.atm, "Sami");
    assert!(answers.iter().all(|answer| client.moves("3", "1") == *answer), "the same seed, other errors");
}
