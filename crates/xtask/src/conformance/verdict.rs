//! Whether each statement is shown.

use std::collections::BTreeMap;

use super::manifest::{Manifest, Row};
use super::results::{Outcome, Results};
use super::statements::{Proof, Statement, Statements};
use super::test_name::TestName;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Shown,
    Excused,
    Broken,
}

/// The verdict on each statement, and all that is wrong with the manifest, each problem beginning with its row.
#[derive(Debug)]
pub(super) struct Verdicts {
    verdicts: BTreeMap<String, Verdict>,
    pub(super) problems: Vec<String>,
}

impl Verdicts {
    pub(super) fn of(statements: &Statements, manifest: &Manifest, results: &Results) -> Self {
        let mut verdicts = BTreeMap::new();
        let mut problems = Vec::new();
        for statement in statements.iter() {
            let mut found = match manifest.row(&statement.id) {
                Some(row) => problems_of(statement, row, statements, results),
                None => vec!["there is no row for it in the manifest".to_owned()],
            };
            let excused = manifest
                .row(&statement.id)
                .is_some_and(|row| row.excused.is_some());
            let verdict = match (found.is_empty(), excused) {
                (false, _) => Verdict::Broken,
                (true, true) => Verdict::Excused,
                (true, false) => Verdict::Shown,
            };
            verdicts.insert(statement.id.clone(), verdict);
            problems.extend(
                found
                    .drain(..)
                    .map(|text| format!("{}: {text}", statement.id)),
            );
        }
        for id in manifest.ids().filter(|id| !statements.contains(id)) {
            problems.push(format!("{id}: it is not in the list of statements"));
        }
        Self { verdicts, problems }
    }

    pub(super) fn on(&self, id: &str) -> Verdict {
        self.verdicts.get(id).copied().unwrap_or(Verdict::Broken)
    }

    /// How many statements have this verdict.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.verdicts
            .values()
            .filter(|&&one| one == verdict)
            .count()
    }
}

fn problems_of(
    statement: &Statement,
    row: &Row,
    statements: &Statements,
    results: &Results,
) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(other) = row.numbered.as_ref().filter(|id| !statements.contains(id)) {
        problems.push(format!(
            "`numbered = \"{other}\"` is not in the list of statements"
        ));
    }
    for test in &row.interop {
        if !is_interop(test) {
            problems.push(format!("{test} is no test against a real broker"));
        }
    }
    if row.excused.is_some() {
        problems.extend(problems_of_excuse(statement, row));
        return problems;
    }
    let needed = match statement.proof {
        Proof::Shown => (!row.shown.is_empty(), "no `shown` test"),
        Proof::Interop => (!row.interop.is_empty(), "no `interop` test"),
        Proof::Excusable => (row.tests().next().is_some(), "neither test nor excuse"),
    };
    if !needed.0 {
        problems.push(format!("it has {}", needed.1));
    }
    problems.extend(
        row.tests()
            .filter_map(|test| problem_of_test(test, results)),
    );
    problems
}

fn problems_of_excuse(statement: &Statement, row: &Row) -> Vec<String> {
    let mut problems = Vec::new();
    if statement.proof != Proof::Excusable {
        problems.push("it binds a client and cannot be excused".to_owned());
    }
    if row.tests().next().is_some() {
        problems.push("it is excused and has tests: only one can be".to_owned());
    }
    problems
}

/// Tests against a real broker are recognised by their names: that of the target, and that they are not the ones for the
/// embedded broker beside them.
pub(super) fn is_interop(test: &TestName) -> bool {
    test.target.name.starts_with("interop") && !is_embedded(test.last())
}

fn is_embedded(name: &str) -> bool {
    name.ends_with("_embedded")
}

fn problem_of_test(test: &TestName, results: &Results) -> Option<String> {
    let mut matched = results.matching(test).peekable();
    if matched.peek().is_none() {
        return Some(format!("there is no test {test}"));
    }
    matched.find_map(|(path, outcome)| match outcome {
        Outcome::Passed => None,
        Outcome::Failed => Some(format!("{}::{path} failed", test.target)),
        Outcome::NotRun => Some(format!("{}::{path} did not run", test.target)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENTS: &str = "id\tclass\tproof\n\
                              A-1\tMUST\tshown\n\
                              A-2\tMUST\tinterop\n\
                              A-3\tMUST\texcusable\n";
    const MANIFEST: &str = r#"
        ["A-1"]
        statement = "one"
        shown = ["p::machine::*::one"]
        ["A-2"]
        statement = "two"
        interop = ["p::interop_x::two"]
        ["A-3"]
        statement = "three"
        excused = "the server's alone"
    "#;

    fn results(outcome: Outcome) -> Results {
        let mut results = Results::default();
        for (name, path) in [
            ("p::machine::x", "heap::one"),
            ("p::machine::x", "fixed::one"),
            ("p::interop_x::x", "two"),
            ("p::interop_x::x", "two_embedded"),
        ] {
            let target = name.parse::<TestName>().unwrap().target;
            let passes = path != "fixed::one";
            let outcome = if passes { Outcome::Passed } else { outcome };
            results.insert(target, path, outcome);
        }
        results
    }

    fn verdicts(manifest: &str, outcome: Outcome) -> Verdicts {
        let mut rows = Manifest::default();
        rows.add(manifest).unwrap();
        let statements = Statements::parse(STATEMENTS).unwrap();
        Verdicts::of(&statements, &rows, &results(outcome))
    }

    fn problems(from: &str, to: &str) -> Vec<String> {
        assert!(MANIFEST.contains(from));
        verdicts(&MANIFEST.replace(from, to), Outcome::Passed).problems
    }

    #[test]
    fn a_sound_manifest_has_no_problems() {
        let verdicts = verdicts(MANIFEST, Outcome::Passed);
        assert!(verdicts.problems.is_empty(), "{:?}", verdicts.problems);
        assert_eq!(verdicts.on("A-1"), Verdict::Shown);
        assert_eq!(verdicts.on("A-3"), Verdict::Excused);
        assert_eq!(verdicts.count(Verdict::Shown), 2);
    }

    #[test]
    fn a_missing_row() {
        let manifest = MANIFEST.split("[\"A-3\"]").next().unwrap();
        let verdicts = verdicts(manifest, Outcome::Passed);
        assert_eq!(
            verdicts.problems,
            ["A-3: there is no row for it in the manifest"]
        );
        assert_eq!(verdicts.on("A-3"), Verdict::Broken);
    }

    #[test]
    fn an_unknown_row() {
        assert_eq!(
            problems(
                "[\"A-3\"]",
                "[\"A-4\"]\nstatement = 'x'\nexcused = 'x'\n[\"A-3\"]"
            ),
            ["A-4: it is not in the list of statements"]
        );
        assert_eq!(
            problems("statement = \"one\"", "statement = 'x'\nnumbered = 'A-9'"),
            ["A-1: `numbered = \"A-9\"` is not in the list of statements"]
        );
    }

    #[test]
    fn an_unknown_test() {
        for name in ["p::machine::*::none", "p::other::one", "q::machine::*::one"] {
            assert_eq!(
                problems("p::machine::*::one", name),
                [format!("A-1: there is no test {name}")]
            );
        }
    }

    #[test]
    fn a_test_that_failed_or_did_not_run() {
        let of = |outcome| verdicts(MANIFEST, outcome).problems;
        assert_eq!(of(Outcome::Failed), ["A-1: p::machine::fixed::one failed"]);
        assert_eq!(
            of(Outcome::NotRun),
            ["A-1: p::machine::fixed::one did not run"]
        );
    }

    #[test]
    fn an_excuse_where_none_may_be() {
        let expected = ["A-1: it binds a client and cannot be excused"];
        let tests = "shown = [\"p::machine::*::one\"]";
        assert_eq!(problems(tests, "excused = 'no'"), expected);
        assert_eq!(
            problems("excused =", "shown = ['p::machine::*::one']\nexcused ="),
            ["A-3: it is excused and has tests: only one can be"]
        );
    }

    #[test]
    fn an_interop_row_that_only_a_scripted_test_shows() {
        let tests = "interop = [\"p::interop_x::two\"]";
        assert_eq!(
            problems(tests, "shown = ['p::machine::*::one']"),
            ["A-2: it has no `interop` test"]
        );
        assert_eq!(
            problems(tests, "interop = ['p::machine::*::one']"),
            ["A-2: p::machine::*::one is no test against a real broker"]
        );
        assert_eq!(
            problems(tests, "interop = ['p::interop_x::two_embedded']"),
            ["A-2: p::interop_x::two_embedded is no test against a real broker"]
        );
    }

    #[test]
    fn a_row_without_tests() {
        assert_eq!(
            problems("shown = [\"p::machine::*::one\"]", ""),
            ["A-1: it has no `shown` test"]
        );
        assert_eq!(
            problems("excused = \"the server's alone\"", ""),
            ["A-3: it has neither test nor excuse"]
        );
    }
}
