//! Time zones: their names, their offsets, and local times that do not exist or exist twice. It reads no system clock.

use chrono::offset::{LocalResult, Offset};
use chrono::{DateTime, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

use super::civil::{DAY, Moment, SECOND};

/// A zone by its IANA name; names are case-sensitive in Snowflake but for UTC.
pub fn zone(name: &str) -> Result<Tz, String> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(Tz::UTC);
    }
    name.parse().map_err(|_| format!("unknown time zone '{name}'"))
}

fn naive(nanos: i64) -> NaiveDateTime {
    DateTime::from_timestamp_nanos(nanos).naive_utc()
}

/// Seconds east of UTC that a zone keeps at an instant.
pub fn offset_at(zone: Tz, utc_nanos: i64) -> i64 {
    if zone == Tz::UTC {
        return 0;
    }
    i64::from(zone.offset_from_utc_datetime(&naive(utc_nanos)).fix().local_minus_utc())
}

/// What the wall clock shows in a zone at an instant, as nanoseconds since 1970.
pub fn to_local(zone: Tz, utc_nanos: i64) -> i64 {
    utc_nanos.saturating_add(offset_at(zone, utc_nanos) * SECOND)
}

/// The instant at which the wall clock of a zone shows a time. Of two such instants (the clock was set back) it is the
/// first; a time that was skipped counts on from before the gap.
pub fn to_utc(zone: Tz, local_nanos: i64) -> i64 {
    if zone == Tz::UTC {
        return local_nanos;
    }
    let seconds = match zone.offset_from_local_datetime(&naive(local_nanos)) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => i64::from(offset.fix().local_minus_utc()),
        LocalResult::None => offset_at(zone, local_nanos.saturating_sub(DAY)),
    };
    local_nanos.saturating_sub(seconds * SECOND)
}

/// The moment that an instant is in a zone, with its offset.
pub fn moment_in(zone: Tz, utc_nanos: i64) -> Moment {
    let offset = offset_at(zone, utc_nanos);
    let wall = utc_nanos.saturating_add(offset * SECOND);
    Moment { offset: Some((offset / 60) as i32), ..Moment::of_nanos(wall) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::format::civil::days;

    #[test]
    fn summer_and_winter() {
        let paris = zone("Europe/Paris").unwrap();
        let noon = |month| days(2024, month, 1) * DAY + 12 * 3600 * SECOND;
        assert_eq!(offset_at(paris, noon(1)), 3600);
        assert_eq!(offset_at(paris, noon(7)), 7200);
        assert_eq!(to_utc(paris, noon(7)), noon(7) - 7200 * SECOND);
        assert!(zone("Mars/Phobos").is_err());
    }
}
