//! What the journal holds an answer to that nobody was shown, because an earlier run died in between: told to its customer,
//! after the login, before anything else.
//!
//! Left out: what is still in doubt (`resolve.rs`), and the marks themselves (`bankd::client`).

use std::time::Duration;

use bankd::client::{Client, ClosedReason, Deadline, End, Request};
use bankd::env::Env;
use bankd::model::types::{RequestId, StoreId};
use bankd::wire::message::Role;

use crate::cli::commands::resolve::{doubt_in_words, ending_in_words};
use crate::cli::support::output::say;

/// Whose requests.
#[derive(Clone, Copy)]
pub struct Whose<'a> {
    /// As what they log in.
    pub role: Role,
    /// Their name.
    pub name: &'a str,
    /// At which bank.
    pub store: StoreId,
}

impl Whose<'_> {
    /// Whether the request is theirs.
    pub fn is(&self, request: &Request) -> bool {
        let intent = &request.intent;
        intent.role == self.role && intent.name == self.name && intent.store == self.store
    }
}

/// How a request ended, for people; none while it is in doubt.
pub fn end_in_words(request: &Request, decimals: u8) -> Option<String> {
    let what = doubt_in_words(request, decimals);
    match request.end? {
        End::Answered(settled) => Some(ending_in_words(request, &settled.body, settled.replayed, decimals)),
        End::Closed(ClosedReason::UnknownSession | ClosedReason::StoreRolledBack | ClosedReason::Acknowledged) => {
            Some(format!("{what}: only the bank's log tells; have the bank run `bankd explain {}`", request.intent.id))
        }
        End::Closed(_) => Some(format!("{what}: not executed")),
    }
}

/// Shows them by `print`, which says whether it could, what nobody was shown, and notes that. Remarks on stderr what they
/// have in doubt. A journal that is in use or out of order is no matter here: that is told when it is needed.
pub fn catch_up(client: &mut Client, whose: Whose<'_>, decimals: u8, print: &dyn Fn(&str) -> bool) {
    let at_once = Deadline::after(&Env::os().clock, Duration::ZERO);
    let Ok(mut journal) = client.journal().open(&at_once) else { return };
    let doubts = journal.in_doubt().filter(|request| request.intent.role == whose.role && request.intent.name == whose.name).count();
    let mut told: Vec<RequestId> = Vec::new();
    for request in journal.untold().filter(|request| whose.is(request)) {
        let Some(words) = end_in_words(request, decimals) else { continue };
        if print(&format!("of an earlier run: {words}")) {
            told.push(request.intent.id);
        }
    }
    // What cannot be noted is told once more.
    let _ = journal.tell(&told);
    drop(journal);
    if doubts > 0 {
        say(&format!("{doubts} earlier request(s) of {} are in doubt; `bankd resolve` ends that", whose.name));
    }
}
