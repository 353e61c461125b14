//! The conformance report: every statement of the specification, and the tests that show that this client keeps it.
//!
//! `conformance/statements.tsv` lists the statements, the manifest beside it says what shows each, and the tests that it
//! names are run. `docs/CONFORMANCE.md` is written from all three.

mod manifest;
mod report;
mod results;
mod statements;
mod test_name;
mod verdict;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use crate::environment::workspace_root;
use manifest::Manifest;
use results::Results;
use statements::Statements;
use verdict::Verdicts;

/// Writes the report, also when rows are broken: it says which. Fails when there are any.
pub(crate) fn write() -> Result<()> {
    let report = Report::make()?;
    let path = report_path();
    fs::write(&path, &report.text).with_context(|| format!("writing {}", path.display()))?;
    println!("wrote {}: {}", path.display(), report.summary());
    report.broken()
}

/// Fails when a row is broken, or when the report in the repository is not what would be written.
pub(crate) fn check() -> Result<()> {
    let report = Report::make()?;
    report.broken()?;
    let path = report_path();
    let written =
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        written == report.text,
        "{} is not up to date: run `cargo xtask conformance`",
        path.display()
    );
    println!("{}", report.summary());
    Ok(())
}

struct Report {
    text: String,
    problems: Vec<String>,
}

impl Report {
    fn make() -> Result<Self> {
        let folder = workspace_root().join("conformance");
        let statements = Statements::read(&folder.join("statements.tsv"))?;
        let manifest = Manifest::read(&folder)?;
        let results = Results::of(manifest.tests())?;
        let verdicts = Verdicts::of(&statements, &manifest, &results);
        Ok(Self {
            text: report::render(&statements, &manifest, &verdicts),
            problems: verdicts.problems,
        })
    }

    fn summary(&self) -> &str {
        self.text.lines().last().unwrap_or_default()
    }

    fn broken(&self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        bail!(
            "{} problems in the conformance manifest:\n  {}",
            self.problems.len(),
            self.problems.join("\n  ")
        )
    }
}

fn report_path() -> PathBuf {
    workspace_root().join("docs/CONFORMANCE.md")
}
