use super::*;

#[test]
fn a_changed_line_is_shown_between_what_stays() {
    let lines = changed_lines("select a\nfrom t\nwhere x", "select a\nfrom u\nwhere x\nlimit 1");
    assert_eq!(lines, ["  select a", "- from t", "+ from u", "  where x", "+ limit 1"]);
}
