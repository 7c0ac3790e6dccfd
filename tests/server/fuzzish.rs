//! Random and mutated bytes against everything that reads bytes of others: nothing panics, and whatever is accepted
//! is exactly what would be written for it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use bankd::model::amount::Amount;
use bankd::model::codec;
use bankd::model::command::{Body, Command, Outcome};
use bankd::model::entry::{AccountOpen, Action, Entry, LineageCause, Origin, Setting, Tag, TellerAdd};
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, Chain, Epoch, Lineage, Lsn, Owner, RequestNumber, SessionId, TellerId};
use bankd::wire::fixed::asks;
use bankd::wire::frame::{self, Front};
use bankd::wire::message::{Ask, MAX_RUN, Operation, Receipt, Refusal, Reply, Role, RunItem, SessionInfo};
use proptest::prelude::*;
use proptest::sample::select;
use serde::{Serialize, de::DeserializeOwned};

const CASES: u32 = 20_000;

/// One change to some bytes. Places are taken modulo the length.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(usize, u8),
    Set(usize, u8),
    Word(usize, u32),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let word = prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(1 << 31), 0..64_u32, any::<u32>()];
    prop_oneof![
        (any::<usize>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<usize>(), word).prop_map(|(at, word)| Mutation::Word(at, word)),
        any::<usize>().prop_map(Mutation::Cut),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (any::<usize>(), 1..64_usize).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len().max(1);
    match mutation {
        _ if bytes.is_empty() => bytes.push(0),
        Mutation::Flip(at, bit) => bytes[at % length] ^= 1 << bit,
        Mutation::Set(at, byte) => bytes[at % length] = *byte,
        Mutation::Word(at, word) => {
            for (byte, new) in bytes.iter_mut().skip(at % length).zip(word.to_le_bytes()) {
                *byte = new;
            }
        }
        Mutation::Cut(at) => bytes.truncate(at % length),
        Mutation::Insert(at, new) => {
            let at = at % length;
            bytes.splice(at..at, new.iter().copied());
        }
        Mutation::Repeat(at, count) => {
            let at = at % length;
            let part = bytes[at..(at + count).min(length)].to_vec();
            bytes.extend(part);
        }
    }
}

fn mutated(base: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (base, prop::collection::vec(mutation(), 0..4)).prop_map(|(mut bytes, mutations)| {
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        bytes
    })
}

fn random() -> impl Strategy<Value = Vec<u8>> {
    // Small first bytes reach further: they are lengths, kinds and variants.
    (prop::collection::vec(0..32_u8, 0..24), prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(mut head, tail)| {
        head.extend(tail);
        head
    })
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode_into(value, &mut out).unwrap();
    out
}

fn framed<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put(value, &mut out).unwrap();
    out
}

fn written(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    entry.encode_into(&mut out);
    out
}

/// Decodes; what is accepted must be these very bytes again. Returns whether it was accepted.
fn exact<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> bool {
    let Ok(value) = codec::decode::<T>(bytes) else { return false };
    assert_eq!(encoded(&value), bytes);
    true
}

/// What is read by hand is what the codec reads, and all that it reads of these messages.
fn same_by_hand(bytes: &[u8]) {
    let mut commands = Vec::new();
    let run = asks::run(bytes, &mut commands);
    let by_hand = asks::ask(bytes).or_else(|| run.map(|(first, acked_below)| Ask::Run { first, acked_below, commands }));
    let is_hot = |ask: &Ask| match ask {
        Ask::Run { commands, .. } => commands.len() <= MAX_RUN,
        ask => matches!(ask, Ask::Request { .. } | Ask::Balance { .. }),
    };
    assert_eq!(by_hand, codec::decode(bytes).ok().filter(is_hot));
}

fn exact_entry(bytes: &[u8]) -> bool {
    let Ok(entry) = Entry::decode(bytes) else { return false };
    assert_eq!(written(&entry), bytes);
    true
}

/// Several requests in a record: the first whole, of the others the commands.
fn joined(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match entry.action {
            Action::Request(command) if index > 0 => command.encode_into(&mut out),
            _ => entry.encode_into(&mut out),
        }
    }
    out
}

fn exact_record(bytes: &[u8], count: u32) -> bool {
    let Ok(entries) = Entry::all(bytes, count).collect::<Result<Vec<_>, _>>() else { return false };
    assert_eq!((entries.len(), joined(&entries).as_slice()), (count as usize, bytes));
    true
}

/// What `front` says must hold for the bytes, and for every longer buffer that begins with them.
fn judge_front(bytes: &[u8]) {
    let mut longer = bytes.to_vec();
    longer.push(0x5A);
    match frame::front(bytes) {
        Ok(Front::Whole { payload, consumed }) => {
            assert!((1..=frame::MAX_PAYLOAD).contains(&payload.len()) && consumed == frame::HEADER + payload.len());
            assert_eq!(&bytes[frame::HEADER..consumed], payload);
            assert_eq!(u32::from_le_bytes(bytes[4..8].try_into().unwrap()), crc32fast::hash(payload));
            assert_eq!(frame::front(&longer), frame::front(bytes));
            assert!(matches!(frame::front(&bytes[..consumed - 1]), Ok(Front::Incomplete(1))));
        }
        Ok(Front::Incomplete(more)) => {
            assert!(more > 0 && bytes.len() + more <= frame::HEADER + frame::MAX_PAYLOAD);
        }
        Err(_) => assert_eq!(frame::front(&longer), frame::front(bytes)),
    }
}

fn asks() -> Vec<Ask> {
    let (number, session) = (RequestNumber(3), SessionId { epoch: Epoch(5), lsn: Lsn(9) });
    let command = Command::Transfer { from: AccountId(1), to: AccountId(2), amount: Amount::MAX };
    let secret = || Secret::new("271828".to_owned());
    vec![
        Ask::Hello { version: 1 },
        Ask::Login { role: Role::Teller, name: "Sami".to_owned(), secret: secret() },
        Ask::OpenSession,
        Ask::ResumeSession { session },
        Ask::Request { number, acked_below: number, command },
        Ask::Run { first: number, acked_below: number, commands: vec![command; 3] },
        Ask::Cancel { number, acked_below: number },
        Ask::Ack { acked_below: number },
        Ask::ListSessions,
        Ask::Balance { account: AccountId(7) },
        Ask::FindAccount { name: "Kader".to_owned() },
        Ask::Lower { text: "CAF\u{c9}".to_owned() },
        Ask::Prime { number: "97".to_owned() },
        Ask::Operate(Operation::OpenAccount { name: "New".to_owned(), pin: secret(), balance: Amount::ZERO }),
        Ask::Operate(Operation::CloseSession { session }),
    ]
}

fn replies() -> Vec<Reply> {
    let body = Body { outcome: Outcome::Done, balance: Amount::MAX, lsn: Lsn(7) };
    let receipt = Receipt { chain: Chain([7; 32]), lsn: Lsn(8) };
    let session = SessionId { epoch: Epoch(5), lsn: Lsn(9) };
    let info = SessionInfo { session, last: RequestNumber(2), acked_below: RequestNumber(1) };
    let items = vec![RunItem::Answer { body, replayed: true }, RunItem::Refused(Refusal::Gap { expected: RequestNumber(2) })];
    vec![
        Reply::LoggedIn { owner: Owner::Customer(AccountId(1)) },
        Reply::Session(info),
        Reply::Answer { number: RequestNumber(3), body, replayed: false, receipt },
        Reply::RunAnswer { first: RequestNumber(3), items, receipt },
        Reply::Sessions(vec![info; 2]),
        Reply::Text("text".to_owned()),
        Reply::Truth(true),
        Reply::Refused(Refusal::Malformed(bankd::model::command::Malformed::SameAccount)),
    ]
}

fn entries() -> Vec<Entry> {
    let tag = Tag { key_id: 1, salt: [2; 16], tag: [3; 32] };
    let session = Origin::Session { session: Lsn(9), number: RequestNumber(4), acked_below: RequestNumber(3) };
    let plain = |action| Entry { owner: Owner::Operator(1000), origin: Origin::None, action };
    let under = |action| Entry { owner: Owner::Customer(AccountId(5)), origin: session, action };
    vec![
        plain(Action::Genesis { decimals: 2, key_check: [7; 32] }),
        plain(Action::Lineage { lineage: Lineage(8), cause: LineageCause::Repaired }),
        plain(Action::Start(Epoch(9))),
        plain(Action::Setting { setting: Setting::Window, value: 12 }),
        plain(Action::AccountOpen(Box::new(AccountOpen { name: "Sami".into(), pin: tag, balance: Amount::MAX }))),
        plain(Action::AccountLock(AccountId(1))),
        plain(Action::AccountPin(AccountId(1), Box::new(tag))),
        plain(Action::TellerAdd(Box::new(TellerAdd { name: "x".repeat(64).into(), token: tag }))),
        plain(Action::TellerRevoke(TellerId(1))),
        plain(Action::LoginAttempt(Box::new([9; 32]))),
        plain(Action::OpenSession { evicted: Some(Lsn(3)) }),
        under(Action::Ack),
        under(Action::Cancel),
        under(Action::Request(Command::Deposit { account: AccountId(5), amount: Amount::MAX })),
    ]
}

/// Three requests that follow each other.
fn three() -> Vec<Entry> {
    let amount = Amount::MAX;
    let commands = [
        Command::Withdraw { account: AccountId(5), amount },
        Command::Transfer { from: AccountId(5), to: AccountId(6), amount },
        Command::Deposit { account: AccountId(5), amount },
    ];
    let entry = |(number, command)| Entry {
        owner: Owner::Teller(TellerId(1)),
        origin: Origin::Session { session: Lsn(9), number: RequestNumber(number), acked_below: RequestNumber(4) },
        action: Action::Request(command),
    };
    (4..).zip(commands).map(entry).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused_or_exact(bytes in random()) {
        judge_front(&bytes);
        exact::<Ask>(&bytes);
        same_by_hand(&bytes);
        exact::<Reply>(&bytes);
        exact_entry(&bytes);
        exact_record(&bytes, 2);
    }

    #[test]
    fn mutated_frames_are_refused_or_whole(bytes in mutated(select(asks().iter().map(framed).collect::<Vec<_>>()))) {
        judge_front(&bytes);
    }

    #[test]
    fn mutated_asks_are_refused_or_exact(bytes in mutated(select(asks().iter().map(encoded).collect::<Vec<_>>()))) {
        exact::<Ask>(&bytes);
        same_by_hand(&bytes);
    }

    #[test]
    fn mutated_replies_are_refused_or_exact(bytes in mutated(select(replies().iter().map(encoded).collect::<Vec<_>>()))) {
        exact::<Reply>(&bytes);
    }

    #[test]
    fn mutated_entries_are_refused_or_exact(bytes in mutated(select(entries().iter().map(written).collect::<Vec<_>>()))) {
        exact_entry(&bytes);
    }

    #[test]
    fn mutated_records_are_refused_or_exact(bytes in mutated(Just(joined(&three()))), count in 1..5_u32) {
        exact_record(&bytes, count);
    }
}

/// The properties above would hold of readers that refuse everything: these do not.
#[test]
fn the_unmutated_are_accepted() {
    assert!(asks().iter().all(|ask| exact::<Ask>(&encoded(ask))));
    assert!(replies().iter().all(|reply| exact::<Reply>(&encoded(reply))));
    assert!(entries().iter().all(|entry| exact_entry(&written(entry))));
    assert!(exact_record(&joined(&three()), 3));
    for ask in asks() {
        let bytes = framed(&ask);
        assert!(matches!(frame::front(&bytes), Ok(Front::Whole { consumed, .. }) if consumed == bytes.len()));
        judge_front(&bytes);
    }
}
