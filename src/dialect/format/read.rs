//! Dates, times and timestamps out of text, by a format model or by Snowflake's AUTO detection. It says only whether the
//! text is one; the error is the caller's to word.

use super::civil::{DAY, Moment, SECOND, checked_days};
use super::model::{Element, Model};
use super::write::{DAYS, MONTHS};

/// A day number, out of a date or a timestamp.
pub fn read_date(text: &str, model: &Model) -> Option<i64> {
    read(text, model, Wanted::Date).map(|moment| moment.days)
}

/// Nanoseconds since midnight, out of a time or a timestamp.
pub fn read_time(text: &str, model: &Model) -> Option<i64> {
    read(text, model, Wanted::Time).map(|moment| moment.nanos)
}

/// A moment, with its offset where the text has one. A number is an instant, and its offset is UTC's.
pub fn read_timestamp(text: &str, model: &Model) -> Option<Moment> {
    read(text, model, Wanted::Timestamp)
}

/// The instant of a whole number in a text: seconds, milliseconds, microseconds or nanoseconds since 1970 by its size.
pub fn epoch_nanos(number: i64) -> Option<i64> {
    const YEAR_OF_MILLIS: u64 = 31_536_000_000;
    let unit = match number.unsigned_abs() {
        size if size < YEAR_OF_MILLIS => SECOND,
        size if size < YEAR_OF_MILLIS * 1000 => 1_000_000,
        size if size < YEAR_OF_MILLIS * 1_000_000 => 1000,
        _ => 1,
    };
    number.checked_mul(unit)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Date,
    Time,
    Timestamp,
}

#[derive(Default)]
struct Parts {
    year: Option<i64>,
    month: Option<u32>,
    day: Option<u32>,
    hour: u32,
    half_day: bool,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
    offset: Option<i32>,
}

impl Parts {
    fn moment(&self) -> Option<Moment> {
        let days = checked_days(self.year.unwrap_or(1970), self.month.unwrap_or(1), self.day.unwrap_or(1))?;
        let hour = match (self.half_day, self.afternoon) {
            (true, _) if !(1..=12).contains(&self.hour) => return None,
            (true, Some(afternoon)) => self.hour % 12 + 12 * u32::from(afternoon),
            (true, None) => self.hour,
            (false, Some(true)) if self.hour < 12 => self.hour + 12,
            (false, _) => self.hour,
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let seconds = i64::from(hour * 3600 + self.minute * 60 + self.second);
        Some(Moment { days, nanos: seconds * SECOND + i64::from(self.nanos), offset: self.offset })
    }
}

fn read(text: &str, model: &Model, wanted: Wanted) -> Option<Moment> {
    let mut scan = Scan { rest: text.trim().as_bytes() };
    let moment = match model {
        Model::Elements(elements) => {
            let mut parts = Parts::default();
            scan.elements(elements, &mut parts)?;
            parts.moment()?
        }
        Model::Auto => scan.auto(wanted)?,
    };
    scan.rest.is_empty().then_some(moment)
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn elements(&mut self, elements: &[Element], parts: &mut Parts) -> Option<()> {
        let mut zulu = false;
        for (index, element) in elements.iter().enumerate() {
            match element {
                Element::Literal(text) if zulu && text == ":" => {}
                Element::ZoneMinute if zulu => {}
                Element::Literal(text) => {
                    let optional = text.ends_with('.') && matches!(elements.get(index + 1), Some(Element::Fraction(_)));
                    if !optional {
                        self.literal(text)?;
                    } else {
                        self.literal(&text[..text.len() - 1])?;
                        self.eat(b'.');
                    }
                }
                Element::ZoneHour => zulu = self.zone_hour(parts)?,
                Element::Fraction(places) => {
                    let least = matches!(index.checked_sub(1).map(|i| &elements[i]), Some(Element::Literal(_)));
                    parts.nanos = self.fraction(usize::from((*places).max(1)), least)?;
                }
                other => self.element(other, parts)?,
            }
        }
        Some(())
    }

    fn element(&mut self, element: &Element, parts: &mut Parts) -> Option<()> {
        match element {
            Element::Year => parts.year = Some(i64::from(self.number(1, 4)?)),
            Element::ShortYear => {
                let year = i64::from(self.number(1, 2)?);
                parts.year = Some(if year >= 70 { 1900 + year } else { 2000 + year });
            }
            Element::Month => parts.month = Some(self.number(1, 2)?),
            Element::MonthName | Element::FullMonthName => parts.month = Some(self.name(&MONTHS)? + 1),
            Element::Day => parts.day = Some(self.number(1, 2)?),
            Element::DayName => drop(self.name(&DAYS)?),
            Element::Hour24 => parts.hour = self.number(1, 2)?,
            Element::Hour12 => (parts.hour, parts.half_day) = (self.number(1, 2)?, true),
            Element::Meridiem => parts.afternoon = Some(self.meridiem()?),
            Element::Minute => parts.minute = self.number(1, 2)?,
            Element::Second => parts.second = self.number(1, 2)?,
            Element::ZoneMinute => {
                let minutes = i32::try_from(self.number(2, 2)?).ok()?;
                let hours = parts.offset.unwrap_or(0);
                parts.offset = Some(if hours < 0 { hours - minutes } else { hours + minutes });
            }
            Element::Fraction(_) | Element::ZoneHour | Element::Literal(_) => {}
        }
        Some(())
    }

    /// Whether it was `Z`, which stands for minutes too.
    fn zone_hour(&mut self, parts: &mut Parts) -> Option<bool> {
        if self.eat(b'Z') || self.eat(b'z') {
            parts.offset = Some(0);
            return Some(true);
        }
        let negative = self.eat(b'-');
        if !negative {
            self.eat(b'+');
        }
        let hours = i32::try_from(self.number(1, 2)?).ok()?;
        parts.offset = Some(if negative { -60 * hours } else { 60 * hours });
        Some(false)
    }

    fn auto(&mut self, wanted: Wanted) -> Option<Moment> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match self.rest.get(digits) {
            None if digits > 0 => return self.epoch(),
            _ if self.rest.first() == Some(&b'-') => return self.epoch(),
            _ => {}
        }
        let mut parts = Parts::default();
        match (digits, self.rest.get(digits)) {
            (1..=2, Some(b':')) if wanted == Wanted::Time => self.time(&mut parts)?,
            (4, Some(b'-')) => {
                parts.year = Some(i64::from(self.number(4, 4)?));
                self.eat(b'-');
                parts.month = Some(self.number(1, 2)?);
                self.expect(b'-')?;
                parts.day = Some(self.number(1, 2)?);
                self.rest_of_day(&mut parts)?;
            }
            (1..=2, Some(b'/')) => {
                parts.month = Some(self.number(1, 2)?);
                self.eat(b'/');
                parts.day = Some(self.number(1, 2)?);
                self.expect(b'/')?;
                parts.year = Some(i64::from(self.number(1, 4)?));
                self.rest_of_day(&mut parts)?;
            }
            (1..=2, Some(b'-')) => {
                parts.day = Some(self.number(1, 2)?);
                self.eat(b'-');
                parts.month = Some(self.name(&MONTHS)? + 1);
                self.expect(b'-')?;
                parts.year = Some(i64::from(self.number(4, 4)?));
                self.rest_of_day(&mut parts)?;
            }
            (0, Some(_)) => self.day_name_first(&mut parts)?,
            _ => return None,
        }
        parts.moment()
    }

    /// `Thu, 21 Dec 2000 16:01:07 +0200` or `Mon Jul 08 18:09:51 +0000 2013`.
    fn day_name_first(&mut self, parts: &mut Parts) -> Option<()> {
        self.name(&DAYS)?;
        if self.eat(b',') {
            self.spaces()?;
            parts.day = Some(self.number(1, 2)?);
            self.spaces()?;
            parts.month = Some(self.name(&MONTHS)? + 1);
            self.spaces()?;
            parts.year = Some(i64::from(self.number(4, 4)?));
            return self.rest_of_day(parts);
        }
        self.spaces()?;
        parts.month = Some(self.name(&MONTHS)? + 1);
        self.spaces()?;
        parts.day = Some(self.number(1, 2)?);
        self.spaces()?;
        self.time(parts)?;
        self.spaces()?;
        parts.year = Some(i64::from(self.number(4, 4)?));
        Some(())
    }

    fn rest_of_day(&mut self, parts: &mut Parts) -> Option<()> {
        if self.rest.is_empty() {
            return Some(());
        }
        if !self.eat(b'T') {
            self.spaces()?;
        }
        self.time(parts)
    }

    /// `HH24[:MI[:SS[.FF]]] [AM] [zone]`.
    fn time(&mut self, parts: &mut Parts) -> Option<()> {
        parts.hour = self.number(1, 2)?;
        if self.eat(b':') {
            parts.minute = self.number(1, 2)?;
            if self.eat(b':') {
                parts.second = self.number(1, 2)?;
                if self.eat(b'.') {
                    parts.nanos = self.fraction(9, true)?;
                }
            }
        }
        let after_time = self.rest;
        let _ = self.spaces();
        if matches!(self.rest, [b'A' | b'a' | b'P' | b'p', ..]) {
            parts.afternoon = Some(self.meridiem()?);
            parts.half_day = true;
        } else {
            self.rest = after_time;
        }
        self.zone(parts)
    }

    /// An offset, if one follows; a year behind the time is left where it is.
    fn zone(&mut self, parts: &mut Parts) -> Option<()> {
        let before = self.rest;
        let _ = self.spaces();
        match self.rest.first() {
            Some(b'Z' | b'z') => {
                self.rest = &self.rest[1..];
                parts.offset = Some(0);
            }
            Some(sign @ (b'+' | b'-')) => {
                self.rest = &self.rest[1..];
                let hours = self.number(1, 2)?;
                let colon = self.eat(b':');
                let more = colon || self.rest.first().is_some_and(u8::is_ascii_digit);
                let minutes = if more { self.number(2, 2)? } else { 0 };
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let offset = (hours * 60 + minutes) as i32;
                parts.offset = Some(if *sign == b'-' { -offset } else { offset });
            }
            _ => self.rest = before,
        }
        Some(())
    }

    fn epoch(&mut self) -> Option<Moment> {
        let number: i64 = std::str::from_utf8(self.rest).ok()?.parse().ok()?;
        self.rest = &[];
        let seconds_fit = number.unsigned_abs() < 31_536_000_000;
        let nanos = match epoch_nanos(number) {
            Some(nanos) => nanos,
            None if seconds_fit => {
                let days = number.div_euclid(DAY / SECOND);
                return Some(Moment { days, nanos: number.rem_euclid(DAY / SECOND) * SECOND, offset: Some(0) });
            }
            None => return None,
        };
        Some(Moment { offset: Some(0), ..Moment::of_nanos(nanos) })
    }

    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    /// Digits behind the decimal point, as nanoseconds.
    fn fraction(&mut self, most: usize, may_be_empty: bool) -> Option<u32> {
        let before = self.rest.len();
        let number = self.number(usize::from(!may_be_empty), most)?;
        let places = before - self.rest.len();
        Some(number * 10_u32.pow(9 - places as u32))
    }

    fn meridiem(&mut self) -> Option<bool> {
        let (letters, rest) = self.rest.split_at_checked(2)?;
        self.rest = rest;
        if letters.eq_ignore_ascii_case(b"am") {
            return Some(false);
        }
        letters.eq_ignore_ascii_case(b"pm").then_some(true)
    }

    /// The index of a name, in full or abbreviated to three letters.
    fn name(&mut self, names: &[&str]) -> Option<u32> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (word, rest) = self.rest.split_at(count);
        self.rest = rest;
        let short = |name: &str| word.eq_ignore_ascii_case(&name.as_bytes()[..3]);
        let found = names.iter().position(|name| short(name) || word.eq_ignore_ascii_case(name.as_bytes()))?;
        u32::try_from(found).ok()
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        for byte in text.bytes() {
            if byte == b' ' {
                self.spaces()?;
            } else {
                self.expect(byte)?;
            }
        }
        Some(())
    }

    fn spaces(&mut self) -> Option<()> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.rest = &self.rest[count..];
        (count > 0).then_some(())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::format::civil::days;

    fn timestamp(text: &str, model: &str) -> Option<(i64, i64, Option<i32>)> {
        let moment = read_timestamp(text, &Model::parse(model).unwrap())?;
        Some((moment.days, moment.nanos, moment.offset))
    }

    #[test]
    fn dates_by_model() {
        let date = |text, model: &str| read_date(text, &Model::parse(model).unwrap());
        assert_eq!(date("3/4/2024", "dd/mm/yyyy"), Some(days(2024, 4, 3)));
        assert_eq!(date("2024.05.10", "YYYY.MM.DD"), Some(days(2024, 5, 10)));
        assert_eq!(date("20240510", "YYYYMMDD"), Some(days(2024, 5, 10)));
        assert_eq!(date("10-May-79", "DD-MON-YY"), Some(days(1979, 5, 10)));
        assert_eq!(date("May 10, 2024", "MMMM DD, YYYY"), Some(days(2024, 5, 10)));
        assert_eq!(date("2024-02-30", "YYYY-MM-DD"), None);
        assert_eq!(date("2024-05-10x", "YYYY-MM-DD"), None);
    }

    #[test]
    fn automatic_dates() {
        let date = |text| read_date(text, &Model::Auto);
        for text in ["2024-05-10", "05/10/2024", "10-May-2024", "2024-05-10 23:59", "2024-05-10T23:59:59.5Z"] {
            assert_eq!(date(text), Some(days(2024, 5, 10)), "{text}");
        }
        for number in ["31536000", "31536000000", "31536000000000", "31536000000000000"] {
            assert_eq!(date(number), Some(365), "{number}");
        }
        for text in ["2024/05/10", "05-10-2024", "Invalid", "", "2024-13-01", "2024-05-10 25:00"] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn automatic_timestamps() {
        let evening = (23 * 3600 + 39 * 60 + 20) * SECOND + 123_000_000;
        let day = days(2024, 4, 8);
        assert_eq!(timestamp("2024-04-08T23:39:20.123-07:00", "AUTO"), Some((day, evening, Some(-420))));
        assert_eq!(timestamp("2024-04-08 23:39:20.123 +0530", "AUTO"), Some((day, evening, Some(330))));
        assert_eq!(timestamp("Mon, 08 Apr 2024 11:39:20.123 PM +0200", "AUTO"), Some((day, evening, Some(120))));
        assert_eq!(timestamp("Mon Apr 08 23:39:20.123 +0000 2024", "AUTO"), Some((day, evening, Some(0))));
        assert_eq!(timestamp("4/8/2024 23:39:20.123", "AUTO"), Some((day, evening, None)));
        assert_eq!(timestamp("31536002400", "AUTO"), Some((365, 2_400_000_000, Some(0))));
    }

    #[test]
    fn times() {
        let time = |text, model: &str| read_time(text, &Model::parse(model).unwrap());
        let quarter = (11 * 3600 + 15 * 60) * SECOND;
        assert_eq!(time("11.15.00", "HH24.MI.SS"), Some(quarter));
        assert_eq!(time("11:15 PM", "HH12:MI PM"), Some(quarter + 12 * 3600 * SECOND));
        assert_eq!(time("12:00 AM", "HH12:MI AM"), Some(0));
        assert_eq!(time("11:15", "AUTO"), Some(quarter));
        assert_eq!(time("11:15:00.000", "AUTO"), Some(quarter));
        assert_eq!(time("24:00", "AUTO"), None);
        assert_eq!(time("31536001", "AUTO"), Some(SECOND));
    }
}
