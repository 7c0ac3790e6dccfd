//! Reads PINs and tokens from a prompt without echo, a file or standard input; never from an argument or the environment.
//!
//! Left out: logging in with them.

use std::io::{BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

use bankd::env::Disk;
use bankd::env::os::{self, OsDisk};
use bankd::env::terminal;
use bankd::model::secret::{MAX_SECRET, Secret};
use clap::Args;
use zeroize::Zeroizing;

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::output::say;

/// The fewest digits of a new PIN, unless short PINs are allowed.
const MIN_DIGITS: usize = 6;
/// Longest line in bytes: a longer line of standard input is read as several; of a file no more is read.
const MAX_LINE: u64 = 4096;

/// The source of a PIN; by default a prompt on the terminal.
#[derive(Clone, Debug, Args)]
pub struct PinSource {
    /// File whose first line is the PIN; should be readable by its owner only [default: prompt on the terminal]
    #[arg(long, value_name = "FILE", conflicts_with = "pin_stdin")]
    pin_file: Option<PathBuf>,
    /// Read the PIN from the next line of standard input
    #[arg(long)]
    pin_stdin: bool,
}

impl PinSource {
    /// Reads one PIN. Standard input is read line by line, so that it may hold several PINs.
    pub fn read(&self, prompt: &str) -> Result<Secret, Failure> {
        match (&self.pin_file, self.pin_stdin) {
            (Some(file), _) => first_line(file, "the PIN"),
            (None, true) => next_line(),
            (None, false) => ask(prompt),
        }
    }

    /// Whether every read returns the same PIN.
    pub const fn is_one_file(&self) -> bool {
        self.pin_file.is_some()
    }

    /// Whether it reads lines from standard input.
    pub const fn is_stdin(&self) -> bool {
        self.pin_stdin
    }

    /// Reads a new PIN, twice on a terminal, and checks that it has enough digits.
    pub fn read_new(&self, name: &str, allow_short: bool) -> Result<Secret, Failure> {
        let pin = self.read(&format!("New PIN of {name}: "))?;
        if self.pin_file.is_none() && !self.pin_stdin && ask("The same again: ")? != pin {
            return Err(Failure::usage("cannot set the PIN", "the two entries differ", "nothing was changed; try again"));
        }
        let digits = pin.bytes().iter().all(u8::is_ascii_digit);
        if !digits || (pin.bytes().len() < MIN_DIGITS && !allow_short) {
            let why = format!("a PIN needs at least {MIN_DIGITS} digits and nothing else");
            return Err(Failure::usage("cannot set the PIN", why, "choose another, or add --allow-short-pin for at least 4 digits"));
        }
        Ok(pin)
    }
}

/// Reads the token from the first line of a file.
pub fn read_token(file: &Path) -> Result<Secret, Failure> {
    first_line(file, "the token")
}

/// Reads the next line of standard input, without its line end; `None` after the last. Invalid UTF-8 becomes U+FFFD.
pub fn line_of_input() -> std::io::Result<Option<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    if std::io::stdin().lock().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(without_end(&String::from_utf8_lossy(&line)).to_owned()))
}

/// Reads a PIN for the teller machine: without echo on a terminal, otherwise a plain line; `None` after the last line.
pub fn pin_at_the_machine() -> std::io::Result<Option<Secret>> {
    if std::io::stdin().is_terminal() {
        return Ok(terminal::read_secret("")?.map(Secret::new));
    }
    Ok(line_of_input()?.map(Secret::new))
}

fn ask(prompt: &str) -> Result<Secret, Failure> {
    let failed = |why: String| {
        Failure::usage("cannot ask for the PIN", format!("there is no terminal to ask on ({why})"), "use --pin-file or --pin-stdin")
    };
    let typed = terminal::read_secret(prompt).map_err(|error| failed(error.to_string()))?;
    typed.map(Secret::new).ok_or_else(|| failed("its input has ended".to_owned()))
}

fn next_line() -> Result<Secret, Failure> {
    match line_of_input() {
        Ok(Some(line)) => Ok(Secret::new(line.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(line))),
        Ok(None) => Err(Failure::usage("cannot read the PIN", "standard input has ended", "give the PIN as a line of standard input")),
        Err(error) => Err(Failure::usage("cannot read the PIN", error, "give the PIN as a line of standard input")),
    }
}

fn first_line(path: &Path, what: &str) -> Result<Secret, Failure> {
    let shown = path.display();
    let failed = |why: String| Failure::because(Exit::CannotStart, format!("cannot read {what} from {shown}"), why, "name a readable file");
    let io = |error: std::io::Error| failed(error.to_string());
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    os::open_stream(path).and_then(|file| file.take(MAX_LINE).read_to_end(&mut bytes)).map_err(io)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = std::str::from_utf8(line).map_err(|_| failed("its first line is no UTF-8".to_owned()))?;
    // A byte order mark is not part of a secret.
    let text = without_end(text.strip_prefix('\u{feff}').unwrap_or(text));
    if text.is_empty() || text.len() > MAX_SECRET {
        return Err(failed(format!("its first line is empty or longer than {MAX_SECRET} bytes")));
    }
    if OsDisk.mode(path).map_err(io)? & 0o077 != 0 {
        say(&format!("others may read {shown}; run `chmod 600 {shown}`"));
    }
    Ok(Secret::new(text.to_owned()))
}

fn without_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        OsDisk.create(&path).unwrap().write_all_at(content, 0).unwrap();
        (dir, path)
    }

    #[test]
    fn the_first_line_is_the_secret() {
        for content in [b"123456".as_slice(), b"123456\n", b"123456\r\nmore\n", b"\xef\xbb\xbf123456\r\n"] {
            let (_dir, path) = file(content);
            assert_eq!(read_token(&path).unwrap().bytes(), b"123456");
        }
        for content in [b"".as_slice(), b"\n123456", b"\xff\xfe\n", &[b'x'; 200]] {
            let (_dir, path) = file(content);
            assert!(read_token(&path).is_err());
        }
        assert!(read_token(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn new_pins_are_hard_enough() {
        for (pin, allow_short, good) in
            [("123456", false, true), ("12345", false, false), ("1234", true, true), ("12345a", false, false), ("abcdef", true, false)]
        {
            let (_dir, path) = file(pin.as_bytes());
            let source = PinSource { pin_file: Some(path), pin_stdin: false };
            assert_eq!(source.read_new("Sami", allow_short).is_ok(), good, "{pin}");
        }
    }
}
