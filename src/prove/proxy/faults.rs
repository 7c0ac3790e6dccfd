//! The fault of each message, drawn from the seed: no sockets and no clock, so the same seed draws the same faults.
//!
//! A stream is ordered: when a message is lost, no later one in the same direction can arrive before the connection is
//! closed. So a loss is a silence followed by a cut, never a gap between two messages.
//! Left out: injecting the faults (`lane.rs`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::env::sim::Random;
use crate::model::amount::Amount;
use crate::wire::message::Ask;

/// A probability in millionths, 0 to 1,000,000. Written as a decimal such as `0.05`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// Text that is no probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a probability: give a decimal from 0 to 1 with at most six digits behind the point, such as 0.05")]
pub struct BadShare;

impl Share {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(1_000_000);

    /// A probability in percent; more than 100 is 100.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        if percent >= 100 { Self::ALWAYS } else { Self(percent as u32 * 10_000) }
    }

    /// In millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// Draws once. Always consumes one random number, so that one probability does not change the draws of another.
    fn comes(self, random: &mut Random) -> bool {
        random.below(1_000_000) < u64::from(self.0)
    }
}

impl FromStr for Share {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Self, BadShare> {
        // A decimal with at most six places has the form of an amount with six decimals.
        let millionths = Amount::parse(text, 6).map_err(|_| BadShare)?.get();
        u32::try_from(millionths).ok().filter(|millionths| *millionths <= 1_000_000).map(Self).ok_or(BadShare)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The probabilities and times of the injected faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A message to the bank is lost, and the connection cut.
    pub lose_requests: Share,
    /// A reply is lost after the bank has acted, and the connection cut.
    pub lose_replies: Share,
    /// A numbered request reaches the bank twice.
    pub duplicate: Share,
    /// The connection is cut in the middle of a frame, in either direction.
    pub cut: Share,
    /// The proxy answers "busy" and does not forward the message.
    pub busy: Share,
    /// A lost numbered request still reaches the bank, after the client's connection was closed.
    pub late: Share,
    /// The longest delay of a message in each direction; each delay is a random part of it.
    pub delay: Duration,
    /// How long a connection is silent between a loss and the cut.
    pub linger: Duration,
    /// Whether faults also hit greetings, logins and the opening of sessions.
    pub setup: bool,
}

/// The fate of one message and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prove) enum Fate {
    /// Both arrive.
    Pass,
    /// The message is lost; with `late`, it arrives after this time, when the client's connection is closed.
    LoseRequest { late: Option<Duration> },
    /// This many thousandths of its frame arrive.
    CutRequest(u64),
    /// It arrives twice; the second reply is dropped.
    Duplicate,
    /// The proxy answers "busy".
    Busy,
    /// It arrives; its reply is lost.
    LoseReply,
    /// It arrives, and this many thousandths of its reply.
    CutReply(u64),
}

/// All draws for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prove) struct Drawn {
    pub(in crate::prove) fate: Fate,
    pub(in crate::prove) request_delay: Duration,
    pub(in crate::prove) reply_delay: Duration,
}

/// The kinds of message that the proxy distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prove) enum Kind {
    /// Greeting, login, opening or resuming a session.
    Setup,
    /// Has a request number, so the bank must absorb a second copy.
    Numbered,
    /// Everything else. Never duplicated: a stream does not, and without a number the bank could not detect it.
    Plain,
}

impl Kind {
    pub(in crate::prove) const fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Hello { .. } | Ask::Login { .. } | Ask::OpenSession | Ask::ResumeSession { .. } => Self::Setup,
            Ask::Request { .. } | Ask::Run { .. } | Ask::Cancel { .. } | Ask::Ack { .. } => Self::Numbered,
            _ => Self::Plain,
        }
    }
}

/// The latest arrival of a lost request, in microseconds; most are far earlier, to race with the client's reconnection.
const LATEST: u64 = 250_000;

impl Faults {
    /// Draws the fate of a message.
    pub(in crate::prove) fn draw(&self, kind: Kind, random: &mut Random) -> Drawn {
        let lost = self.lose_requests.comes(random);
        let late = self.late.comes(random);
        let lateness = Duration::from_micros(random.below(LATEST) >> random.below(9));
        let cut = self.cut.comes(random);
        let cut_reply = random.one_in(2);
        let place = random.below(1000);
        let busy = self.busy.comes(random);
        let duplicate = self.duplicate.comes(random);
        let lost_reply = self.lose_replies.comes(random);
        let most = u64::try_from(self.delay.as_micros()).unwrap_or(u64::MAX);
        let request_delay = Duration::from_micros(random.below(most));
        let reply_delay = Duration::from_micros(random.below(most));
        let numbered = kind == Kind::Numbered;
        let fate = if kind == Kind::Setup && !self.setup {
            Fate::Pass
        } else if lost {
            Fate::LoseRequest { late: (late && numbered).then_some(lateness) }
        } else if cut && cut_reply {
            Fate::CutReply(place)
        } else if cut {
            Fate::CutRequest(place)
        } else if busy && kind != Kind::Setup {
            Fate::Busy
        } else if lost_reply {
            Fate::LoseReply
        } else if duplicate && numbered {
            Fate::Duplicate
        } else {
            Fate::Pass
        };
        Drawn { fate, request_delay, reply_delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Faults {
        Faults {
            lose_requests: Share::percent(10),
            lose_replies: Share::percent(10),
            duplicate: Share::percent(10),
            cut: Share::percent(10),
            busy: Share::percent(10),
            late: Share::percent(50),
            delay: Duration::from_millis(3),
            linger: Duration::ZERO,
            setup: true,
        }
    }

    fn run(faults: Faults, kind: Kind, seed: u64) -> Vec<Drawn> {
        let mut random = Random::new(seed);
        (0..2000).map(|_| faults.draw(kind, &mut random)).collect()
    }

    #[test]
    fn a_seed_decides_everything_and_another_decides_otherwise() {
        assert_eq!(run(some(), Kind::Numbered, 7), run(some(), Kind::Numbered, 7));
        assert_ne!(run(some(), Kind::Numbered, 7), run(some(), Kind::Numbered, 8));
    }

    #[test]
    fn every_fault_comes_about_as_often_as_asked() {
        let drawn = run(some(), Kind::Numbered, 1);
        let count = |test: fn(&Fate) -> bool| drawn.iter().filter(|drawn| test(&drawn.fate)).count();
        assert!((150..250).contains(&count(|fate| matches!(fate, Fate::LoseRequest { .. }))));
        assert!((60..140).contains(&count(|fate| matches!(fate, Fate::LoseRequest { late: Some(_) }))));
        assert!((60..130).contains(&count(|fate| matches!(fate, Fate::CutReply(_)))));
        assert!((60..130).contains(&count(|fate| matches!(fate, Fate::CutRequest(_)))));
        assert!((110..220).contains(&count(|fate| *fate == Fate::Busy)));
        assert!((90..200).contains(&count(|fate| *fate == Fate::LoseReply)));
        assert!((80..190).contains(&count(|fate| *fate == Fate::Duplicate)));
        assert!(drawn.iter().all(|drawn| drawn.request_delay < Duration::from_millis(3)));
    }

    #[test]
    fn nothing_is_drawn_from_nothing_and_the_rest_is_not_shifted() {
        assert!(run(Faults::default(), Kind::Numbered, 1).iter().all(|drawn| drawn.fate == Fate::Pass));
        let without_busy = run(Faults { busy: Share::NEVER, ..some() }, Kind::Numbered, 1);
        for (one, other) in run(some(), Kind::Numbered, 1).iter().zip(without_busy) {
            assert!(one.fate == Fate::Busy || one.fate == other.fate);
        }
    }

    #[test]
    fn what_no_stream_does_is_not_done() {
        let all = Faults { duplicate: Share::ALWAYS, late: Share::ALWAYS, lose_requests: Share::percent(50), ..Faults::default() };
        for kind in [Kind::Plain, Kind::Setup] {
            let fates: Vec<Fate> = run(Faults { setup: true, ..all }, kind, 3).iter().map(|drawn| drawn.fate).collect();
            assert!(fates.contains(&Fate::LoseRequest { late: None }));
            assert!(!fates.iter().any(|fate| matches!(fate, Fate::Duplicate | Fate::LoseRequest { late: Some(_) })));
        }
        assert!(run(all, Kind::Setup, 3).iter().all(|drawn| drawn.fate == Fate::Pass));
    }

    #[test]
    fn probabilities_read_back_and_others_are_refused() {
        for (text, millionths) in [("0", 0), ("1", 1_000_000), ("0.05", 50_000), ("0.000001", 1), ("1.000000", 1_000_000)] {
            assert_eq!(text.parse::<Share>().map(Share::millionths), Ok(millionths), "{text}");
        }
        for text in ["", "1.1", "-0.1", "5%", "0.0000001", "x", "nan"] {
            assert_eq!(text.parse::<Share>(), Err(BadShare), "{text}");
        }
        assert_eq!(Share::percent(30).to_string(), "0.300000");
        assert_eq!(Share::percent(200), Share::ALWAYS);
    }
}
