//! What a gigabyte of log shrinks to that an unbatched client wrote, 4 KiB a request, and how long packing takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_precision_loss, clippy::float_arithmetic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bankd::env::os::OsDisk;
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::entry::{Action, Entry, Origin};
use bankd::model::types::{AccountId, BankTime, Lsn, Owner, RequestNumber, StoreId};
use bankd::wal::{self, Log, Preparer, SegmentSizes};

const SIZES: SegmentSizes = SegmentSizes { first: 64 << 20, max: 64 << 20 };
const STORE: StoreId = StoreId([0xB5; 16]);

fn main() {
    // `cargo bench --no-run` and `cargo test --benches` only build it.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let segments = std::env::var("SEGMENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(16_u64);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    println!("{:<34} {:>14} {:>12} {:>8} {:>10}", "log", "bytes", "packed", "ratio", "MiB/s");
    let logs = [("one request a batch", 1, 1), ("64 requests a batch", 64, 1), ("4,096 a batch, 128 in a row", 4096, 128)];
    for (name, entries, row) in logs {
        let dir = dir.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let last = write(&dir, entries, row, segments);
        let began = Instant::now();
        let (mut from, mut to) = (0, 0);
        for sequence in 1..=last {
            let shrunk = wal::compress(&OsDisk, &dir, STORE, sequence, &AtomicBool::new(false)).unwrap().unwrap();
            from += shrunk.from;
            to += shrunk.to;
        }
        let rate = from as f64 / 1_048_576.0 / began.elapsed().as_secs_f64();
        println!("{name:<34} {from:>14} {to:>12} {:>7.1}x {rate:>10.0}", from as f64 / to as f64);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// Writes `segments` full segments; returns the number of the last one. `row` requests come one after the other from
/// one client.
fn write(dir: &Path, entries: u64, row: u64, segments: u64) -> u64 {
    let disk = Arc::new(OsDisk);
    let mut log = Log::create(disk, dir, STORE, SIZES, 0x1111, Preparer::Inline).unwrap();
    let mut number = 0_u64;
    let mut time = 1_800_000_000_000_000;
    loop {
        for index in 0..entries {
            number += 1;
            // As many sessions as requests are in flight, amounts and accounts all over the place.
            let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            let account = AccountId(u32::try_from(mixed % 1_000_000).unwrap());
            let amount = Amount::new(1 + mixed % 100_000).unwrap();
            let command =
                if mixed.is_multiple_of(2) { Command::Deposit { account, amount } } else { Command::Withdraw { account, amount } };
            let (rows, place) = (number / row, number % row);
            let (session, own) = (Lsn(1 + rows % 64), RequestNumber(1 + rows / 64 * row + place));
            let entry = Entry {
                owner: Owner::Customer(account),
                origin: Origin::Session { session, number: own, acked_below: own },
                action: Action::Request(command),
            };
            if place > 0 && index > 0 {
                log.join(1, |out| command.encode_into(out)).unwrap();
            } else {
                log.append(|out| entry.encode_into(out)).unwrap();
            }
        }
        time += 110;
        log.commit(BankTime(time), number.wrapping_mul(0xD6E8_FEB8_6659_FD93)).unwrap();
        if log.take_finished().is_some_and(|finished| finished.end.position.segment == segments) {
            return segments;
        }
    }
}
