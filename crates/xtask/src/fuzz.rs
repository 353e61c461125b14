//! `cargo xtask fuzz`: every target for a while, with what it takes to fuzz.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo::{cargo, run, succeeds};
use crate::environment::workspace_root;

/// Inputs are at most this long; those that find anything are shorter.
const OPTIONS: [&str; 4] = [
    "-max_len=4096",
    "-timeout=30",
    "-rss_limit_mb=2048",
    "-print_final_stats=1",
];

/// How a target went.
struct Outcome {
    target: String,
    executions: u64,
    found: u64,
    succeeded: bool,
}

/// Writes the seeds that the golden vectors give.
pub(crate) fn seed_corpus() -> Result<()> {
    run(cargo()
        .args([
            "run",
            "--quiet",
            "--package",
            "mqtt5-fuzz",
            "--bin",
            "seed-corpus",
            "--",
        ])
        .arg(folder().join("corpus")))
}

/// Runs the targets that are named, or all, one after the other; fails when one of them found anything, now or earlier.
pub(crate) fn fuzz(seconds: u32, names: &[String]) -> Result<()> {
    let targets = chosen(&targets()?, names)?;
    ensure_tools()?;
    let mut outcomes = Vec::new();
    for target in &targets {
        println!("== {target} for {seconds} s");
        outcomes.push(fuzz_target(target, seconds)?);
    }
    println!(
        "\n{:<14} {:>12} {:>11}",
        "target", "executions", "new inputs"
    );
    for outcome in &outcomes {
        let word = if outcome.succeeded { "" } else { "  FAILED" };
        let Outcome {
            target,
            executions,
            found,
            ..
        } = outcome;
        println!("{target:<14} {executions:>12} {found:>11}{word}");
    }
    let artifacts = files(&folder().join("artifacts"))?;
    for artifact in &artifacts {
        println!("found: {}", artifact.display());
    }
    let failed = outcomes.iter().any(|outcome| !outcome.succeeded);
    ensure!(
        !failed && artifacts.is_empty(),
        "inputs that fail are in fuzz/artifacts: minimise them with `cargo fuzz tmin`, fix what they show, and keep them \
         in fuzz/regressions"
    );
    Ok(())
}

fn folder() -> PathBuf {
    workspace_root().join("fuzz")
}

/// The names of all targets.
fn targets() -> Result<Vec<String>> {
    let programs = files(&folder().join("fuzz_targets"))?;
    let stem = |path: &PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    Ok(programs.iter().filter_map(stem).collect())
}

fn chosen(all: &[String], names: &[String]) -> Result<Vec<String>> {
    for name in names {
        ensure!(
            all.contains(name),
            "there is no target `{name}`; there are {}",
            all.join(", ")
        );
    }
    let chosen = all
        .iter()
        .filter(|target| names.is_empty() || names.contains(target));
    Ok(chosen.cloned().collect())
}

/// A program that fuzzing needs, how to ask for it, how to get it.
const TOOLS: [(&str, &[&str], &str); 3] = [
    (
        "a nightly toolchain",
        &["rustup", "run", "nightly", "rustc", "--version"],
        "rustup toolchain install nightly --profile minimal",
    ),
    (
        "cargo-fuzz",
        &["rustup", "run", "nightly", "cargo", "fuzz", "--version"],
        "cargo install cargo-fuzz --locked",
    ),
    (
        "a C++ compiler",
        &["c++", "--version"],
        "on Debian: apt-get install g++",
    ),
];

fn ensure_tools() -> Result<()> {
    let missing: Vec<_> = TOOLS
        .iter()
        .filter(|(_, ask, _)| !succeeds(&mut command(ask)))
        .map(|(name, _, how)| format!("{name} ({how})"))
        .collect();
    if !missing.is_empty() {
        bail!("missing: {}", missing.join(", "));
    }
    Ok(())
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder());
    command
}

/// One target; what it prints is kept in a file.
fn fuzz_target(target: &str, seconds: u32) -> Result<Outcome> {
    let work = workspace_root().join("target/fuzz");
    let corpus = work.join("corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let log = work.join(format!("{target}.log"));
    let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;

    let mut fuzzer = command(&["rustup", "run", "nightly", "cargo", "fuzz", "run", target]);
    fuzzer.arg(&corpus);
    for kind in ["corpus", "regressions"] {
        let kept = folder().join(kind).join(target);
        if kept.is_dir() {
            fuzzer.arg(kept);
        }
    }
    fuzzer.arg("--").args(OPTIONS);
    fuzzer.arg(format!("-max_total_time={seconds}"));
    let status = fuzzer
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("starting cargo fuzz")?;

    let printed = fs::read(&log)?;
    let printed = String::from_utf8_lossy(&printed);
    let outcome = Outcome {
        target: target.to_owned(),
        executions: statistic(&printed, "number_of_executed_units"),
        found: statistic(&printed, "new_units_added"),
        succeeded: status.success(),
    };
    if !outcome.succeeded {
        println!(
            "{target} failed ({status}); all of it is in {}",
            log.display()
        );
        let lines: Vec<_> = printed.lines().collect();
        println!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    }
    Ok(outcome)
}

/// What libFuzzer has counted.
fn statistic(printed: &str, name: &str) -> u64 {
    let prefix = format!("stat::{name}:");
    let found = printed.lines().find_map(|line| line.strip_prefix(&prefix));
    found
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

/// Every file below a folder, in the order of the names; none when there is no folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        let entries =
            fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let list = if path.is_dir() {
                &mut folders
            } else {
                &mut files
            };
            list.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_the_folder() {
        let all = targets().unwrap();
        assert!(all.contains(&"decode".to_owned()), "{all:?}");
        assert_eq!(chosen(&all, &[]).unwrap(), all);
        assert_eq!(chosen(&all, &["topic".to_owned()]).unwrap(), ["topic"]);
        let error = chosen(&all, &["no-such-target".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("no-such-target"), "{error}");
    }

    #[test]
    fn statistics_are_read() {
        let printed =
            "Done\nstat::number_of_executed_units: 9735752\nstat::new_units_added:          7\n";
        assert_eq!(statistic(printed, "number_of_executed_units"), 9_735_752);
        assert_eq!(statistic(printed, "new_units_added"), 7);
        assert_eq!(statistic(printed, "peak_rss_mb"), 0);
    }
}
