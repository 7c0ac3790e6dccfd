//! `bankd init`: creates a new store, empty or from a file of accounts and tellers.
//!
//! Left out: the format of that file (`accounts_file.rs`), and the store's files (`engine/`).

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bankd::engine::{self, Created, NewRecord, NewStore, StoreEnv};
use bankd::env::os;
use bankd::model::amount::MAX_DECIMALS;

use crate::cli::support::accounts_file;
use crate::cli::support::accounts_file::AccountsFileError;
use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::{say, tell, tell_json};
use crate::cli::support::store_paths;

/// The lab's four accounts.
const DEMO_ACCOUNTS: &str = include_str!("../../../data/demo/accounts.csv");

/// Create a new store, empty or with accounts and tellers from a file.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Directory of the new store; must be empty or not exist yet
    #[arg(long, value_name = "DIR", env = "BANKD_DATA_DIR", value_parser = store_paths::data_dir)]
    data_dir: PathBuf,
    /// Secret key that protects the stored PINs and tokens, created if missing [default: DIR.key, beside the store]
    #[arg(long, value_name = "FILE", env = "BANKD_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Number of decimals of every amount in this store, 0 to 18
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_DECIMALS)))]
    decimals: u8,
    /// CSV file of accounts and tellers, with the header kind,name,secret,balance [default: an empty store]
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Allow PINs of 4 or 5 characters; without this option at least 6 are needed
    #[arg(long)]
    allow_short_pins: bool,
    #[command(flatten)]
    place: store_paths::PlaceOption,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

impl Init {
    /// Creates the store and prints its contents.
    ///
    /// # Errors
    /// [`Failure`] with exit code 2 for an unusable accounts file, 8 where the directory cannot be used.
    pub fn run(self) -> Result<(), Failure> {
        os::restrict_umask();
        let began = Instant::now();
        let env = StoreEnv::os();
        engine::refuse_place(&env, &self.data_dir, self.place.allow_tmpfs)?;
        let key_file = store_paths::key_file(self.key_file, &self.data_dir)?;
        let created = match &self.accounts {
            None => create(&env, &self.data_dir, &key_file, self.decimals, std::iter::empty())?,
            Some(path) => {
                let name = path.display().to_string();
                let file = os::open_stream(path)
                    .map_err(|error| Failure::new(Exit::Usage, format!("cannot read the accounts file {name}: {error}")))?;
                let records = accounts_file::read(BufReader::with_capacity(1 << 18, file), &name, self.decimals, self.allow_short_pins);
                create(&env, &self.data_dir, &key_file, self.decimals, records)?
            }
        };
        let seconds = began.elapsed().as_secs_f64();
        if self.json {
            let made = serde_json::json!({"store": created.store.to_string(), "data_dir": self.data_dir, "key_file": key_file, "accounts": created.accounts});
            tell_json(&made);
        } else {
            tell(&format!("made the store {} with {} accounts in {seconds:.1} s", self.data_dir.display(), created.accounts));
            say(&format!("its key is {}: keep a copy elsewhere; without it no login is possible", key_file.display()));
            say(&format!("start it with: bankd serve --data-dir {}", self.data_dir.display()));
        }
        Ok(())
    }
}

/// Creates the store of `bankd serve --demo`.
///
/// # Errors
/// [`Failure`], as [`Init::run`].
pub fn create_demo(env: &StoreEnv, dir: &Path, key_file: &Path) -> Result<(), Failure> {
    let created = create(env, dir, key_file, 0, accounts_file::read(DEMO_ACCOUNTS.as_bytes(), "data/demo/accounts.csv", 0, true))?;
    log::info!("made the store {} with the lab's {} accounts", dir.display(), created.accounts);
    Ok(())
}

fn create(
    env: &StoreEnv,
    dir: &Path,
    key_file: &Path,
    decimals: u8,
    records: impl Iterator<Item = Result<NewRecord, AccountsFileError>>,
) -> Result<Created, Failure> {
    Ok(engine::create(env, dir, key_file, NewStore { decimals, ..NewStore::default() }, records)?)
}
