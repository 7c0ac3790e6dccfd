//! The small bank's server: one thread a connection, one lock around state and log, and the flaws.
//!
//! Left out: the effect of entries (`books.rs`).

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::Flaw;
use super::books::{Books, Reply as Recorded};
use crate::env::Env;
use crate::model::amount::Amount;
use crate::model::codec;
use crate::model::command::{Body, Command, Outcome};
use crate::model::entry::{AccountOpen, Action, Entry, LineageCause, Origin, Tag, TellerAdd};
use crate::model::types::{AccountId, BankTime, Lineage, Lsn, Owner, RequestNumber, SessionId, StoreId, TellerId};
use crate::prove::actors::arena::{ACCOUNTS, OPENING, TELLERS, customer_name, teller_name};
use crate::prove::proxy::lane::next_frame;
use crate::prove::proxy::lock;
use crate::wal::{self, Full, Log, Preparer, SegmentSizes, WalError};
use crate::wire::frame::{self, Front, MAX_PAYLOAD};
use crate::wire::message::{self, Ask, Limits, Receipt, Refusal, Reply, Role, SessionInfo, Welcome};

/// Time between two syncs with [`Flaw::ApplyBeforeLog`].
const EARLY: Duration = Duration::from_millis(40);
/// Time between two syncs with [`Flaw::ReplyBeforeSync`].
const LAZY: Duration = Duration::from_millis(120);
/// Polling interval of a request that waits for the sync.
const LOOK: Duration = Duration::from_millis(2);
/// Small segments, so that a short run has many.
const SIZES: SegmentSizes = SegmentSizes { first: 64 << 10, max: 1 << 20 };

/// Why the small bank cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SmallBankError {
    /// Its log cannot be opened or written.
    #[error("{0}")]
    Log(#[from] WalError),
    /// A system call failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Its log is full.
    #[error("{0}")]
    Full(#[from] Full),
}

struct Bank {
    books: Books,
    log: Log,
    store: StoreId,
    flaw: Option<Flaw>,
}

/// The state of a connection.
#[derive(Default)]
struct Peer {
    owner: Option<Owner>,
    session: Option<SessionId>,
}

/// Serves the store in `dir` on a free port of 127.0.0.1 until the process ends. Creates the store if there is none, and
/// passes the address to `ready`.
///
/// # Errors
/// [`SmallBankError`].
pub fn serve(env: &Env, dir: &Path, flaw: Option<Flaw>, ready: &dyn Fn(SocketAddr)) -> Result<(), SmallBankError> {
    let bank = Arc::new(Mutex::new(Bank::open(env, dir, flaw)?));
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    ready(listener.local_addr()?);
    let pause = match flaw {
        Some(Flaw::ReplyBeforeSync) => Some(LAZY),
        Some(Flaw::ApplyBeforeLog) => Some(EARLY),
        _ => None,
    };
    if let Some(pause) = pause {
        let bank = Arc::clone(&bank);
        thread::spawn(move || {
            loop {
                thread::sleep(pause);
                lock(&bank).commit();
            }
        });
    }
    for stream in listener.incoming().flatten() {
        let bank = Arc::clone(&bank);
        thread::spawn(move || converse(&bank, &stream));
    }
    Ok(())
}

fn converse(bank: &Mutex<Bank>, mut stream: &TcpStream) {
    let mut peer = Peer::default();
    let (mut input, mut output) = (Vec::new(), Vec::new());
    // Without it the connection is only slower.
    let _ = stream.set_nodelay(true);
    while let Some(message) = next_frame(&mut stream, &mut input) {
        let ask = match frame::front(&message) {
            Ok(Front::Whole { payload, .. }) => codec::decode(payload).ok(),
            _ => None,
        };
        let reply = match ask {
            Some(ask) => answer(bank, &mut peer, ask).unwrap_or_else(Reply::Refused),
            None => return,
        };
        output.clear();
        if frame::put(&reply, &mut output).is_err() || stream.write_all(&output).is_err() {
            return;
        }
    }
}

fn answer(shared: &Mutex<Bank>, peer: &mut Peer, ask: Ask) -> Result<Reply, Refusal> {
    let mut bank = lock(shared);
    match ask {
        Ask::Hello { .. } => return Ok(Reply::Welcome(bank.welcome())),
        Ask::Login { role, name, .. } => {
            let owner = bank.find(role, &name).ok_or(Refusal::BadLogin)?;
            peer.owner = Some(owner);
            return Ok(Reply::LoggedIn { owner });
        }
        Ask::Ping => return Ok(Reply::Pong),
        _ => {}
    }
    let owner = peer.owner.ok_or(Refusal::NotLoggedIn)?;
    let joined = peer.session.ok_or(Refusal::NoSession);
    match ask {
        Ask::OpenSession => {
            let entry = Entry { owner, origin: Origin::None, action: Action::OpenSession { evicted: None } };
            let (lsn, _) = bank.log_and_apply(&entry);
            bank.commit();
            let session = SessionId { epoch: bank.books.lineage.into(), lsn };
            peer.session = Some(session);
            Ok(Reply::Session(SessionInfo { session, last: RequestNumber(0), acked_below: RequestNumber(1) }))
        }
        Ask::ResumeSession { session } => {
            let info = bank.session(owner, session)?;
            peer.session = Some(session);
            Ok(Reply::Session(info))
        }
        Ask::Request { number, acked_below, command } => {
            command.check().map_err(Refusal::Malformed)?;
            if !command.is_permitted_to(owner) {
                return Err(Refusal::NotPermitted);
            }
            numbered(shared, bank, owner, joined?, (number, acked_below), Some(command))
        }
        Ask::Cancel { number, acked_below } => numbered(shared, bank, owner, joined?, (number, acked_below), None),
        Ask::Ack { acked_below } => {
            bank.under(owner, joined?, (RequestNumber(0), acked_below), Action::Ack);
            bank.commit();
            Ok(Reply::Acked { acked_below })
        }
        Ask::CloseSession { session } => {
            bank.session(owner, session)?;
            bank.under(owner, session, (RequestNumber(0), RequestNumber(0)), Action::CloseSession);
            bank.commit();
            Ok(Reply::Closed)
        }
        Ask::ListSessions => Ok(Reply::Sessions(bank.sessions_of(owner))),
        Ask::ListSessionsAfter { after } => {
            let sessions = bank.sessions_of(owner).into_iter();
            Ok(Reply::Sessions(sessions.filter(|info| info.session.lsn > after).collect()))
        }
        Ask::Balance { account } if matches!(owner, Owner::Teller(_)) || owner == Owner::Customer(account) => {
            let balance = bank.books.balance(account).ok_or(Refusal::NoSuchAccount)?;
            Ok(Reply::Balance { balance, lsn: bank.books.applied })
        }
        Ask::FindAccount { name } => match bank.find(Role::Customer, &name) {
            Some(Owner::Customer(account)) => Ok(Reply::Account { account }),
            _ => Err(Refusal::NoSuchAccount),
        },
        _ => Err(Refusal::NotPermitted),
    }
}

/// Answers a request, or a cancellation if there is no command. Its number is used, the next, or ahead of the next.
fn numbered<'a>(
    shared: &'a Mutex<Bank>,
    mut bank: MutexGuard<'a, Bank>,
    owner: Owner,
    session: SessionId,
    numbers: (RequestNumber, RequestNumber),
    command: Option<Command>,
) -> Result<Reply, Refusal> {
    let flaw = bank.flaw;
    let number = numbers.0;
    let state = bank.books.sessions.get(&session.lsn).ok_or(Refusal::UnknownSession)?;
    let known = state.replies.get(&number.0).copied();
    let is_known = number.0 <= state.last;
    let expected = RequestNumber(state.last.saturating_add(1));
    let is_executed = match (known, command) {
        (Some(_), Some(_)) if flaw == Some(Flaw::NoDedupe) => true,
        (Some(Recorded { command: None, .. }), Some(_)) if flaw == Some(Flaw::LateCopyAfterCancel) => true,
        (Some(Recorded { command: Some(before), .. }), Some(now)) if before != now => return Err(Refusal::Conflict),
        (Some(Recorded { body, .. }), _) => return Ok(bank.reply(number, body, true)),
        // Declined before and not recorded.
        (None, Some(_)) if is_known && flaw == Some(Flaw::RefusalsNotCached) => true,
        (None, _) if is_known => return Err(Refusal::Acknowledged),
        (None, _) => number == expected || state.is_forgotten || (flaw == Some(Flaw::GapExecuted) && command.is_some()),
    };
    if !is_executed {
        return Err(Refusal::Gap { expected });
    }
    if let Some(command) = command
        && flaw == Some(Flaw::RefusalsNotCached)
    {
        let (outcome, balance) = bank.books.judge(&command);
        if outcome != Outcome::Done {
            if let Some(state) = bank.books.sessions.get_mut(&session.lsn) {
                state.last = state.last.max(number.0);
            }
            let body = Body { outcome, balance, lsn: bank.books.applied };
            return Ok(bank.reply(number, body, false));
        }
    }
    let action = command.map_or(Action::Cancel, Action::Request);
    let (lsn, body) = bank.under(owner, session, numbers, action);
    let body = body.ok_or(Refusal::UnknownSession)?;
    match flaw {
        Some(Flaw::ReplyBeforeSync) => {}
        Some(Flaw::ApplyBeforeLog) => {
            while bank.log.end_lsn() < lsn {
                drop(bank);
                thread::sleep(LOOK);
                bank = lock(shared);
            }
        }
        _ => bank.commit(),
    }
    Ok(bank.reply(number, body, false))
}

impl Bank {
    fn open(env: &Env, dir: &Path, flaw: Option<Flaw>) -> Result<Self, SmallBankError> {
        let mut random = [0; 8];
        env.entropy.fill(&mut random)?;
        let random = u64::from_le_bytes(random);
        let mut books = Books::default();
        if wal::exists(&*env.disk, dir)? {
            let recovered = wal::recover(&*env.disk, dir, &mut |batch| {
                for record in batch.records() {
                    for (lsn, entry) in (record.first.0..).zip(Entry::all(record.bytes, record.count)) {
                        books.apply(Lsn(lsn), &entry.map_err(|error| error.to_string())?);
                    }
                }
                Ok(())
            })?;
            books.restarted(flaw);
            let store = recovered.store;
            let log = Log::start(env.disk.clone(), dir, recovered, SIZES, random, Preparer::Inline)?;
            return Ok(Self { books, log, store, flaw });
        }
        env.disk.create_dir(dir)?;
        let store = StoreId([7; 16]);
        let log = Log::create(env.disk.clone(), dir, store, SIZES, random, Preparer::Inline)?;
        let mut bank = Self { books, log, store, flaw };
        bank.begin(random);
        bank.log.publish()?;
        Ok(bank)
    }

    /// Writes the first entries: the accounts and tellers of every test run.
    fn begin(&mut self, lineage: u64) {
        let tag = Tag { key_id: 0, salt: [1; 16], tag: [1; 32] };
        let mut actions = vec![
            Action::Genesis { decimals: 0, key_check: [1; 32] },
            Action::Lineage { lineage: Lineage(lineage), cause: LineageCause::Created },
        ];
        let balance = Amount::new(OPENING).unwrap_or_default();
        for number in 0..ACCOUNTS {
            actions.push(Action::AccountOpen(Box::new(AccountOpen { name: customer_name(number).into(), pin: tag, balance })));
        }
        for number in 0..TELLERS {
            actions.push(Action::TellerAdd(Box::new(TellerAdd { name: teller_name(number).into(), token: tag })));
        }
        for action in actions {
            self.log_and_apply(&Entry { owner: Owner::Nobody, origin: Origin::None, action });
        }
        self.commit();
    }

    /// Appends an entry to the open batch and applies it.
    fn log_and_apply(&mut self, entry: &Entry) -> (Lsn, Option<Body>) {
        let lsn = match self.log.append(|out| entry.encode_into(out)) {
            Ok(lsn) => lsn,
            Err(_) => {
                self.commit();
                self.log.append(|out| entry.encode_into(out)).unwrap_or_else(|full| give_up(&full))
            }
        };
        (lsn, self.books.apply(lsn, entry))
    }

    fn under(
        &mut self,
        owner: Owner,
        session: SessionId,
        (number, acked_below): (RequestNumber, RequestNumber),
        action: Action,
    ) -> (Lsn, Option<Body>) {
        let origin = Origin::Session { session: session.lsn, number, acked_below };
        self.log_and_apply(&Entry { owner, origin, action })
    }

    fn commit(&mut self) {
        if self.log.pending() > 0
            && let Err(error) = self.log.commit(BankTime(1), 0)
        {
            give_up(&error);
        }
    }

    fn reply(&self, number: RequestNumber, body: Body, replayed: bool) -> Reply {
        let receipt = Receipt { chain: self.log.chain(), lsn: self.log.end_lsn() };
        Reply::Answer { number, body, replayed, receipt }
    }

    fn session(&self, owner: Owner, session: SessionId) -> Result<SessionInfo, Refusal> {
        let state = self.books.sessions.get(&session.lsn).ok_or(Refusal::UnknownSession)?;
        if state.owner != owner && self.flaw != Some(Flaw::OwnerNotChecked) {
            return Err(Refusal::UnknownSession);
        }
        Ok(SessionInfo { session, last: RequestNumber(state.last), acked_below: RequestNumber(state.acked_below) })
    }

    fn sessions_of(&self, owner: Owner) -> Vec<SessionInfo> {
        let theirs = self.books.sessions.iter().filter(|(_, session)| session.owner == owner);
        let info = |(lsn, session): (&Lsn, &super::books::Session)| SessionInfo {
            session: SessionId { epoch: self.books.lineage.into(), lsn: *lsn },
            last: RequestNumber(session.last),
            acked_below: RequestNumber(session.acked_below),
        };
        theirs.map(info).take(1000).collect()
    }

    fn find(&self, role: Role, name: &str) -> Option<Owner> {
        let id = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        match role {
            Role::Customer => {
                self.books.accounts.iter().position(|(own, _)| **own == *name).map(|index| Owner::Customer(AccountId(id(index))))
            }
            Role::Teller => self.books.tellers.iter().position(|own| **own == *name).map(|index| Owner::Teller(TellerId(id(index)))),
        }
    }

    fn welcome(&self) -> Welcome {
        let limits = Limits { payload: u32::try_from(MAX_PAYLOAD).unwrap_or(u32::MAX), window: 1024, run: 1 };
        let (store, lineage) = (self.store, self.books.lineage);
        Welcome { version: message::VERSION, store, lineage, decimals: 0, limits, bank_time: BankTime(1) }
    }
}

/// Ends the process without an answer when the log fails; the correct bank and the flawed ones alike.
fn give_up(why: &dyn std::error::Error) -> ! {
    log::error!("the small bank ends: {why}");
    std::process::exit(1)
}
