//! How alike two texts are: edit distance, Jaro-Winkler, Soundex.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use super::super::scalar::{Call, integers, texts};

/// Levenshtein distance of characters, no more than a given maximum.
pub(super) fn edit(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.texts(0)?, call.texts(1)?);
    let most = if call.len() > 2 { Some(call.integers(2)?) } else { None };
    integers(call.rows, |row| {
        let (Some(left), Some(right)) = (left.get(row), right.get(row)) else { return Ok(None) };
        let distance = strsim::levenshtein(left, right) as i64;
        Ok(match &most {
            Some(most) => most.get(row).map(|most| distance.min(most.max(0))),
            None => Some(distance),
        })
    })
}

/// Jaro-Winkler similarity of 0 to 100, blind to case.
pub(super) fn jaro_winkler(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.texts(0)?, call.texts(1)?);
    integers(call.rows, |row| Ok(left.get(row).zip(right.get(row)).map(|(left, right)| similarity(left, right))))
}

fn similarity(left: &str, right: &str) -> i64 {
    if left.is_empty() || right.is_empty() {
        return 0;
    }
    (strsim::jaro_winkler(&left.to_lowercase(), &right.to_lowercase()) * 100.0) as i64
}

/// Soundex codes; `classic` drops a second letter of the first one's number, as SOUNDEX_P123 does not.
pub(super) fn soundex(call: &Call<'_>, classic: bool) -> Result<ArrayRef> {
    let text = call.texts(0)?;
    texts(call.rows, |row, out| Ok(text.get(row).map(|text| code(text, classic, out)).is_some()))
}

fn code(text: &str, classic: bool, out: &mut String) {
    let mut letters = text.chars().filter(|c| c.is_alphabetic());
    let Some(first) = letters.next() else { return };
    out.extend(first.to_uppercase());
    let mut last = if classic { number(first) } else { None };
    let mut count = 1;
    for letter in letters {
        if matches!(letter, 'h' | 'H' | 'w' | 'W') {
            continue;
        }
        let number = number(letter);
        if let Some(digit) = number.filter(|_| number != last) {
            out.push(digit);
            count += 1;
            if count == 4 {
                return;
            }
        }
        last = number;
    }
    (count..4).for_each(|_| out.push('0'));
}

fn number(letter: char) -> Option<char> {
    Some(match letter.to_ascii_lowercase() {
        'b' | 'f' | 'p' | 'v' => '1',
        'c' | 'g' | 'j' | 'k' | 'q' | 's' | 'x' | 'z' => '2',
        'd' | 't' => '3',
        'l' => '4',
        'm' | 'n' => '5',
        'r' => '6',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soundex_of(text: &str, classic: bool) -> String {
        let mut out = String::new();
        code(text, classic, &mut out);
        out
    }

    #[test]
    fn soundex_codes() {
        assert_eq!(soundex_of("Marks", true), "M620");
        assert_eq!(soundex_of("Marx", true), "M620");
        assert_eq!(soundex_of("Ashcraft", true), "A261");
        assert_eq!(soundex_of("Tymczak", true), "T522");
        assert_eq!(soundex_of("Pfister", true), "P236");
        assert_eq!(soundex_of("Pfister", false), "P123");
        assert_eq!(soundex_of("Lloyd", true), "L300");
        assert_eq!(soundex_of("Lloyd", false), "L430");
        assert_eq!(soundex_of("", true), "");
    }

    #[test]
    fn similarities() {
        let cases = [
            ("Gute nacht", "Ich weis nicht", 56),
            ("Ich weiß nicht", "Ich wei? nicht", 97),
            ("Ich weiß nicht", "Ich weiss nicht", 95),
            ("Snowflake", "Oracle", 61),
            ("święta", "swieta", 77),
            ("", "", 0),
        ];
        for (left, right, wanted) in cases {
            assert_eq!(similarity(left, right), wanted, "{left} {right}");
            assert_eq!(similarity(right, left), wanted, "{right} {left}");
        }
    }
}
