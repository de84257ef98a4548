//! JSON text → canonical text, in one pass and straight into the output. It takes what PARSE_JSON takes beyond JSON:
//! keywords in any case, names without quotes, single quotes, left-out elements (`undefined`) and trailing commas.

use super::{number, write};

/// The deepest nesting of a document.
const MAX_DEPTH: usize = 1_000;

/// The bytes at which a run of plain characters within a string ends.
static STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        stops[byte] = true;
        byte += 1;
    }
    stops[b'"' as usize] = true;
    stops[b'\'' as usize] = true;
    stops[b'\\' as usize] = true;
    stops
};

/// What an object that has one key twice becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// An error.
    Refused,
    /// The last value of the key stands.
    LastWins,
}

/// A parser, which keeps its buffers from one document to the next.
#[derive(Debug)]
pub struct Parser {
    duplicates: Duplicates,
    members: Vec<Member>,
    scratch: String,
}

/// A member in the output: where it starts, where its key's text ends, where it ends.
#[derive(Clone, Copy, Debug)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
}

impl Parser {
    /// A parser that treats duplicate keys so.
    pub fn new(duplicates: Duplicates) -> Self {
        Self { duplicates, members: Vec::new(), scratch: String::new() }
    }

    /// Appends the canonical text of a document to `out`, and says whether there was one: none in a text of white space
    /// only. An error is Snowflake's message; `out` then has a part of the document.
    pub fn parse(&mut self, document: &str, out: &mut String) -> Result<bool, String> {
        self.members.clear();
        let mut reader = Reader { parser: self, text: document, bytes: document.as_bytes(), at: 0, out };
        reader.space();
        if reader.at == reader.bytes.len() {
            return Ok(false);
        }
        reader.value(0)?;
        reader.space();
        if reader.at < reader.bytes.len() {
            return Err(reader.error("more than one document in the input"));
        }
        Ok(true)
    }
}

/// The canonical text of one document; none for white space only.
pub fn parse(document: &str) -> Result<Option<String>, String> {
    let mut out = String::new();
    Ok(Parser::new(Duplicates::Refused).parse(document, &mut out)?.then_some(out))
}

struct Reader<'a> {
    parser: &'a mut Parser,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    out: &'a mut String,
}

impl<'a> Reader<'a> {
    fn error(&self, what: &str) -> String {
        let place = self.text.get(..self.at).map_or(self.at, |before| before.chars().count());
        format!("{what}, pos {}", place + 1)
    }

    /// An error at the byte that is next, which is consumed first as Snowflake counts it.
    fn misplaced(&self) -> String {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(letter) => self.error(&format!("misplaced {letter}")),
            None => self.error("incomplete value"),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c)) {
            self.at += 1;
        }
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(quote @ (b'"' | b'\'')) => self.string(quote),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => self.keyword(),
            Some(_) => Err(self.misplaced()),
            None => Err(self.error("incomplete value")),
        }
    }

    fn nested(&mut self, depth: usize) -> Result<(), String> {
        if depth >= MAX_DEPTH { Err(self.error("document is nested too deeply")) } else { self.value(depth + 1) }
    }

    fn array(&mut self, depth: usize) -> Result<(), String> {
        self.at += 1;
        self.out.push('[');
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.out.push(']');
            return Ok(());
        }
        loop {
            self.space();
            match self.peek() {
                Some(b',' | b']') => self.out.push_str("undefined"),
                None => return Err(self.error("incomplete array value")),
                Some(_) => self.nested(depth)?,
            }
            self.space();
            match self.peek() {
                Some(b',') => self.out.push(','),
                Some(b']') => {
                    self.at += 1;
                    self.out.push(']');
                    return Ok(());
                }
                None => return Err(self.error("incomplete array value")),
                Some(_) => return Err(self.error("missing comma")),
            }
            self.at += 1;
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), String> {
        self.at += 1;
        let start = self.out.len();
        let base = self.parser.members.len();
        self.out.push('{');
        loop {
            self.space();
            match self.peek() {
                Some(b'}') => break,
                Some(b',') => return Err(self.misplaced()),
                None => return Err(self.error("incomplete object value")),
                Some(_) => self.member(depth)?,
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                None => return Err(self.error("incomplete object value")),
                Some(_) => return Err(self.error("missing comma")),
            }
        }
        self.at += 1;
        if self.out.len() > start + 1 {
            self.out.pop();
        }
        self.out.push('}');
        self.sort(start, base)
    }

    /// A member and a comma behind it; nothing at all if its value is `undefined`.
    fn member(&mut self, depth: usize) -> Result<(), String> {
        let start = self.out.len();
        self.key()?;
        let key_end = self.out.len();
        self.space();
        match self.peek() {
            Some(b':') => self.at += 1,
            None => return Err(self.error("incomplete object value")),
            Some(_) => return Err(self.error("missing colon")),
        }
        self.out.push(':');
        self.space();
        if self.peek().is_none() {
            return Err(self.error("incomplete object value"));
        }
        self.nested(depth)?;
        if self.out.get(key_end + 1..) == Some("undefined") {
            self.out.truncate(start);
            return Ok(());
        }
        self.parser.members.push(Member { start, key_end, end: self.out.len() });
        self.out.push(',');
        Ok(())
    }

    fn key(&mut self) -> Result<(), String> {
        if let Some(quote @ (b'"' | b'\'')) = self.peek() {
            return self.string(quote);
        }
        let start = self.at;
        while matches!(self.peek(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | b'-' | 0x80..)) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.misplaced());
        }
        let key = self.slice(start, self.at);
        write::string(self.out, key);
        Ok(())
    }

    /// Puts the members of the object that starts at `start` in order, when they are not.
    fn sort(&mut self, start: usize, base: usize) -> Result<(), String> {
        let out = self.out.as_str();
        // The closing quote is left out: it would order a key before its own prefix plus a space or `!`.
        let key = |member: &Member| out.as_bytes().get(member.start..member.key_end - 1).unwrap_or_default();
        let order = |a: &Member, b: &Member| key(a).cmp(key(b));
        let members = &mut self.parser.members[base..];
        if members.windows(2).all(|pair| order(&pair[0], &pair[1]).is_lt()) {
            self.parser.members.truncate(base);
            return Ok(());
        }
        // Stable, so that the last value of a key that comes twice is the last of its run.
        members.sort_by(order);
        let same = |pair: &[Member]| key(&pair[0]) == key(&pair[1]);
        if self.parser.duplicates == Duplicates::Refused
            && let Some(pair) = members.windows(2).find(|pair| same(pair))
        {
            let key = String::from_utf8_lossy(key(&pair[0])).into_owned();
            return Err(self.error(&format!("duplicate object attribute {key}\"")));
        }
        let scratch = &mut self.parser.scratch;
        scratch.clear();
        scratch.push('{');
        for (at, member) in members.iter().enumerate() {
            if members.get(at + 1).is_some_and(|next| key(next) == key(member)) {
                continue;
            }
            if scratch.len() > 1 {
                scratch.push(',');
            }
            scratch.push_str(out.get(member.start..member.end).unwrap_or_default());
        }
        scratch.push('}');
        self.out.truncate(start);
        self.out.push_str(scratch);
        self.parser.members.truncate(base);
        Ok(())
    }

    fn string(&mut self, quote: u8) -> Result<(), String> {
        self.at += 1;
        self.out.push('"');
        loop {
            let start = self.at;
            let rest = self.bytes.get(start..).unwrap_or_default();
            self.at += rest.iter().position(|byte| STOPS[usize::from(*byte)]).unwrap_or(rest.len());
            let clean = self.slice(start, self.at);
            self.out.push_str(clean);
            match self.peek() {
                None => return Err(self.error("unfinished string")),
                Some(byte) if byte == quote => break,
                Some(b'\\') => self.escape()?,
                Some(byte) => {
                    let mut letter = [0; 4];
                    let text = write::escape(char::from(byte).encode_utf8(&mut letter)).into_owned();
                    self.out.push_str(&text);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        self.out.push('"');
        Ok(())
    }

    /// An escape: what needs one in the canonical text is escaped again, the rest is written as it is.
    fn escape(&mut self) -> Result<(), String> {
        self.at += 1;
        let Some(letter) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) else {
            return Err(self.error("unfinished string"));
        };
        self.at += letter.len_utf8();
        let decoded = match letter {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            '"' | '\\' | '/' | '\'' => letter,
            'u' => self.unicode(4)?,
            'x' => self.unicode(2)?,
            _ => return Err(self.error(&format!("invalid escape character \\{letter}"))),
        };
        let mut buffer = [0; 4];
        let text = write::escape(decoded.encode_utf8(&mut buffer)).into_owned();
        self.out.push_str(&text);
        Ok(())
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let text = self.text.get(self.at..self.at + digits)?;
        let code = text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok())??;
        self.at += digits;
        Some(code)
    }

    fn unicode(&mut self, digits: usize) -> Result<char, String> {
        let Some(code) = self.hex(digits) else {
            return Err(self.error("hex digit is expected in \\u escape sequence"));
        };
        if (0xd800..0xdc00).contains(&code) && self.text.get(self.at..self.at + 2) == Some("\\u") {
            let back = self.at;
            self.at += 2;
            match self.hex(4) {
                Some(low) if (0xdc00..0xe000).contains(&low) => {
                    let pair = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    return Ok(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                _ => self.at = back,
            }
        }
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }

    fn number(&mut self) -> Result<(), String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
            if matches!(self.peek(), Some(b'I' | b'i')) {
                return self.keyword_from(start);
            }
        }
        let whole = self.at;
        let mut valid = self.digits();
        if !matches!(self.peek(), Some(b'.' | b'e' | b'E'))
            && self.at - whole < 19
            && self.bytes.get(whole) != Some(&b'0')
            && valid
        {
            let text = self.slice(start, self.at);
            self.out.push_str(text);
            return Ok(());
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            valid &= self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            valid &= self.digits();
        }
        if !valid {
            return Err(self.error("invalid number"));
        }
        number::literal(self.out, self.slice(start, self.at));
        Ok(())
    }

    fn keyword(&mut self) -> Result<(), String> {
        self.keyword_from(self.at)
    }

    fn keyword_from(&mut self, start: usize) -> Result<(), String> {
        while matches!(self.peek(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_')) {
            self.at += 1;
        }
        let word = self.slice(start, self.at);
        if matches!(word, "null" | "true" | "false") {
            self.out.push_str(word);
            return Ok(());
        }
        let text = match word.to_ascii_lowercase().as_str() {
            "null" => "null",
            "true" => "true",
            "false" => "false",
            "undefined" => "undefined",
            "nan" => "F\"NaN\"",
            "inf" | "infinity" => "F\"Infinity\"",
            "-inf" | "-infinity" => "F\"-Infinity\"",
            _ => return Err(self.error(&format!("unknown keyword \"{word}\""))),
        };
        self.out.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        parse(text).unwrap().unwrap()
    }

    #[test]
    fn documents_become_canonical() {
        assert_eq!(canonical(r#" { "b" : [1, 2.50, {}], "a" : "x\u00e9\n" } "#), r#"{"a":"xé\n","b":[1,2.5,{}]}"#);
        assert_eq!(canonical("'single'"), "\"single\"");
        assert_eq!(canonical(r#""a'b\"\u0001\ud83d\ude00""#), r#""a'b\"\u00"#.to_string() + "01😀\"");
        assert_eq!(canonical("{name: {first: \"J\"}, Z: null}"), r#"{"Z":null,"name":{"first":"J"}}"#);
        assert_eq!(canonical(r#"{"ab":1,"a":2,"a b":3}"#), r#"{"a":2,"a b":3,"ab":1}"#);
        assert_eq!(canonical("[-1, 12, 289, 2188, FALSE,]"), "[-1,12,289,2188,false,undefined]");
        assert_eq!(canonical("[1, ,77]"), "[1,undefined,77]");
        assert_eq!(canonical(" -17 "), "-17");
        assert_eq!(canonical("[]"), "[]");
        assert_eq!(parse("  "), Ok(None));
    }

    #[test]
    fn errors_are_worded_and_placed_as_documented() {
        let error = |text| parse(text).unwrap_err();
        assert_eq!(error(r#"{"Malformed -- Missing value": }"#), "misplaced }, pos 32");
        assert_eq!(error("abc"), "unknown keyword \"abc\", pos 4");
        for broken in
            ["{", "[", "[1", "{\"a\"", "{\"a\":1", "\"x", "1 2", "{\"a\" 1}", "-", "1.", "{,}", "\"\\q\"", "\"\\u12\""]
        {
            assert!(parse(broken).is_err(), "{broken}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn duplicate_keys_are_refused_or_the_last_wins() {
        let document = r#"{"b":1,"a":2,"b":3}"#;
        assert!(parse(document).unwrap_err().contains("duplicate object attribute \"b\""));
        let mut out = String::new();
        assert_eq!(Parser::new(Duplicates::LastWins).parse(document, &mut out), Ok(true));
        assert_eq!(out, r#"{"a":2,"b":3}"#);
    }
}
