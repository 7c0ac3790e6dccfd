//! The lines of a batch: `deposit NAME AMOUNT`, `withdraw NAME AMOUNT`, `transfer NAME TO AMOUNT`, or the same with commas.
//!
//! All lines are read and checked before any is sent. Left out: account ids and sending (`batch.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Read};

use bankd::model::amount::{Amount, DisplayAmount};
use bankd::model::command::Command;
use bankd::model::types::{AccountId, is_valid_name};

/// The most commands in a batch, all of which are kept in memory.
pub const MAX_COMMANDS: usize = 1_000_000;
/// The longest line, in bytes.
const MAX_LINE: u64 = 4096;

/// The commands of a batch, with each account name stored once.
#[derive(Debug, Default)]
pub struct Lines {
    /// The commands, in order.
    pub lines: Vec<Line>,
    /// The names of the accounts.
    pub names: Vec<String>,
}

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its line in the input, from 1.
    pub at: u64,
    kind: Kind,
    /// The account, as an index into the names.
    pub name: usize,
    /// The account that a transfer pays to.
    to: usize,
    amount: Amount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Deposit,
    Withdraw,
    Transfer,
}

/// An invalid line.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its line in the input, from 1.
    pub at: u64,
    /// What is wrong.
    pub why: String,
}

impl Lines {
    /// Reads all commands; amounts have `decimals` decimals. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`BadLine`]: the first invalid or unreadable line.
    pub fn read(input: &mut dyn BufRead, decimals: u8) -> Result<Self, BadLine> {
        let (mut all, mut places) = (Self::default(), BTreeMap::new());
        let mut bytes = Vec::new();
        for at in 1.. {
            let bad = |why: String| BadLine { at, why };
            bytes.clear();
            let length =
                input.take(MAX_LINE + 1).read_until(b'\n', &mut bytes).map_err(|error| bad(format!("it cannot be read: {error}")))?;
            if length == 0 {
                break;
            }
            if length as u64 > MAX_LINE {
                return Err(bad(format!("it is longer than {MAX_LINE} bytes")));
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| bad("it is no UTF-8".to_owned()))?;
            // Skip a byte order mark.
            let text = if at == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
            if text.trim_start().starts_with('#') {
                continue;
            }
            let words = words(text).map_err(bad)?;
            if words.is_empty() {
                continue;
            }
            if all.lines.len() == MAX_COMMANDS {
                return Err(bad(format!("a batch has at most {MAX_COMMANDS} commands; split it")));
            }
            let line = all.line(at, &words, decimals, &mut places).map_err(bad)?;
            all.lines.push(line);
        }
        Ok(all)
    }

    fn line(&mut self, at: u64, words: &[String], decimals: u8, places: &mut BTreeMap<String, usize>) -> Result<Line, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (kind, name, to, amount) = match words[..] {
            ["deposit", name, amount] => (Kind::Deposit, name, name, amount),
            ["withdraw", name, amount] => (Kind::Withdraw, name, name, amount),
            ["transfer", name, to, amount] => (Kind::Transfer, name, to, amount),
            _ => return Err("it is none of `deposit NAME AMOUNT`, `withdraw NAME AMOUNT` and `transfer NAME TO AMOUNT`".to_owned()),
        };
        let amount = Amount::parse(amount, decimals).map_err(|error| error.to_string())?;
        let (name, to) = (self.place(name, places)?, self.place(to, places)?);
        let line = Line { at, kind, name, to, amount };
        // Checks the content of the command; its account ids do not matter for this.
        line.command(&|place| AccountId(u32::try_from(place).unwrap_or(u32::MAX))).check().map_err(|malformed| malformed.to_string())?;
        Ok(line)
    }

    fn place(&mut self, name: &str, places: &mut BTreeMap<String, usize>) -> Result<usize, String> {
        if let Some(place) = places.get(name) {
            return Ok(*place);
        }
        if !is_valid_name(name) {
            return Err(format!("{name:?} cannot be an account's name"));
        }
        places.insert(name.to_owned(), self.names.len());
        self.names.push(name.to_owned());
        Ok(self.names.len() - 1)
    }

    /// A command in words, with names: `withdraw Sami 20`.
    pub fn words(&self, line: &Line, decimals: u8) -> LineInWords<'_> {
        let name = |place: usize| self.names.get(place).map_or("", String::as_str);
        LineInWords { kind: line.kind, name: name(line.name), to: name(line.to), amount: line.amount.display(decimals) }
    }
}

impl Line {
    /// The command; `id` maps an index into the names to an account id.
    pub fn command(&self, id: &dyn Fn(usize) -> AccountId) -> Command {
        let (account, amount) = (id(self.name), self.amount);
        match self.kind {
            Kind::Deposit => Command::Deposit { account, amount },
            Kind::Withdraw => Command::Withdraw { account, amount },
            Kind::Transfer => Command::Transfer { from: account, to: id(self.to), amount },
        }
    }
}

/// See [`Lines::words`].
pub struct LineInWords<'a> {
    kind: Kind,
    name: &'a str,
    to: &'a str,
    amount: DisplayAmount,
}

impl fmt::Display for LineInWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, to, amount } = self;
        match kind {
            Kind::Deposit => write!(f, "deposit {name} {amount}"),
            Kind::Withdraw => write!(f, "withdraw {name} {amount}"),
            Kind::Transfer => write!(f, "transfer {name} {to} {amount}"),
        }
    }
}

/// Splits at blanks, or at a comma with optional blanks around it. A word in double quotes may contain both, and `""` for a
/// quote.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let word;
        (word, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_word(quoted).ok_or("a double quote is not closed")?,
            None => {
                let end = rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                (word.to_owned(), behind)
            }
        };
        words.push(word);
        let behind = rest.trim_start();
        if behind.len() == rest.len() && !behind.is_empty() && !behind.starts_with(',') {
            return Err("a comma or a blank is missing behind a double quote".to_owned());
        }
        rest = match behind.strip_prefix(',') {
            // A comma must be followed by a word; an empty one is written as `""`.
            Some("") => return Err("it ends in a comma".to_owned()),
            Some(next) => next.trim_start(),
            None => behind,
        };
    }
    Ok(words)
}

/// A word up to its closing quote, and the text after it.
fn quoted_word(text: &str) -> Option<(String, &str)> {
    let (mut word, mut rest) = (String::new(), text);
    loop {
        let (part, behind) = rest.split_once('"')?;
        word.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                word.push('"');
                rest = more;
            }
            None => return Some((word, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, BadLine> {
        let all = Lines::read(&mut text.as_bytes(), 2)?;
        Ok(all.lines.iter().map(|line| format!("{}: {}", line.at, all.words(line, 2))).collect())
    }

    #[test]
    fn blanks_commas_and_quotes() {
        let text =
            "# a \"batch\ndeposit Sami 20\n\nwithdraw,Sami,20.5\r\ntransfer , Sami ,\"Ada \"\"K\"\", Countess\", 1\n  withdraw  Sami\t0.01";
        let expected =
            ["2: deposit Sami 20.00", "4: withdraw Sami 20.50", "5: transfer Sami Ada \"K\", Countess 1.00", "6: withdraw Sami 0.01"];
        assert_eq!(read(text), Ok(expected.map(str::to_owned).to_vec()));
        assert_eq!(Lines::read(&mut text.as_bytes(), 2).unwrap().names.len(), 2, "each name once");
        assert_eq!(read(""), Ok(Vec::new()));
        assert_eq!(read("\u{feff}deposit Sami 20\n"), Ok(vec!["1: deposit Sami 20.00".to_owned()]), "behind a byte order mark");
        assert_eq!(read("\u{feff}# a comment\n"), Ok(Vec::new()));
    }

    #[test]
    fn the_first_bad_line_is_named() {
        for (bad, why) in [
            ("pay Sami 20", "none of"),
            ("deposit Sami", "none of"),
            ("deposit Sami 20 30", "none of"),
            ("deposit Sami 20,", "ends in a comma"),
            ("deposit,,20", "cannot be"),
            ("deposit \"Sami 20", "not closed"),
            ("deposit \"Sami\"x 20", "missing behind"),
            ("deposit Sami 20.001", "decimals"),
            ("deposit Sami -1", "negative"),
            ("deposit Sami 0", "more than zero"),
            ("deposit Sami ten", "not a number"),
            ("transfer Sami Sami 1", "two different"),
            ("deposit \u{1} 1", "cannot be"),
        ] {
            let error = read(&format!("deposit Sami 1\n{bad}\nworse")).unwrap_err();
            assert!(error.at == 2 && error.why.contains(why), "{bad:?}: {error:?}");
        }
        assert_eq!(read(&"x".repeat(5000)).unwrap_err().why, "it is longer than 4096 bytes");
        let mut latin: &[u8] = b"deposit Jos\xe9 1\n";
        assert_eq!(Lines::read(&mut latin, 2).unwrap_err().why, "it is no UTF-8");
    }
}
