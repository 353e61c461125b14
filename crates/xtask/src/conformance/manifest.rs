//! The manifest: what shows each statement.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use toml::{Table, Value};

use super::test_name::TestName;

/// One row: a statement, and the tests that show it or the reason why none has to.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The statement in our own words.
    pub(super) statement: String,
    /// The numbered statement that says the same.
    pub(super) numbered: Option<String>,
    pub(super) shown: Vec<TestName>,
    pub(super) interop: Vec<TestName>,
    pub(super) excused: Option<String>,
}

impl Row {
    pub(super) fn tests(&self) -> impl Iterator<Item = &TestName> {
        self.shown.iter().chain(&self.interop)
    }
}

#[derive(Debug, Default)]
pub(super) struct Manifest(BTreeMap<String, Row>);

impl Manifest {
    /// All `.toml` files in the folders of `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut manifest = Self::default();
        for part in ["normative", "unnumbered"] {
            for path in files(&folder.join(part))? {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?;
                manifest
                    .add(&text)
                    .with_context(|| path.display().to_string())?;
            }
        }
        Ok(manifest)
    }

    /// The rows of one file.
    pub(super) fn add(&mut self, text: &str) -> Result<()> {
        for (id, row) in text.parse::<Table>()? {
            let row = row_of(row).map_err(|error| anyhow!("{id}: {error}"))?;
            ensure!(
                self.0.insert(id.clone(), row).is_none(),
                "{id}: there is a row for it in an earlier file"
            );
        }
        Ok(())
    }

    pub(super) fn row(&self, id: &str) -> Option<&Row> {
        self.0.get(id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every test that a row names.
    pub(super) fn tests(&self) -> impl Iterator<Item = &TestName> {
        self.0.values().flat_map(Row::tests)
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn row_of(value: Value) -> Result<Row> {
    let Value::Table(fields) = value else {
        bail!("it is no table");
    };
    let mut row = Row::default();
    for (field, value) in fields {
        match field.as_str() {
            "statement" => row.statement = text(&field, value)?,
            "numbered" => row.numbered = Some(text(&field, value)?),
            "shown" => row.shown = tests(&field, value)?,
            "interop" => row.interop = tests(&field, value)?,
            "excused" => row.excused = Some(text(&field, value)?),
            _ => bail!("`{field}` is no field of a row"),
        }
    }
    ensure!(!row.statement.is_empty(), "it has no `statement`");
    Ok(row)
}

fn text(field: &str, value: Value) -> Result<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text),
        _ => bail!("`{field}` is no text"),
    }
}

fn tests(field: &str, value: Value) -> Result<Vec<TestName>> {
    let Value::Array(values) = value else {
        bail!("`{field}` is no array");
    };
    ensure!(!values.is_empty(), "`{field}` is empty");
    values
        .into_iter()
        .map(|value| {
            text(field, value)?
                .parse()
                .map_err(|error: String| anyhow!(error))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Manifest::default().add(text).unwrap_err().to_string()
    }

    #[test]
    fn every_field() {
        let mut manifest = Manifest::default();
        manifest
            .add(
                r#"
                ["A-1"]
                statement = "one"
                numbered = "MQTT-1.5.4-1"
                shown = ["p::t::a", "p::t::b"]
                interop = ["p::interop_x::c"]
                ["A-2"]
                statement = "two"
                excused = "why"
                "#,
            )
            .unwrap();
        assert_eq!(manifest.ids().collect::<Vec<_>>(), ["A-1", "A-2"]);
        let row = manifest.row("A-1").unwrap();
        assert_eq!(row.statement, "one");
        assert_eq!(row.numbered.as_deref(), Some("MQTT-1.5.4-1"));
        assert_eq!(manifest.tests().count(), 3);
        assert_eq!(manifest.row("A-2").unwrap().excused.as_deref(), Some("why"));
    }

    #[test]
    fn a_bad_row_is_named() {
        let rows = [
            ("A-1 = 1", "A-1: it is no table"),
            ("[A-1]", "A-1: it has no `statement`"),
            ("[A-1]\nstatement = ' '", "A-1: `statement` is no text"),
            ("[A-1]\nshows = []", "A-1: `shows` is no field of a row"),
            ("[A-1]\nshown = []", "A-1: `shown` is empty"),
            ("[A-1]\nshown = 'p::t::x'", "A-1: `shown` is no array"),
            (
                "[A-1]\nshown = ['x']",
                "A-1: `x` is no package::target::test",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(error(text), expected);
        }
    }

    #[test]
    fn a_second_row_is_refused() {
        let mut manifest = Manifest::default();
        let row = "[A-1]\nstatement = 'x'\n";
        manifest.add(row).unwrap();
        let error = manifest.add(row).unwrap_err().to_string();
        assert!(error.contains("A-1"), "{error}");
        assert!(Manifest::default().add(&row.repeat(2)).is_err());
    }
}
