//! Which test shows what of the hostile lines HB-01 to HB-61 that belong to the machine, clause by clause, and that none is
//! missing. The other lines belong to the layers above.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The lines of the machine.
fn lines() -> impl Iterator<Item = u8> {
    [1..=13, 15..=28, 33..=47, 50..=53, 55..=56, 61..=61]
        .into_iter()
        .flatten()
}

/// Line, clause, file of the test, its name.
fn clauses() -> impl Iterator<Item = [&'static str; 4]> {
    include_str!("hostile_lines.txt")
        .lines()
        .filter(|row| !row.is_empty() && !row.starts_with('#'))
        .map(|row| {
            let fields: Vec<_> = row.split('|').map(str::trim).collect();
            <[_; 4]>::try_from(fields).unwrap_or_else(|_| panic!("no four fields: {row}"))
        })
}

/// The names of the tests of each file of the machine: those in `every_storage!`, and those with `#[test]`.
fn tests() -> BTreeMap<String, Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut tests = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let of_the_machine = ["hostile_", "machine_"].iter().any(|p| name.starts_with(p));
        if of_the_machine && path.is_file() {
            tests.insert(name, names(&fs::read_to_string(&path).unwrap()));
        }
    }
    tests
}

fn names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut attribute = false;
    let mut listed = false;
    for line in source.lines().map(str::trim) {
        let called = line
            .strip_prefix("fn ")
            .and_then(|rest| rest.split(['(', '<']).next());
        match called {
            Some(name) if attribute => names.push(name.to_string()),
            _ if listed && line != ");" => names.push(line.trim_end_matches(',').to_string()),
            _ => {}
        }
        attribute = line == "#[test]" || (attribute && called.is_none());
        listed = line == "every_storage!(" || (listed && line != ");");
    }
    names
}

#[test]
fn every_clause_has_its_test() {
    let tests = tests();
    for [line, clause, file, name] in clauses() {
        let found = tests
            .get(file)
            .is_some_and(|names| names.iter().any(|n| n == name));
        assert!(found, "{line}, {clause}: no test {name} in {file}");
    }
}

/// In the table, and among the tests by its number.
#[test]
fn every_line_has_its_test() {
    let tests = tests();
    for number in lines() {
        let line = format!("HB-{number:02}");
        assert!(
            clauses().any(|clause| clause[0] == line),
            "{line} has no clause"
        );
        let prefix = format!("hb_{number:02}_");
        let mut names = tests.values().flatten();
        assert!(
            names.any(|name| name.starts_with(&prefix)),
            "{line} has no test"
        );
    }
}
