//! Dates, times and timestamps as text, by a format model.

use super::civil::{Moment, SECOND, civil, weekday};
use super::model::{Element, Model};

/// Month names, abbreviated to three letters where `MON` stands.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Names of the days from Monday.
pub const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Writes a moment behind `out`. A moment without an offset shows `Z` where the model has one.
pub fn write(moment: &Moment, model: &Model, out: &mut String) {
    match model {
        Model::Elements(elements) => elements.iter().for_each(|element| write_element(moment, element, out)),
        Model::Auto => write(moment, &iso(), out),
    }
}

fn iso() -> Model {
    use Element::{Day, Fraction, Hour24, Literal, Minute, Month, Second, Year};
    let literal = |text: &str| Literal(text.to_owned());
    let date = [Year, literal("-"), Month, literal("-"), Day, literal(" ")];
    let time = [Hour24, literal(":"), Minute, literal(":"), Second, literal("."), Fraction(3)];
    Model::Elements(date.into_iter().chain(time).collect())
}

fn write_element(moment: &Moment, element: &Element, out: &mut String) {
    let (year, month, day) = civil(moment.days);
    let seconds = moment.nanos / SECOND;
    let hour = seconds / 3600;
    match element {
        Element::Year => {
            if year < 0 {
                out.push('-');
            }
            digits(out, year.unsigned_abs(), 4);
        }
        Element::ShortYear => digits(out, year.rem_euclid(100) as u64, 2),
        Element::Month => digits(out, u64::from(month), 2),
        Element::MonthName => out.push_str(&MONTHS[month as usize - 1][..3]),
        Element::FullMonthName => out.push_str(MONTHS[month as usize - 1]),
        Element::Day => digits(out, u64::from(day), 2),
        Element::DayName => out.push_str(&DAYS[weekday(moment.days) as usize][..3]),
        Element::Hour24 => digits(out, hour as u64, 2),
        Element::Hour12 => digits(out, if hour % 12 == 0 { 12 } else { hour as u64 % 12 }, 2),
        Element::Meridiem => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        Element::Minute => digits(out, (seconds / 60 % 60) as u64, 2),
        Element::Second => digits(out, (seconds % 60) as u64, 2),
        Element::Fraction(0) => {}
        Element::Fraction(places) => {
            let fraction = (moment.nanos % SECOND) as u64 / 10_u64.pow(9 - u32::from(*places));
            digits(out, fraction, usize::from(*places));
        }
        Element::ZoneHour => match moment.offset {
            Some(offset) => {
                out.push(if offset < 0 { '-' } else { '+' });
                digits(out, u64::from(offset.unsigned_abs() / 60), 2);
            }
            None => out.push('Z'),
        },
        Element::ZoneMinute => match moment.offset {
            Some(offset) => digits(out, u64::from(offset.unsigned_abs() % 60), 2),
            None if out.ends_with("Z:") => drop(out.pop()),
            None => {}
        },
        Element::Literal(text) => out.push_str(text),
    }
}

/// Appends a number with at least `width` digits.
pub fn digits(out: &mut String, number: u64, width: usize) {
    let mut buffer = [b'0'; 20];
    let mut rest = number;
    let mut start = buffer.len();
    while rest > 0 || buffer.len() - start < width {
        start -= 1;
        buffer[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend(buffer[start..].iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::format::civil::days;

    fn shown(moment: &Moment, model: &str) -> String {
        let mut out = String::new();
        write(moment, &Model::parse(model).unwrap(), &mut out);
        out
    }

    #[test]
    fn every_element() {
        let nanos = (14 * 3600 + 5 * 60 + 9) * SECOND + 120_034_000;
        let moment = Moment { days: days(2024, 4, 8), nanos, offset: Some(-450) };
        assert_eq!(shown(&moment, "YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM"), "2024-04-08 14:05:09.120 -0730");
        assert_eq!(shown(&moment, "DY, DD MON YY HH12:MI AM"), "Mon, 08 Apr 24 02:05 PM");
        assert_eq!(shown(&moment, "MMMM FF TZH:TZM"), "April 120034000 -07:30");
        assert_eq!(shown(&Moment { offset: None, ..moment }, "HH24 TZH:TZM"), "14 Z");
        assert_eq!(shown(&Moment { offset: None, ..moment }, "SS.FF0"), "09.");
    }
}
