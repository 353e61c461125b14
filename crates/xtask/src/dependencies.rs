//! Which crates a crate brings with it, and how many it may bring.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use crate::cargo::{cargo, output};

struct Budget {
    package: &'static str,
    features: &'static [&'static str],
    limit: usize,
}

/// Transitively, without proc macros and what only they need. TLS and other additions are features that are off.
const BUDGETS: [Budget; 5] = [
    Budget {
        package: "mqtt5-proto",
        features: &["--features", "std"],
        limit: 8,
    },
    Budget {
        package: "mqtt5-proto",
        features: &["--features", "scram"],
        limit: 20,
    },
    Budget {
        package: "mqtt5-client",
        features: &[],
        limit: 12,
    },
    Budget {
        package: "mqtt5-blocking",
        features: &[],
        limit: 15,
    },
    Budget {
        package: "mqtt5-tokio",
        features: &[],
        limit: 22,
    },
];

/// Fails when a crate brings more crates than its budget allows.
pub(crate) fn check_budgets() -> Result<()> {
    let mut over = Vec::new();
    println!("{:<28} {:>6} {:>6}  dependencies", "crate", "limit", "has");
    for budget in BUDGETS {
        let crates = tree(budget.package, budget.features)?;
        let names: Vec<&str> = crates.iter().map(|package| name(package)).collect();
        println!(
            "{:<28} {:>6} {:>6}  {}",
            [&[budget.package], budget.features].concat().join(" "),
            budget.limit,
            crates.len(),
            names.join(" ")
        );
        if crates.len() > budget.limit {
            over.push(budget.package);
        }
    }
    if !over.is_empty() {
        bail!("over the dependency budget: {}", over.join(", "));
    }
    Ok(())
}

/// Fails when the protocol without an allocator brings a crate that is there for its allocated types.
pub(crate) fn check_bare_protocol() -> Result<()> {
    let crates = tree("mqtt5-proto", &["--no-default-features"])?;
    let names: Vec<&str> = crates.iter().map(|package| name(package)).collect();
    ensure!(
        !names.contains(&"bytes"),
        "mqtt5-proto without features depends on bytes"
    );
    println!("mqtt5-proto without features brings {}", names.join(" "));
    Ok(())
}

/// Every crate that `package` needs to run, as `name version`, itself not included.
pub(crate) fn tree(package: &str, options: &[&str]) -> Result<BTreeSet<String>> {
    let mut command = cargo();
    command.args([
        "tree",
        "--package",
        package,
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
    ]);
    Ok(parse(&output(command.args(options))?))
}

/// The name in `name version`.
pub(crate) fn name(package: &str) -> &str {
    package.split(' ').next().unwrap_or(package)
}

fn parse(tree: &str) -> BTreeSet<String> {
    let packages = tree
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(name_and_version);
    let root = packages.clone().next();
    packages
        .filter(|package| Some(package) != root.as_ref())
        .collect()
}

fn name_and_version(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().take(2).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_count_once_and_versions_apart() {
        let tree = "a v0.1.0 (/x/a)\nb v1.0.0\nc v1.0.0\nb v1.0.0 (*)\nb v2.0.0\n\n";
        let crates: Vec<String> = parse(tree).into_iter().collect();
        assert_eq!(crates, ["b v1.0.0", "b v2.0.0", "c v1.0.0"]);
        assert_eq!(name(&crates[0]), "b");
    }

    #[test]
    fn a_crate_without_dependencies_has_none() {
        assert!(parse("a v0.1.0 (/x/a)\n").is_empty());
    }
}
