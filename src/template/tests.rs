use super::*;
use crate::yaml;

fn templates(files: &[(&str, &str)]) -> Templates {
    let mut all = Files::default();
    for (path, text) in files {
        all.insert(SourceFile::new(*path, *text));
    }
    let (templates, problems) = Templates::new(Arc::new(all));
    assert_eq!(problems, Vec::new());
    templates
}

fn variables(text: &str) -> Variables {
    let root = yaml::parse(&SourceFile::new("vars.yaml", text)).expect("valid YAML");
    let mut variables = Variables::default();
    for entry in root.entries() {
        variables.insert(&entry.key.value, Variable::from_yaml(&entry.value));
    }
    variables
}

const VARS: &str = "days: 7\nname: l'été \\ x\nfree: [25, 90]\nweights: {rating: 0.25}\nwhole: true\nnothing: ~\n\
                    day: 2026-11-01\nat: 2026-11-01T04:00:00\nbig: 12345678901234567890.5\nempty: []\nquoted: '2026-11-01'\n";

fn with(files: &[(&str, &str)], text: &str) -> Result<String, Vec<String>> {
    let template = Derived::itself(SourceFile::new("sql/a.sql", text));
    match templates(files).render(&template, &variables(VARS)) {
        Ok(rendered) => Ok(rendered.text().to_owned()),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn render(text: &str) -> String {
    with(&[], text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn refused(text: &str) -> String {
    with(&[], text).expect_err("a refusal").join("\n")
}

#[test]
fn a_value_renders_as_an_sql_literal() {
    assert_eq!(render("{{ days }}, {{ whole }}, {{ nothing }}"), "7, TRUE, NULL");
    assert_eq!(render("{{ name }}"), r"'l''été \\ x'");
    assert_eq!(render("in ({{ free }}), {{ ['a', \"b'\"] }}"), "in (25, 90), 'a', 'b'''");
    assert_eq!(render("{{ weights.rating }} {{ big }}"), "0.25 12345678901234567890.5");
    assert_eq!(
        render("{{ day }} {{ at }} {{ quoted }}"),
        "'2026-11-01'::date '2026-11-01 04:00:00'::timestamp_ntz '2026-11-01'"
    );
    assert_eq!(render("{{ quoted | date }}"), "'2026-11-01'::date");
    assert_eq!(
        render("{{ [1, 2] | select | reverse }} {{ range(3) }} {{ free | map('string') }}"),
        "2, 1 0, 1, 2 '25', '90'"
    );
    assert_eq!(render("{{ days * 2 + 1 }} {{ 'a' ~ days }}"), "15 'a7'");
    assert_eq!(render("{{ -0.1 }} {{ 1e21 }} {{ 1.0 }}"), "-0.1 1000000000000000000000 1");
}

#[test]
fn identifiers_and_raw_text_are_asked_for() {
    assert_eq!(render("{{ 'program_id' | ident }} {{ 'Top 10' | ident }}"), "PROGRAM_ID \"Top 10\"");
    assert_eq!(render("{{ 'ml.top' | ident }} {{ 'x\"; drop table y' | ident }}"), "ML.TOP \"x\"\"; drop table y\"");
    assert_eq!(render("{{ ['a', 'b'] | ident }}"), "A, B");
    assert_eq!(render("{{ 'order by x' | raw }}"), "order by x");
}

#[test]
fn control_flow_leaves_sql_alone() {
    assert_eq!(render("{% for f in free %}{{ f }}{% if not loop.last %} + {% endif %}{% endfor %}"), "25 + 90");
    assert_eq!(render("{% set x %}a = {{ name }}{% endset %}where {{ x }}"), r"where a = 'l''été \\ x'");
    assert_eq!(render("{% raw %}{{ x }}{% endraw %}{# gone #}"), "{{ x }}");
    assert_eq!(render("select '{' || '%' from t"), "select '{' || '%' from t");
}

#[test]
fn a_macro_writes_sql_and_its_arguments_are_escaped() {
    let files = [
        (
            "sql/macros/a.sql",
            "{% macro outer(v) %}outer({{ inner(v) }}, {{ later(v) }}, {{ days }}){% endmacro %}\n{% macro later(v) %}l{% endmacro %}",
        ),
        ("sql/macros/b.sql", "{% macro inner(v, c='x') %}f({{ v }}, {{ c | ident }}){% endmacro %}"),
    ];
    assert_eq!(with(&files, "select {{ inner(\"it's\") }}"), Ok("select f('it''s', X)".to_owned()));
    assert_eq!(with(&files, "select {{ outer(1) }}"), Ok("select outer(f(1, X), l, 7)".to_owned()));
}

#[test]
fn only_files_of_sql_are_included() {
    let files =
        [("sql/parts/where.sql", "where x = {{ days }} {% include './more.sql' %}"), ("sql/parts/more.sql", "and y")];
    assert_eq!(with(&files, "select 1 {% include 'parts/where.sql' %}"), Ok("select 1 where x = 7 and y".to_owned()));
    for path in ["../pipe.yaml", "/etc/passwd", "parts/../../pipe.yaml"] {
        assert!(
            refused(&format!("{{% include '{path}' %}}")).contains("path-outside-sql"),
            "{}",
            refused(&format!("{{% include '{path}' %}}"))
        );
    }
    let problem = with(&files, "{% include 'parts/wher.sql' %}").expect_err("a refusal");
    assert_eq!(
        problem,
        [
            "sql/a.sql:1:4: error[missing-include]: there is no file `sql/parts/wher.sql` to include (hint: did you mean `sql/parts/where.sql`?)"
        ]
    );
}

#[test]
fn all_undefined_names_are_told_with_the_nearest() {
    assert_eq!(
        refused("select {{ dayss }},\n {{ nme | ident }} {{ weights.ratin }} {{ zzz }}"),
        "sql/a.sql:1:11: error[undefined-variable]: there is no variable `dayss` (hint: did you mean `days`?)\n\
         sql/a.sql:2:5: error[undefined-variable]: there is no variable `nme` (hint: did you mean `name`?)\n\
         sql/a.sql:2:23: error[undefined-variable]: `weights.ratin` is undefined (hint: did you mean `rating`?)"
    );
    assert_eq!(render("{{ zzz | default(3) }}{% if zzz is defined %}x{% endif %}"), "3");
}

#[test]
fn what_cannot_be_rendered_is_refused() {
    assert!(refused("{{ empty }}").contains("this list is empty"));
    assert!(refused("{{ weights }}").contains("a mapping has no SQL form"));
    assert!(refused("{{ secret('/x') }}").contains("secret-not-allowed"));
    assert!(refused("{{ days | idnt }}").contains("did you mean `ident`"), "{}", refused("{{ days | idnt }}"));
    assert!(refused("{{ frobnicate(1) }}").contains("unknown-macro"), "{}", refused("{{ frobnicate(1) }}"));
    assert!(refused("{% if days %}x").contains("template-syntax"));
    assert!(
        refused("{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}")
            .contains("template-too-long")
    );
    assert!(refused("{{ [1] * 99999999 }}").contains("template-too-long"));
    assert!(refused("{{ [[1] * 99999999] }}").contains("template-too-long"));
    for list in ["{{ [1] * 99999999 }}", "{{ [[1] * 99999999] }}", "{{ (range(1000) | list) * 100000 }}"] {
        let list = Spanned::new(list.to_owned(), SourceFile::new("pipelines/a.yaml", list).span(0..list.len()));
        let told = templates(&[]).items(&list, &Variables::default()).expect_err(&list.value);
        assert!(told[0].to_string().contains("template-too-long"), "{told:?}");
    }
    assert!(refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").contains("error["));
}

#[test]
fn places_in_rendered_sql_lead_back() {
    let files =
        [("sql/macros/m.sql", "{% macro m(v) %}f({{ v }}){% endmacro %}"), ("sql/part.sql", "\nfrom {{ name }} there")];
    let text = "-- {{ days }}\nselect {{ m(days) }}, wrong\n{% include 'part.sql' %}";
    let template = Derived::itself(SourceFile::new("sql/a.sql", text));
    let rendered = templates(&files).render(&template, &variables(VARS)).expect("rendered");
    let origin = |needle: &str| {
        let start = rendered.text().find(needle).expect("needle");
        let span = rendered.origin(&rendered.source().span(start..start + needle.len()));
        (span.to_string(), span.text().to_owned())
    };
    assert_eq!(origin("wrong"), ("sql/a.sql:2:23".to_owned(), "wrong".to_owned()));
    assert_eq!(origin("f("), ("sql/a.sql:2:11".to_owned(), "m(days)".to_owned()));
    assert_eq!(origin("there"), ("sql/part.sql:2:17".to_owned(), "there".to_owned()));
    assert_eq!(origin("'l''").0, "sql/part.sql:2:9");
}

#[test]
fn an_error_in_a_macro_points_into_its_file() {
    let files = [("sql/macros/m.sql", "{% macro m(v) %}\n {{ dayss }}{% endmacro %}")];
    let problems = with(&files, "select {{ m(1) }}").expect_err("a refusal");
    assert_eq!(
        problems,
        ["sql/macros/m.sql:2:5: error[undefined-variable]: there is no variable `dayss` (hint: did you mean `days`?)"]
    );
}
