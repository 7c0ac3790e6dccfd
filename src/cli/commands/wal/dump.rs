//! `bankd wal dump`: prints the log, one line per entry.
//!
//! Left out: words and JSON of an entry (`entry_text.rs`).

use std::io::Write;
use std::str::FromStr;

use bankd::bank::{Applied, Bank, Epochs};
use bankd::engine::{self, Moment, StoreEnv};
use bankd::model::command::Command;
use bankd::model::entry::{Action, Entry, Origin};
use bankd::model::types::{AccountId, Lineage, Lsn, Owner, SessionId};
use bankd::wal::{BatchHeader, Position};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::commands::wal::entry_text::{action_in_words, applied_as_json, applied_in_words, entry_as_json, owner_in_words};
use crate::cli::commands::wal::{StoreOption, remark};
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{buffered, note, utc};

/// Print the log, one line per entry. The stored hashes of PINs and tokens are left out.
#[derive(Debug, Args)]
pub struct Dump {
    #[command(flatten)]
    store: StoreOption,
    /// Print the outcome of each entry as well, computed by replaying the log
    #[arg(long)]
    outcomes: bool,
    /// Print only entries that concern this account, given by name, or by id if no account has that name
    #[arg(long, value_name = "NAME|ID")]
    account: Option<String>,
    /// Print only entries of this session
    #[arg(long, value_name = "SESSION")]
    session: Option<SessionId>,
    /// Print only entries with these log sequence numbers (LSN): A..B (both included), A.., ..B or A
    #[arg(long, value_name = "A..B")]
    lsn: Option<Range>,
    /// Print one JSON object per entry, each on its own line
    #[arg(long)]
    json: bool,
}

/// A range of LSNs, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: u64,
    to: u64,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str, open: u64| match text {
            "" => Ok(open),
            text => text.parse().map_err(|_| format!("{text:?} is no LSN")),
        };
        let range = Self { from: number(from, 1)?, to: number(to, u64::MAX)? };
        if text.is_empty() || range.from > range.to { Err("a range A..B with A at most B is needed".to_owned()) } else { Ok(range) }
    }
}

impl Dump {
    pub fn run(self) -> Result<Exit, Failure> {
        let env = StoreEnv::os();
        let mut printer = Printer { out: buffered(), is_closed: false, epochs: Epochs::default(), decimals: 0 };
        let mut is_known = true;
        let history = if self.outcomes || self.account.is_some() {
            let read = engine::replay(&env, &self.store.data_dir, &mut |moment| {
                if moment.counts {
                    let Moment { batch, position, lsn, entry, applied, bank, .. } = *moment;
                    printer.begin(bank);
                    printer.see(&self, (batch, position, lsn), entry, Some((applied, bank)));
                }
            });
            read.map(|(history, bank)| {
                is_known = self.account.as_ref().is_none_or(|account| find(&bank, account).is_some());
                history
            })
        } else {
            engine::look(&env, &self.store.data_dir, &mut |bank, seen| {
                printer.begin(bank);
                for record in seen.batch.records() {
                    for (lsn, entry) in (record.first.0..).zip(Entry::all(record.bytes, record.count)) {
                        let entry = entry.map_err(|error| format!("entry {lsn}: {error}"))?;
                        printer.see(&self, (seen.batch.header, seen.batch.position, Lsn(lsn)), &entry, None);
                    }
                }
                Ok(())
            })
        };
        if !printer.is_closed {
            note(printer.out.flush());
        }
        drop(printer);
        remark(&history?, None);
        match &self.account {
            Some(account) if !is_known => {
                let why = format!("no account {account:?} was ever opened in it");
                Err(Failure::because(
                    Exit::Declined,
                    "nothing of the log was printed",
                    why,
                    "check the name, and the store with --data-dir",
                ))
            }
            _ => Ok(Exit::Done),
        }
    }

    fn wants(&self, lsn: Lsn, entry: &Entry, epochs: &Epochs, became: Option<(&Applied, &Bank)>) -> bool {
        let in_range = self.lsn.is_none_or(|range| (range.from..=range.to).contains(&lsn.0));
        let in_session =
            self.session.is_none_or(|session| epochs.at(session.lsn) == session.epoch && touches_session(lsn, entry, session.lsn));
        let in_account = match (&self.account, became) {
            (Some(account), Some((applied, bank))) => find(bank, account).is_some_and(|id| touches_account(entry, applied, id)),
            _ => true,
        };
        in_range && in_session && in_account
    }
}

/// Finds an account by name; by id if no account has that name and the text is all digits.
fn find(bank: &Bank, account: &str) -> Option<AccountId> {
    let by_id = || {
        let id = account.bytes().all(|byte| byte.is_ascii_digit()).then(|| account.parse().ok())??;
        (id < bank.account_count()).then_some(AccountId(id))
    };
    bank.find_account(account).or_else(by_id)
}

fn touches_session(lsn: Lsn, entry: &Entry, session: Lsn) -> bool {
    match (entry.origin, &entry.action) {
        (Origin::Session { session: of, .. }, _) => of == session,
        (Origin::None, Action::OpenSession { evicted }) => lsn == session || *evicted == Some(session),
        _ => false,
    }
}

fn touches_account(entry: &Entry, applied: &Applied, id: AccountId) -> bool {
    let named = match &entry.action {
        Action::AccountClose(account) | Action::AccountLock(account) | Action::AccountUnlock(account) | Action::AccountPin(account, _) => {
            *account == id
        }
        Action::Request(Command::Transfer { from, to, .. }) => *from == id || *to == id,
        Action::Request(command) => command.account() == id,
        _ => false,
    };
    named || entry.owner == Owner::Customer(id) || *applied == Applied::Opened(id)
}

struct Printer<W> {
    out: W,
    is_closed: bool,
    /// The epochs as of the last entry seen.
    epochs: Epochs,
    decimals: u8,
}

impl<W: Write> Printer<W> {
    /// Takes epochs and decimals from a bank restored from a checkpoint, if the entries that set them were dropped from the log.
    fn begin(&mut self, bank: &Bank) {
        if self.epochs.lineage() == Lineage(0) {
            (self.epochs, self.decimals) = (bank.epochs().clone(), bank.decimals());
        }
    }

    fn see(&mut self, dump: &Dump, at: (&BatchHeader, Position, Lsn), entry: &Entry, became: Option<(&Applied, &Bank)>) {
        match entry.action {
            Action::Genesis { decimals, .. } => self.decimals = decimals,
            Action::Lineage { lineage, .. } => self.epochs.draw(lineage),
            Action::Start(epoch) => {
                // The bank refuses an epoch that does not fit; nothing to do here.
                self.epochs.start(at.2, epoch);
            }
            _ => {}
        }
        if self.is_closed || !dump.wants(at.2, entry, &self.epochs, became) {
            return;
        }
        let shown = became.map(|(applied, _)| applied).filter(|_| dump.outcomes);
        let line = if dump.json { self.json(at, entry, shown).to_string() } else { self.line(at, entry, shown) };
        self.is_closed = !note(writeln!(self.out, "{line}"));
    }

    fn session(&self, entry: &Entry) -> Option<SessionId> {
        match entry.origin {
            Origin::Session { session, .. } => Some(self.epochs.session(session)),
            Origin::None => None,
        }
    }

    fn line(&self, (batch, _, lsn): (&BatchHeader, Position, Lsn), entry: &Entry, applied: Option<&Applied>) -> String {
        let request = match (self.session(entry), entry.origin) {
            (Some(session), Origin::Session { number, acked_below, .. }) if number.0 > 0 => {
                format!("{session}/{number} acked below {acked_below}  ")
            }
            (Some(session), Origin::Session { acked_below, .. }) => format!("{session} acked below {acked_below}  "),
            _ => String::new(),
        };
        let applied = applied.map_or_else(String::new, |applied| format!("  -> {}", applied_in_words(applied, self.decimals)));
        let (owner, action) = (owner_in_words(entry.owner), action_in_words(&entry.action, self.decimals));
        format!("{lsn}  batch {}  {}  {owner}  {request}{action}{applied}", batch.number, utc(batch.bank_time))
    }

    fn json(&self, (batch, position, lsn): (&BatchHeader, Position, Lsn), entry: &Entry, applied: Option<&Applied>) -> Value {
        let mut value = entry_as_json(entry, self.session(entry).map(|session| session.to_string()), self.decimals);
        let place = json!({
            "lsn": lsn.0,
            "batch": batch.number,
            "file": position.file(),
            "offset": position.offset,
            "time": utc(batch.bank_time),
            "time_us": batch.bank_time.0,
        });
        let outcome = applied.map_or(Value::Null, |applied| applied_as_json(applied, self.decimals));
        for more in [place, outcome] {
            if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
                value.extend(more);
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_open_ends() {
        let range = |text: &str| text.parse::<Range>().map(|range| (range.from, range.to));
        assert_eq!(range("3..7"), Ok((3, 7)));
        assert_eq!(range("3.."), Ok((3, u64::MAX)));
        assert_eq!(range("..7"), Ok((1, 7)));
        assert_eq!(range("5"), Ok((5, 5)));
        for bad in ["", "7..3", "a..b", "-1", "3...7"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
