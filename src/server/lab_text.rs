//! The lab's text: where a message ends in the bytes that a client sends, and the words that it is answered.
//!
//! The report's clients end no message: one `send` is one message. People with `nc` end lines. So a LF ends a message,
//! and so does the end of what was read, unless the client is a *stream*: it sends much at a time, cut anywhere.
//! Left out: what the messages mean (`lab.rs`).

/// The longest message, in bytes without its line end; as much as the report's server reads at a time.
pub const MAX_MESSAGE: usize = 1024;
/// A read of at least this many bytes with a line end in it comes from a stream. Less is never cut on its way by any
/// usual network.
const STREAM: usize = 512;

/// What stands at the front of the bytes that a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// Nothing, or the beginning of a stream's line.
    Incomplete,
    /// A message without its line end, and the bytes that it takes with it.
    Message(&'a [u8], usize),
    /// More than [`MAX_MESSAGE`].
    TooLong,
}

/// The message at the front of `bytes`. In a stream only a LF ends one.
pub fn front(bytes: &[u8], is_stream: bool) -> Front<'_> {
    let reach = bytes.get(..MAX_MESSAGE + 2).unwrap_or(bytes);
    let (message, taken) = match reach.iter().position(|byte| *byte == b'\n') {
        Some(end) => (reach.get(..end).unwrap_or_default(), end + 1),
        None if bytes.len() > MAX_MESSAGE + 1 => return Front::TooLong,
        None if is_stream || bytes.is_empty() => return Front::Incomplete,
        None => (bytes, bytes.len()),
    };
    let message = message.strip_suffix(b"\r").unwrap_or(message);
    if message.len() > MAX_MESSAGE { Front::TooLong } else { Front::Message(message, taken) }
}

/// Whether what one read brought shows that its client is a stream.
pub fn is_stream(read: &[u8]) -> bool {
    read.len() >= STREAM && read.contains(&b'\n')
}

/// The first words to a customer.
pub const NAME_PROMPT: &str = "Enter Your Account Name : ";
/// After the name.
pub const PIN_PROMPT: &str = "Enter Your Account Pin : ";
/// After a wrong name or PIN; the first prompt follows in the same breath, since a client may read once only.
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
/// The last words to whoever sends more than [`MAX_MESSAGE`].
pub const TOO_LONG: &str = "Invalid input. Please send at most 1024 bytes at a time.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Every message of the bytes, and whether a rest waits.
    fn messages(mut bytes: &[u8], is_stream: bool) -> Vec<&[u8]> {
        let mut found = Vec::new();
        while let Front::Message(message, taken) = front(bytes, is_stream) {
            found.push(message);
            bytes = &bytes[taken..];
        }
        assert_eq!(front(bytes, is_stream), Front::Incomplete);
        found
    }

    #[test]
    fn a_line_end_or_the_end_ends_a_message() {
        assert_eq!(messages(b"", false), Vec::<&[u8]>::new());
        assert_eq!(messages(b"Sami", false), [b"Sami"]);
        assert_eq!(messages(b"Sami\r", false), [b"Sami"]);
        assert_eq!(messages(b"Sami\r\n1234\n2\n1000", false), [&b"Sami"[..], b"1234", b"2", b"1000"]);
        assert_eq!(messages(b"\n\r\n a ", false), [&b""[..], b"", b" a "]);
        assert_eq!(messages(b"a\rb\r\r\n", false), [b"a\rb\r"]);
    }

    #[test]
    fn in_a_stream_a_rest_waits() {
        assert_eq!(messages(b"2\n10", true), [b"2"]);
        assert_eq!(messages(b"2\n1000\r", true), [b"2"]);
        assert_eq!(messages(b"2\n1000\r\n", true), [&b"2"[..], b"1000"]);
        assert!(is_stream(&[b'\n'; 512]) && !is_stream(&[b'\n'; 511]) && !is_stream(&[b'x'; 65_536]));
    }

    #[test]
    fn a_message_has_a_limit_however_it_ends() {
        let longest = vec![b'x'; MAX_MESSAGE];
        for end in ["", "\r", "\n", "\r\n", "\nmore"] {
            let bytes = [&longest[..], end.as_bytes()].concat();
            assert!(matches!(front(&bytes, false), Front::Message(message, _) if message == longest), "{end:?}");
            let bytes = [&longest[..], b"x", end.as_bytes()].concat();
            assert_eq!(front(&bytes, false), Front::TooLong, "{end:?}");
        }
        assert_eq!(front(&[b'x'; MAX_MESSAGE + 2], true), Front::TooLong);
    }

    #[test]
    fn every_answer_fits_one_read_of_the_reports_clients() {
        for words in [NAME_PROMPT, PIN_PROMPT, BAD_LOGIN, LOGGED_IN, AMOUNT_PROMPT, BAD_COMMAND, TRANSACTION_ERROR, BAD_INPUT] {
            assert!(words.len() <= 1024 && words.is_ascii());
        }
        assert!(BAD_LOGIN.ends_with(NAME_PROMPT) && TOO_LONG.contains(&MAX_MESSAGE.to_string()));
    }
}
