//! `cargo xtask test`: a table of steps, run in order.

use std::iter;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::cargo::{cargo, run as run_command, succeeds};
use crate::lines::ADAPTERS;
use crate::{conformance, dependencies, layering, lines, portability, simulation, tools};

struct Step {
    name: &'static str,
    action: fn() -> Result<()>,
}

/// None is ever left out: a step that cannot run fails.
const STEPS: [Step; 19] = [
    step("tools", tools::ensure),
    step("format", format),
    step("clippy", || {
        run_cargo("clippy --workspace --all-targets -- -D warnings")
    }),
    step("proto-no-alloc", || {
        run_cargo("test -p mqtt5-proto --no-default-features")
    }),
    step("proto-alloc", || {
        run_cargo("test -p mqtt5-proto --no-default-features --features alloc")
    }),
    step("proto-scram", scram),
    step("client-tracing", client_tracing),
    step("single-transports", single_transports),
    step("tests", workspace_tests),
    step("conformance", conformance::check),
    step("release-tests", release_tests),
    step("simulation", simulation::check),
    step("planted", simulation::check_planted),
    step("docs", docs),
    step("dependencies", dependencies::check_budgets),
    step("bare-protocol", dependencies::check_bare_protocol),
    step("portability", portability::check),
    step("layering", layering::check),
    step("adapter-lines", lines::check),
];

const fn step(name: &'static str, action: fn() -> Result<()>) -> Step {
    Step { name, action }
}

/// Integration tests that mean something only when optimised: package and test.
const RELEASE_TESTS: [(&str, &str); 2] = [
    ("mqtt5-proto", "decode_allocates_nothing"),
    ("mqtt5-tokio", "allocations"),
];

/// Runs the steps that are named, or all; the first failure ends it.
pub(crate) fn run(names: &[String]) -> Result<()> {
    for name in names {
        let known = STEPS.iter().any(|step| step.name == name);
        ensure!(
            known,
            "there is no step `{name}`; `cargo xtask test --list` names them"
        );
    }
    let chosen = || {
        STEPS
            .iter()
            .filter(|step| names.is_empty() || names.iter().any(|name| name == step.name))
    };

    let clock = Clock::start();
    let mut done = Vec::new();
    for step in chosen() {
        println!(
            "\n== {} ({} of {})",
            step.name,
            done.len() + 1,
            chosen().count()
        );
        let start = clock.elapsed();
        let outcome = (step.action)();
        let duration = clock.elapsed() - start;
        let word = if outcome.is_ok() { "passed" } else { "FAILED" };
        println!("== {} {word} in {:.1} s", step.name, duration.as_secs_f64());
        outcome.with_context(|| format!("step `{}` failed", step.name))?;
        done.push(format!("{} {:.1} s", step.name, duration.as_secs_f64()));
    }
    let count = format!("{} of {} steps passed", done.len(), STEPS.len());
    println!(
        "\n{count} in {:.1} s: {}",
        clock.elapsed().as_secs_f64(),
        done.join(", ")
    );
    Ok(())
}

/// Prints the names of the steps.
pub(crate) fn list() {
    for step in STEPS {
        println!("{}", step.name);
    }
}

/// The fuzz targets are a workspace of their own.
fn format() -> Result<()> {
    run_cargo("fmt --all --check")?;
    run_cargo("fmt --manifest-path fuzz/Cargo.toml --check")
}

fn run_cargo(arguments: &str) -> Result<()> {
    run_command(cargo().args(arguments.split(' ')))
}

/// With nextest where it is installed: it runs tests in parallel processes, but no documentation tests.
fn workspace_tests() -> Result<()> {
    if succeeds(cargo().args(["nextest", "--version"])) {
        // One run tells everything that fails.
        run_cargo("nextest run --workspace --no-fail-fast")?;
        return run_cargo("test --doc --workspace");
    }
    run_cargo("test --workspace")
}

/// No other crate asks for these features, so that the steps for the workspace leave them out.
fn scram() -> Result<()> {
    run_cargo("clippy -p mqtt5-proto --all-features --all-targets -- -D warnings")?;
    run_cargo("test -p mqtt5-proto --no-default-features --features scram --test scram")?;
    run_cargo("test -p mqtt5-proto --all-features --test scram --test machine_scram")?;
    run_cargo("test -p mqtt5-proto --all-features --doc")?;
    documented("doc -p mqtt5-proto --all-features --no-deps")
}

/// No other crate asks for this feature either.
fn client_tracing() -> Result<()> {
    run_cargo("clippy -p mqtt5-client --features tracing --all-targets -- -D warnings")?;
    // Alone: what `tracing` remembers of who listens is the process's, and other tests have nobody who does.
    run_cargo("test -p mqtt5-client --features tracing --lib told -- --test-threads=1")
}

/// The tests against real brokers ask for every transport, so that the steps for the workspace build them all.
fn single_transports() -> Result<()> {
    for package in iter::once("mqtt5-transport").chain(ADAPTERS) {
        run_cargo(&format!("clippy -p {package} -- -D warnings"))?;
    }
    for feature in ["tls", "websocket"] {
        run_cargo(&format!(
            "clippy -p mqtt5-transport --features {feature} --all-targets -- -D warnings"
        ))?;
    }
    run_cargo("test -p mqtt5-transport")?;
    run_cargo("test -p mqtt5-blocking --test connect")
}

fn release_tests() -> Result<()> {
    for (package, test) in RELEASE_TESTS {
        run_cargo(&format!("test --release -p {package} --test {test}"))?;
    }
    println!("{} tests in release mode", RELEASE_TESTS.len());
    Ok(())
}

fn docs() -> Result<()> {
    documented("doc --workspace --no-deps")
}

fn documented(arguments: &str) -> Result<()> {
    let mut command: Command = cargo();
    command.env("RUSTDOCFLAGS", "-Dwarnings");
    run_command(command.args(arguments.split(' ')))
}

struct Clock(Instant);

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a step took on this machine"
    )]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_step_is_refused() {
        let error = run(&["no-such-step".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no-such-step"), "{error}");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
