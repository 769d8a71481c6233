//! Parses and formats durations. Pure.

use k8s_openapi::jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Parses a duration such as `30d`, `12h` or `1h30m`. A day has 24 hours.
pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    let span = text.parse::<Span>().ok();
    let days = SpanRelativeTo::days_are_24_hours();
    let parsed = span.and_then(|span| span.to_duration(days).ok());
    parsed
        .filter(|duration| !duration.is_negative())
        .ok_or_else(|| "use a number with a unit: 90d, 12h, 30m or 45s".to_owned())
}

/// The time after this duration, truncated to a second. `None` if it is out of range.
pub(super) fn after(now: Timestamp, duration: SignedDuration) -> Option<Timestamp> {
    let time = now.checked_add(duration).ok()?;
    Timestamp::from_second(time.as_second()).ok()
}

/// Formats a duration in one or two units, as kubectl formats ages.
pub(super) fn short(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let two = |unit: i64, name: char, below: i64, part: char| {
        let (whole, rest) = (seconds / unit, seconds % unit / below);
        if rest == 0 {
            format!("{whole}{name}")
        } else {
            format!("{whole}{name}{rest}{part}")
        }
    };
    match seconds {
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(MINUTE, 'm', 1, 's'),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(HOUR, 'h', MINUTE, 'm'),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(DAY, 'd', HOUR, 'h'),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        _ => two(YEAR, 'y', DAY, 'd'),
    }
}

/// Formats the time since then, as kubectl formats ages.
pub(super) fn age(since: Timestamp, now: Timestamp) -> String {
    short(now.duration_since(since))
}

/// Formats a time relative to now: `in 12d`, `3h ago`.
pub(super) fn relative(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        format!("in {}", short(time.duration_since(now)))
    } else {
        format!("{} ago", age(time, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_days_of_24_hours() {
        for (text, seconds) in [
            ("90d", 90 * DAY),
            ("1h30m", 5400),
            ("45s", 45),
            ("2w", 14 * DAY),
        ] {
            assert_eq!(duration(text).map(|d| d.as_secs()), Ok(seconds), "{text}");
        }
        for bad in ["", "90", "tomorrow", "-1d", "1 month"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_kubectl_does() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (130, "2m10s"),
            (600, "10m"),
            (4 * HOUR, "4h"),
            (4 * HOUR + 5 * MINUTE, "4h5m"),
            (30 * HOUR, "30h"),
            (3 * DAY, "3d"),
            (3 * DAY + 2 * HOUR, "3d2h"),
            (180 * DAY, "180d"),
            (3 * YEAR + DAY, "3y1d"),
        ] {
            assert_eq!(short(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(relative(at(12 * DAY), at(0)), "in 12d");
        assert_eq!(relative(at(0), at(4 * HOUR)), "4h ago");
    }
}
