//! What the bank's tests share: a bank with its log beside it, and short ways to write entries.

use bankd::bank::{Applied, Bank, LogicError, apply, apply_requests};
use bankd::model::amount::Amount;
use bankd::model::command::{Body, Command};
use bankd::model::entry::{AccountOpen, Action, Entry, LineageCause, Origin, Requests, Tag, TellerAdd};
use bankd::model::types::{AccountId, BankTime, Lineage, Lsn, Owner, RequestNumber, TellerId};

pub const OPERATOR: Owner = Owner::Operator(1000);

pub fn customer(id: u32) -> Owner {
    Owner::Customer(AccountId(id))
}

pub fn teller(id: u32) -> Owner {
    Owner::Teller(TellerId(id))
}

pub fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

pub fn tag(byte: u8) -> Tag {
    Tag { key_id: 1, salt: [byte; 16], tag: [byte; 32] }
}

pub fn genesis() -> Action {
    Action::Genesis { decimals: 2, key_check: [7; 32] }
}

pub fn lineage(lineage: u64) -> Action {
    Action::Lineage { lineage: Lineage(lineage), cause: LineageCause::Created }
}

pub fn account(name: &str, pin: u8, balance: u64) -> Action {
    Action::AccountOpen(Box::new(AccountOpen { name: name.into(), pin: tag(pin), balance: amount(balance) }))
}

pub fn add_teller(name: &str, token: u8) -> Action {
    Action::TellerAdd(Box::new(TellerAdd { name: name.into(), token: tag(token) }))
}

pub fn deposit(account: u32, units: u64) -> Command {
    Command::Deposit { account: AccountId(account), amount: amount(units) }
}

pub fn withdraw(account: u32, units: u64) -> Command {
    Command::Withdraw { account: AccountId(account), amount: amount(units) }
}

pub fn transfer(from: u32, to: u32, units: u64) -> Command {
    Command::Transfer { from: AccountId(from), to: AccountId(to), amount: amount(units) }
}

pub fn plain(owner: Owner, action: Action) -> Entry {
    Entry { owner, origin: Origin::None, action }
}

pub fn under(owner: Owner, session: u64, number: u64, acked_below: u64, action: Action) -> Entry {
    let origin = Origin::Session { session: Lsn(session), number: RequestNumber(number), acked_below: RequestNumber(acked_below) };
    Entry { owner, origin, action }
}

/// A bank, and every entry that it took.
#[derive(Default)]
pub struct Logged {
    pub bank: Bank,
    pub log: Vec<Entry>,
}

impl Logged {
    /// Accounts 0 "a" and 1 "b" with 100 each and the PIN tags 1 and 2; teller 0 "t" with the token tag 3. No sessions.
    pub fn new() -> Self {
        let mut logged = Self::default();
        for action in [genesis(), lineage(1), account("a", 1, 100), account("b", 2, 100), add_teller("t", 3)] {
            logged.operate(action);
        }
        logged
    }

    pub fn next(&self) -> u64 {
        self.bank.applied().0 + 1
    }

    /// Applies an entry as the next. An entry that is refused as one that cannot be must leave the bank as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<Applied, LogicError> {
        let before = self.bank.clone();
        let lsn = before.applied().next();
        let applied = apply(&mut self.bank, lsn, entry, time(lsn));
        match &applied {
            Ok(_) => {
                assert_eq!(self.bank.applied(), lsn);
                assert_ne!(self.bank.outcome_digest(), before.outcome_digest());
                self.log.push(entry.clone());
            }
            Err(error) => {
                assert_eq!(error.lsn, lsn);
                assert!(self.bank == before, "{entry:?} changed the bank");
            }
        }
        self.bank.check_conservation().unwrap();
        applied
    }

    pub fn operate(&mut self, action: Action) -> Applied {
        self.apply(&plain(OPERATOR, action)).unwrap()
    }

    /// Opens a session and returns its LSN.
    pub fn open(&mut self, owner: Owner) -> u64 {
        assert_eq!(self.apply(&plain(owner, Action::OpenSession { evicted: None })), Ok(Applied::SessionOpened));
        self.bank.applied().0
    }

    /// A money command under a number, acknowledging what is below another.
    pub fn request(&mut self, owner: Owner, session: u64, number: u64, acked_below: u64, command: Command) -> Body {
        match self.apply(&under(owner, session, number, acked_below, Action::Request(command))).unwrap() {
            Applied::Answer { body, replayed: false } => {
                assert_eq!(body.lsn, self.bank.applied());
                body
            }
            other => panic!("{other:?}"),
        }
    }

    /// The bank that the same entries make from their bytes.
    pub fn replay(&self) -> Bank {
        let mut bank = Bank::new();
        for entry in &self.log {
            let mut bytes = Vec::new();
            entry.encode_into(&mut bytes);
            let lsn = bank.applied().next();
            apply(&mut bank, lsn, &Entry::decode(&bytes).unwrap(), time(lsn)).unwrap();
        }
        assert!(self.replay_together() == bank, "requests that follow each other are the same one by one and together");
        bank
    }

    /// The same, with requests that follow each other applied together.
    fn replay_together(&self) -> Bank {
        let mut bank = Bank::new();
        let mut rest = self.log.as_slice();
        while let Some(entry) = rest.first() {
            let lsn = bank.applied().next();
            let followers = rest.iter().zip(lsn.0..).take_while(|(other, at)| {
                let next = requests(entry).and_then(|(first, _)| first.after((at - lsn.0) as usize));
                time(Lsn(*at)) == time(lsn) && next.is_some() && next == requests(other).map(|(other, _)| other)
            });
            let count = followers.count().max(1);
            let (together, behind) = rest.split_at(count);
            let mut told = 0;
            match requests(entry) {
                Some((first, _)) => {
                    let commands: Vec<Command> = together.iter().filter_map(requests).map(|(_, command)| command).collect();
                    apply_requests(&mut bank, lsn, &first, &commands, time(lsn), &mut |_| told += 1).unwrap();
                    assert_eq!(told, count);
                }
                None => _ = apply(&mut bank, lsn, entry, time(lsn)).unwrap(),
            }
            rest = behind;
        }
        bank
    }
}

/// A request, as the first of some.
fn requests(entry: &Entry) -> Option<(Requests, Command)> {
    match (entry.origin, &entry.action) {
        (Origin::Session { session, number: first, acked_below }, Action::Request(command)) => {
            Some((Requests { owner: entry.owner, session, first, acked_below }, *command))
        }
        _ => None,
    }
}

/// Bank time that stands still now and then.
fn time(lsn: Lsn) -> BankTime {
    BankTime(1_000_000 + lsn.0 / 3)
}
