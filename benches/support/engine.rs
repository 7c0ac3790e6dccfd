//! What the benches of the engine share: a store of many accounts, and turns of deposits without sockets.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_arithmetic
)]

use std::path::Path;
use std::time::{Duration, Instant};

use bankd::engine::{self, Admission, Engine, NewRecord, NewStore, StoreEnv};
use bankd::model::amount::Amount;
use bankd::model::command::Command;
use bankd::model::secret::Secret;
use bankd::model::types::{AccountId, Lsn, Owner, RequestNumber, TellerId};

const OWNER: Owner = Owner::Teller(TellerId(0));

/// Makes a store of `accounts` accounts without money and one teller.
pub fn create(env: &StoreEnv, data: &Path, key: &Path, accounts: u32) {
    let secret = || Secret::new("123456".to_owned());
    let records = (0..accounts)
        .map(|index| NewRecord::Account { name: format!("account {index}").into(), pin: secret(), balance: Amount::ZERO })
        .chain([NewRecord::Teller { name: "load".into(), token: secret() }]);
    engine::create(env, data, key, NewStore::default(), records.map(Ok::<_, String>)).unwrap();
}

/// A teller's session, and how far it is.
pub struct Load {
    accounts: u32,
    session: Lsn,
    pub number: u64,
}

impl Load {
    pub fn begin(engine: &mut Engine, accounts: u32) -> Self {
        assert!(matches!(engine.submit_open(OWNER, &|_| false), Ok(Admission::Logged)));
        engine.commit().unwrap();
        let (session, _) = engine.apply_next().unwrap();
        Self { accounts, session, number: 0 }
    }

    /// One turn of `count` deposits to accounts all over the place; the time that its commit took.
    pub fn turn(&mut self, engine: &mut Engine, count: u64) -> Duration {
        let first = self.number + 1;
        for number in first..first + count {
            let account = AccountId((number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32 % self.accounts);
            let command = Command::Deposit { account, amount: Amount::new(1).unwrap() };
            // A session keeps at most 1,024 replies that are not acknowledged.
            let acked = RequestNumber(first.max(number.saturating_sub(1000)));
            let logged = engine.submit_request(OWNER, self.session, RequestNumber(number), acked, command);
            assert!(matches!(logged, Ok(Admission::Logged)));
        }
        let since = Instant::now();
        engine.commit().unwrap();
        let took = since.elapsed();
        for _ in 0..count {
            engine.apply_next().unwrap();
        }
        self.number += count;
        took
    }
}

/// Removes every checkpoint, so that the next start reads the whole log.
pub fn remove_checkpoints(data: &Path) {
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ckpt") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The median.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
