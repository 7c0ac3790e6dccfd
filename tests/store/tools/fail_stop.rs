//! Calls that fail under the whole service: no reply of that turn leaves, nothing is tried again, and everything that
//! was answered before is there afterwards. Only "no space" for the next segment is no end.

use bankd::bank::Lookup;
use bankd::env::sim::{Fault, Operation, SimDisk};
use bankd::model::command::Body;
use bankd::model::types::{AccountId, RequestNumber, SessionId};
use bankd::wire::message::{Ask, Refusal, Reply};

use super::support::{Bank, CUSTOMERS, OPENING, deposit, fresh_disk, open, request};

const WRITING: [Operation; 7] =
    [Operation::Write, Operation::Sync, Operation::Rename, Operation::Create, Operation::SyncDir, Operation::Remove, Operation::SetLen];

/// The answers that the customers received, and what was in flight when the daemon ended.
#[derive(Default)]
struct Told {
    answered: Vec<(SessionId, u64, Body)>,
    under_way: Vec<(SessionId, u64)>,
    no_space: u32,
    has_failed: bool,
}

fn writes(disk: &SimDisk) -> u64 {
    WRITING.iter().map(|kind| disk.count(*kind)).sum()
}

/// Seventy turns of one to three customers who each deposit 1; as far as the disk lets them.
fn live(disk: &SimDisk) -> Told {
    let mut told = Told::default();
    let Some(mut bank) = Bank::serve(disk, 7) else {
        told.has_failed = true;
        return told;
    };
    let mut next = [1_u64; CUSTOMERS as usize];
    for turn in 0..70_u32 {
        let asking: Vec<u32> = (0..=turn % CUSTOMERS).collect();
        for customer in &asking {
            let number = next[*customer as usize];
            bank.feed(*customer, &[request(number, deposit(*customer, 1))]);
            told.under_way.push((bank.sessions[*customer as usize], number));
        }
        if bank.turn().is_err() {
            let before = writes(disk);
            for slot in &bank.slots {
                assert!(bank.service.unsent(*slot).is_empty(), "a reply of the turn that failed");
            }
            bank.feed(0, &[Ask::Ping]);
            assert!(bank.turn().is_err(), "it stays ended");
            drop(bank);
            assert_eq!(writes(disk), before, "something was tried again");
            told.has_failed = true;
            return told;
        }
        for customer in asking {
            let (session, number) = told.under_way.remove(0);
            match bank.hear(customer).as_slice() {
                [Reply::Answer { body, replayed: false, .. }] => {
                    told.answered.push((session, number, *body));
                    next[customer as usize] += 1;
                }
                [Reply::Refused(Refusal::NoSpace)] => told.no_space += 1,
                other => panic!("request {number}: {other:?}"),
            }
        }
    }
    told
}

/// What a start finds: every answer word for word, each number under way executed whole or not at all.
fn check(disk: &SimDisk, told: &Told, what: &str) {
    let engine = open(disk, 99).unwrap_or_else(|error| panic!("{what}: {error}"));
    let bank = engine.bank();
    let mut executed = 0;
    for (session, number, body) in &told.answered {
        match bank.lookup(session.lsn, RequestNumber(*number)) {
            Lookup::Recorded(recorded) if recorded.body == *body => executed += 1,
            other => panic!("{what}: {session}/{number} was answered and is {other:?}"),
        }
    }
    let mut fates = Vec::new();
    for (session, number) in &told.under_way {
        let is_executed = matches!(bank.lookup(session.lsn, RequestNumber(*number)), Lookup::Recorded(_));
        executed += u64::from(is_executed);
        fates.push(is_executed);
    }
    assert!(fates.windows(2).all(|pair| pair[0] == pair[1]), "{what}: half a batch: {fates:?}");
    let total: u64 = (0..CUSTOMERS).map(|id| bank.account(AccountId(id)).unwrap().balance.get()).sum();
    assert_eq!(total, u64::from(CUSTOMERS) * OPENING + executed, "{what}");
}

#[test]
fn every_call_that_fails_ends_the_daemon_unanswered_and_loses_nothing() {
    let template = fresh_disk();
    let begin = template.operations();
    let whole = template.snapshot();
    let all = live(&whole);
    assert!(!all.has_failed && all.no_space == 0 && all.answered.len() == 139);
    assert!(whole.operations() - begin > 200 && whole.count(Operation::Rename) - template.count(Operation::Rename) >= 4);
    let mut failed = [0_u32; 2];
    for at in begin + 1..=whole.operations() {
        for is_sticky in [false, true] {
            for (errno, seed) in [(5, 0), (5, at), (30, at + 1), (28, at + 2), (122, at + 3)] {
                let what = format!("operation {at}, errno {errno}, sticky {is_sticky}");
                let disk = template.snapshot();
                disk.fail(Fault { at, only: None, is_sticky, errno });
                let told = live(&disk);
                failed[usize::from(is_sticky)] += u32::from(told.has_failed);
                disk.heal();
                if seed == 0 {
                    disk.kill()
                } else {
                    disk.crash(seed)
                }
                check(&disk, &told, &what);
            }
        }
    }
    let runs = (whole.operations() - begin) as u32 * 5;
    assert!(failed.iter().all(|failed| *failed > runs / 2), "{failed:?} of {runs}");
}

#[test]
fn each_kind_of_call_ends_it_at_every_place_where_it_comes() {
    let template = fresh_disk();
    let whole = template.snapshot();
    live(&whole);
    for kind in [Operation::Write, Operation::Sync, Operation::Rename, Operation::Create, Operation::SyncDir] {
        let count = whole.count(kind) - template.count(kind);
        assert!(count >= 4, "{kind:?} comes only {count} times");
        let mut at = template.operations();
        let mut failed = 0;
        // The next one of its kind, again and again.
        loop {
            let disk = template.snapshot();
            disk.fail(Fault { at: at + 1, only: Some(kind), is_sticky: true, errno: 5 });
            let told = live(&disk);
            if !told.has_failed {
                break;
            }
            let met = disk.count(kind);
            assert!(met > template.count(kind));
            disk.heal();
            disk.crash(at);
            check(&disk, &told, &format!("{kind:?} from operation {at} on"));
            failed += 1;
            at += 1;
        }
        assert!(failed >= count, "{kind:?}: {failed} of {count}");
    }
}

/// Without space for the next segment money is refused and reads go on; with space it resumes by itself.
#[test]
fn without_space_money_waits_reads_go_on_and_it_resumes() {
    let disk = fresh_disk();
    let mut bank = Bank::serve(&disk, 3).unwrap();
    let used: u64 = 8192 + 256 * 1024;
    disk.set_capacity(Some(used));
    let (mut number, mut balance) = (0, OPENING);
    let refused = loop {
        number += 1;
        match bank.talk(0, &[request(number, deposit(0, 1))]).unwrap().pop().unwrap() {
            Reply::Answer { body, .. } => balance = body.balance.get(),
            other => break other,
        }
        assert!(number < 200, "there is no end to the space");
    };
    assert!(matches!(refused, Reply::Refused(Refusal::NoSpace)), "{refused:?}");
    assert!(number > 3, "{number}");
    for _ in 0..3 {
        let asks = [Ask::Balance { account: AccountId(0) }, Ask::Ping, request(number, deposit(0, 1)), request(1, deposit(0, 1))];
        let replies = bank.talk(0, &asks).unwrap();
        assert!(matches!(replies[0], Reply::Balance { balance: told, .. } if told.get() == balance), "{:?}", replies[0]);
        assert!(matches!(replies[1], Reply::Pong), "{:?}", replies[1]);
        assert!(matches!(replies[2], Reply::Refused(Refusal::NoSpace)), "{:?}", replies[2]);
        assert!(matches!(replies[3], Reply::Answer { replayed: true, .. }), "{:?}", replies[3]);
    }
    disk.set_capacity(None);
    assert_eq!(bank.request(0, number, deposit(0, 1)).balance.get(), balance + 1, "the very same request, now executed");
    drop(bank);
    disk.crash(5);
    let engine = open(&disk, 4).unwrap();
    assert_eq!(engine.bank().account(AccountId(0)).unwrap().balance.get(), balance + 1);
}
