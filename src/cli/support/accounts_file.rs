//! The accounts file: the accounts and tellers of a new store, read from CSV; every line is validated.
//!
//! CSV in UTF-8: the header line `kind,name,secret,balance`, then one line per account or teller:
//!
//! ```text
//! account,Sami,271828,45720     a customer: name, PIN, opening balance
//! teller,office,a-long-token,   a teller: name, token, no balance
//! ```
//! A field that contains a comma is put in quotation marks. No error shows a field's content: a name may be a PIN in the
//! wrong column.
//! Left out: opening the file, and using its records.

// The file sets the names: with a fixed hash function a crafted file could make every insertion slow.
use std::collections::HashMap;
use std::io;

use bankd::engine::NewRecord;
use bankd::model::amount::{Amount, AmountError};
use bankd::model::names;
use bankd::model::names::is_new_name;
use bankd::model::secret::{MAX_SECRET, Secret};

/// The shortest PIN or token, in bytes.
pub const MIN_SECRET: usize = 4;
/// The shortest PIN that is accepted without `allow_short_pins`, in characters.
pub const MIN_PIN: usize = 6;

const HEADER: [&str; 4] = ["kind", "name", "secret", "balance"];

/// Why a file is not a valid accounts file. Its records must not be used then.
#[derive(Debug, thiserror::Error)]
#[error("{file}, line {line}: {problem}")]
pub struct AccountsFileError {
    /// The file's name, as passed by the caller.
    pub file: Box<str>,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong in that line.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The line is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The first line is not the header.
    #[error("the first line must be `kind,name,secret,balance`")]
    Header,
    /// The line does not have four fields.
    #[error("{0} fields where 4 are needed (kind, name, secret, balance)")]
    Fields(usize),
    /// A field contains a line break.
    #[error("a field goes on over the end of the line; is a quotation mark not closed?")]
    OpenQuote,
    /// A field begins or ends with a blank.
    #[error("a field begins or ends with a blank")]
    Blank,
    /// The kind is neither `account` nor `teller`.
    #[error("the kind must be `account` or `teller`")]
    Kind,
    /// The name is not valid.
    #[error("the name must have {RULE}", RULE = names::RULE)]
    Name,
    /// The name appears twice.
    #[error("the name is that of line {first} again")]
    NameTaken {
        /// The line where it appears first.
        first: u64,
    },
    /// The PIN or token is too short or too long.
    #[error("the secret must have {MIN_SECRET} to {MAX_SECRET} bytes")]
    SecretLength,
    /// The PIN is too short.
    #[error("the PIN has fewer than {MIN_PIN} characters; --allow-short-pins would take it")]
    ShortPin,
    /// The balance is not a valid amount of this store.
    #[error("the balance: {0}")]
    Balance(#[source] AmountError),
    /// A teller has a balance.
    #[error("a teller has no balance; leave the field empty")]
    TellerBalance,
}

/// Reads an accounts file line by line. Errors call the file `name`; `decimals` are the store's. PINs of fewer than
/// [`MIN_PIN`] characters are refused unless `allow_short_pins`.
///
/// Keeps all names in memory, to find duplicates. The iterator ends after the first error.
pub fn read<R: io::Read>(
    source: R,
    name: &str,
    decimals: u8,
    allow_short_pins: bool,
) -> impl Iterator<Item = Result<NewRecord, AccountsFileError>> + use<R> {
    // The CSV reader counts line feeds and skips empty lines. With a final line feed, and carriage returns handled here, a
    // row's line is always the one before the reader's position.
    let lines = source.chain(b"\n".as_slice());
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).terminator(csv::Terminator::Any(b'\n')).buffer_capacity(64 << 10);
    Reader {
        csv: builder.from_reader(lines),
        row: csv::StringRecord::new(),
        file: name.into(),
        decimals,
        allow_short_pins,
        accounts: HashMap::new(),
        tellers: HashMap::new(),
        state: State::Header,
    }
}

struct Reader<R> {
    csv: csv::Reader<io::Chain<R, &'static [u8]>>,
    row: csv::StringRecord,
    file: Box<str>,
    decimals: u8,
    allow_short_pins: bool,
    /// The names so far, with their lines.
    accounts: HashMap<Box<str>, u64>,
    tellers: HashMap<Box<str>, u64>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

impl<R: io::Read> Iterator for Reader<R> {
    type Item = Result<NewRecord, AccountsFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let record = self.read().transpose();
        if !matches!(record, Some(Ok(_))) {
            self.state = State::Ended;
        }
        let line = self.line();
        record.map(|record| record.map_err(|problem| AccountsFileError { file: self.file.clone(), line, problem }))
    }
}

impl<R: io::Read> Reader<R> {
    fn read(&mut self) -> Result<Option<NewRecord>, Problem> {
        if self.state == State::Header {
            if !self.next_row()? || fields(&self.row) != HEADER {
                return Err(Problem::Header);
            }
            self.state = State::Rows;
        }
        if self.next_row()? { self.record().map(Some) } else { Ok(None) }
    }

    /// Reads the next row that is not empty; false at the end.
    fn next_row(&mut self) -> Result<bool, Problem> {
        loop {
            let more = self.csv.read_record(&mut self.row).map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) => Problem::Read(error),
                csv::ErrorKind::Utf8 { .. } => Problem::NotUtf8,
                other => Problem::Read(io::Error::other(format!("{other:?}"))),
            })?;
            if !more || fields(&self.row) != [""] {
                return Ok(more);
            }
        }
    }

    /// The line where the last row began; after a read error, the line that was reached.
    fn line(&self) -> u64 {
        let inside = self.row.as_slice().bytes().filter(|byte| *byte == b'\n').count();
        let after = self.csv.position().line();
        after.saturating_sub(1).saturating_sub(u64::try_from(inside).unwrap_or(0)).max(1)
    }

    fn record(&mut self) -> Result<NewRecord, Problem> {
        let fields = fields(&self.row);
        let [kind, name, secret, balance] = fields[..] else { return Err(Problem::Fields(fields.len())) };
        if fields.iter().any(|field| field.contains(['\r', '\n'])) {
            return Err(Problem::OpenQuote);
        }
        if fields.iter().any(|field| field.trim() != *field) {
            return Err(Problem::Blank);
        }
        let is_account = match kind {
            "account" => true,
            "teller" => false,
            _ => return Err(Problem::Kind),
        };
        if !is_new_name(name) {
            return Err(Problem::Name);
        }
        if !(MIN_SECRET..=MAX_SECRET).contains(&secret.len()) {
            return Err(Problem::SecretLength);
        }
        let secret_taken = Secret::new(secret.to_owned());
        let record = if is_account {
            if !self.allow_short_pins && secret.chars().count() < MIN_PIN {
                return Err(Problem::ShortPin);
            }
            let balance = Amount::parse(balance, self.decimals).map_err(Problem::Balance)?;
            NewRecord::Account { name: name.into(), pin: secret_taken, balance }
        } else {
            if !balance.is_empty() {
                return Err(Problem::TellerBalance);
            }
            NewRecord::Teller { name: name.into(), token: secret_taken }
        };
        let line = self.line();
        let seen = if is_account { &mut self.accounts } else { &mut self.tellers };
        match seen.insert(name.into(), line) {
            Some(first) => Err(Problem::NameTaken { first }),
            None => Ok(record),
        }
    }
}

fn fields(row: &csv::StringRecord) -> Vec<&str> {
    let mut fields: Vec<&str> = row.iter().collect();
    if let Some(last) = fields.last_mut() {
        *last = last.strip_suffix('\r').unwrap_or(last);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: impl AsRef<[u8]>, decimals: u8, short: bool) -> Result<Vec<NewRecord>, String> {
        read(text.as_ref(), "accounts.csv", decimals, short).map(|record| record.map_err(|error| error.to_string())).collect()
    }

    fn account(name: &str, pin: &str, units: u64) -> NewRecord {
        NewRecord::Account { name: name.into(), pin: Secret::new(pin.to_owned()), balance: Amount::new(units).unwrap() }
    }

    #[test]
    fn the_demo_has_the_labs_accounts() {
        let demo = include_bytes!("../../../data/demo/accounts.csv");
        let expected =
            [("Farhan", 1169), ("Sami", 45_720), ("Moyeed", 70_000), ("Kader", 1200)].map(|(name, units)| account(name, "1234", units));
        assert_eq!(all(demo, 0, true).unwrap(), expected);
        assert!(all(demo, 0, false).unwrap_err().starts_with("accounts.csv, line 2: the PIN has fewer than 6 characters"));
    }

    #[test]
    fn accounts_and_tellers_in_every_form_of_line() {
        let text = "\u{feff}kind,name,secret,balance\r\naccount,\"Smith, J.\",\"12\"\"456\",11.5\r\n\r\nteller,Smith,token,\naccount,Smith,1234567,0";
        let records = all(text, 2, false).unwrap();
        let teller = NewRecord::Teller { name: "Smith".into(), token: Secret::new("token".to_owned()) };
        assert_eq!(records, [account("Smith, J.", "12\"456", 1150), teller, account("Smith", "1234567", 0)]);
        assert_eq!(all("kind,name,secret,balance\n", 0, false).unwrap(), []);
    }

    #[test]
    fn every_problem_names_its_line_and_shows_no_secret() {
        for (line, part) in [
            ("account,Sami,hunter2", "3 fields where 4"),
            ("account,Sami,hunter2,5,6", "5 fields where 4"),
            ("hunter2,Sami,account,5", "the kind"),
            ("Account,Sami,hunter2,5", "the kind"),
            ("account,,hunter2,5", "the name must have"),
            ("account,a\u{1}hunter2,hunter2,5", "the name must have"),
            ("account,Jose\u{301},hunter2,5", "the name must have"),
            ("account,Sa\u{200b}mi,hunter2,5", "the name must have"),
            ("teller,\u{202e}x,hunter2,", "the name must have"),
            ("account,Farhan,hunter2,5", "the name is that of line 2 again"),
            ("teller,Office,hunter2,", "the name is that of line 3 again"),
            ("account,Sami,abc,5", "the secret must have 4 to 128"),
            ("account,Sami,hunter,\u{661}", "the amount is not a number"),
            ("account,Sami,hunte,5", "fewer than 6"),
            ("account,Sami,hunter2,", "the balance: the amount is not a number"),
            ("account,Sami,hunter2,-5", "the balance: the amount must not be negative"),
            ("account,Sami,hunter2,5.5", "more decimals than this bank keeps (0)"),
            ("account,Sami,hunter2,9223372036854775808", "too large"),
            ("teller,Sami,hunter2,0", "a teller has no balance"),
            ("account, Sami,hunter2,5", "begins or ends with a blank"),
            ("account,Sami,hunter2 ,5", "begins or ends with a blank"),
            ("account,Sami,\"hunter2\n\",5", "quotation mark"),
        ] {
            for end in ["\n", "\r\n"] {
                let text =
                    format!("kind,name,secret,balance\naccount,Farhan,123456,1\nteller,Office,123456,\n\n{line}\naccount,Last,123456,1\n");
                let error = all(text.replace('\n', end), 0, false).unwrap_err();
                assert!(error.starts_with("accounts.csv, line 5: ") && error.contains(part), "{line:?}: {error}");
                assert!(!error.contains("hunte"), "{error}");
            }
        }
        let long = format!("kind,name,secret,balance\naccount,Sami,{},5\n", "x".repeat(129));
        assert!(all(long, 0, false).unwrap_err().contains("line 2: the secret must have"));
        let latin = b"kind,name,secret,balance\naccount,Sami,123456,1\naccount,Jos\xe9,hunter2,5\n";
        assert_eq!(all(latin, 0, false).unwrap_err(), "accounts.csv, line 3: not UTF-8");
    }

    #[test]
    fn another_header_is_refused() {
        for text in ["", "account,Sami,hunter2,5\n", "kind,name,pin,balance\n", "kind,name,secret,balance,note\n"] {
            assert_eq!(all(text, 0, false).unwrap_err(), "accounts.csv, line 1: the first line must be `kind,name,secret,balance`");
        }
    }

    #[test]
    fn the_first_error_is_the_last_item() {
        let text = "kind,name,secret,balance\naccount,A,123456,1\nnothing\naccount,B,123456,1\n";
        let items: Vec<bool> = read(text.as_bytes(), "f", 0, false).map(|item| item.is_ok()).collect();
        assert_eq!(items, [true, false]);
    }

    #[test]
    fn a_source_that_fails_is_an_error() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let error = read(Broken, "f", 0, false).next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "f, line 1: cannot be read: the disk is gone");
    }
}
