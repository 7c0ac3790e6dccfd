//! Statements against a model: after every kind of stop, with the index whole, behind, missing, damaged or of an older log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bankd::engine::{self, Engine, Movement, MovementKind, NewRecord, NewStore, Query, StoreEnv};
use bankd::model::entry::{AccountOpen, Action, Requests, Tag};
use bankd::model::types::{AccountId, BankTime, Lsn, RequestNumber, TellerId};
use bankd::{Amount, Command, Owner, Secret};

use bankd::env::sim::Random;

const TELLER: Owner = Owner::Teller(TellerId(0));
const ACCOUNTS: u32 = 6;

/// A movement as the model knows it: LSN, kind, amount, balance, outcome.
type Line = (u64, MovementKind, u64, u64, &'static str);

/// A store on a real disk, since the index is kept by threads, and what every account's statement must be.
struct Bank {
    _root: tempfile::TempDir,
    dir: PathBuf,
    key: PathBuf,
    engine: Option<Engine>,
    random: Random,
    session: Lsn,
    number: u64,
    expected: BTreeMap<AccountId, Vec<Line>>,
}

impl Bank {
    fn new(seed: u64, accounts: u32) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (dir, key) = (root.path().join("store"), root.path().join("key"));
        let secret = || Secret::new("123456789012".to_owned());
        let account = |id: u32| NewRecord::Account { name: format!("a{id}").into(), pin: secret(), balance: Amount::new(1000).unwrap() };
        let teller = NewRecord::Teller { name: "t".into(), token: secret() };
        let records = (0..accounts).map(account).chain([teller]);
        engine::create(&StoreEnv::os(), &dir, &key, NewStore::default(), records.map(Ok::<_, String>)).unwrap();
        let expected = (0..accounts).map(|id| (AccountId(id), vec![(u64::from(id) + 3, MovementKind::Opening, 1000, 1000, "done")]));
        let expected = expected.collect();
        let mut bank = Self { _root: root, dir, key, engine: None, random: Random::new(seed), session: Lsn(0), number: 0, expected };
        bank.start();
        bank
    }

    fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().unwrap()
    }

    fn start(&mut self) {
        self.engine = Some(engine::open(&StoreEnv::os(), &self.dir, &self.key).unwrap());
        self.engine().submit_open(TELLER, &|_| false).unwrap();
        self.engine().commit().unwrap();
        self.session = self.engine().apply_next().unwrap().0;
        self.number = 0;
    }

    fn stop(&mut self) {
        self.engine().close().unwrap();
        self.engine = None;
    }

    /// Requests in batches of `batch`: some are refused, one in a batch is cancelled.
    fn work(&mut self, batches: u64, batch: u64) {
        for _ in 0..batches {
            let commands: Vec<Command> = (0..batch).map(|_| self.command()).collect();
            let (session, number) = (self.session, self.number);
            let requests = Requests { owner: TELLER, session, first: RequestNumber(number + 1), acked_below: RequestNumber(number + 1) };
            let engine = self.engine.as_mut().unwrap();
            assert_eq!(engine.submit_requests(requests, &commands), commands.len());
            self.number += batch + 1;
            let last = RequestNumber(self.number);
            engine.submit_cancel(TELLER, session, last, requests.acked_below).unwrap();
            let first = engine.bank().applied().0 + 1;
            engine.commit().unwrap();
            engine.apply_requests(commands.len(), |_| {}).unwrap();
            engine.apply_next().unwrap();
            for (place, command) in commands.iter().enumerate() {
                self.expect(first + place as u64, *command);
            }
        }
    }

    fn command(&mut self) -> Command {
        let account = AccountId(self.random.below(self.expected.len() as u64) as u32);
        let amount = Amount::new(1 + self.random.below(1200)).unwrap();
        match self.random.below(3) {
            0 => Command::Deposit { account, amount },
            1 => Command::Withdraw { account, amount },
            _ => Command::Transfer { from: account, to: AccountId((account.0 + 1) % (self.expected.len() as u32 + 1)), amount },
        }
    }

    fn balance(&self, account: AccountId) -> u64 {
        self.expected.get(&account).map_or(0, |lines| lines.last().unwrap().3)
    }

    fn expect(&mut self, lsn: u64, command: Command) {
        let amount = command.amount().get();
        let own = command.account();
        let sides: Vec<(AccountId, MovementKind, i64)> = match command {
            Command::Deposit { .. } => vec![(own, MovementKind::Deposit, 1)],
            Command::Withdraw { .. } => vec![(own, MovementKind::Withdrawal, -1)],
            Command::Transfer { from, to, .. } => vec![(from, MovementKind::TransferTo(to), -1), (to, MovementKind::TransferFrom(from), 1)],
        };
        let outcome = match command {
            Command::Transfer { to, .. } if to.0 == self.expected.len() as u32 => "no_such_account",
            Command::Withdraw { .. } | Command::Transfer { .. } if self.balance(own) < amount => "insufficient_balance",
            _ => "done",
        };
        for (account, kind, sign) in sides {
            let change = if outcome == "done" { sign * amount.cast_signed() } else { 0 };
            let balance = self.balance(account).checked_add_signed(change).unwrap();
            if let Some(lines) = self.expected.get_mut(&account) {
                lines.push((lsn, kind, amount, balance, outcome));
            }
        }
    }

    /// Asks until the index is made.
    fn ask(&mut self, query: Query) -> engine::Movements {
        for _ in 0..60_000 {
            assert!(self.engine().ask_for_statement(7, query));
            let (asker, found) = loop {
                if let Some(answer) = self.engine().take_statement() {
                    break answer;
                }
                std::thread::sleep(Duration::from_micros(100));
            };
            assert_eq!(asker, 7);
            match found {
                Ok(found) => return found,
                Err(engine::Unavailable::NotReady) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        panic!("the index is never ready");
    }

    /// The movements of six accounts, page by page, are those of the model.
    fn check(&mut self, page: usize) {
        let step = self.expected.len() / 6;
        for (account, lines) in self.expected.clone().into_iter().step_by(step) {
            for with_refused in [false, true] {
                let mut expected: Vec<Line> = lines.iter().filter(|line| with_refused || line.4 == "done").copied().collect();
                expected.reverse();
                let mut query = Query { account, before: Lsn(0), from: BankTime(0), to: BankTime(u64::MAX), limit: page, with_refused };
                let mut found = Vec::new();
                loop {
                    let next = self.ask(query);
                    assert!(next.movements.len() <= page && !next.is_cut);
                    found.extend(next.movements.iter().map(line));
                    query.before = next.movements.last().map_or(Lsn(0), |last| last.lsn);
                    if !next.has_more {
                        break;
                    }
                    assert_eq!(next.movements.len(), page);
                }
                assert_eq!(found.len(), expected.len(), "account {}", account.0);
                assert!(found == expected, "account {}: {:?}", account.0, found.iter().zip(&expected).find(|(a, b)| a != b));
            }
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.dir)
    }
}

/// The files of the index in a store's directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|extension| extension == "redb")).collect();
    files.sort();
    files
}

fn line(movement: &Movement) -> Line {
    let Movement { lsn, kind, amount, balance, outcome, request, .. } = *movement;
    assert_eq!(request.is_none(), kind == MovementKind::Opening);
    (lsn.0, kind, amount.get(), balance.get(), outcome.name())
}

#[test]
fn a_statement_is_what_was_executed_whatever_happens_to_the_index() {
    let mut bank = Bank::new(1, ACCOUNTS);
    bank.work(20, 40);
    bank.check(7);
    // A clean stop writes the index; a crash does not.
    bank.stop();
    assert_eq!(bank.files().len(), 1);
    bank.start();
    bank.check(1000);
    bank.work(10, 30);
    bank.engine = None;
    bank.start();
    bank.check(64);
    // Without an index.
    bank.stop();
    bank.files().iter().for_each(|file| std::fs::remove_file(file).unwrap());
    bank.start();
    bank.check(1000);
    // With damaged files of it, at any place.
    for place in [0_u64, 50, 4096, 9000, u64::MAX] {
        bank.work(1, 5);
        bank.stop();
        for file in bank.files() {
            let mut bytes = std::fs::read(&file).unwrap();
            let place = (place as usize).min(bytes.len() - 1);
            bytes[place] ^= 1;
            std::fs::write(&file, bytes).unwrap();
        }
        bank.start();
        bank.check(1000);
    }
    // With an empty file, a foreign one, and one that is missing in the middle.
    bank.stop();
    std::fs::write(bank.dir.join("statements-unfinished.redb"), b"").unwrap();
    std::fs::write(bank.dir.join("statements-00000000000000000001-00000000000000000099-00000000.redb"), b"").unwrap();
    bank.start();
    bank.check(1000);
    bank.stop();
    let files = bank.files();
    std::fs::remove_file(&files[0]).unwrap();
    bank.start();
    bank.check(1000);
}

#[test]
fn many_parts_are_joined_and_say_the_same() {
    let mut bank = Bank::new(2, 600);
    // More than nine parts, so that eight are joined.
    for _ in 0..6 {
        bank.work(100, 1000);
        // The thread may put a log that moves so fast off: a seal calls it back.
        bank.engine().seal().unwrap();
    }
    bank.check(1000);
    bank.stop();
    let before = bank.files();
    let made = engine::index(&StoreEnv::os(), &bank.dir).unwrap();
    assert_eq!((made.first, made.parts), (Lsn(1), bank.files().len()));
    assert!(made.parts <= 8, "{made:?}");
    assert!(before.len() <= 12, "{before:?}");
    bank.start();
    bank.check(1000);
}

#[test]
fn an_index_of_another_history_is_not_believed() {
    let mut bank = Bank::new(3, ACCOUNTS);
    bank.work(3, 20);
    bank.stop();
    copy(&bank.dir, &bank.dir.with_extension("old"));
    let expected = bank.expected.clone();
    bank.start();
    bank.work(3, 20);
    bank.stop();
    // The log of before, with the index of later.
    let old = bank.dir.with_extension("old");
    files(&old).iter().for_each(|file| std::fs::remove_file(file).unwrap());
    bank.files().iter().for_each(|file| std::fs::rename(file, old.join(file.file_name().unwrap())).unwrap());
    std::fs::remove_dir_all(&bank.dir).unwrap();
    std::fs::rename(&old, &bank.dir).unwrap();
    bank.expected = expected;
    bank.start();
    bank.check(1000);
    bank.work(5, 30);
    bank.check(1000);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn times_bound_a_statement() {
    let mut bank = Bank::new(4, ACCOUNTS);
    bank.work(30, 10);
    let account = AccountId(0);
    let whole = Query { account, before: Lsn(0), from: BankTime(0), to: BankTime(u64::MAX), limit: 10_000, with_refused: false };
    let all = bank.ask(whole).movements;
    let (from, to) = (all[all.len() * 3 / 4].time, all[all.len() / 4].time);
    let between = bank.ask(Query { from, to, ..whole }).movements;
    let expected: Vec<&Movement> = all.iter().filter(|movement| (from..=to).contains(&movement.time)).collect();
    assert!(expected.len() > 3 && expected.len() < all.len());
    assert_eq!(between.iter().collect::<Vec<_>>(), expected);
    assert!(bank.ask(Query { to: BankTime(1), ..whole }).movements.is_empty());
    assert!(bank.ask(Query { from: BankTime(u64::MAX), ..whole }).movements.is_empty());
}

#[test]
fn accounts_that_are_opened_later_have_their_own_statements() {
    let mut bank = Bank::new(5, ACCOUNTS);
    let tag = Tag { key_id: 0, salt: [1; 16], tag: [2; 32] };
    let open = |name: &str| Action::AccountOpen(Box::new(AccountOpen { name: name.into(), pin: tag, balance: Amount::new(5).unwrap() }));
    // The second is refused: the name is taken. It takes no id.
    for name in ["later", "later", "last"] {
        bank.engine().submit(Owner::Operator(0), open(name)).unwrap();
    }
    bank.engine().commit().unwrap();
    for _ in 0..3 {
        bank.engine().apply_next().unwrap();
    }
    let statement = |bank: &mut Bank, id: u32| {
        let query =
            Query { account: AccountId(id), before: Lsn(0), from: BankTime(0), to: BankTime(u64::MAX), limit: 9, with_refused: true };
        let kinds: Vec<MovementKind> = bank.ask(query).movements.iter().map(|movement| movement.kind).collect();
        kinds
    };
    for _ in 0..2 {
        assert_eq!(statement(&mut bank, ACCOUNTS), [MovementKind::Opening]);
        assert_eq!(statement(&mut bank, ACCOUNTS + 1), [MovementKind::Opening]);
        let unknown = Query { account: AccountId(99), before: Lsn(0), from: BankTime(0), to: BankTime(1), limit: 1, with_refused: false };
        assert!(!bank.engine().ask_for_statement(1, unknown));
        bank.engine = None;
        bank.start();
    }
}
