//! Running the tests that the manifest names.
//!
//! The test programs are built as `cargo test` builds them and are then run directly, one after the other: so it is the
//! same whether or not nextest is installed, and no test runs that no row names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::test_name::{Target, TestName};
use crate::cargo::{cargo, output};
use crate::environment::crate_dir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// It exists, but is ignored or was not reported.
    NotRun,
}

/// The outcome of each test of each target.
#[derive(Debug, Default)]
pub(super) struct Results(BTreeMap<Target, BTreeMap<String, Outcome>>);

impl Results {
    /// Builds all tests and runs those that are named.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a TestName>) -> Result<Self> {
        let mut wanted: BTreeMap<&Target, Vec<&TestName>> = BTreeMap::new();
        for name in names {
            wanted.entry(&name.target).or_default().push(name);
        }
        let programs = build()?;
        let mut results = Self::default();
        for (target, names) in wanted {
            if let Some(program) = programs.get(target) {
                let outcomes = run(target, program, &names)?;
                results.0.insert(target.clone(), outcomes);
            }
        }
        Ok(results)
    }

    /// The tests that `name` names, with their outcomes.
    pub(super) fn matching(&self, name: &TestName) -> impl Iterator<Item = (&str, Outcome)> {
        let tests = self.0.get(&name.target).into_iter().flatten();
        tests
            .filter(|(path, _)| name.matches(path))
            .map(|(path, outcome)| (path.as_str(), *outcome))
    }

    #[cfg(test)]
    pub(super) fn insert(&mut self, target: Target, path: &str, outcome: Outcome) {
        let tests = self.0.entry(target).or_default();
        tests.insert(path.to_owned(), outcome);
    }
}

fn build() -> Result<BTreeMap<Target, PathBuf>> {
    let mut command = cargo();
    command.args([
        "test",
        "--workspace",
        "--no-run",
        "--message-format",
        "json",
    ]);
    programs(&output(&mut command)?)
}

/// The test programs among cargo's messages.
fn programs(messages: &str) -> Result<BTreeMap<Target, PathBuf>> {
    let mut programs = BTreeMap::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("a message of cargo")?;
        programs.extend(program(&message));
    }
    Ok(programs)
}

/// Packages are in the folder of their name.
fn program(message: &Value) -> Option<(Target, PathBuf)> {
    let executable = message["executable"].as_str()?;
    if message["profile"]["test"] != true {
        return None;
    }
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let package = manifest.parent()?.file_name()?.to_str()?.to_owned();
    let target = &message["target"];
    let name = match target["kind"][0].as_str()? {
        "lib" => "lib",
        "test" => target["name"].as_str()?,
        _ => return None,
    };
    let name = name.to_owned();
    Some((Target { package, name }, executable.into()))
}

fn run(target: &Target, program: &Path, names: &[&TestName]) -> Result<BTreeMap<String, Outcome>> {
    let listed = output(in_package(target, program).args(["--list", "--format", "terse"]))?;
    let paths: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect();
    let is_named = |path: &&&str| names.iter().any(|name| name.matches(path));
    let chosen: BTreeSet<&str> = paths.iter().filter(is_named).copied().collect();

    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    if chosen.is_empty() {
        return Ok(outcomes);
    }
    println!("{target}: {} of {} tests", chosen.len(), paths.len());
    let finished = in_package(target, program)
        .arg("--exact")
        .args(&chosen)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    let text = String::from_utf8_lossy(&finished.stdout);
    let reported = outcomes_in(&text);
    for path in chosen {
        let outcome = reported.get(path).copied().unwrap_or(Outcome::NotRun);
        outcomes.insert(path.to_owned(), outcome);
    }
    let all_passed = outcomes.values().all(|outcome| *outcome == Outcome::Passed);
    if !all_passed {
        print!("{text}");
    }
    ensure!(
        finished.status.success() || !all_passed,
        "{target} reports no failure, but ended with {}",
        finished.status
    );
    Ok(outcomes)
}

/// A test program where cargo would start it.
fn in_package(target: &Target, program: &Path) -> Command {
    let folder = crate_dir(&target.package);
    let mut command = Command::new(program);
    command
        .current_dir(&folder)
        .env("CARGO_MANIFEST_DIR", folder);
    command
}

/// What a test program reports: `test path ... ok`.
fn outcomes_in(text: &str) -> BTreeMap<&str, Outcome> {
    let mut outcomes = BTreeMap::new();
    for line in text.lines() {
        let Some((path, result)) = line
            .strip_prefix("test ")
            .and_then(|line| line.split_once(" ... "))
        else {
            continue;
        };
        let path = path.strip_suffix(" - should panic").unwrap_or(path);
        let outcome = match result {
            "ok" => Outcome::Passed,
            "FAILED" => Outcome::Failed,
            _ => Outcome::NotRun,
        };
        outcomes.insert(path, outcome);
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_integration_tests_are_programs() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"kind":["lib"],"name":"a"},"profile":{"test":true},"executable":"/t/a-1"}
{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"kind":["test"],"name":"x"},"profile":{"test":true},"executable":"/t/x-1"}
{"reason":"compiler-artifact","manifest_path":"/w/crates/b/Cargo.toml","target":{"kind":["bin"],"name":"b"},"profile":{"test":false},"executable":"/t/b"}
{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","target":{"kind":["lib"],"name":"a"},"profile":{"test":false},"executable":null}
{"reason":"build-finished","success":true}"#;
        let programs: Vec<String> = programs(messages)
            .unwrap()
            .into_iter()
            .map(|(target, path)| format!("{target} {}", path.display()))
            .collect();
        assert_eq!(programs, ["a::lib /t/a-1", "a::x /t/x-1"]);
    }

    #[test]
    fn each_outcome_is_read() {
        let text = "\nrunning 4 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d - should panic ... ok\n\
                    test e ... ignored, slow\n\nfailures:\n    c\n\ntest result: FAILED. 2 passed";
        let expected = [
            ("a::b", Outcome::Passed),
            ("c", Outcome::Failed),
            ("d", Outcome::Passed),
            ("e", Outcome::NotRun),
        ];
        assert_eq!(outcomes_in(text), expected.into());
    }
}
