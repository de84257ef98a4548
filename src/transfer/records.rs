//! CSV as records: the values of each and whether they were enclosed, with the line it starts on. A record that is not well
//! formed is given as such, with the reason, so that one bad line spoils no other.

use std::io::{BufRead, Read};

use memchr::{memchr, memchr2};

use super::load::Unfit;
use crate::job::file::Csv;
use crate::store::Unpacked;
use crate::text::counted;

/// The longest record that is read.
const LONGEST: usize = 64 << 20;

/// The records of one file.
pub(super) struct Records {
    bytes: Unpacked,
    csv: Csv,
    /// The line that the next record starts on.
    line: u64,
    /// Whether the last line read ended in CR LF.
    crlf: bool,
    /// What lines end in, once the first was read.
    end: Option<u8>,
    record: Record,
}

/// One record.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Its text, without the end of its last line.
    pub(super) raw: Vec<u8>,
    /// The line it starts on.
    pub(super) line: u64,
    values: Vec<u8>,
    /// Where each value ends, and whether it was enclosed.
    ends: Vec<(usize, bool)>,
}

impl Record {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A value, and whether it was enclosed in quotes.
    pub(super) fn value(&self, at: usize) -> Option<(&[u8], bool)> {
        let (end, enclosed) = *self.ends.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end);
        Some((&self.values[start..end], enclosed))
    }

    fn is_blank(&self) -> bool {
        self.raw.is_empty()
    }
}

/// Why the rest of a file cannot be read.
#[derive(Debug)]
pub(super) enum Broken {
    Io(std::io::Error),
    /// The line, and what is wrong.
    Form(u64, String),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// How far the reading of a record has come.
enum Step {
    Done,
    /// It goes on, inside quotes, on the next line.
    Open,
    Bad(&'static str),
}

impl Records {
    pub(super) fn new(bytes: Unpacked, csv: &Csv) -> Self {
        Self { bytes, csv: csv.clone(), line: 1, crlf: false, end: None, record: Record::default() }
    }

    /// The next record; `width` is how many values it must have, where that is known.
    #[expect(clippy::type_complexity, reason = "a record, an unfit one, or a broken file")]
    pub(super) fn next(&mut self, width: Option<usize>) -> Result<Option<(&Record, Result<(), Unfit>)>, Broken> {
        loop {
            self.record.raw.clear();
            self.record.values.clear();
            self.record.ends.clear();
            self.record.line = self.line;
            if !self.line_more()? {
                return Ok(None);
            }
            // A blank line is a record only where a record has one value, which then is empty.
            if !self.record.is_blank() || width == Some(1) {
                break;
            }
        }
        let found = self.whole()?;
        let fits = match (found, width) {
            (Some(reason), _) => Err(Unfit::row(reason)),
            (None, Some(width)) if self.record.len() != width => {
                Err(Unfit::row(format!("{} instead of {width}", counted(self.record.len() as u64, "value"))))
            }
            _ => Ok(()),
        };
        Ok(Some((&self.record, fits)))
    }

    /// Reads values until the record ends; the reason where it is not well formed.
    fn whole(&mut self) -> Result<Option<&'static str>, Broken> {
        let (mut at, mut inside) = (0, false);
        loop {
            match step(&mut self.record, &self.csv, &mut at, &mut inside) {
                Step::Done => return Ok(None),
                Step::Bad(reason) => return Ok(Some(reason)),
                Step::Open => {
                    let ending = if self.crlf { &b"\r\n"[..] } else { &[self.end.unwrap_or(b'\n')] };
                    self.record.raw.extend_from_slice(ending);
                    if !self.line_more()? {
                        let message = "a quote is opened here and never closed".to_owned();
                        return Err(Broken::Form(self.record.line, message));
                    }
                }
            }
        }
    }
}

impl Records {
    /// What the file's lines end in: LF, which may stand behind a CR, or CR alone as old spreadsheets write it.
    fn end(&mut self) -> std::io::Result<u8> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let start = self.bytes.fill_buf()?;
        let alone = memchr(b'\r', start).is_some_and(|at| at + 1 < start.len()) && memchr(b'\n', start).is_none();
        let end = if alone { b'\r' } else { b'\n' };
        self.end = Some(end);
        Ok(end)
    }

    /// Appends the next line of the file to the record, without its end; false at the end of the file.
    fn line_more(&mut self) -> Result<bool, Broken> {
        let before = self.record.raw.len();
        let room = (LONGEST - before.min(LONGEST)) as u64;
        let end = self.end()?;
        let read = self.bytes.by_ref().take(room).read_until(end, &mut self.record.raw)?;
        if read == 0 && room > 0 {
            return Ok(false);
        }
        if self.record.raw.len() >= LONGEST {
            let message = format!("this record is longer than {} MiB; is a quote left open?", LONGEST >> 20);
            return Err(Broken::Form(self.record.line, message));
        }
        self.line += 1;
        if self.record.raw.last() == Some(&end) {
            self.record.raw.pop();
            self.crlf = self.record.raw.len() > before && self.record.raw.last() == Some(&b'\r');
            if self.crlf {
                self.record.raw.pop();
            }
        }
        Ok(true)
    }
}

/// Reads values from `at` on, which may be inside quotes.
fn step(record: &mut Record, csv: &Csv, at: &mut usize, inside: &mut bool) -> Step {
    let Record { raw, values, ends, .. } = record;
    loop {
        if !*inside && raw.get(*at) == Some(&csv.quote) {
            *inside = true;
            *at += 1;
        }
        if *inside {
            if !enclosed(raw, values, csv, at) {
                return Step::Open;
            }
            *inside = false;
            ends.push((values.len(), true));
            match raw.get(*at) {
                None => return Step::Done,
                Some(byte) if *byte == csv.delimiter => *at += 1,
                Some(_) => return Step::Bad("there is text after a closing quote"),
            }
            continue;
        }
        let rest = raw.get(*at..).unwrap_or_default();
        let end = memchr(csv.delimiter, rest).unwrap_or(rest.len());
        values.extend_from_slice(&rest[..end]);
        ends.push((values.len(), false));
        *at += end;
        if *at >= raw.len() {
            return Step::Done;
        }
        *at += 1;
    }
}

/// Reads the inside of quotes up to after the closing one; false where that is not on these lines.
fn enclosed(raw: &[u8], values: &mut Vec<u8>, csv: &Csv, at: &mut usize) -> bool {
    let escape = csv.escape.unwrap_or(csv.quote);
    loop {
        let rest = raw.get(*at..).unwrap_or_default();
        let Some(found) = memchr2(csv.quote, escape, rest) else {
            values.extend_from_slice(rest);
            *at = raw.len();
            return false;
        };
        values.extend_from_slice(&rest[..found]);
        *at += found;
        let (byte, next) = (raw[*at], raw.get(*at + 1));
        match next {
            Some(next) if byte == escape && (*next == csv.quote || *next == escape) => {
                values.push(*next);
                *at += 2;
            }
            _ if byte == csv.quote => {
                *at += 1;
                return true;
            }
            _ => {
                values.push(byte);
                *at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::file::Compression;

    /// The records of a text, each as its values between bars; an enclosed one in quotes, a bad one as its reason.
    fn read(text: &str, csv: &Csv, width: Option<usize>) -> Vec<String> {
        let bytes = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        let mut records = Records::new(crate::store::unpacked(bytes, Compression::None).expect("bytes"), csv);
        let mut found = Vec::new();
        loop {
            match records.next(width) {
                Ok(None) => return found,
                Ok(Some((_, Err(unfit)))) => found.push(format!("! {}", unfit.reason)),
                Ok(Some((record, Ok(())))) => {
                    let value = |at| {
                        let (text, enclosed) = record.value(at).expect("a value");
                        let text = String::from_utf8_lossy(text).into_owned();
                        if enclosed { format!("\"{text}\"") } else { text }
                    };
                    let values: Vec<String> = (0..record.len()).map(value).collect();
                    found.push(format!("{}: {}", record.line, values.join("|")));
                }
                Err(Broken::Form(line, message)) => {
                    found.push(format!("!! {line} {message}"));
                    return found;
                }
                Err(Broken::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn records_keep_their_values_and_lines() {
        let text = "a,\"b,\"\"c\"\"\n d\",\"\",\r\n\r\nx,y,z,1\nlast,,,\"e\"";
        assert_eq!(read(text, &Csv::default(), None), ["1: a|\"b,\"c\"\n d\"|\"\"|", "4: x|y|z|1", "5: last|||\"e\""]);
        let other = Csv { delimiter: b';', quote: b'\'', escape: Some(b'\\'), ..Csv::default() };
        assert_eq!(read("'a\\'b\\\\';c\\d\n", &other, None), ["1: \"a'b\\\"|c\\d"]);
    }

    #[test]
    fn lines_may_end_in_cr_alone() {
        assert_eq!(read("a,b\r1,2\r\"x\ry\",3\r", &Csv::default(), Some(2)), ["1: a|b", "2: 1|2", "3: \"x\ry\"|3"]);
    }

    #[test]
    fn a_bad_record_spoils_no_other() {
        let bad = read("1,2\n1\n\"a\"b,2\n3,4,5\n6,7\n", &Csv::default(), Some(2));
        assert_eq!(
            bad,
            [
                "1: 1|2",
                "! 1 value instead of 2",
                "! there is text after a closing quote",
                "! 3 values instead of 2",
                "5: 6|7"
            ]
        );
        assert_eq!(
            read("a\n\"b\nc\n", &Csv::default(), None),
            ["1: a", "!! 2 a quote is opened here and never closed"]
        );
        assert_eq!(read("\n\n", &Csv::default(), Some(1)).len(), 2);
    }
}
