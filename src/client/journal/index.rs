//! The journal's records as an index: the state of each request, and which answers may be acknowledged.
//!
//! Left out: bytes and files.

use std::collections::BTreeMap;

use crate::client::journal::format::{Frame, Mark};
use crate::client::journal::record::{ClosedReason, Intent, Record, Settled};
use crate::model::types::{RequestId, RequestNumber, SessionId};

/// A request and its end, if known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The request, as written before it was sent.
    pub intent: Intent,
    /// How it ended; `None` while the outcome is unknown.
    pub end: Option<End>,
    /// Whether its end was delivered, which means shown to its customer.
    pub is_told: bool,
}

/// How a request ended for this journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a recorded outcome.
    Answered(Settled),
    /// Without a recorded outcome; it is not resent automatically.
    Closed(ClosedReason),
}

/// A record that contradicts those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record about request {0} contradicts an earlier one")]
pub(in crate::client) struct Contradiction(pub(in crate::client) RequestId);

/// All requests of a journal.
///
/// Invariants: a request's command never changes; an answered request stays answered, with the same body.
#[derive(Debug, Default)]
pub(in crate::client) struct Book {
    requests: BTreeMap<RequestId, Line>,
    /// Number of intents so far, to order requests by age.
    count: u64,
}

#[derive(Debug)]
struct Line {
    /// The ordinal of its intent, from 1.
    order: u64,
    request: Request,
    /// The delivery mark of the frame with its end.
    mark: Mark,
}

impl Book {
    /// Whether the record can follow those before it.
    ///
    /// # Errors
    /// [`Contradiction`].
    pub(in crate::client) fn check(&self, record: &Record) -> Result<(), Contradiction> {
        let (id, agrees) = match record {
            Record::Intent(intent) => {
                let known = self.find(intent.id).map(|request| &request.intent);
                (intent.id, known.is_none_or(|known| known.command == intent.command && known.store == intent.store))
            }
            Record::Reply(id, settled) => {
                let known = self.find(*id);
                (*id, known.is_some_and(|known| !matches!(known.end, Some(End::Answered(earlier)) if earlier.body != settled.body)))
            }
            Record::Closed(id, _) => (*id, self.find(*id).is_some()),
        };
        if agrees { Ok(()) } else { Err(Contradiction(id)) }
    }

    /// Adds the records of one frame.
    ///
    /// # Errors
    /// [`Contradiction`]; the records before it have been added.
    pub(in crate::client) fn add_frame(&mut self, frame: &Frame) -> Result<(), Contradiction> {
        frame.records.iter().try_for_each(|record| self.add(record, frame.mark))
    }

    /// Adds one record of a frame with this mark.
    ///
    /// # Errors
    /// [`Contradiction`]; the book is unchanged.
    pub(in crate::client) fn add(&mut self, record: &Record, mark: Mark) -> Result<(), Contradiction> {
        self.check(record)?;
        match record {
            Record::Intent(intent) => {
                self.count += 1;
                // A closed request may be sent again explicitly by its id: its outcome is unknown again.
                let earlier = self.requests.remove(&intent.id).filter(|line| matches!(line.request.end, Some(End::Answered(_))));
                let (end, mark) = earlier.map_or((None, Mark::default()), |line| (line.request.end, line.mark));
                let request = Request { intent: intent.clone(), end, is_told: mark.is_told };
                self.requests.insert(intent.id, Line { order: self.count, request, mark });
            }
            Record::Reply(id, settled) => self.end(*id, End::Answered(*settled), mark),
            Record::Closed(id, reason) => self.end(*id, End::Closed(*reason), mark),
        }
        Ok(())
    }

    fn end(&mut self, id: RequestId, end: End, mark: Mark) {
        if let Some(line) = self.requests.get_mut(&id)
            // An answered request stays answered.
            && !matches!((line.request.end, end), (Some(End::Answered(_)), End::Closed(_)))
        {
            (line.request.end, line.request.is_told, line.mark) = (Some(end), mark.is_told, mark);
        }
    }

    /// Marks requests as delivered. Returns the marks to write to the file, each once.
    pub(in crate::client) fn tell(&mut self, ids: &[RequestId]) -> Vec<Mark> {
        let mut marks = Vec::new();
        for id in ids {
            if let Some(line) = self.requests.get_mut(id)
                && line.request.end.is_some()
                && !line.request.is_told
            {
                line.request.is_told = true;
                line.mark.is_told = true;
                marks.push(line.mark);
            }
        }
        marks.sort_unstable();
        marks.dedup();
        marks
    }

    pub(in crate::client) fn find(&self, id: RequestId) -> Option<&Request> {
        self.requests.get(&id).map(|line| &line.request)
    }

    /// Whether a later number of its session is closed as refused.
    pub(in crate::client) fn has_refused_behind(&self, id: RequestId) -> bool {
        let last = RequestId { number: RequestNumber(u64::MAX), ..id };
        let behind = self.requests.range(id..=last).filter(|(at, _)| **at != id);
        behind.into_iter().any(|(_, line)| line.request.end == Some(End::Closed(ClosedReason::Refused)))
    }

    /// Every request, by session and number.
    pub(in crate::client) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.values().map(|line| &line.request)
    }

    /// The requests whose outcome is unknown, by session and number.
    pub(in crate::client) fn in_doubt(&self) -> impl Iterator<Item = &Request> {
        self.requests().filter(|request| request.end.is_none())
    }

    /// The requests that ended and were not delivered, by session and number.
    pub(in crate::client) fn undelivered(&self) -> impl Iterator<Item = &Request> {
        self.requests().filter(|request| request.end.is_some() && !request.is_told)
    }

    /// The highest number such that every reply that can still come to a number below it is in this journal; 1 if none is.
    ///
    /// No number at or after one whose outcome is unknown is acknowledged: the bank must keep its reply.
    pub(in crate::client) fn acked_below(&self, session: SessionId) -> RequestNumber {
        let first = RequestId { session, number: RequestNumber(0) };
        let last = RequestId { session, number: RequestNumber(u64::MAX) };
        let mut below = RequestNumber(1);
        for (id, line) in self.requests.range(first..=last) {
            match line.request.end {
                None => break,
                Some(End::Answered(_)) => below = id.number.next().unwrap_or(id.number),
                Some(End::Closed(_)) => {}
            }
        }
        below
    }

    /// The records that a rewrite keeps, in order of intent, each with its delivery mark: all requests whose outcome is unknown,
    /// the `recent` latest delivered ones, and the `recent` latest undelivered ones.
    pub(in crate::client) fn digest(&self, recent: usize) -> Vec<(Record, bool)> {
        let keep_from = |is_told: bool| {
            let ended = self.requests.values().filter(|line| line.request.end.is_some() && line.request.is_told == is_told);
            let mut ended: Vec<u64> = ended.map(|line| line.order).collect();
            ended.sort_unstable();
            ended.iter().rev().nth(recent.saturating_sub(1)).copied().unwrap_or(0)
        };
        let (delivered_from, undelivered_from) = (keep_from(true), keep_from(false));
        let is_kept =
            |line: &&Line| line.request.end.is_none() || line.order >= if line.request.is_told { delivered_from } else { undelivered_from };
        let mut kept: Vec<&Line> = self.requests.values().filter(is_kept).collect();
        kept.sort_unstable_by_key(|line| line.order);
        let records = kept.into_iter().flat_map(|Line { request, .. }| {
            let id = request.intent.id;
            let end = request.end.map(|end| match end {
                End::Answered(settled) => Record::Reply(id, settled),
                End::Closed(reason) => Record::Closed(id, reason),
            });
            std::iter::once((Record::Intent(request.intent.clone()), false)).chain(end.map(|end| (end, request.is_told)))
        });
        records.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::journal::record::samples::{id, intent, settled};
    use crate::model::amount::Amount;

    fn book(records: &[Record]) -> Book {
        let mut book = Book::default();
        records.iter().for_each(|record| book.add(record, Mark::default()).unwrap());
        book
    }

    #[test]
    fn a_doubt_holds_back_every_acknowledgement_behind_it() {
        let session = id(1).session;
        let mut book = book(&[Record::Intent(intent(1)), Record::Intent(intent(2)), Record::Intent(intent(3))]);
        assert_eq!(book.acked_below(session), RequestNumber(1));
        book.add(&Record::Reply(id(1), settled()), Mark::default()).unwrap();
        book.add(&Record::Reply(id(3), settled()), Mark::default()).unwrap();
        assert_eq!(book.acked_below(session), RequestNumber(2));
        assert_eq!(book.in_doubt().map(|request| request.intent.id).collect::<Vec<_>>(), [id(2)]);
        book.add(&Record::Reply(id(2), settled()), Mark::default()).unwrap();
        assert_eq!(book.acked_below(session), RequestNumber(4));
    }

    #[test]
    fn what_is_closed_acknowledges_nothing() {
        let book = book(&[Record::Intent(intent(1)), Record::Closed(id(1), ClosedReason::UnknownSession)]);
        assert_eq!(book.acked_below(id(1).session), RequestNumber(1));
        assert_eq!(book.in_doubt().count(), 0);
    }

    #[test]
    fn one_request_has_one_command_and_one_answer() {
        let mut book = book(&[Record::Intent(intent(1)), Record::Reply(id(1), settled())]);
        let mut other = intent(1);
        other.command =
            crate::model::command::Command::Deposit { account: crate::model::types::AccountId(1), amount: Amount::new(20).unwrap() };
        assert_eq!(book.add(&Record::Intent(other), Mark::default()), Err(Contradiction(id(1))));
        let mut answer = settled();
        answer.body.balance = Amount::new(1).unwrap();
        assert_eq!(book.add(&Record::Reply(id(1), answer), Mark::default()), Err(Contradiction(id(1))));
        assert_eq!(book.add(&Record::Reply(id(9), settled()), Mark::default()), Err(Contradiction(id(9))));
        assert_eq!(book.add(&Record::Closed(id(1), ClosedReason::Acknowledged), Mark::default()), Ok(()));
        assert_eq!(book.find(id(1)).unwrap().end, Some(End::Answered(settled())), "answered stays answered");
    }

    #[test]
    fn a_digest_keeps_every_doubt_and_the_last_ends() {
        let mut records = Vec::new();
        for number in 1..=10 {
            records.push(Record::Intent(intent(number)));
            if number != 2 {
                records.push(Record::Reply(id(number), settled()));
            }
        }
        let full = book(&records);
        let records_of = |digest: Vec<(Record, bool)>| digest.into_iter().map(|(record, _)| record).collect::<Vec<_>>();
        let small = book(&records_of(full.digest(3)));
        let kept: Vec<u64> = small.requests().map(|request| request.intent.id.number.0).collect();
        assert_eq!(kept, [2, 8, 9, 10]);
        assert_eq!(small.acked_below(id(1).session), RequestNumber(1));
        assert_eq!(records_of(full.digest(100)), records);
    }
}
