//! The layout that `lib.rs` promises: modules use only those above them, and what is pure touches no outside world.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The first module that may read files, the clock, the environment or the network.
const FIRST_OUTSIDE: &str = "secret";
/// What a pure module does not mention.
const OUTSIDE: [&str; 10] = [
    "std::fs",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "std::process",
    "tokio::fs",
    "SystemTime::now",
    "Instant::now",
    "Utc::now",
    "Local::now",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn modules() -> Vec<String> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let declared = Regex::new(r"(?m)^pub mod (\w+);").unwrap();
    declared.captures_iter(&text).map(|found| found[1].to_string()).collect()
}

/// The files of a module, each with its text up to its own tests.
fn files(module: &str) -> Vec<(PathBuf, String)> {
    let mut waiting = vec![source().join(format!("{module}.rs")), source().join(module)];
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() && !path.ends_with("tests.rs") && !path.components().any(|c| c.as_os_str() == "tests")
        {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_string();
            found.push((path, code));
        }
    }
    found
}

/// The modules of this crate that a text uses: `crate::name` and `crate::{name, other::Thing}`.
fn used(code: &str) -> Vec<String> {
    let one = Regex::new(r"\bcrate::(\w+)").unwrap();
    let several = Regex::new(r"\bcrate::\{([^;]*)\};").unwrap();
    let mut names: Vec<String> = one.captures_iter(code).map(|found| found[1].to_string()).collect();
    for group in several.captures_iter(code) {
        names.extend(group[1].split(',').filter_map(|item| item.trim().split("::").next().map(str::to_string)));
    }
    names
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let order = modules();
    assert!(order.len() > 10, "lib.rs declares its modules as `pub mod name;`");
    let place = |name: &str| order.iter().position(|module| module == name);
    let mut wrong = Vec::new();
    for module in &order {
        for (path, code) in files(module) {
            let below = used(&code).into_iter().filter(|name| place(name) > place(module));
            wrong.extend(below.map(|name| format!("{} uses `{name}`, which stands below `{module}`", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_no_outside_world() {
    let order = modules();
    let first = order.iter().position(|module| module == FIRST_OUTSIDE).unwrap_or(order.len());
    assert!(first < order.len(), "`{FIRST_OUTSIDE}` is declared in lib.rs");
    let mut wrong = Vec::new();
    for module in &order[..first] {
        for (path, code) in files(module) {
            let touched = OUTSIDE.iter().filter(|word| code.contains(*word));
            wrong.extend(touched.map(|word| format!("{} mentions `{word}`", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
