//! The machines run where there is no operating system to ask.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::cargo::{cargo, output, run};
use crate::dependencies::{name, tree};
use crate::environment::crate_dir;
use crate::source::{Source, Token, group_length, texts};

/// Fails when the machines cannot be compiled for a target without an operating system.
///
/// The dependencies and the source are always looked at. Where the target's standard library is installed, the
/// compiler is asked too.
pub(crate) fn check() -> Result<()> {
    check_dependencies()?;
    check_sources()?;
    println!(
        "{} and their dependencies do not use the operating system",
        MACHINES.join(", ")
    );
    if !has_target()? {
        println!(
            "the standard library of {TARGET} is not installed: the check ends with dependencies and source"
        );
        return Ok(());
    }
    let mut command = cargo();
    command.args(["check", "--target", TARGET]);
    run(command.args(MACHINES.iter().flat_map(|machine| ["--package", machine])))
}

fn check_dependencies() -> Result<()> {
    for machine in MACHINES {
        let crates = tree(machine, &["--target", "all"])?;
        let denied: Vec<&str> = crates
            .iter()
            .map(|package| name(package))
            .filter(|name| touches_system(name))
            .collect();
        ensure!(
            denied.is_empty(),
            "{machine} depends on the operating system through {}",
            denied.join(", ")
        );
    }
    Ok(())
}

fn touches_system(name: &str) -> bool {
    SYSTEM_CRATES.contains(&name)
        || SYSTEM_FAMILIES
            .iter()
            .any(|family| name.starts_with(family))
}

fn check_sources() -> Result<()> {
    let mut found = Vec::new();
    for machine in MACHINES {
        for source in Source::of_crate(&crate_dir(machine))? {
            let place = |(line, path)| format!("  {}: {path}", source.place(line));
            found.extend(system_paths(&source.tokens).into_iter().map(place));
        }
    }
    ensure!(
        found.is_empty(),
        "machines must not ask the operating system (address types are in core::net):\n{}",
        found.join("\n")
    );
    Ok(())
}

/// Where the tokens name what only an operating system can give.
fn system_paths(tokens: &[Token]) -> Vec<(usize, String)> {
    let words = texts(tokens);
    let mut found = Vec::new();
    for at in 0..words.len() {
        let names = SYSTEM_PATHS
            .iter()
            .filter(|path| starts_with_path(&words[at..], path));
        found.extend(names.map(|path| (tokens[at].first_line, path.join("::"))));
        if starts_with_path(&words[at..], &["std", "{"]) {
            found.extend(grouped_modules(&tokens[at + 3..]));
        }
    }
    found
}

fn starts_with_path(words: &[&str], path: &[&str]) -> bool {
    let mut expected = path.iter().enumerate().flat_map(|(at, name)| {
        let separator: &[&str] = if at == 0 { &[] } else { &[":", ":"] };
        separator.iter().chain([name])
    });
    let length = path.len() + 2 * (path.len() - 1);
    words.len() >= length
        && words
            .iter()
            .take(length)
            .all(|word| expected.next() == Some(word))
}

/// The system's modules in `std::{…}`, of which `tokens` begins with the brace.
fn grouped_modules(tokens: &[Token]) -> Vec<(usize, String)> {
    let group = &tokens[..group_length(tokens)];
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for pair in group.windows(2) {
        match pair[0].text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        let begins = depth == 1 && matches!(pair[0].text.as_str(), "{" | ",");
        if begins && SYSTEM_MODULES.contains(&pair[1].text.as_str()) {
            found.push((pair[1].first_line, format!("std::{}", pair[1].text)));
        }
    }
    found
}

fn has_target() -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed =
        output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))?;
    let library = Path::new(printed.trim());
    Ok(library
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some()))
}

const MACHINES: [&str; 2] = ["mqtt5-proto", "mqtt5-client"];
const TARGET: &str = "wasm32-unknown-unknown";

const SYSTEM_CRATES: [&str; 18] = [
    "async-io",
    "async-std",
    "chrono",
    "errno",
    "fastrand",
    "getrandom",
    "libc",
    "linux-raw-sys",
    "mio",
    "nix",
    "parking_lot",
    "polling",
    "rand",
    "rustix",
    "signal-hook-registry",
    "smol",
    "socket2",
    "tokio",
];
const SYSTEM_FAMILIES: [&str; 4] = ["windows-", "windows_", "winapi", "wasm-bindgen"];

const SYSTEM_MODULES: [&str; 5] = ["env", "fs", "net", "os", "process"];
const SYSTEM_PATHS: [&[&str]; 9] = [
    &["std", "env"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "os"],
    &["std", "process"],
    &["thread", "sleep"],
    &["thread", "spawn"],
    &["Instant", "now"],
    &["SystemTime", "now"],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tokens;

    fn found(text: &str) -> Vec<String> {
        system_paths(&tokens(text))
            .into_iter()
            .map(|(_, path)| path)
            .collect()
    }

    #[test]
    fn the_machines_keep_to_it() {
        check_sources().unwrap();
    }

    #[test]
    fn planted_uses_are_found() {
        assert_eq!(found("use std::net::IpAddr;"), ["std::net"]);
        assert_eq!(
            found("use std::time::Instant;\nlet x = Instant::now();"),
            ["Instant::now"]
        );
        assert_eq!(
            found("let x = std::time::SystemTime::now();"),
            ["SystemTime::now"]
        );
        assert_eq!(found("std::thread::sleep(d)"), ["thread::sleep"]);
        assert_eq!(
            found("use std::{fmt, fs::{File, self}, process};"),
            ["std::fs", "std::process"]
        );
    }

    #[test]
    fn other_names_are_accepted() {
        assert!(
            found("use core::net::IpAddr; use std::{io, sync::{Arc, fs}}; network.net()")
                .is_empty()
        );
        assert!(found("fn now(&self) -> Instant { self.now } // Instant::now()").is_empty());
    }

    #[test]
    fn families_of_crates_are_known() {
        assert!(touches_system("windows-sys") && touches_system("libc"));
        assert!(!touches_system("heapless") && !touches_system("bytes"));
    }
}
