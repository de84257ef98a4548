//! The generated parts of the README's reference say what the program does. `UPDATE_REFERENCE=1 cargo test reference`
//! writes them again.

use std::fs;
use std::path::Path;

use pipe::report::reference;

fn sections() -> Vec<(&'static str, String)> {
    vec![
        ("environment variables", reference::variables()),
        ("keys of a job", reference::keys(&pipe::job::keys::JOB)),
        ("keys of pipe.yaml", reference::keys(&pipe::settings::keys::SETTINGS_SCHEMA)),
        ("keys of a contract", reference::keys(&pipe::source::SCHEMA)),
        ("keys of a file of unit tests", reference::keys(&pipe::unit::keys::SUITE)),
        ("constructs", reference::constructs()),
        ("functions", reference::functions()),
    ]
}

#[test]
fn the_reference_in_the_readme_is_what_the_program_knows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let mut written = readme.clone();
    for (name, text) in sections() {
        let (begin, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->");
        let start = written.find(&begin).unwrap_or_else(|| panic!("README.md has a section `{name}`")) + begin.len();
        let length = written[start..].find(end).expect("the section ends");
        written.replace_range(start..start + length, &format!("\n{text}"));
    }
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&path, written).unwrap();
    } else {
        assert!(readme == written, "README.md is behind: run `UPDATE_REFERENCE=1 cargo test reference`");
    }
}
