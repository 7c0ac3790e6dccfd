//! TCP has no messages: however a line client's bytes are cut and merged on their way, it hears the very same bytes. A
//! client without line ends is heard read by read, after one short silence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::time::Duration;

use bankd::server::{LabPort, Peer};

use super::Bank;

const PORTS: [LabPort; 3] = [LabPort::Lower, LabPort::Number, LabPort::Atm];
const LINE_ENDS: [&str; 3] = ["\n", "\r\n", "\r\0"];
const SILENCE: Duration = Duration::from_millis(100);
/// Between two pieces: less than a silence.
const GAP: Duration = Duration::from_millis(20);

/// What a client says on a port, line by line, and all that it hears.
fn dialogue(port: LabPort) -> (Vec<&'static str>, String) {
    match port {
        LabPort::Lower => (vec!["HELLO There"], "hello there".to_owned()),
        LabPort::Number => (vec!["97 prime"], "Prime".to_owned()),
        LabPort::Atm => {
            let words = vec!["Sami", "1111", "Sami", "1234", "1", "2", "1000", "9", "", "3", "10", "3", "1.5", "4"];
            let menu = "Successfully Logged in\n
    Enter the commands below:
    1. To check your account balance -> Press '1'
    2. To withdraw from your account -> Press '2'
    3. To deposit money in your account -> Press '3'
    4. To terminate the transaction -> Press '4'
    ";
            let heard = [
                "Enter Your Account Name : Enter Your Account Pin : Incorrect account name/pin\n",
                "Enter Your Account Name : Enter Your Account Pin : ",
                menu,
                "Current balance is 45720Enter Amount : New balance is 44720Enter a valid commandEnter a valid command",
                "Enter Amount : New balance is 44730Enter Amount : ",
                "Invalid amount: the amount has more decimals than this bank keeps (0)",
            ];
            (words, heard.concat())
        }
    }
}

/// All that a client hears whose bytes arrive in these pieces, one a turn and `gap` apart, and whether it is done with.
fn hear(port: LabPort, pieces: &[&[u8]], gap: Duration, ends: bool) -> (String, bool) {
    let mut bank = Bank::new();
    let slot = bank.service.open(Peer::Lab(port), bank.now);
    let mut heard = bank.hear(slot);
    let mut pieces = pieces.iter().filter(|piece| !piece.is_empty());
    let (mut has_ended, mut quiet) = (!ends, 0);
    while quiet < 3 && !(quiet > 0 && bank.service.is_finished(slot)) {
        bank.service.resume(bank.now).unwrap();
        quiet += 1;
        if bank.service.may_read(slot) {
            if let Some(piece) = pieces.next() {
                bank.service.receive(slot, piece, bank.now).unwrap();
                quiet = 0;
            } else if !std::mem::replace(&mut has_ended, true) {
                bank.service.end_of_input(slot);
                quiet = 0;
            }
        }
        let _ = bank.service.finish_turn(bank.now).unwrap();
        bank.service.finish_commit().unwrap();
        heard += &bank.hear(slot);
        if bank.service.has_waiting() || bank.service.has_work() {
            quiet = 0;
        }
        bank.now += gap;
    }
    bank.service.engine().bank().check_conservation().unwrap();
    (heard, bank.service.is_finished(slot))
}

/// Small numbers that look like chance, the same at each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn pieces<'a>(&mut self, mut bytes: &'a [u8], most: usize) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at((1 + self.below(most)).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

#[test]
fn a_line_client_hears_the_same_however_its_bytes_are_cut() {
    let mut dice = Dice(13);
    for port in PORTS {
        let (words, expected) = dialogue(port);
        let expected = (expected, true);
        for line_end in LINE_ENDS {
            let sent: String = words.iter().map(|word| format!("{word}{line_end}")).collect();
            let sent = sent.as_bytes();
            for gap in [Duration::ZERO, GAP] {
                assert_eq!(hear(port, &[sent], gap, false), expected, "{port:?} {line_end:?} {gap:?}");
                for cut in 1..sent.len() {
                    let (head, tail) = sent.split_at(cut);
                    assert_eq!(hear(port, &[head, tail], gap, false), expected, "{port:?} {line_end:?} {gap:?}, cut at {cut}");
                }
                let single: Vec<&[u8]> = sent.chunks(1).collect();
                assert_eq!(hear(port, &single, gap, false), expected, "{port:?} {line_end:?} {gap:?}, byte by byte");
                for most in [2, 3, 5, 8, 13, 21] {
                    let pieces = dice.pieces(sent, most);
                    assert_eq!(hear(port, &pieces, gap, false), expected, "{port:?} {line_end:?} {gap:?}, {pieces:?}");
                }
            }
        }
    }
}

/// Once a line is ended, no silence ends another; nor does one before a client's first byte.
#[test]
fn a_line_client_may_be_as_slow_as_it_likes() {
    let sent = b"Sami\n1234\n1\n2\n1000\n4\n";
    let at_once = hear(LabPort::Atm, &[sent], Duration::ZERO, false);
    for cut in 6..sent.len() {
        assert_eq!(hear(LabPort::Atm, &[&sent[..5], &sent[5..cut], &sent[cut..]], SILENCE * 5, false), at_once, "cut at {cut}");
    }
    assert!(at_once.0.ends_with("New balance is 44720") && at_once.1, "{at_once:?}");
}

#[test]
fn the_end_of_input_ends_the_last_line() {
    let mut dice = Dice(7);
    for line_end in LINE_ENDS {
        // A last CR belongs to no amount either.
        for last in ["3", "3\r"] {
            let sent = ["Sami", "1234", "3", "8", "2", last].join(line_end);
            for most in [1, 2, 4, 100] {
                let pieces = dice.pieces(sent.as_bytes(), most);
                let (heard, is_done) = hear(LabPort::Atm, &pieces, GAP, true);
                let end = "    Enter Amount : New balance is 45728Enter Amount : New balance is 45725";
                assert!(heard.ends_with(end) && is_done, "{line_end:?} {pieces:?}: {heard}");
            }
        }
    }
    for (port, sent, heard) in [(LabPort::Lower, "ABC", "abc"), (LabPort::Number, "97 prime\r", "Prime")] {
        assert_eq!(hear(port, &[sent.as_bytes()], Duration::ZERO, true), (heard.to_owned(), true));
        assert_eq!(hear(port, &[&sent.as_bytes()[..1], &sent.as_bytes()[1..]], GAP, true), (heard.to_owned(), true));
    }
    let only_a_name = ("Enter Your Account Name : Enter Your Account Pin : ".to_owned(), true);
    assert_eq!(hear(LabPort::Atm, &[b"Sami"], Duration::ZERO, true), only_a_name);
    assert_eq!(hear(LabPort::Atm, &[], Duration::ZERO, true), ("Enter Your Account Name : ".to_owned(), true));
}

#[test]
fn a_line_has_a_limit_however_it_is_cut() {
    let mut dice = Dice(5);
    for port in PORTS {
        let greeting = if port == LabPort::Atm { "Enter Your Account Name : " } else { "" };
        let expected = (format!("{greeting}Invalid input. Please send at most 1024 bytes at a time."), true);
        for line_end in ["", "\n", "\r\n", "\r\0"] {
            let sent = format!("{}{line_end}", "x".repeat(1_025));
            for most in [1, 100, 700, 5_000] {
                let pieces = dice.pieces(sent.as_bytes(), most);
                assert_eq!(hear(port, &pieces, Duration::from_millis(1), false), expected, "{port:?} {line_end:?} {most}");
            }
        }
        // A kept rest counts as well, behind a line that is not too long.
        let longest = format!("{}\n", "x".repeat(1_024));
        if port == LabPort::Atm {
            let sent = format!("{longest}{}", "y".repeat(1_025));
            for most in [1, 100, 5_000] {
                let (heard, is_done) = hear(port, &dice.pieces(sent.as_bytes(), most), Duration::ZERO, false);
                assert!(heard.contains("Account Pin : Invalid input. Please send at most 1024") && is_done, "{heard}");
            }
        }
    }
}

/// What one turn brings.
fn turn(bank: &mut Bank, slot: usize) -> String {
    bank.turn();
    bank.hear(slot)
}

/// The report's clients: no line ends, each message answered before the next one.
#[test]
fn a_client_without_line_ends_waits_once() {
    let mut bank = Bank::new();
    let slot = bank.connect();
    bank.say(slot, "Sa");
    bank.now += GAP;
    assert_eq!(turn(&mut bank, slot), "");
    bank.say(slot, "mi");
    assert_eq!(turn(&mut bank, slot), "");
    // The silence begins with the last byte.
    assert_eq!(bank.service.patience(bank.now), Some(SILENCE));
    bank.now += SILENCE - Duration::from_millis(1);
    assert_eq!((turn(&mut bank, slot), turn(&mut bank, slot)), (String::new(), String::new()));
    assert_eq!(bank.service.patience(bank.now), Some(Duration::from_millis(1)));
    bank.now += Duration::from_millis(1);
    assert_eq!(bank.service.patience(bank.now), Some(Duration::ZERO));
    assert_eq!(turn(&mut bank, slot) + &turn(&mut bank, slot) + &turn(&mut bank, slot), "Enter Your Account Pin : ");
    // No further wait, and no timer.
    assert_ne!(bank.service.patience(bank.now), Some(Duration::ZERO));
    assert!(bank.ask_bytes(slot, "1234").starts_with("Successfully Logged in"));
    assert_eq!(bank.ask_bytes(slot, "1"), "Current balance is 45720");
    assert_eq!(bank.ask_bytes(slot, "2\r"), "Enter Amount : ");
    assert_eq!(bank.ask_bytes(slot, "1000"), "New balance is 44720");
    // With a line end it becomes a line client: the rest waits, for as long as it takes.
    assert_eq!(bank.ask_bytes(slot, "3\n10"), "Enter Amount : ");
    bank.now += SILENCE * 3;
    assert_eq!(bank.ask_bytes(slot, "00"), "");
    assert_eq!(bank.ask_bytes(slot, "\n"), "New balance is 45720");
}

#[test]
fn a_client_that_goes_while_it_is_silent_leaves_nothing() {
    let mut bank = Bank::new();
    let slot = bank.connect();
    bank.say(slot, "Sami");
    bank.service.close(slot);
    bank.now += SILENCE;
    bank.turn();
    // The next one has the same slot, and a silence of its own.
    assert_eq!(bank.connect(), slot);
    bank.say(slot, "Ka");
    assert_eq!((turn(&mut bank, slot), turn(&mut bank, slot)), (String::new(), String::new()));
    bank.say(slot, "der\n");
    assert_eq!(turn(&mut bank, slot), "Enter Your Account Pin : ");
}

/// What arrived while the bank was busy, or was left in the socket, is no silence.
#[test]
fn the_banks_own_delay_is_no_silence() {
    let mut bank = Bank::new();
    let slot = bank.connect();
    bank.say(slot, "Sa");
    let _ = bank.service.finish_turn(bank.now).unwrap();
    bank.service.finish_commit().unwrap();
    bank.now += SILENCE * 20;
    bank.service.resume(bank.now).unwrap();
    bank.say(slot, "m");
    bank.service.note_unread(slot, true);
    for _ in 0..3 {
        assert_eq!(turn(&mut bank, slot), "");
        bank.now += SILENCE;
    }
    bank.service.note_unread(slot, false);
    bank.say(slot, "i\n1234\n");
    let heard: String = (0..4).map(|_| turn(&mut bank, slot)).collect();
    assert!(heard.starts_with("Enter Your Account Pin : Successfully"), "{heard}");
}
