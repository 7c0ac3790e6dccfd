//! Logs of old: a store of this version, kept as files, replays to the state that was recorded with it; and a bank whose
//! rules have changed since refuses at the exact batch.
//!
//! `GOLDEN=write cargo test --test store` makes the files anew: only for a new version of the format, beside the old.

use std::fs;
use std::path::{Path, PathBuf};

use bankd::engine::StoreError;
use bankd::env::Disk;
use bankd::env::sim::SimDisk;
use bankd::model::types::AccountId;
use bankd::wire::message::{Ask, Reply};

use super::support::{BLOCK, Bank, deposit, dir, forge, fresh_disk, key, open, request, segment, withdraw};

const FILES: [&str; 4] = ["MANIFEST", "0000000001.seg", "0000000002.seg", "0000000003.seg"];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store-v1")
}

/// Two lives of a bank, with everything that customers do.
fn history() -> SimDisk {
    let disk = fresh_disk();
    for seed in [1, 2] {
        let mut bank = Bank::serve(&disk, seed).unwrap();
        for number in 1..=3 {
            bank.request(0, number, deposit(0, 100 * number));
            bank.request(1, number, withdraw(1, 400));
        }
        let cancel = Ask::Cancel { number: bankd::model::types::RequestNumber(1), acked_below: bankd::model::types::RequestNumber(1) };
        bank.talk(2, &[cancel, request(2, deposit(2, 7)), request(2, deposit(2, 7))]).unwrap();
        let session = bank.sessions[0];
        assert_eq!(bank.talk(0, &[Ask::CloseSession { session }]).unwrap(), [Reply::Closed]);
        bank.service.seal().unwrap();
        drop(bank);
        disk.kill();
    }
    disk
}

/// What the state comes to, in words that a person can compare.
fn state(disk: &SimDisk) -> String {
    let engine = open(disk, 9).unwrap_or_else(|error| panic!("{error}"));
    let bank = engine.bank();
    let balances: Vec<u64> = (0..bank.account_count()).map(|id| bank.account(AccountId(id)).unwrap().balance.get()).collect();
    let receipt = engine.receipt();
    format!(
        "entries {}\nchain {}\noutcome digest {:016x}\nlineage {}\ncash {}\nbalances {balances:?}\nsessions {}\n",
        receipt.lsn,
        receipt.chain,
        bank.outcome_digest(),
        bank.lineage(),
        bank.cash(),
        bank.session_count()
    )
}

#[test]
fn a_store_of_version_1_replays_to_what_was_recorded_with_it() {
    if std::env::var("GOLDEN").is_ok_and(|what| what == "write") {
        let disk = history();
        fs::create_dir_all(golden()).unwrap();
        for name in FILES {
            fs::write(golden().join(name), disk.peek(&dir().join(name)).unwrap()).unwrap();
        }
        fs::write(golden().join("key"), disk.peek(key()).unwrap()).unwrap();
        fs::write(golden().join("state.txt"), state(&disk)).unwrap();
    }
    let disk = SimDisk::new();
    let put = |path: &Path, name: &str| {
        let file = disk.create(path).unwrap();
        file.write_all_at(&fs::read(golden().join(name)).unwrap(), 0).unwrap();
        file.sync().unwrap();
    };
    disk.create_dir(Path::new("/bank")).unwrap();
    disk.create_dir(dir()).unwrap();
    FILES.iter().for_each(|name| put(&dir().join(name), name));
    put(key(), "key");
    for path in ["/", "/bank", "/bank/store"] {
        disk.sync_dir(Path::new(path)).unwrap();
    }
    assert_eq!(state(&disk), fs::read_to_string(golden().join("state.txt")).unwrap());
}

/// Each batch's header says what came of everything before it. Here one header in the middle says otherwise, as it would
/// had another rule decided: with sound checksums, so that only the replay can tell.
#[test]
fn other_outcomes_than_the_log_had_are_refused_at_the_exact_batch() {
    let disk = history();
    let path = segment(2);
    let bytes = disk.peek(&path).unwrap();
    let blocks = (1..bytes.len() / BLOCK).filter(|block| bytes[block * BLOCK] != 0);
    let mut refused = 0;
    for block in blocks {
        let disk = disk.snapshot();
        let number = u64::from_le_bytes(bytes[block * BLOCK + 48..block * BLOCK + 56].try_into().unwrap());
        forge(&disk, &path, block * BLOCK, |header| header[56] ^= 1);
        match open(&disk, 9).err() {
            Some(StoreError::Damaged(what)) => {
                assert!(what.contains(&format!("batch {number} says")) && what.contains("rules differ"), "{what}");
                assert!(what.contains(&format!("offset {}", block * BLOCK)), "{what}");
                refused += 1;
            }
            other => panic!("batch {number}: {other:?}"),
        }
    }
    assert!(refused > 8, "{refused}");
}
