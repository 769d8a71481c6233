//! The format of `spec.expiry`, shared by the CRD, `lint` and the operator.

use std::sync::LazyLock;

use k8s_openapi::jiff::Timestamp;
use regex::Regex;

/// The subset of RFC 3339 section 5.6 that all parsers agree on: upper-case `T` and `Z`, no leap second, an
/// offset of less than a day, and a year from 1000.
pub const PATTERN: &str = "^[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
    T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";
/// Every expiry is before this time, because the times that programs can represent end soon after.
pub const END: Timestamp = Timestamp::constant(253_402_128_000, 0);

/// Why an expiry is invalid. The message completes a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExpiry {
    /// The value does not match the format, or the date does not exist.
    #[error("is not a time: use RFC 3339, for example '2027-05-24T00:00:00Z'")]
    Form,
    /// The time is [`END`] or later.
    #[error("is too late: use a time before {END}")]
    TooLate,
}

/// Parses an expiry and truncates it to a second.
///
/// # Errors
/// The value is not a valid expiry.
pub fn parse(text: &str) -> Result<Timestamp, BadExpiry> {
    static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(PATTERN).ok());
    if !FORM.as_ref().is_some_and(|form| form.is_match(text)) {
        return Err(BadExpiry::Form);
    }
    match text.parse::<Timestamp>() {
        Ok(time) if time < END => {
            Timestamp::from_second(time.as_second()).map_err(|_| BadExpiry::Form)
        }
        Ok(_) => Err(BadExpiry::TooLate),
        // These days exist, but some of them are outside the range of `Timestamp`.
        Err(_) if text.starts_with("9999-12-3") => Err(BadExpiry::TooLate),
        Err(_) => Err(BadExpiry::Form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_taken_to_the_second_below() {
        let expected = "2027-05-24T00:00:00Z".parse().unwrap();
        assert_eq!(parse("2027-05-24T01:00:00.999+01:00"), Ok(expected));
        assert_eq!(
            parse("9999-12-29T23:59:59Z").unwrap().as_second() + 1,
            END.as_second()
        );
    }

    #[test]
    fn what_is_no_time_and_what_is_too_late_are_told_apart() {
        for form in [
            "",
            "tomorrow",
            "2027-06-17",
            "2027-06-17t00:00:00Z",
            "2027-06-17T00:00:00z",
            "2027-06-17 00:00:00Z",
            "2027-06-17T00:00:00",
            "2027-06-17T00:00Z",
            "2027-06-17T00:00:00+0200",
            "2027-06-17T00:00:00+25:00",
            "2027-06-17T00:00:00+99:99",
            "2027-06-17T24:00:00Z",
            "2027-06-17T23:59:60Z",
            "2027-02-29T00:00:00Z",
            "2027-06-17T00:00:00.Z",
            "0999-06-17T00:00:00Z",
            "2027-06-17T00:00:00Zx",
            "2027-06-17T00:00:00x5Z",
            "x2027-06-17T00:00:00ZT1",
            "2027-06-17T00:00:00Z\n",
            "2027-06-17T00:00:00.0000000001Z",
            "２027-06-17T00:00:00Z",
        ] {
            assert_eq!(parse(form), Err(BadExpiry::Form), "{form}");
        }
        for late in [
            "9999-12-30T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "9999-12-29T23:00:00-01:00",
        ] {
            assert_eq!(parse(late), Err(BadExpiry::TooLate), "{late}");
        }
    }
}
