//! Values as Snowflake SQL literals. It decides how text is escaped and nothing else.

/// Text as a string literal: quotes doubled, backslashes escaped, since Snowflake reads `\` in a string as an escape.
pub fn text(value: &str) -> String {
    let mut literal = String::with_capacity(value.len() + 2);
    literal.push('\'');
    for c in value.chars() {
        match c {
            '\'' => literal.push_str("''"),
            '\\' => literal.push_str("\\\\"),
            '\0' => literal.push_str("\\0"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

/// A truth value.
pub fn boolean(value: bool) -> &'static str {
    if value { "TRUE" } else { "FALSE" }
}

/// A date, given as `2026-11-01`.
pub fn date(iso: &str) -> String {
    format!("{}::date", text(iso))
}

/// A date and time without zone, given as `2026-11-01 04:00:00`.
pub fn timestamp(iso: &str) -> String {
    format!("{}::timestamp_ntz", text(iso))
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_reads_back_as_itself() {
        assert_eq!(super::text(r"L'été \n"), r"'L''été \\n'");
        assert_eq!(super::date("2026-11-01"), "'2026-11-01'::date");
    }
}
