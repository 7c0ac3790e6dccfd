//! Log entries in words and in JSON. The stored hashes of PINs and tokens are never shown.
//!
//! Left out: which entries are shown (`dump.rs`).

use bankd::bank::{Applied, Login, Refused};
use bankd::model::amount::Amount;
use bankd::model::entry::{Action, Entry, LineageCause, Origin};
use bankd::model::types::Owner;
use serde_json::{Value, json};

use crate::cli::support::output::command_in_words;

/// The owner of the request, in words.
pub fn owner_in_words(owner: Owner) -> String {
    match owner {
        Owner::Nobody => "nobody".to_owned(),
        Owner::Customer(id) => format!("customer {}", id.0),
        Owner::Teller(id) => format!("teller {}", id.0),
        Owner::Operator(uid) => format!("operator {uid}"),
    }
}

/// The entry's action, in words.
pub fn action_in_words(action: &Action, decimals: u8) -> String {
    let amount = |amount: &Amount| amount.display(decimals);
    match action {
        Action::Genesis { decimals, .. } => format!("genesis, {decimals} decimals"),
        Action::Lineage { lineage, cause } => format!("lineage {lineage} ({})", cause_in_words(*cause)),
        Action::Start(epoch) => format!("start {epoch}"),
        Action::Setting { setting, value } => format!("setting {setting:?} = {value}"),
        Action::AccountOpen(open) => format!("open account {:?} with {}", open.name, amount(&open.balance)),
        Action::AccountClose(account) => format!("close account {}", account.0),
        Action::AccountLock(account) => format!("lock account {}", account.0),
        Action::AccountUnlock(account) => format!("unlock account {}", account.0),
        Action::AccountPin(account, _) => format!("new PIN for account {}", account.0),
        Action::TellerAdd(add) => format!("add teller {:?}", add.name),
        Action::TellerRevoke(teller) => format!("revoke teller {}", teller.0),
        Action::LoginAttempt(_) => "login attempt".to_owned(),
        Action::OpenSession { evicted: None } => "open session".to_owned(),
        Action::OpenSession { evicted: Some(victim) } => format!("open session, evicting {victim}"),
        Action::CloseSession => "close session".to_owned(),
        Action::Ack => "acknowledge".to_owned(),
        Action::Cancel => "cancel".to_owned(),
        Action::Request(command) => command_in_words(command, decimals),
    }
}

/// The machine-readable name of the action.
pub const fn action_name(action: &Action) -> &'static str {
    match action {
        Action::Genesis { .. } => "genesis",
        Action::Lineage { .. } => "lineage",
        Action::Start(_) => "start",
        Action::Setting { .. } => "setting",
        Action::AccountOpen(_) => "account_open",
        Action::AccountClose(_) => "account_close",
        Action::AccountLock(_) => "account_lock",
        Action::AccountUnlock(_) => "account_unlock",
        Action::AccountPin(..) => "account_pin",
        Action::TellerAdd(_) => "teller_add",
        Action::TellerRevoke(_) => "teller_revoke",
        Action::LoginAttempt(_) => "login_attempt",
        Action::OpenSession { .. } => "open_session",
        Action::CloseSession => "close_session",
        Action::Ack => "ack",
        Action::Cancel => "cancel",
        Action::Request(_) => "request",
    }
}

/// The outcome of an entry, in words.
pub fn applied_in_words(applied: &Applied, decimals: u8) -> String {
    match applied {
        Applied::Done => "done".to_owned(),
        Applied::Opened(account) => format!("account {}", account.0),
        Applied::TellerAdded(teller) => format!("teller {}", teller.0),
        Applied::Refused(refused) => format!("refused: {}", refused_in_words(*refused)),
        Applied::Login(Login::Accepted) => "accepted".to_owned(),
        Applied::Login(Login::Wrong) => "wrong".to_owned(),
        Applied::Login(Login::Locked) => "locked".to_owned(),
        Applied::SessionOpened => "opened".to_owned(),
        Applied::UnknownSession => "no effect: its session was gone".to_owned(),
        Applied::Closed => "closed".to_owned(),
        Applied::Acked { acked_below } => format!("acknowledged below {acked_below}"),
        Applied::Answer { body, .. } => format!("{}, balance {}", body.outcome.name().replace('_', " "), body.balance.display(decimals)),
    }
}

/// An entry for `--json`; the caller adds its position.
pub fn entry_as_json(entry: &Entry, session: Option<String>, decimals: u8) -> Value {
    let (number, acked_below) = match entry.origin {
        Origin::None => (None, None),
        Origin::Session { number, acked_below, .. } => (Some(number.0).filter(|number| *number > 0), Some(acked_below.0)),
    };
    let command = match &entry.action {
        Action::Request(command) => Some(json!({
            "name": command_in_words(command, decimals).split(' ').next(),
            "account": command.account().0,
            "to": match command { bankd::model::command::Command::Transfer { to, .. } => Some(to.0), _ => None },
            "amount": command.amount().display(decimals).to_string(),
        })),
        _ => None,
    };
    json!({
        "owner": owner_in_words(entry.owner),
        "session": session,
        "number": number,
        "acked_below": acked_below,
        "action": action_name(&entry.action),
        "text": action_in_words(&entry.action, decimals),
        "command": command,
    })
}

/// The outcome of an entry, for `--json`.
pub fn applied_as_json(applied: &Applied, decimals: u8) -> Value {
    match applied {
        Applied::Answer { body, .. } => {
            json!({ "outcome": body.outcome.name(), "balance": body.balance.display(decimals).to_string() })
        }
        other => json!({ "outcome": applied_in_words(other, decimals) }),
    }
}

/// Why a new lineage was drawn, in words.
pub const fn cause_in_words(cause: LineageCause) -> &'static str {
    match cause {
        LineageCause::Created => "the store was created",
        LineageCause::Repaired => "the log was repaired",
        LineageCause::SnapshotStarted => "a snapshot was started",
    }
}

const fn refused_in_words(refused: Refused) -> &'static str {
    match refused {
        Refused::NameTaken => "the name is taken",
        Refused::NoSuchAccount => "no such account",
        Refused::NoSuchTeller => "no such teller",
        Refused::AccountClosed => "the account is closed",
        Refused::BalanceNotZero => "the balance is not zero",
    }
}
