//! `docs/CONFORMANCE.md`.

use std::fmt::Write as _;

use super::manifest::{Manifest, Row};
use super::statements::{Statement, Statements};
use super::test_name::TestName;
use super::verdict::{Verdict, Verdicts, is_interop};

/// The whole report.
pub(super) fn render(statements: &Statements, manifest: &Manifest, verdicts: &Verdicts) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut chapter = "";
    for statement in statements.iter() {
        let this = chapter_of(&statement.id);
        if this != chapter {
            chapter = this;
            text.push_str(&heading(chapter));
        }
        text.push_str(&line(statement, manifest, verdicts.on(&statement.id)));
    }
    let shown = verdicts.count(Verdict::Shown);
    let excused = verdicts.count(Verdict::Excused);
    let bound = shown + verdicts.count(Verdict::Broken);
    let _ = writeln!(
        text,
        "\n{excused} statements do not bind a client.\n\n{shown} of {bound} client statements shown"
    );
    text
}

const INTRODUCTION: &str = "\
# Conformance

What the specification of MQTT 5.0 asks of a client, and what shows that this one does it. `cargo xtask conformance` runs
the tests and writes this file; `conformance/README.md` says how the manifest is written.

Tests are named `package::target::path`; `*` stands for any one module, which is how a test on every storage is named.
Names that begin with `hb_` are tests of a hostile peer, and the number is its line in
`crates/mqtt5-proto/tests/hostile_lines.txt`.
";

/// The first two parts of a numbered statement's section, the first of an unnumbered one's.
fn chapter_of(id: &str) -> &str {
    let (start, parts) = match id.strip_prefix("U-") {
        Some(_) => (2, 1),
        None => (id.find('-').map_or(0, |at| at + 1), 2),
    };
    let section = id.get(start..).unwrap_or_default();
    let end = section
        .match_indices(['.', '-'])
        .nth(parts - 1)
        .map_or(id.len(), |(at, _)| start + at);
    id.get(..end).unwrap_or(id)
}

fn heading(chapter: &str) -> String {
    let title = match chapter.strip_prefix("U-") {
        Some(number) => format!("Chapter {number}: statements without a number"),
        None => format!("Section {}", chapter.trim_start_matches("MQTT-")),
    };
    format!("\n## {title}\n\n| statement | in short | shown by | tests |\n|---|---|---|---|\n")
}

fn line(statement: &Statement, manifest: &Manifest, verdict: Verdict) -> String {
    let id = &statement.id;
    let Some(row) = manifest.row(id) else {
        return format!("| {id} | | **not shown** | |\n");
    };
    let short = match &row.numbered {
        Some(numbered) => format!("{} ({numbered})", row.statement),
        None => row.statement.clone(),
    };
    let (how, tests) = match verdict {
        Verdict::Shown => (kinds(row), names(row)),
        Verdict::Broken => ("**not shown**".to_owned(), names(row)),
        Verdict::Excused => {
            let reason = row.excused.as_deref().unwrap_or_default();
            (format!("excused: {reason}"), String::new())
        }
    };
    format!("| {id} | {} | {how} | {tests} |\n", cell(&short))
}

fn names(row: &Row) -> String {
    let names: Vec<String> = row.tests().map(|test| format!("`{test}`")).collect();
    names.join("<br>")
}

/// The kinds of the tests, each once.
fn kinds(row: &Row) -> String {
    let mut kinds = Vec::new();
    for kind in row.tests().map(kind) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(", ")
}

fn kind(test: &TestName) -> &'static str {
    if is_interop(test) {
        return "real broker";
    }
    let target = &test.target;
    let known = KINDS
        .iter()
        .find(|(package, prefix, _)| target.package == *package && target.name.starts_with(prefix));
    known.map_or("test", |(_, _, kind)| kind)
}

/// Package, beginning of the target's name, kind of test.
const KINDS: [(&str, &str, &str); 11] = [
    ("mqtt5-proto", "codec_", "codec test"),
    ("mqtt5-proto", "machine_", "scripted machine test"),
    ("mqtt5-proto", "conformance_", "scripted machine test"),
    ("mqtt5-proto", "hostile_", "scripted machine test"),
    ("mqtt5-proto", "lib", "unit test"),
    ("mqtt5-testkit", "interop", "embedded broker"),
    ("mqtt5-client", "", "engine test"),
    ("mqtt5-transport", "", "transport test"),
    ("mqtt5-tokio", "", "adapter test"),
    ("mqtt5-async-std", "", "adapter test"),
    ("mqtt5-blocking", "", "adapter test"),
];

/// Text that ends no cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::results::{Outcome, Results};

    #[test]
    fn every_kind_of_row() {
        let statements = Statements::parse(
            "id\tclass\tproof\n\
             MQTT-1.5.4-1\tMUST\tshown\n\
             MQTT-3.14.1-1\tMUST\tshown\n\
             MQTT-3.14.1-2\tMUST\tshown\n\
             U-3.14.1.1\tMUST\texcusable\n",
        )
        .unwrap();
        let mut manifest = Manifest::default();
        manifest
            .add(
                r#"
                ["MQTT-1.5.4-1"]
                statement = "a | b"
                shown = ["mqtt5-proto::codec_x::one", "mqtt5-proto::machine_x::*::one"]
                interop = ["mqtt5-testkit::interop_x::one"]
                ["MQTT-3.14.1-1"]
                statement = "c"
                shown = ["mqtt5-proto::codec_x::two"]
                ["U-3.14.1.1"]
                statement = "d"
                numbered = "MQTT-3.14.1-1"
                excused = "e"
                "#,
            )
            .unwrap();
        let mut results = Results::default();
        for test in manifest.row("MQTT-1.5.4-1").unwrap().tests() {
            let path = test.to_string();
            let path = path.splitn(3, "::").nth(2).unwrap();
            results.insert(test.target.clone(), path, Outcome::Passed);
        }
        let verdicts = Verdicts::of(&statements, &manifest, &results);

        let head = "| statement | in short | shown by | tests |\n|---|---|---|---|\n";
        let expected = format!(
            "{INTRODUCTION}\n## Section 1.5\n\n{head}\
             | MQTT-1.5.4-1 | a \\| b | codec test, scripted machine test, real broker \
             | `mqtt5-proto::codec_x::one`<br>`mqtt5-proto::machine_x::*::one`<br>`mqtt5-testkit::interop_x::one` |\n\
             \n## Section 3.14\n\n{head}\
             | MQTT-3.14.1-1 | c | **not shown** | `mqtt5-proto::codec_x::two` |\n\
             | MQTT-3.14.1-2 | | **not shown** | |\n\
             \n## Chapter 3: statements without a number\n\n{head}\
             | U-3.14.1.1 | d (MQTT-3.14.1-1) | excused: e |  |\n\
             \n1 statements do not bind a client.\n\n1 of 3 client statements shown\n"
        );
        assert_eq!(render(&statements, &manifest, &verdicts), expected);
    }
}
