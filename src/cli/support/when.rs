//! Bank time for people: the day and the time in UTC.
//!
//! Left out: time zones.

use bankd::model::types::BankTime;

const DAY: u64 = 24 * 60 * 60;

/// A moment as `2026-01-31T23:59:59.123456Z`.
pub fn utc(time: BankTime) -> String {
    let (seconds, micros) = (time.0 / 1_000_000, time.0 % 1_000_000);
    let (year, month, day) = date(seconds / DAY);
    let of_day = seconds % DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Year, month and day of the day that follows 1970-01-01 after so many days.
fn date(days: u64) -> (u64, u64, u64) {
    // Years are counted from March here, so that a leap day is the last of its year, and in eras of 400 years, which
    // all have the same number of days.
    let since_era = days.saturating_add(719_468);
    let (era, day) = (since_era / 146_097, since_era % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    (era.saturating_mul(400) + year + u64::from(is_next_year), if is_next_year { month - 9 } else { month + 3 }, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_799_999_999, "2000-02-29T23:59:59.999999Z"),
            (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
            (1_700_000_000_000_000, "2023-11-14T22:13:20.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(utc(BankTime(micros)), text);
        }
        assert!(utc(BankTime(u64::MAX)).starts_with("586524-"), "{}", utc(BankTime(u64::MAX)));
    }

    #[test]
    fn every_day_is_the_next_of_the_one_before() {
        let lengths = |year: u64| {
            let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut expected = (1970, 1, 1);
        for day in 0..200_000 {
            assert_eq!(date(day), expected);
            let (year, month, of_month) = expected;
            expected = match (of_month == lengths(year)[usize::try_from(month).unwrap() - 1], month) {
                (false, _) => (year, month, of_month + 1),
                (true, 12) => (year + 1, 1, 1),
                (true, _) => (year, month + 1, 1),
            };
        }
    }
}
