//! Dialogues word by word, with a bank whose replies the test chooses.

use crate::model::amount::Amount;
use crate::model::command::{Body, Command, Outcome};
use crate::model::secret::Secret;
use crate::model::types::{AccountId, Epoch, Lsn, Owner, RequestNumber, SessionId};
use crate::server::lab::dialogue::*;
use crate::server::lab::rules::{Chance, LabRules};
use crate::server::lab::text;
use crate::wire::message::{Ask, Receipt, Refusal, Reply, Role, SessionInfo};

const SESSION: SessionId = SessionId { epoch: Epoch(7), lsn: Lsn(3) };
const SAMI: AccountId = AccountId(1);
const TERMS: Terms = Terms { decimals: 0, max_transactions: None };

/// A message with a line end.
fn line(message: &str) -> String {
    if message.ends_with('\n') { message.to_owned() } else { format!("{message}\n") }
}

struct Talk {
    dialogue: Dialogue,
    chance: Chance,
}

impl Talk {
    fn new(port: Port, terms: Terms, error_rate: &str) -> Self {
        let mut out = Vec::new();
        let dialogue = Dialogue::start(port, terms, &mut out);
        assert_eq!(out, if port == Port::Atm { &b"Enter Your Account Name : "[..] } else { b"" });
        Self { dialogue, chance: Chance::new(&LabRules { error_rate: error_rate.parse().unwrap(), ..LabRules::default() }) }
    }

    /// A teller machine with a customer at the menu.
    fn at_the_menu(terms: Terms, error_rate: &str) -> Self {
        let mut talk = Self::new(Port::Atm, terms, error_rate);
        talk.says("Sami", "Enter Your Account Pin : ");
        let secret = Secret::new("1234".to_owned());
        talk.asks("1234", &Ask::Login { role: Role::Customer, name: "Sami".to_owned(), secret });
        assert_eq!(talk.replies(&Reply::LoggedIn { owner: Owner::Customer(SAMI) }), (String::new(), false));
        talk.takes(&Ask::OpenSession);
        let info = SessionInfo { session: SESSION, last: RequestNumber(0), acked_below: RequestNumber(1) };
        assert_eq!(talk.replies(&Reply::Session(info)), (text::LOGGED_IN.to_owned(), false));
        talk
    }

    fn hears(&mut self, bytes: &[u8]) -> (usize, Heard, String) {
        let mut out = Vec::new();
        let (taken, heard) = self.dialogue.next(bytes, &mut self.chance, &mut out).unwrap();
        (taken, heard, String::from_utf8(out).unwrap())
    }

    /// Sends a line that is answered at once.
    #[track_caller]
    fn says(&mut self, message: &str, answer: &str) {
        let line = line(message);
        assert_eq!(self.hears(line.as_bytes()), (line.len(), Heard::Answered, answer.to_owned()));
    }

    /// Sends a message that is answered at once, and is the last.
    #[track_caller]
    fn ends(&mut self, message: &[u8], answer: &str) {
        assert_eq!(self.hears(message), (message.len(), Heard::Over, answer.to_owned()));
    }

    /// Sends a line that becomes a request.
    #[track_caller]
    fn asks(&mut self, message: &str, question: &Ask) {
        let line = line(message);
        assert_eq!(self.hears(line.as_bytes()), (line.len(), Heard::Question, String::new()));
        self.takes(question);
    }

    /// Takes the request: it is there, it stays until it is taken, and nothing is read meanwhile.
    #[track_caller]
    fn takes(&mut self, question: &Ask) {
        assert_eq!(self.hears(b"later"), (0, Heard::Question, String::new()));
        assert_eq!(self.dialogue.question(), Some(question));
        self.dialogue.asked().unwrap();
        assert_eq!(self.dialogue.question(), None);
    }

    fn replies(&mut self, reply: &Reply) -> (String, bool) {
        let mut out = Vec::new();
        let over = self.dialogue.reply(reply, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), over)
    }

    /// A whole transaction: command, prompt, amount, request, recorded answer.
    #[track_caller]
    fn moves(&mut self, withdraw: bool, units: u64, number: u64, outcome: Outcome, answer: &str) {
        self.says(if withdraw { "2" } else { "3" }, "Enter Amount : ");
        let (account, amount) = (SAMI, Amount::new(units).unwrap());
        let command = if withdraw { Command::Withdraw { account, amount } } else { Command::Deposit { account, amount } };
        let (number, acked_below) = (RequestNumber(number), RequestNumber(number + 1));
        self.asks(&units.to_string(), &Ask::Request { number, acked_below, command });
        let body = Body { outcome, balance: Amount::new(500).unwrap(), lsn: Lsn(9) };
        let reply = Reply::Answer { number, body, replayed: false, receipt: Receipt::default() };
        assert_eq!(self.replies(&reply), (answer.to_owned(), false));
    }
}

#[test]
fn a_customer_at_the_machine() {
    let mut talk = Talk::at_the_menu(TERMS, "0");
    talk.asks("1", &Ask::Balance { account: SAMI });
    let balance = Reply::Balance { balance: Amount::new(45_720).unwrap(), lsn: Lsn(4) };
    assert_eq!(talk.replies(&balance), ("Current balance is 45720".to_owned(), false));
    talk.moves(true, 1_000, 1, Outcome::Done, "New balance is 500");
    talk.moves(true, 9_000, 2, Outcome::InsufficientBalance, "Insufficient Balance");
    talk.moves(false, 1, 3, Outcome::Done, "New balance is 500");
    for wrong in ["", "5", "0", "11", "withdraw", " 1"] {
        talk.says(&format!("{wrong}\n"), "Enter a valid command");
    }
    talk.asks("4", &Ask::CloseSession { session: SESSION });
    assert_eq!(talk.replies(&Reply::Closed), (String::new(), true));
}

#[test]
fn an_amount_that_is_none_takes_no_number() {
    let mut talk = Talk::at_the_menu(TERMS, "0");
    for (wrong, why) in [
        ("ten", "is not a number"),
        ("-5", "must not be negative"),
        ("0", "must be more than zero"),
        ("9223372036854775808", "is too large"),
        ("1.5", "has more decimals than this bank keeps (0)"),
    ] {
        talk.says("2", "Enter Amount : ");
        talk.says(wrong, &format!("Invalid amount: the amount {why}"));
    }
    talk.moves(true, 5, 1, Outcome::Done, "New balance is 500");
}

/// An unrecorded refusal leaves the number free; one for a lost session ends the dialogue.
#[test]
fn refusals_in_words() {
    let mut talk = Talk::at_the_menu(TERMS, "0");
    let command = Command::Deposit { account: SAMI, amount: Amount::new(5).unwrap() };
    let request = Ask::Request { number: RequestNumber(1), acked_below: RequestNumber(2), command };
    for (refusal, is_over) in [(Refusal::Busy, false), (Refusal::NoSpace, false), (Refusal::NoSession, true)] {
        talk.says("3", "Enter Amount : ");
        talk.asks("5", &request);
        assert_eq!(talk.replies(&Reply::Refused(refusal)), (format!("Sorry: {refusal}"), is_over));
    }
}

#[test]
fn a_wrong_pin_may_be_tried_again_and_a_lock_ends_it() {
    let mut talk = Talk::new(Port::Atm, TERMS, "0");
    for (refusal, answer) in [(Refusal::BadLogin, Some(text::BAD_LOGIN)), (Refusal::LoginLocked, None)] {
        talk.says("Sami\r\n", "Enter Your Account Pin : ");
        let secret = Secret::new("1".to_owned());
        talk.asks("1\r\n", &Ask::Login { role: Role::Customer, name: "Sami".to_owned(), secret });
        let expected = answer.map_or_else(|| format!("Sorry: {refusal}"), str::to_owned);
        assert_eq!(talk.replies(&Reply::Refused(refusal)), (expected, answer.is_none()));
    }
}

#[test]
fn errors_on_purpose_ask_nothing() {
    let mut talk = Talk::at_the_menu(TERMS, "1");
    for command in ["2", "3"] {
        talk.says(command, "Enter Amount : ");
        talk.says("150", "Transaction error. Please try again.");
        talk.says(command, "Enter Amount : ");
        talk.says("0", "Invalid amount: the amount must be more than zero");
    }
}

#[test]
fn a_login_ends_after_so_many_successes() {
    let mut talk = Talk::at_the_menu(Terms { max_transactions: Some(2), ..TERMS }, "0");
    talk.moves(false, 5, 1, Outcome::Done, "New balance is 500");
    talk.moves(true, 5_000, 2, Outcome::InsufficientBalance, "Insufficient Balance");
    talk.moves(false, 5, 3, Outcome::Done, "New balance is 500\n2 successful transactions done");
    talk.takes(&Ask::CloseSession { session: SESSION });
    assert_eq!(talk.replies(&Reply::Refused(Refusal::NoSpace)), (String::new(), true));
}

#[test]
fn one_message_one_answer() {
    for (message, question, reply, answer) in [
        ("13 prime", Ask::Prime { number: "13".to_owned() }, Reply::Truth(true), "Prime"),
        (" -4  PRIME \n", Ask::Prime { number: "-4".to_owned() }, Reply::Truth(false), "NonPrime"),
        ("x prime", Ask::Prime { number: "x".to_owned() }, Reply::Refused(Refusal::NotAnInteger), text::BAD_INPUT),
        ("6996 palindrome", Ask::Palindrome { number: "6996".to_owned() }, Reply::Truth(true), "Palindrome"),
        ("12 Palindrome", Ask::Palindrome { number: "12".to_owned() }, Reply::Truth(false), "NonPalindrome"),
    ] {
        let mut talk = Talk::new(Port::Number, TERMS, "0");
        talk.asks(message, &question);
        assert_eq!(talk.replies(&reply), (answer.to_owned(), true));
    }
    for message in ["", "13", "13 square", "13 prime now"] {
        Talk::new(Port::Number, TERMS, "0").ends(format!("{message}\n").as_bytes(), text::BAD_INPUT);
    }
    let mut talk = Talk::new(Port::Lower, TERMS, "0");
    talk.asks("HELLO\r\n", &Ask::Lower { text: "HELLO".to_owned() });
    assert_eq!(talk.replies(&Reply::Text("hello".to_owned())), ("hello".to_owned(), true));
}

#[test]
fn bytes_that_are_no_message() {
    let long = [b'x'; 2_000];
    for port in [Port::Lower, Port::Number, Port::Atm] {
        Talk::new(port, TERMS, "0").ends(&long, text::TOO_LONG);
    }
    Talk::new(Port::Lower, TERMS, "0").ends(b"\xff\n", text::NOT_UTF8);
    let mut talk = Talk::at_the_menu(TERMS, "0");
    assert_eq!(talk.hears(b"\xff\xfe\n"), (3, Heard::Answered, text::NOT_UTF8.to_owned()));
    // The dialogue's state is unchanged.
    assert_eq!(talk.hears(b""), (0, Heard::Nothing, String::new()));
    talk.moves(true, 5, 1, Outcome::Done, "New balance is 500");
}

#[test]
fn a_broken_rule_is_fatal() {
    let mut talk = Talk::new(Port::Lower, TERMS, "0");
    assert!(talk.dialogue.asked().is_err() && talk.dialogue.reply(&Reply::Pong, &mut Vec::new()).is_err());
    talk.asks("A", &Ask::Lower { text: "A".to_owned() });
    assert!(talk.dialogue.reply(&Reply::Truth(true), &mut Vec::new()).is_err());
    assert!(talk.dialogue.next(b"B\n", &mut talk.chance, &mut Vec::new()).is_err());
}
