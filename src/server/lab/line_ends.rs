//! A client's habit: whether it ends its lines, as people with `nc` or `telnet` do, or sends one message at a time
//! without a line end, as the report's clients do.
//!
//! Where a message without a line end is complete, a line end is appended to it here, so that only line ends count in
//! the kept bytes. Left out: where a line ends (`text.rs`), how long a silence is (`session.rs`).

use crate::server::lab::text;

/// What is known of a client's habit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It has neither ended a line nor been silent after the beginning of a message.
    Unknown,
    /// It has ended a line: only line ends end its messages.
    Lines,
    /// It was silent without having ended a line: each read is a message, until the client ends a line.
    Reads,
}

impl Habit {
    /// Appends the bytes of one read to the bytes that are kept from earlier ones.
    pub fn join(&mut self, kept: &mut Vec<u8>, read: &[u8]) {
        // A kept CR may be the first byte of a line end.
        let before = kept.len().saturating_sub(1);
        kept.extend_from_slice(read);
        match self {
            Self::Lines => {}
            Self::Unknown if text::has_line_end(kept.get(before..).unwrap_or_default()) => *self = Self::Lines,
            Self::Unknown => {}
            Self::Reads if text::has_line_end(read) => *self = Self::Lines,
            Self::Reads => end_line(kept),
        }
    }

    /// Notes that the client is silent after the beginning of a message. Returns whether that ends the message.
    pub fn end_by_silence(&mut self, kept: &mut Vec<u8>) -> bool {
        if *self != Self::Unknown || !text::is_open(kept) {
            return false;
        }
        *self = Self::Reads;
        end_line(kept);
        true
    }
}

/// Notes that the client sends no more: an incomplete line is a message. Returns whether there was one.
pub fn end_by_end(kept: &mut Vec<u8>) -> bool {
    let is_open = text::is_open(kept);
    end_line(kept);
    is_open
}

fn end_line(kept: &mut Vec<u8>) {
    if text::is_open(kept) {
        kept.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kept bytes after these reads, and the habit.
    fn kept(mut habit: Habit, reads: &[&[u8]]) -> (Vec<u8>, Habit) {
        let mut kept = Vec::new();
        for read in reads {
            habit.join(&mut kept, read);
        }
        (kept, habit)
    }

    #[test]
    fn the_first_line_end_shows_lines_wherever_it_is_cut() {
        for line in [&b"Sami\n"[..], b"Sami\r\n", b"Sami\r\0"] {
            for cut in 0..line.len() {
                let (head, tail) = line.split_at(cut);
                assert_eq!(kept(Habit::Unknown, &[head]), (head.to_vec(), Habit::Unknown));
                assert_eq!(kept(Habit::Unknown, &[head, tail, b"12", b"34"]), ([line, b"1234"].concat(), Habit::Lines));
            }
        }
    }

    #[test]
    fn silence_shows_reads_and_a_line_end_lines() {
        let (mut bytes, mut habit) = kept(Habit::Unknown, &[b"Sa", b"mi"]);
        assert!(habit.end_by_silence(&mut bytes) && !habit.end_by_silence(&mut bytes));
        assert_eq!((&bytes[..], habit), (&b"Sami\n"[..], Habit::Reads));
        for read in [&b"1234"[..], b"", b"2\r", b"1\n2"] {
            habit.join(&mut bytes, read);
        }
        assert_eq!((&bytes[..], habit), (&b"Sami\n1234\n2\r\n1\n2"[..], Habit::Lines));
        assert!(!habit.end_by_silence(&mut bytes) && end_by_end(&mut bytes) && !end_by_end(&mut bytes));
        assert!(bytes.ends_with(b"1\n2\n"));
    }

    #[test]
    fn silence_without_a_beginning_shows_nothing() {
        let mut habit = Habit::Unknown;
        assert!(!habit.end_by_silence(&mut Vec::new()) && !end_by_end(&mut Vec::new()));
        assert_eq!(habit, Habit::Unknown);
    }
}
