//! Format models such as `YYYY-MM-DD HH24:MI:SS.FF3 TZH:TZM`, compiled once and used for many values.

/// A format: AUTO, or a list of elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Model {
    /// Snowflake's own detection, for reading only.
    Auto,
    /// Elements in order.
    Elements(Vec<Element>),
}

/// One element of a format model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// `YYYY`, `UUUU`.
    Year,
    /// `YY`: 70 to 99 are of the 1900s, the rest of the 2000s.
    ShortYear,
    /// `MM`.
    Month,
    /// `MON`.
    MonthName,
    /// `MMMM`.
    FullMonthName,
    /// `DD`.
    Day,
    /// `DY`.
    DayName,
    /// `HH24`.
    Hour24,
    /// `HH12`.
    Hour12,
    /// `AM`, `PM`.
    Meridiem,
    /// `MI`.
    Minute,
    /// `SS`.
    Second,
    /// `FF` with its digits, 9 where none are named.
    Fraction(u8),
    /// `TZH`.
    ZoneHour,
    /// `TZM`.
    ZoneMinute,
    /// Text that stands for itself.
    Literal(String),
}

/// Longest first, so that `MMMM` is not read as `MM` twice.
const WORDS: [(&str, Element); 18] = [
    ("YYYY", Element::Year),
    ("UUUU", Element::Year),
    ("MMMM", Element::FullMonthName),
    ("HH24", Element::Hour24),
    ("HH12", Element::Hour12),
    ("MON", Element::MonthName),
    ("TZH", Element::ZoneHour),
    ("TZM", Element::ZoneMinute),
    ("YY", Element::ShortYear),
    ("MM", Element::Month),
    ("DD", Element::Day),
    ("DY", Element::DayName),
    ("AM", Element::Meridiem),
    ("PM", Element::Meridiem),
    ("MI", Element::Minute),
    ("SS", Element::Second),
    ("FF", Element::Fraction(9)),
    ("HH", Element::Hour24),
];

impl Model {
    /// Compiles a model; the words of it are case-blind, text in double quotes stands for itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let mut elements = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                let (quoted, after) =
                    rest[1..].split_once('"').ok_or_else(|| format!("format '{text}' has an unclosed quote"))?;
                literal(&mut elements, quoted);
                rest = after;
            } else if let Some((word, element)) = word(rest) {
                rest = &rest[word..];
                elements.push(match element {
                    Element::Fraction(_) => fraction(&mut rest),
                    other => other,
                });
            } else {
                let width = first.len_utf8();
                literal(&mut elements, &rest[..width]);
                rest = &rest[width..];
            }
        }
        Ok(Self::Elements(elements))
    }

    /// Whether it writes or reads an offset from UTC.
    pub fn has_zone(&self) -> bool {
        matches!(self, Self::Elements(elements) if elements.contains(&Element::ZoneHour))
    }
}

fn word(rest: &str) -> Option<(usize, Element)> {
    let found = WORDS.iter().find(|(word, _)| rest.get(..word.len()).is_some_and(|s| s.eq_ignore_ascii_case(word)));
    found.map(|(word, element)| (word.len(), element.clone()))
}

fn fraction(rest: &mut &str) -> Element {
    match rest.as_bytes().first() {
        Some(digit @ b'0'..=b'9') => {
            *rest = &rest[1..];
            Element::Fraction(digit - b'0')
        }
        _ => Element::Fraction(9),
    }
}

fn literal(elements: &mut Vec<Element>, text: &str) {
    if let Some(Element::Literal(before)) = elements.last_mut() {
        before.push_str(text);
    } else {
        elements.push(Element::Literal(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_and_literals() {
        let Model::Elements(elements) = Model::parse("yyyy-MM\"mm\"THH24.ff3").unwrap() else { panic!() };
        let literal = |text: &str| Element::Literal(text.to_owned());
        let wanted = [
            Element::Year,
            literal("-"),
            Element::Month,
            literal("mmT"),
            Element::Hour24,
            literal("."),
            Element::Fraction(3),
        ];
        assert_eq!(elements, wanted);
        assert!(Model::parse("YYYY\"x").is_err());
        assert_eq!(Model::parse("auto"), Ok(Model::Auto));
    }
}
