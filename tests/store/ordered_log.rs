//! Another ordered log behind the engine, one that can lose the lead: the engine serves from it, and a deposed one returns no
//! answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bankd::engine::{Admission, Engine, Fatal, LocalLog, OrderedLog, ReadBatch, Standing};
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::types::{AccountId, BankTime, Lsn, RequestNumber};
use bankd::wal::{Anchor, InFlight, Inspected, Log};

use crate::checkpoint::support::{TELLER, new_store, open};

/// The local log, led by permission.
struct Fenced {
    local: LocalLog,
    leads: Arc<AtomicBool>,
}

impl OrderedLog for Fenced {
    type InFlight = InFlight;
    const NOTHING: InFlight = LocalLog::NOTHING;

    fn local(&self) -> &Log {
        self.local.local()
    }

    fn local_mut(&mut self) -> &mut Log {
        self.local.local_mut()
    }

    fn begin_commit(&mut self, bank_time: BankTime, outcome_digest: u64) -> Result<InFlight, Fatal> {
        self.local.begin_commit(bank_time, outcome_digest)
    }

    fn finish_commit(&mut self, commit: InFlight) -> Result<Standing, Fatal> {
        let standing = self.local.finish_commit(commit)?;
        Ok(if self.leads.load(Ordering::Relaxed) { standing } else { Standing::Deposed })
    }

    fn read_from(&self, from: Option<&Anchor>, visit: &mut ReadBatch<'_>) -> Result<Inspected, Fatal> {
        self.local.read_from(from, visit)
    }
}

fn begin(engine: &mut Engine<Fenced>) -> Lsn {
    assert!(matches!(engine.submit_open(TELLER, &|_| false), Ok(Admission::Logged)));
    engine.commit().unwrap();
    engine.apply_next().unwrap().0
}

fn deposit(engine: &mut Engine<Fenced>, session: Lsn, number: u64) -> Result<(), Fatal> {
    let command = Command::Deposit { account: AccountId(0), amount: Amount::new(5).unwrap() };
    let (number, acked_below) = (RequestNumber(number), RequestNumber(number));
    assert_eq!(engine.submit_request(TELLER, session, number, acked_below, command).unwrap(), Admission::Logged);
    engine.commit()?;
    engine.apply_next().map(drop)
}

#[test]
fn another_log_serves_the_same_bank_and_is_read_from_any_position() {
    let disk = new_store(1);
    let leads = Arc::new(AtomicBool::new(true));
    let mut engine = open(&disk).over(|local| Fenced { local, leads: Arc::clone(&leads) });
    let session = begin(&mut engine);
    let mut ends = Vec::new();
    for number in 1..=20 {
        deposit(&mut engine, session, number).unwrap();
        ends.push(engine.receipt());
    }
    engine.seal().unwrap();
    let (mut anchors, mut last) = (Vec::new(), None);
    let inspected = engine
        .log()
        .read_from(None, &mut |seen| {
            anchors.push((seen.batch.position, seen.batch.header.chain_after, seen.batch.header.count));
            last = Some(seen.batch.position);
            Ok(())
        })
        .unwrap();
    // Creation, the session with the start's entry, twenty deposits, the seal.
    assert_eq!(inspected.end.next_lsn, ends.last().unwrap().lsn.next());
    let deposits: Vec<_> = anchors.iter().filter(|(_, chain, count)| *count == 1 && ends.iter().any(|end| end.chain == *chain)).collect();
    assert_eq!(deposits.len(), 20);
    // From the end there is nothing more to read.
    let from = Anchor { last_batch: last.unwrap(), end: inspected.end };
    let rest = engine.log().read_from(Some(&from), &mut |_| Err("a batch behind the end".to_owned())).unwrap();
    assert_eq!(rest.end, inspected.end);
    let bank = engine.bank().clone();
    drop(engine);
    assert_eq!(open(&disk).bank(), &bank);
}

#[test]
fn a_deposed_engine_returns_no_answer_of_the_batch() {
    let disk = new_store(2);
    let leads = Arc::new(AtomicBool::new(true));
    let mut engine = open(&disk).over(|local| Fenced { local, leads: Arc::clone(&leads) });
    let session = begin(&mut engine);
    deposit(&mut engine, session, 1).unwrap();
    leads.store(false, Ordering::Relaxed);
    assert!(matches!(deposit(&mut engine, session, 2), Err(Fatal::Deposed)));
}
