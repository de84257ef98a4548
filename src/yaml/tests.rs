use super::*;

fn read(text: &str) -> Node {
    parse(&SourceFile::new("a.yaml", text)).expect("valid YAML")
}

fn refused(text: &str) -> String {
    let problems = parse(&SourceFile::new("a.yaml", text)).expect_err("invalid YAML");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_value_keeps_its_place() {
    let root = read("steps:\n  é: {sql: \"select 1\", top: 030}\n  b:\n    - x # why\n    - ~\n");
    let steps = root.get("steps").expect("steps");
    let first = &steps.entries()[0];
    assert_eq!(first.key.span.to_string(), "a.yaml:2:3");
    assert_eq!(first.value.get("sql").map(|n| n.span.text()), Some("\"select 1\""));
    assert_eq!(first.value.get("sql").and_then(Node::text), Some("select 1"));
    assert_eq!(steps.get("b").map(|n| n.items().len()), Some(2));
    assert_eq!(steps.get("b").map(|n| n.items()[0].span.text()), Some("x"));
}

#[test]
fn plain_scalars_follow_the_core_schema() {
    let values = read("[1, -2.5, 1e3, 0x1F, .5, true, no, null, '1', 1.2.3, 2026-11-01, +7, '', 1_000]");
    let kinds: Vec<_> = values.items().iter().map(Node::kind).collect();
    let (number, text) = ("a number", "text");
    let expected = [
        number,
        number,
        number,
        number,
        number,
        "true or false",
        text,
        "nothing",
        text,
        text,
        text,
        number,
        text,
        text,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(values.items()[3].integer(), Some(31));
    assert_eq!(values.items()[11].integer(), Some(7));
}

#[test]
fn aliases_and_merges_are_written_out() {
    let root = read("base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\n");
    let more = root.get("more").expect("more");
    assert_eq!(more.get("a").and_then(Node::integer), Some(1));
    assert_eq!(more.get("b").and_then(Node::integer), Some(3));
}

#[test]
fn an_alias_bomb_and_deep_nesting_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let previous = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
    }
    assert!(refused(&bomb).contains("yaml-too-many-values"), "{}", refused(&bomb));
    assert!(refused(&"[".repeat(100_000)).contains("error["));
    assert!(refused(&format!("{}{}", "[".repeat(60), "]".repeat(60))).contains("yaml-too-deep"));
}

#[test]
fn what_is_not_yaml_is_told_with_its_place() {
    assert!(refused("a: b: c\n").starts_with("a.yaml:1:"), "{}", refused("a: b: c\n"));
    assert!(refused("a:\n\t- b\n").contains("never with tabs"), "{}", refused("a:\n\t- b\n"));
    assert!(refused("a: 1\n---\nb: 2\n").contains("several-documents"));
    assert!(refused("x: {{ y }}\n").contains("yaml-key"));
}
