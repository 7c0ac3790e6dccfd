//! Golden bytes of the wire: every message of `tests/golden/wire.txt` is what the encoder writes and the decoder reads,
//! no variant is missing there, and the worked examples of `docs/protocol.md` are what goes over the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Debug;

use bankd::model::amount::Amount;
use bankd::model::codec;
use bankd::model::command::{Body, Command, Malformed, Outcome};
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, BankTime, Chain, Epoch, Lineage, Lsn, Owner, RequestId, RequestNumber, SessionId, StoreId, TellerId};
use bankd::wire::frame;
use bankd::wire::message::{
    AccountInfo, Ask, Limits, LineKind, Operation, Receipt, Refusal, Reply, Role, RunItem, SessionInfo, Statement, StatementLine, VERSION,
    Welcome,
};
use serde::{Serialize, de::DeserializeOwned};

const GOLDEN: &str = include_str!("../golden/wire.txt");
const PAGE: &str = include_str!("../../docs/protocol.md");

const SESSION: SessionId = SessionId { epoch: Epoch(0x1122_3344_5566_7788), lsn: Lsn(77) };
const INFO: SessionInfo = SessionInfo { session: SESSION, last: RequestNumber(3), acked_below: RequestNumber(2) };
const RECEIPT: Receipt = Receipt { chain: Chain([9; 32]), lsn: Lsn(79) };

fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

fn commands() -> [Command; 3] {
    let (seven, eight) = (AccountId(7), AccountId(8));
    [
        Command::Deposit { account: seven, amount: amount(1169) },
        Command::Withdraw { account: seven, amount: amount(20) },
        Command::Transfer { from: seven, to: eight, amount: amount(5) },
    ]
}

fn asks() -> Vec<(String, Ask)> {
    let (number, acked_below) = (RequestNumber(3), RequestNumber(2));
    let secret = |text: &str| Secret::new(text.to_owned());
    let [deposit, withdraw, transfer] = commands();
    let request = |command| Ask::Request { number, acked_below, command };
    let mut asks = vec![
        ("Hello", Ask::Hello { version: VERSION }),
        ("Login as customer", Ask::Login { role: Role::Customer, name: "Sami".to_owned(), secret: secret("1234") }),
        ("Login as teller", Ask::Login { role: Role::Teller, name: "T1".to_owned(), secret: secret("sesame") }),
        ("OpenSession", Ask::OpenSession),
        ("ResumeSession", Ask::ResumeSession { session: SESSION }),
        ("Request deposit", request(deposit)),
        ("Request withdraw", request(withdraw)),
        ("Request transfer", request(transfer)),
        ("Run", Ask::Run { first: number, acked_below, commands: vec![deposit, withdraw] }),
        ("Cancel", Ask::Cancel { number, acked_below }),
        ("Ack", Ask::Ack { acked_below: RequestNumber(4) }),
        ("CloseSession", Ask::CloseSession { session: SESSION }),
        ("ListSessions", Ask::ListSessions),
        ("Balance", Ask::Balance { account: AccountId(7) }),
        ("FindAccount", Ask::FindAccount { name: "Sami".to_owned() }),
        ("Lower", Ask::Lower { text: "ABC".to_owned() }),
        ("Prime", Ask::Prime { number: "97".to_owned() }),
        ("Palindrome", Ask::Palindrome { number: "-5".to_owned() }),
        ("Ping", Ask::Ping),
    ];
    asks.push(("ListSessionsAfter", Ask::ListSessionsAfter { after: Lsn(77) }));
    let (from, to) = (BankTime(1), BankTime(2));
    asks.push(("Statement", Ask::Statement { account: AccountId(7), before: Lsn(80), from, to, limit: 10, with_refused: true }));
    let zoe = || "Zoe".to_owned();
    let operations = [
        ("OpenAccount", Operation::OpenAccount { name: "Zo\u{eb}".to_owned(), pin: secret("445566"), balance: amount(12) }),
        ("CloseAccount", Operation::CloseAccount { name: zoe() }),
        ("LockAccount", Operation::LockAccount { name: zoe() }),
        ("UnlockAccount", Operation::UnlockAccount { name: zoe() }),
        ("SetPin", Operation::SetPin { name: zoe(), pin: secret("445566") }),
        ("ListAccounts", Operation::ListAccounts { from: AccountId(256) }),
        ("AddTeller", Operation::AddTeller { name: "T1".to_owned(), token: secret("sesame") }),
        ("RevokeTeller", Operation::RevokeTeller { name: "T1".to_owned() }),
        ("CloseSession", Operation::CloseSession { session: SESSION }),
    ];
    let named = asks.drain(..).map(|(name, ask)| (name.to_owned(), ask));
    named.chain(operations.map(|(name, operation)| (format!("Operate {name}"), Ask::Operate(operation)))).collect()
}

fn replies() -> Vec<(String, Reply)> {
    let number = RequestNumber(3);
    let body = Body { outcome: Outcome::Done, balance: amount(160), lsn: Lsn(78) };
    let limits = Limits { payload: 65_536, window: 1024, run: 1024 };
    let bank_time = BankTime(1_700_000_000_000_000);
    let welcome = Welcome { version: VERSION, store: StoreId([7; 16]), lineage: Lineage(SESSION.epoch.0), decimals: 2, limits, bank_time };
    let items = vec![RunItem::Answer { body, replayed: false }, RunItem::Refused(Refusal::Gap { expected: number })];
    let zoe = AccountInfo {
        account: AccountId(4),
        name: "Zoe".to_owned(),
        balance: amount(12),
        closed: false,
        locked: true,
        login_locked: false,
    };
    let replies = vec![
        ("Welcome", Reply::Welcome(welcome)),
        ("LoggedIn customer", Reply::LoggedIn { owner: Owner::Customer(AccountId(7)) }),
        ("LoggedIn teller", Reply::LoggedIn { owner: Owner::Teller(TellerId(5)) }),
        ("Session", Reply::Session(INFO)),
        ("Answer", Reply::Answer { number, body, replayed: true, receipt: RECEIPT }),
        ("RunAnswer", Reply::RunAnswer { first: number, items, receipt: RECEIPT }),
        ("Acked", Reply::Acked { acked_below: RequestNumber(4) }),
        ("Closed", Reply::Closed),
        ("Sessions", Reply::Sessions(vec![INFO])),
        ("Balance", Reply::Balance { balance: amount(160), lsn: Lsn(78) }),
        ("Account", Reply::Account { account: AccountId(7) }),
        ("Text", Reply::Text("abc".to_owned())),
        ("Truth", Reply::Truth(true)),
        ("Pong", Reply::Pong),
        ("Operated", Reply::Operated { lsn: Lsn(80) }),
        ("Accounts", Reply::Accounts(vec![zoe])),
        ("Statement", Reply::Statement(statement())),
    ];
    let named = replies.into_iter().map(|(name, reply)| (name.to_owned(), reply));
    let outcomes = outcomes().map(|outcome| {
        let body = Body { outcome, balance: Amount::ZERO, lsn: Lsn(78) };
        (format!("Answer outcome {}", outcome.code()), Reply::Answer { number, body, replayed: false, receipt: RECEIPT })
    });
    let refused = refusals().map(|(name, refusal)| (format!("Refused {name}"), Reply::Refused(refusal)));
    named.chain(outcomes).chain(refused).collect()
}

fn statement() -> Statement {
    let zoe = || (AccountId(8), "Zoe".to_owned());
    let ((account, name), (other, other_name)) = (zoe(), zoe());
    let request = Some(RequestId { session: SESSION, number: RequestNumber(3) });
    let line = |lsn, kind, moved, balance, outcome, request| {
        let (amount, balance, time) = (amount(moved), amount(balance), BankTime(1_700_000_000_000_000));
        StatementLine { lsn: Lsn(lsn), time, kind, amount, balance, outcome, request }
    };
    let lines = vec![
        line(82, LineKind::TransferFrom { account, name }, 5, 165, Outcome::Done, request),
        line(81, LineKind::TransferTo { account: other, name: other_name }, 5, 160, Outcome::InsufficientBalance, request),
        line(80, LineKind::Withdrawal, 20, 160, Outcome::Done, request),
        line(79, LineKind::Deposit, 80, 180, Outcome::Done, request),
        line(3, LineKind::Opening, 100, 100, Outcome::Done, None),
    ];
    Statement { lines, has_more: true, is_cut: false }
}

fn outcomes() -> [Outcome; 7] {
    use Outcome::{AccountClosed, AccountLocked, BalanceOverflow, Cancelled, Done, InsufficientBalance, NoSuchAccount};
    [Done, InsufficientBalance, NoSuchAccount, AccountClosed, AccountLocked, BalanceOverflow, Cancelled]
}

fn refusals() -> [(&'static str, Refusal); 30] {
    [
        ("UnsupportedVersion", Refusal::UnsupportedVersion { supported: 1 }),
        ("HelloFirst", Refusal::HelloFirst),
        ("NotLoggedIn", Refusal::NotLoggedIn),
        ("AlreadyLoggedIn", Refusal::AlreadyLoggedIn),
        ("BadLogin", Refusal::BadLogin),
        ("LoginLocked", Refusal::LoginLocked),
        ("NoSession", Refusal::NoSession),
        ("UnknownSession", Refusal::UnknownSession),
        ("StoreRolledBack", Refusal::StoreRolledBack),
        ("Gap", Refusal::Gap { expected: RequestNumber(3) }),
        ("Conflict", Refusal::Conflict),
        ("Acknowledged", Refusal::Acknowledged),
        ("WindowFull", Refusal::WindowFull),
        ("ZeroAmount", Refusal::Malformed(Malformed::ZeroAmount)),
        ("SameAccount", Refusal::Malformed(Malformed::SameAccount)),
        ("BadNumbers", Refusal::BadNumbers),
        ("NotPermitted", Refusal::NotPermitted),
        ("NoSuchAccount", Refusal::NoSuchAccount),
        ("NoSuchTeller", Refusal::NoSuchTeller),
        ("NameTaken", Refusal::NameTaken),
        ("BadName", Refusal::BadName),
        ("BalanceNotZero", Refusal::BalanceNotZero),
        ("AccountClosed", Refusal::AccountClosed),
        ("TooManySessions", Refusal::TooManySessions),
        ("Busy", Refusal::Busy),
        ("NoSpace", Refusal::NoSpace),
        ("NotAnInteger", Refusal::NotAnInteger),
        ("TextTooLong", Refusal::TextTooLong),
        ("BadMessage", Refusal::BadMessage),
        ("NoStatement", Refusal::NoStatement),
    ]
}

/// The lines of the golden file for one direction.
fn golden(direction: &str) -> BTreeMap<String, Vec<u8>> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(" | ").collect::<Vec<_>>());
    lines.filter(|fields| fields[0] == direction).map(|fields| (fields[1].to_owned(), bytes(fields[2]))).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn compare<T: Serialize + DeserializeOwned + PartialEq + Debug>(direction: &str, messages: &[(String, T)]) {
    let golden = golden(direction);
    assert_eq!(golden.len(), messages.len(), "every line has its message");
    for (name, message) in messages {
        let expected = golden.get(name).unwrap_or_else(|| panic!("no golden bytes of {name}"));
        let mut encoded = Vec::new();
        codec::encode_into(message, &mut encoded).unwrap();
        assert_eq!(&encoded, expected, "{name}");
        assert_eq!(&codec::decode::<T>(expected).unwrap(), message, "{name}");
    }
}

/// The first four bytes are the variant: those of the samples must be 0 to the last without a hole, and the one behind
/// the last must be none that decodes, so that a new variant cannot be forgotten here.
fn all_variants<T: DeserializeOwned>(direction: &str, messages: usize) {
    let seen: std::collections::BTreeSet<u32> =
        golden(direction).values().map(|payload| u32::from_le_bytes(payload[..4].try_into().unwrap())).collect();
    let next = u32::try_from(seen.len()).unwrap();
    assert!(messages >= seen.len() && seen.iter().copied().eq(0..next));
    for zeros in 0..200 {
        let mut payload = next.to_le_bytes().to_vec();
        payload.resize(4 + zeros, 0);
        assert!(codec::decode::<T>(&payload).is_err(), "variant {next} of {direction} has no golden bytes");
    }
}

#[test]
fn every_question_has_its_bytes() {
    compare("ask", &asks());
    all_variants::<Ask>("ask", asks().len());
}

#[test]
fn every_reply_has_its_bytes() {
    compare("reply", &replies());
    all_variants::<Reply>("reply", replies().len());
}

#[test]
fn every_nested_variant_is_there() {
    // One behind the last: unknown to the decoder.
    let unknown = |variant: u32| {
        (0..200).all(|zeros| {
            let mut payload = variant.to_le_bytes().to_vec();
            payload.resize(4 + zeros, 0);
            codec::decode::<Refusal>(&payload).is_err()
        })
    };
    assert!(unknown(29) && !unknown(28));
    assert!(codec::decode::<Outcome>(&7_u32.to_le_bytes()).is_err() && codec::decode::<Outcome>(&6_u32.to_le_bytes()).is_ok());
    assert!(codec::decode::<Command>(&[[3, 0, 0, 0].as_slice(), &[0; 16]].concat()).is_err(), "3 to 9 are kept for holds");
    let beyond = (0..200).map(|zeros| [[9, 0, 0, 0].as_slice(), &vec![0; zeros]].concat());
    assert!(beyond.into_iter().all(|payload| codec::decode::<Operation>(&payload).is_err()));
}

#[test]
fn the_page_shows_what_goes_over_the_wire() {
    let shown: String = PAGE.split_whitespace().collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let framed = |message: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        message(&mut out);
        hex(&out)
    };
    for name in ["Hello", "Login as customer", "Request withdraw"] {
        let ask = asks().into_iter().find(|(known, _)| known == name).unwrap().1;
        assert!(shown.contains(&framed(&|out| frame::put(&ask, out).unwrap())), "{name}");
    }
    for name in ["Welcome", "Answer", "Refused Gap"] {
        let reply = replies().into_iter().find(|(known, _)| known == name).unwrap().1;
        assert!(shown.contains(&framed(&|out| frame::put(&reply, out).unwrap())), "{name}");
    }
}

#[test]
fn the_page_names_every_refusal_with_its_number() {
    for (name, refusal) in refusals() {
        let mut encoded = Vec::new();
        codec::encode_into(&refusal, &mut encoded).unwrap();
        let number = encoded[0];
        let name = if matches!(refusal, Refusal::Malformed(_)) { "Malformed" } else { name };
        let retry = if refusal.is_retryable() { "yes" } else { "no" };
        let row =
            PAGE.lines().find(|line| line.starts_with(&format!("| {number} | `{name}"))).unwrap_or_else(|| panic!("no row of {name}"));
        assert_eq!(row.split('|').nth(4).map(str::trim), Some(retry), "{row}");
        assert!(PAGE.contains(&format!("`{}`", refusal.name())), "{name}");
    }
}
