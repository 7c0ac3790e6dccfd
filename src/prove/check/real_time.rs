//! Checks that the log's order agrees with real time, in one pass over the operations sorted by time.
//!
//! Each reply carries the LSN at which its operation took effect, so no search is needed: if reply A arrived before request
//! B was sent, A must come before B in the log. Together with correct balances at every LSN (`checker.rs`) that is
//! linearizability. Left out: the meaning of the operations.

use std::time::Duration;

use crate::model::types::{Lsn, RequestId};
use crate::prove::check::verdict::Violation;

/// One operation: its times and its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prove) struct Moment {
    /// Before its first byte left; if unknown, no operation has to precede it.
    pub(in crate::prove) sent: Option<Duration>,
    /// After its reply arrived; if unknown, it has to precede no operation.
    pub(in crate::prove) at: Option<Duration>,
    /// The LSN at which it took effect, or the last entry that a read reflects.
    pub(in crate::prove) lsn: Lsn,
    pub(in crate::prove) request: Option<RequestId>,
    /// A read has no entry of its own, so it may share an LSN.
    pub(in crate::prove) is_read: bool,
}

/// Reports each operation that was sent after another's reply and yet precedes it in the log. Returns how many were
/// compared.
pub(in crate::prove) fn check(moments: &[Moment], violations: &mut Vec<Violation>) -> u64 {
    let mut by_reply: Vec<(Duration, &Moment)> = moments.iter().filter_map(|moment| Some((moment.at?, moment))).collect();
    by_reply.sort_by_key(|(at, _)| *at);
    let mut by_sending: Vec<(Duration, &Moment)> = moments.iter().filter_map(|moment| Some((moment.sent?, moment))).collect();
    by_sending.sort_by_key(|(sent, _)| *sent);
    let mut replies = by_reply.into_iter().peekable();
    // Of the operations whose replies have arrived, the last in the log.
    let mut latest: Option<&Moment> = None;
    let mut compared = 0;
    for (sent, moment) in by_sending {
        while let Some((_, before)) = replies.next_if(|(at, _)| *at < sent) {
            if latest.is_none_or(|latest| latest.lsn < before.lsn) {
                latest = Some(before);
            }
        }
        let Some(before) = latest else { continue };
        compared += 1;
        let is_behind = if moment.is_read { moment.lsn >= before.lsn } else { moment.lsn > before.lsn };
        if !is_behind {
            let (this, that) = (named(moment), named(before));
            let what = format!("{this} was sent after the answer of {that} was there, and yet comes before it in the log");
            violations.push(Violation::new("time", moment.request.or(before.request), what));
        }
    }
    compared
}

fn named(moment: &Moment) -> String {
    match moment.request {
        Some(id) => format!("request {id} (LSN {})", moment.lsn),
        None => format!("a question for a balance (LSN {})", moment.lsn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(sent: u64, at: u64, lsn: u64, is_read: bool) -> Moment {
        let (sent, at) = (Some(Duration::from_millis(sent)), Some(Duration::from_millis(at)));
        Moment { sent, at, lsn: Lsn(lsn), request: None, is_read }
    }

    fn complaints(moments: &[Moment]) -> usize {
        let mut violations = Vec::new();
        check(moments, &mut violations);
        violations.len()
    }

    #[test]
    fn what_overlaps_may_come_in_any_order() {
        assert_eq!(complaints(&[moment(0, 10, 7, false), moment(5, 15, 6, false)]), 0);
        assert_eq!(complaints(&[moment(0, 10, 7, false), moment(10, 15, 6, false)]), 0, "at the same instant is not after");
    }

    #[test]
    fn what_comes_after_comes_after() {
        assert_eq!(complaints(&[moment(0, 10, 7, false), moment(11, 15, 6, false)]), 1);
        assert_eq!(complaints(&[moment(0, 10, 7, false), moment(11, 15, 7, false)]), 1, "two cannot share a place");
        assert_eq!(complaints(&[moment(0, 10, 7, false), moment(11, 15, 8, false)]), 0);
    }

    #[test]
    fn reads_are_never_stale() {
        assert_eq!(complaints(&[moment(0, 10, 7, false), moment(11, 15, 7, true)]), 0);
        assert_eq!(complaints(&[moment(0, 10, 7, false), moment(11, 15, 6, true)]), 1);
        assert_eq!(complaints(&[moment(0, 10, 7, true), moment(11, 15, 7, true)]), 0);
        assert_eq!(complaints(&[moment(0, 10, 7, true), moment(11, 15, 7, false)]), 1, "a read saw what was not there yet");
    }

    #[test]
    fn unknown_times_bind_nobody() {
        let mut killed = moment(0, 10, 9, false);
        killed.at = None;
        assert_eq!(complaints(&[killed, moment(11, 15, 6, false)]), 0);
        killed = moment(20, 30, 2, false);
        killed.sent = None;
        assert_eq!(complaints(&[moment(0, 10, 7, false), killed]), 0);
    }
}
