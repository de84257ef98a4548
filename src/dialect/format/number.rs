//! Number formats: Snowflake's models such as `$9,999.00`, `S0XXX` or `TM9`, for writing and reading fixed-point numbers.

/// A compiled model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NumberModel {
    /// `TM`, `TM9`: the fewest characters, without an exponent.
    Minimal(Frame),
    /// `TME`: the fewest characters, with an exponent.
    MinimalExponent(Frame),
    /// Positions of digits.
    Fixed(Frame, Positions),
}

/// What stands around the number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    before: String,
    after: String,
    fill: bool,
}

/// The digit positions of a model and what they are decorated with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    whole: Vec<Slot>,
    places: Vec<Slot>,
    point: bool,
    dollar: bool,
    blank_zero: bool,
    hexadecimal: bool,
    exponent: u8,
    sign: Sign,
}

/// One position before or behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Nine,
    Zero,
    Hex,
    Group,
}

/// Where the sign stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sign {
    /// A minus or a space before the first digit.
    #[default]
    Implicit,
    /// `S` first: always a sign.
    Leading,
    /// `S` last.
    Trailing,
    /// `MI` first: a minus or a space.
    LeadingMinus,
    /// `MI` last.
    TrailingMinus,
}

impl NumberModel {
    /// Compiles a model; its letters are case-blind, text in double quotes stands for itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        Scan { text, rest: text, frame: Frame::default(), positions: Positions::default(), minimal: None, seen: false }
            .model()
    }

    /// How many digits the model has before and behind the point; none for the text-minimal ones.
    pub fn digits(&self) -> Option<(usize, usize)> {
        match self {
            Self::Fixed(_, positions) => {
                let count = |slots: &[Slot]| slots.iter().filter(|slot| **slot != Slot::Group).count();
                Some((count(&positions.whole), count(&positions.places)))
            }
            _ => None,
        }
    }

    /// A number of `scale` digits behind the point, as text.
    pub fn write(&self, number: i128, scale: u8) -> String {
        match self {
            Self::Minimal(frame) => frame.around(&plain(number, scale)),
            Self::MinimalExponent(frame) => frame.around(&scientific(number, scale)),
            Self::Fixed(frame, positions) => {
                let body = if positions.hexadecimal {
                    positions.hexadecimal(number, scale)
                } else if positions.exponent > 0 {
                    positions.scientific(number, scale)
                } else {
                    positions.decimal(number, scale)
                };
                let body = if frame.fill { body.trim_start().to_owned() } else { body };
                frame.around(&body)
            }
        }
    }

    /// The number in a text: its digits and how many of them are behind the point.
    pub fn read(&self, text: &str) -> Option<(i128, u8)> {
        let (Self::Minimal(frame) | Self::MinimalExponent(frame) | Self::Fixed(frame, _)) = self;
        let text = text.trim().strip_prefix(frame.before.as_str())?.strip_suffix(frame.after.as_str())?.trim();
        match self {
            Self::Fixed(_, positions) => positions.read(text),
            Self::Minimal(_) | Self::MinimalExponent(_) => {
                let (negative, digits) = signed(text);
                unsigned(digits, true).map(|(number, scale)| (if negative { -number } else { number }, scale))
            }
        }
    }
}

struct Scan<'a> {
    text: &'a str,
    rest: &'a str,
    frame: Frame,
    positions: Positions,
    minimal: Option<bool>,
    seen: bool,
}

impl Scan<'_> {
    fn model(mut self) -> Result<NumberModel, String> {
        while let Some(first) = self.rest.chars().next() {
            if first == '"' {
                let Some((quoted, after)) = self.rest[1..].split_once('"') else {
                    return Err(format!("format '{}' has an unclosed quote", self.text));
                };
                self.literal(quoted);
                self.rest = after;
            } else if !self.word()? {
                return Err(format!("format '{}' has an unknown element at '{}'", self.text, self.rest));
            }
        }
        let Self { frame, positions, minimal, .. } = self;
        match minimal {
            Some(false) => Ok(NumberModel::Minimal(frame)),
            Some(true) => Ok(NumberModel::MinimalExponent(frame)),
            None if positions.whole.is_empty() && positions.places.is_empty() => {
                Err(format!("format '{}' has no digits", self.text))
            }
            None => Ok(NumberModel::Fixed(frame, positions)),
        }
    }

    fn literal(&mut self, text: &str) {
        if self.seen {
            self.frame.after.push_str(text);
        } else {
            self.frame.before.push_str(text);
        }
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        if found {
            self.rest = &self.rest[word.len()..];
        }
        found
    }

    fn word(&mut self) -> Result<bool, String> {
        if self.takes("FM") {
            self.frame.fill = true;
        } else if self.takes("TME") {
            self.minimal = Some(true);
            self.seen = true;
        } else if self.takes("TM9") || self.takes("TM") {
            self.minimal = Some(false);
            self.seen = true;
        } else if self.takes("MI") {
            self.positions.sign = if self.seen { Sign::TrailingMinus } else { Sign::LeadingMinus };
        } else if self.takes("S") {
            self.positions.sign = if self.seen { Sign::Trailing } else { Sign::Leading };
        } else if self.takes("$") {
            self.positions.dollar = true;
        } else if self.takes("B") {
            self.positions.blank_zero = true;
        } else if self.takes(".") || self.takes("D") {
            if self.positions.point {
                return Err(format!("format '{}' has two decimal points", self.text));
            }
            self.positions.point = true;
            self.seen = true;
        } else if self.takes("E") {
            self.positions.exponent += 1;
        } else if self.takes("9") {
            self.slot(Slot::Nine);
        } else if self.takes("0") {
            self.slot(Slot::Zero);
        } else if self.takes("X") {
            self.positions.hexadecimal = true;
            self.slot(Slot::Hex);
        } else if self.takes(",") || self.takes("G") {
            self.slot(Slot::Group);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn slot(&mut self, slot: Slot) {
        self.seen = true;
        let slots = if self.positions.point { &mut self.positions.places } else { &mut self.positions.whole };
        slots.push(slot);
    }
}

impl Frame {
    fn around(&self, body: &str) -> String {
        format!("{}{body}{}", self.before, self.after)
    }
}

/// A number rounded half away from zero to fewer places; more places append zeros. None beyond 38 digits.
fn rescaled(number: i128, scale: u8, places: usize) -> Option<i128> {
    let scale = usize::from(scale);
    if places >= scale {
        return 10_i128.checked_pow(u32::try_from(places - scale).ok()?)?.checked_mul(number);
    }
    let factor = 10_i128.checked_pow(u32::try_from(scale - places).ok()?)?;
    let rest = number % factor;
    Some(number / factor + if rest.abs() * 2 >= factor { number.signum() } else { 0 })
}

fn plain(number: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, places) = digits.split_at(digits.len() - scale);
    let sign = if number < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{places}") }
}

/// Digits of the mantissa without trailing zeros, and the exponent.
fn scientific_parts(number: i128, scale: u8) -> (String, i32) {
    let digits = number.unsigned_abs().to_string();
    let exponent = if number == 0 { 0 } else { digits.len() as i32 - 1 - i32::from(scale) };
    let mantissa = digits.trim_end_matches('0');
    (if mantissa.is_empty() { "0".to_owned() } else { mantissa.to_owned() }, exponent)
}

fn scientific(number: i128, scale: u8) -> String {
    let (mantissa, exponent) = scientific_parts(number, scale);
    let sign = if number < 0 { "-" } else { "" };
    let (first, rest) = mantissa.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{exponent}")
}

impl Positions {
    /// The sign of a number as it stands before and behind the digits.
    fn signs(&self, negative: bool) -> (&'static str, &'static str) {
        match (self.sign, negative) {
            (Sign::Implicit | Sign::LeadingMinus, true) | (Sign::Leading, true) => ("-", ""),
            (Sign::Implicit | Sign::LeadingMinus, false) => (" ", ""),
            (Sign::Leading, false) => ("+", ""),
            (Sign::Trailing | Sign::TrailingMinus, true) => ("", "-"),
            (Sign::Trailing, false) => ("", "+"),
            (Sign::TrailingMinus, false) => ("", " "),
        }
    }

    fn decimal(&self, number: i128, scale: u8) -> String {
        let count = |slots: &[Slot]| slots.iter().filter(|slot| **slot != Slot::Group).count();
        let (whole_slots, place_slots) = (count(&self.whole), count(&self.places));
        let rounded = rescaled(number, scale, place_slots);
        let text = rounded.map(|rounded| format!("{:0>width$}", rounded.unsigned_abs(), width = place_slots));
        let whole_digits = text.as_ref().map_or(usize::MAX, |text| text.len() - place_slots);
        let (sign, behind) = self.signs(number < 0);
        let overflow = whole_digits > whole_slots;
        let (whole, places) = match &text {
            Some(text) if !overflow => text.split_at(text.len() - place_slots),
            _ => ("", ""),
        };
        let body = if overflow { self.hashes() } else { self.whole_part(whole) };
        let mut padded = String::new();
        let blanks = body.len() - body.trim_start_matches(' ').len();
        (0..blanks).for_each(|_| padded.push(' '));
        padded.push_str(sign);
        if self.dollar {
            padded.push('$');
        }
        padded.push_str(&body[blanks..]);
        if self.point {
            padded.push('.');
            if overflow {
                (0..place_slots).for_each(|_| padded.push('#'));
            } else {
                padded.push_str(places);
            }
        }
        padded.push_str(behind);
        padded
    }

    fn hashes(&self) -> String {
        self.whole.iter().map(|slot| if *slot == Slot::Group { ',' } else { '#' }).collect()
    }

    /// The digits before the point in their positions, blanks where there are none.
    fn whole_part(&self, digits: &str) -> String {
        let zero = digits.trim_start_matches('0').is_empty();
        let count = self.whole.iter().filter(|slot| **slot != Slot::Group).count();
        let digits = digits.trim_start_matches('0');
        let forced = self.whole.iter().position(|slot| *slot == Slot::Zero);
        let mut from_right = count;
        let mut out = String::new();
        let mut shown = false;
        for (index, slot) in self.whole.iter().enumerate() {
            if *slot == Slot::Group {
                out.push(if shown { ',' } else { ' ' });
                continue;
            }
            let behind = from_right;
            from_right -= 1;
            if behind <= digits.len() {
                shown = true;
                out.push_str(&digits[digits.len() - behind..=digits.len() - behind]);
            } else if self.blank_zero && zero {
                out.push(' ');
            } else if forced.is_some_and(|forced| forced <= index) || (behind == 1 && !self.point) {
                shown = true;
                out.push('0');
            } else {
                out.push(' ');
            }
        }
        out
    }

    fn scientific(&self, number: i128, scale: u8) -> String {
        let (mantissa, exponent) = scientific_parts(number, scale);
        let places = self.places.len();
        let value = mantissa.parse::<i128>().unwrap_or(0);
        let rounded = rescaled(value, (mantissa.len() - 1) as u8, places).unwrap_or(0);
        let text = format!("{rounded:0>width$}", width = places + 1);
        let (whole, fraction) = text.split_at(text.len() - places);
        let (whole, exponent) = if whole.len() > 1 { (&whole[..1], exponent + 1) } else { (whole, exponent) };
        let (sign, behind) = self.signs(number < 0);
        let point = if self.point { "." } else { "" };
        let width = usize::from(self.exponent).saturating_sub(2).max(1);
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{whole}{point}{fraction}E{exponent_sign}{:0>width$}{behind}", exponent.unsigned_abs())
    }

    fn hexadecimal(&self, number: i128, scale: u8) -> String {
        let whole = rescaled(number, scale, 0).unwrap_or(0);
        let width = self.whole.len();
        let signed = self.sign != Sign::Implicit;
        let bits = 4 * width.min(31);
        let value = if whole < 0 && !signed { whole.rem_euclid(1 << bits) } else { whole.abs() };
        let text = format!("{value:X}");
        let (sign, behind) = if signed { self.signs(whole < 0) } else { ("", "") };
        if text.len() > width {
            return format!("{sign}{}{behind}", "#".repeat(width));
        }
        let zeros = self.whole.iter().position(|slot| *slot == Slot::Zero).map_or(0, |at| width - at);
        let padded = format!("{text:0>zeros$}");
        format!("{sign}{padded:>width$}{behind}")
    }

    fn read(&self, text: &str) -> Option<(i128, u8)> {
        let (mut negative, mut rest) = signed(text);
        if matches!(self.sign, Sign::Trailing | Sign::TrailingMinus) {
            if let Some(before) = rest.strip_suffix('-') {
                (negative, rest) = (true, before.trim_end());
            } else {
                rest = rest.strip_suffix('+').unwrap_or(rest).trim_end();
            }
        }
        if self.dollar {
            rest = rest.strip_prefix('$')?;
            if !negative {
                (negative, rest) = signed(rest);
            }
        }
        if self.hexadecimal {
            let number = i128::from_str_radix(rest, 16).ok()?;
            return Some((if negative { -number } else { number }, 0));
        }
        let grouped = self.whole.contains(&Slot::Group);
        let clean: String = rest.chars().filter(|c| !(grouped && *c == ',')).collect();
        let (number, scale) = unsigned(&clean, self.exponent > 0)?;
        let (whole, places) = clean.split_once('.').unwrap_or((&clean, ""));
        let count = |slots: &[Slot]| slots.iter().filter(|slot| **slot != Slot::Group).count();
        let fits = self.exponent > 0 || (whole.len() <= count(&self.whole) && places.len() <= count(&self.places));
        fits.then_some((if negative { -number } else { number }, scale))
    }
}

/// A sign, which spaces may follow, and the rest.
fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text).trim_start()),
    }
}

/// Digits with an optional point and exponent.
fn unsigned(text: &str, may_have_exponent: bool) -> Option<(i128, u8)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) if may_have_exponent => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        _ => (text, 0),
    };
    let (whole, places) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{places}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i128 = digits.parse().ok()?;
    let scale = i32::try_from(places.len()).ok()? - exponent;
    if scale < 0 {
        return Some((10_i128.checked_pow(scale.unsigned_abs())?.checked_mul(number)?, 0));
    }
    Some((number, u8::try_from(scale).ok().filter(|scale| *scale <= 38)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of Snowflake's documentation of SQL format models.
    #[test]
    fn documented_models() {
        let numbers = [-12_391, 0, -1000, 100, 10, 3_987_000, 1111];
        let table = [
            ("\">\"$99.0\"<\"", [">-$12.4<", ">   $.0<", "> -$1.0<", ">   $.1<", ">   $.0<", "> $##.#<", ">  $1.1<"]),
            (
                "\">\"B9,999.00\"<\"",
                [
                    ">   -12.39<",
                    ">      .00<",
                    ">    -1.00<",
                    ">      .10<",
                    ">      .01<",
                    "> 3,987.00<",
                    ">     1.11<",
                ],
            ),
            ("\">\"TME\"<\"", [">-1.2391E1<", ">0E0<", ">-1E0<", ">1E-1<", ">1E-2<", ">3.987E3<", ">1.111E0<"]),
            ("\">\"TM9\"<\"", [">-12.391<", ">0.000<", ">-1.000<", ">0.100<", ">0.010<", ">3987.000<", ">1.111<"]),
            ("\">\"0XXX\"<\"", [">FFF4<", ">0000<", ">FFFF<", ">0000<", ">0000<", ">0F93<", ">0001<"]),
            ("\">\"S0XXX\"<\"", [">-000C<", ">+0000<", ">-0001<", ">+0000<", ">+0000<", ">+0F93<", ">+0001<"]),
        ];
        for (model, wanted) in table {
            let compiled = NumberModel::parse(model).unwrap();
            let got = numbers.map(|number| compiled.write(number, 3));
            assert_eq!(got, wanted, "{model}");
        }
    }

    #[test]
    fn reading() {
        let read = |text: &str, model: &str| NumberModel::parse(model).unwrap().read(text);
        assert_eq!(read("$12.34", "$99.99"), Some((1234, 2)));
        assert_eq!(read("- 0.1", "99.9"), Some((-1, 1)));
        assert_eq!(read("-12.3", "99.9"), Some((-123, 1)));
        assert_eq!(read("1,234.5", "9,999.9"), Some((12345, 1)));
        assert_eq!(read("123.4", "99.9"), None);
        assert_eq!(read("ff", "XX"), Some((255, 0)));
        assert_eq!(read("1.5e3", "TM"), Some((1500, 0)));
        assert_eq!(read("12-", "99S"), Some((-12, 0)));
        assert!(NumberModel::parse("9z").is_err());
    }
}
