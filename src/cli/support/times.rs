//! Times on the command line: a date, or a date with a time, in UTC.
//!
//! Left out: printing times (`output.rs`).

use bankd::env::os;
use bankd::model::types::BankTime;

/// The first microsecond of a date, or the time that is named.
pub fn first_moment(text: &str) -> Result<BankTime, String> {
    parse(text, "T00:00:00Z")
}

/// The last microsecond of a date, or the time that is named.
pub fn last_moment(text: &str) -> Result<BankTime, String> {
    parse(text, "T23:59:59.999999Z")
}

fn parse(text: &str, of_a_date: &str) -> Result<BankTime, String> {
    let is_date = text.len() == "2026-01-31".len();
    let whole = if is_date { format!("{text}{of_a_date}") } else { text.to_owned() };
    let no_time = || format!("{text:?} is neither a date such as 2026-01-31 nor a time such as 2026-01-31T12:00:00Z");
    let time = humantime::parse_rfc3339_weak(&whole).map_err(|_| no_time())?;
    let since = os::since_epoch(time).ok_or_else(no_time)?;
    u64::try_from(since.as_micros()).map(BankTime).map_err(|_| no_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times() {
        let day = 86_400_000_000;
        assert_eq!(first_moment("1970-01-02"), Ok(BankTime(day)));
        assert_eq!(last_moment("1970-01-02"), Ok(BankTime(2 * day - 1)));
        for text in ["1970-01-01T00:00:01Z", "1970-01-01 00:00:01", "1970-01-01T00:00:01.000000Z"] {
            assert_eq!((first_moment(text), last_moment(text)), (Ok(BankTime(1_000_000)), Ok(BankTime(1_000_000))), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "1969-12-31", "2026-1-1", "2026-01-31T"] {
            assert!(first_moment(text).is_err(), "{text}");
        }
    }
}
