//! The lab's text: where a line ends, and the wording of the answers.
//!
//! TCP may cut and merge a client's bytes anywhere, so only line ends count here. Left out: messages without a line end
//! (`line_ends.rs`), and the meaning of messages (`dialogue.rs`).

/// The longest message, in bytes without its line end: what the report's server reads at a time.
pub const MAX_MESSAGE: usize = 1024;

/// What is at the front of a client's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// Nothing, or the beginning of a line.
    Incomplete,
    /// A line without its end, and its length with it.
    Message(&'a [u8], usize),
    /// More than [`MAX_MESSAGE`].
    TooLong,
}

/// The line at the front of `bytes`: LF, CR LF, and the CR NUL of telnet end one.
pub fn front(bytes: &[u8]) -> Front<'_> {
    let reach = bytes.get(..MAX_MESSAGE + 2).unwrap_or(bytes);
    let (line, taken) = match line_end(reach) {
        Some((end, taken)) => (reach.get(..end).unwrap_or_default(), taken),
        // A CR may be the first byte of the line end.
        None if bytes.strip_suffix(b"\r").unwrap_or(bytes).len() > MAX_MESSAGE => return Front::TooLong,
        None => return Front::Incomplete,
    };
    if line.len() > MAX_MESSAGE { Front::TooLong } else { Front::Message(line, taken) }
}

/// Whether the bytes have a line end.
pub fn has_line_end(bytes: &[u8]) -> bool {
    line_end(bytes).is_some()
}

/// Whether the last line has begun and not ended.
pub fn is_open(bytes: &[u8]) -> bool {
    !bytes.is_empty() && !bytes.ends_with(b"\n") && !bytes.ends_with(b"\r\0")
}

/// Where the first line ends, and where the next one begins.
fn line_end(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut before = None;
    for (place, byte) in bytes.iter().enumerate() {
        match (before, byte) {
            (Some(b'\r'), b'\n' | 0) => return Some((place.saturating_sub(1), place.saturating_add(1))),
            (_, b'\n') => return Some((place, place.saturating_add(1))),
            _ => before = Some(*byte),
        }
    }
    None
}

/// The first words to a customer.
pub const NAME_PROMPT: &str = "Enter Your Account Name : ";
/// After the name.
pub const PIN_PROMPT: &str = "Enter Your Account Pin : ";
/// After a wrong name or PIN. The first prompt follows in the same write, since a client may read only once.
pub const BAD_LOGIN: &str = "Incorrect account name/pin\nEnter Your Account Name : ";
/// After the right ones, indented as in the report's code.
pub const LOGGED_IN: &str = "Successfully Logged in

    Enter the commands below:
    1. To check your account balance -> Press '1'
    2. To withdraw from your account -> Press '2'
    3. To deposit money in your account -> Press '3'
    4. To terminate the transaction -> Press '4'
    ";
/// After the commands 2 and 3.
pub const AMOUNT_PROMPT: &str = "Enter Amount : ";
/// After anything that is no command.
pub const BAD_COMMAND: &str = "Enter a valid command";
/// Instead of a transaction, on purpose.
pub const TRANSACTION_ERROR: &str = "Transaction error. Please try again.";
/// To anything but an integer and an operation.
pub const BAD_INPUT: &str = "Invalid input. Please send an integer and operation.";
/// To bytes that are no text.
pub const NOT_UTF8: &str = "Invalid input. Please send UTF-8 text.";
/// The last words to a client that sends more than [`MAX_MESSAGE`].
pub const TOO_LONG: &str = "Invalid input. Please send at most 1024 bytes at a time.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line of the bytes.
    fn lines(mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut found = Vec::new();
        while let Front::Message(line, taken) = front(bytes) {
            found.push(line);
            bytes = &bytes[taken..];
        }
        assert_eq!(front(bytes), Front::Incomplete);
        found
    }

    #[test]
    fn line_ends_end_lines_and_a_rest_waits() {
        assert_eq!(lines(b""), Vec::<&[u8]>::new());
        assert_eq!(lines(b"Sami\r\n1234\n2\r\x001000"), [&b"Sami"[..], b"1234", b"2"]);
        assert_eq!(lines(b"2\n1000\r"), [b"2"]);
        assert_eq!(lines(b"2\n1000\r\n"), [&b"2"[..], b"1000"]);
        assert_eq!(lines(b"\n\r\n\r\0 a \n"), [&b""[..], b"", b"", b" a "]);
        assert_eq!(lines(b"a\rb\0\r\r\n"), [b"a\rb\0\r"]);
        for (bytes, open, ended) in [
            (&b""[..], false, false),
            (b"a", true, false),
            (b"a\r", true, false),
            (b"a\r\n", false, true),
            (b"a\r\0", false, true),
            (b"\0", true, false),
        ] {
            assert_eq!((is_open(bytes), has_line_end(bytes)), (open, ended), "{bytes:?}");
        }
    }

    #[test]
    fn a_line_has_a_limit_however_it_ends() {
        let longest = vec![b'x'; MAX_MESSAGE];
        for end in ["\n", "\r\n", "\r\0", "\nmore"] {
            let bytes = [&longest[..], end.as_bytes()].concat();
            assert!(matches!(front(&bytes), Front::Message(line, _) if line == longest), "{end:?}");
            let bytes = [&longest[..], b"x", end.as_bytes()].concat();
            assert_eq!(front(&bytes), Front::TooLong, "{end:?}");
        }
        // A rest that is too long whatever line end follows is refused before one comes.
        for (rest, found) in
            [("", Front::Incomplete), ("\r", Front::Incomplete), ("x", Front::TooLong), ("\rx", Front::TooLong), ("xx", Front::TooLong)]
        {
            assert_eq!(front(&[&longest[..], rest.as_bytes()].concat()), found, "{rest:?}");
        }
    }

    #[test]
    fn every_answer_fits_one_read_of_the_reports_clients() {
        for words in [NAME_PROMPT, PIN_PROMPT, BAD_LOGIN, LOGGED_IN, AMOUNT_PROMPT, BAD_COMMAND, TRANSACTION_ERROR, BAD_INPUT] {
            assert!(words.len() <= 1024 && words.is_ascii());
        }
        assert!(BAD_LOGIN.ends_with(NAME_PROMPT) && TOO_LONG.contains(&MAX_MESSAGE.to_string()));
    }
}
