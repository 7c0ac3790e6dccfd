//! Durations on the command line: `2s`, `500ms`, `1m 30s`, or a plain number of seconds.
//!
//! Left out: the options that use them.

use std::time::Duration;

/// The longest duration accepted.
const MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// Parses a duration from zero to a day.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    let parsed = parsed.ok_or("not a duration such as 2s, 500ms, 1m, or a number of seconds")?;
    if parsed <= MOST { Ok(parsed) } else { Err("longer than a day".to_owned()) }
}

/// As [`duration`], but greater than zero.
///
/// # Errors
/// As [`duration`].
pub fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        some => Ok(some),
    }
}

/// Parses a duration of at most a minute; a plain number is milliseconds, as the option names ending in `-ms` say.
///
/// # Errors
/// As [`duration`].
pub fn millis(text: &str) -> Result<Duration, String> {
    let parsed = text.trim().parse().map_or_else(|_| duration(text), |millis| Ok(Duration::from_millis(millis)))?;
    if parsed <= Duration::from_secs(60) { Ok(parsed) } else { Err("longer than a minute".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, millis) in
            [("2s", 2000), ("500ms", 500), ("1m", 60_000), ("1m 30s", 90_000), ("30", 30_000), ("0.5", 500), ("24h", 86_400_000), ("0", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "-1", "-1s", "2 apples", "nan", "inf", "25h", "86401", "1e99"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(some_time("0s").is_err() && some_time("1ms").is_ok());
        assert_eq!((millis("50"), millis("1.5s")), (Ok(Duration::from_millis(50)), Ok(Duration::from_millis(1500))));
        assert!(millis("60001").is_err() && millis("2m").is_err());
    }
}
