//! Undelivered answers: an earlier run stored them in the journal, but ended before it showed them. They are shown to their
//! customer right after login.
//!
//! Left out: requests whose outcome is unknown (`resolve.rs`), and the marks in the journal (`bankd::client`).

use std::time::Duration;

use bankd::client::{Client, ClosedReason, Deadline, End, Request};
use bankd::env::Env;
use bankd::model::types::{RequestId, StoreId};
use bankd::wire::message::Role;

use crate::cli::commands::resolve::{doubt_in_words, ending_in_words};
use crate::cli::support::output::say;

/// The owner of requests.
#[derive(Clone, Copy)]
pub struct Whose<'a> {
    /// The login's role.
    pub role: Role,
    /// The login's name.
    pub name: &'a str,
    /// The bank's store.
    pub store: StoreId,
}

impl Whose<'_> {
    /// Whether the request belongs to this owner.
    pub fn is(&self, request: &Request) -> bool {
        let intent = &request.intent;
        intent.role == self.role && intent.name == self.name && intent.store == self.store
    }
}

/// How a request ended, in words; `None` while its outcome is unknown.
pub fn end_in_words(request: &Request, decimals: u8) -> Option<String> {
    let what = doubt_in_words(request, decimals);
    match request.end? {
        End::Answered(settled) => Some(ending_in_words(request, &settled.body, settled.replayed, decimals)),
        End::Closed(ClosedReason::UnknownSession | ClosedReason::StoreRolledBack | ClosedReason::Acknowledged) => {
            Some(format!("{what}: only the bank's log knows; have the bank run `bankd explain {}`", request.intent.id))
        }
        End::Closed(_) => Some(format!("{what}: not executed")),
    }
}

/// Prints the owner's undelivered answers, and marks those as delivered for which `print` returns true. Prints on stderr how
/// many of their requests have an unknown outcome. A journal in use or damaged is ignored here: the command itself reports
/// it when it needs the journal.
pub fn catch_up(client: &mut Client, whose: Whose<'_>, decimals: u8, print: &dyn Fn(&str) -> bool) {
    let at_once = Deadline::after(&Env::os().clock, Duration::ZERO);
    let Ok(mut journal) = client.journal().open(&at_once) else { return };
    let doubts = journal.in_doubt().filter(|request| request.intent.role == whose.role && request.intent.name == whose.name).count();
    let mut told: Vec<RequestId> = Vec::new();
    for request in journal.undelivered().filter(|request| whose.is(request)) {
        let Some(words) = end_in_words(request, decimals) else { continue };
        if print(&format!("of an earlier run: {words}")) {
            told.push(request.intent.id);
        }
    }
    // If the mark fails, the answers are shown once more.
    let _ = journal.tell(&told);
    drop(journal);
    if doubts > 0 {
        say(&format!("{doubts} earlier request(s) of {} are in doubt; `bankd resolve` ends that", whose.name));
    }
}
