//! The statements of the specification that a client has to answer for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

/// What a row of the manifest must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Tests of this client.
    Shown,
    /// Tests against a real broker: the statement is about what a server does.
    Interop,
    /// Tests, or the reason why it does not bind a client.
    Excusable,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) id: String,
    pub(super) proof: Proof,
}

/// In the order of the list, which is that of the specification.
#[derive(Debug)]
pub(super) struct Statements(Vec<Statement>);

impl Statements {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Lines of three columns: identifier, class, proof. The first is the heading.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut statements = Vec::new();
        let mut lines = BTreeMap::new();
        for (number, line) in text.lines().enumerate().skip(1) {
            let number = number + 1;
            let [id, _class, proof] = line.split('\t').collect::<Vec<_>>()[..] else {
                bail!("line {number} has not three columns");
            };
            let proof = match proof {
                "shown" => Proof::Shown,
                "interop" => Proof::Interop,
                "excusable" => Proof::Excusable,
                other => bail!("line {number}: `{other}` is no proof"),
            };
            let earlier = lines.insert(id, number);
            ensure!(earlier.is_none(), "line {number}: {id} is there twice");
            let id = id.to_owned();
            statements.push(Statement { id, proof });
        }
        Ok(Self(statements))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Statement> {
        self.0.iter()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.iter().any(|statement| statement.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Statements::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn three_columns() {
        let statements = Statements::parse("id\tclass\tproof\nA-1\tMUST\tinterop\n").unwrap();
        assert_eq!(
            statements.0,
            [Statement {
                id: "A-1".to_owned(),
                proof: Proof::Interop
            }]
        );
        assert!(statements.contains("A-1") && !statements.contains("A-2"));
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(
            error("heading\nA-1\tMUST\n"),
            "line 2 has not three columns"
        );
        assert_eq!(
            error("heading\nA-1\tMUST\tmaybe\n"),
            "line 2: `maybe` is no proof"
        );
        assert_eq!(
            error("heading\nA-1\tMUST\tshown\nA-1\tMUST\tshown\n"),
            "line 3: A-1 is there twice"
        );
    }
}
