use super::check;

#[test]
fn like_and_ilike() {
    check(&[
        ("LIKE('100%', '100^%', '^')", "true"),
        ("LIKE('1000', '100^%', '^')", "false"),
        ("ILIKE('John_down', '%J%h%^_do%', '^')", "true"),
        ("LIKE(NULL, '%')", "NULL"),
    ]);
}

#[test]
fn matching() {
    check(&[
        ("REGEXP_LIKE('Sacramento', 'sac.*', 'i')", "true"),
        ("REGEXP_LIKE('Sacramento', 'Sac')", "false"),
        ("RLIKE('San Francisco', '[fs].*', 'i')", "true"),
        ("RLIKE('800-456-7891', $$[2-9]\\d{2}-\\d{3}-\\d{4}$$)", "true"),
        ("REGEXP_COUNT('It was the best of times, it was the worst of times', '\\\\bwas\\\\b', 1)", "2"),
        ("REGEXP_COUNT(',abc,,def,,ghi,,jkl,', '[[:punct:]][[:alnum:]]+[[:punct:]]', 1, 'i')", "4"),
        ("REGEXP_LIKE('a', '(')", "error"),
        ("REGEXP_LIKE('a', 'a', 'q')", "error"),
    ]);
}

#[test]
fn places() {
    let text = "'It was the best of times, it was the worst of times'";
    check(&[
        (&format!("REGEXP_INSTR({text}, '\\\\bwas\\\\b', 1, 1)"), "4"),
        (&format!("REGEXP_INSTR({text}, '\\\\bwas\\\\b', 1, 2)"), "30"),
        (&format!("REGEXP_INSTR({text}, 'the (\\\\w+) ', 1, 1, 0)"), "8"),
        (&format!("REGEXP_INSTR({text}, 'the (\\\\w+) ', 1, 1, 1)"), "17"),
        (&format!("REGEXP_INSTR({text}, 'the (\\\\w+) ', 1, 1, 0, 'e')"), "12"),
        (&format!("REGEXP_INSTR({text}, 'nowhere')"), "0"),
        (&format!("REGEXP_INSTR({text}, 'the', 0)"), "error"),
    ]);
}

#[test]
fn extracting() {
    check(&[
        ("REGEXP_SUBSTR('It was the best of times', 'the\\\\W+\\\\w+')", "the best"),
        ("REGEXP_SUBSTR('It was the best, the worst', 'the\\\\W+(\\\\w+)', 1, 2, 'e', 1)", "worst"),
        ("REGEXP_SUBSTR('It was the best, the worst', 'the\\\\W+(\\\\w+)', 1, 1, 'e')", "best"),
        ("REGEXP_SUBSTR('abc', 'b', 1, 1, 'e')", "b"),
        ("REGEXP_SUBSTR('abc', 'x')", "NULL"),
        ("REGEXP_SUBSTR('abc', 'b', 1, 1, 'e', 2)", "error"),
        ("REGEXP_SUBSTR_ALL('a1_a2a3_a4A5a6', 'a[[:digit:]]', 1, 1, 'i')", r#"["a1","a2","a3","a4","A5","a6"]"#),
        ("REGEXP_SUBSTR_ALL('a1_a2a3_a4A5a6', '(a)([[:digit:]])', 1, 1, 'ie')", r#"["a","a","a","a","A","a"]"#),
        ("REGEXP_SUBSTR_ALL('a1_a2a3', 'b')", "[]"),
    ]);
}

#[test]
fn replacing() {
    check(&[
        ("REGEXP_REPLACE('It was the best of times', '( ){1,}', '')", "Itwasthebestoftimes"),
        ("REGEXP_REPLACE('best of times, worst of times', 'times', 'days', 1, 2)", "best of times, worst of days"),
        (
            "REGEXP_REPLACE('firstname middlename lastname', '(.*) (.*) (.*)', '\\\\3, \\\\1 \\\\2')",
            "lastname, firstname middlename",
        ),
        (
            "REGEXP_REPLACE('When I am cold, I am bold.', '(.old)', 'very \\\\1')",
            "When I am very cold, I am very bold.",
        ),
        ("REGEXP_REPLACE('abc', 'b')", "ac"),
        ("REGEXP_REPLACE('abcabc', 'b', 'X', 3)", "abcaXc"),
        ("REGEXP_REPLACE('abc', 'x', 'y')", "abc"),
        ("REGEXP_REPLACE('abc', 'b', '\\\\7')", "error"),
        ("REGEXP_REPLACE('abc', NULL, 'x')", "NULL"),
    ]);
}
