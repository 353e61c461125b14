//! The tests that a row names.

use std::fmt;
use std::str::FromStr;

/// Where tests are compiled into one program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) package: String,
    /// `lib`, or the name of an integration test.
    pub(super) name: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.package, self.name)
    }
}

/// `package::target::path`, where the path names one test or all tests of a module, and a `*` in it stands for any one
/// module: that is how one test on every storage is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TestName {
    pub(super) target: Target,
    path: Vec<String>,
}

impl TestName {
    /// The name of the test or module, without those that it is in.
    pub(super) fn last(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Whether it names the test `path` of its target.
    pub(super) fn matches(&self, path: &str) -> bool {
        let mut modules = path.split("::");
        self.path.iter().all(|wanted| {
            modules
                .next()
                .is_some_and(|module| wanted == "*" || wanted == module)
        })
    }
}

impl FromStr for TestName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split("::").collect();
        let [package, target, path @ ..] = &words[..] else {
            return Err(format!("`{text}` is no package::target::test"));
        };
        let names_something = path.iter().any(|module| *module != "*");
        if words.iter().any(|word| word.is_empty()) || !names_something {
            return Err(format!("`{text}` is no package::target::test"));
        }
        Ok(Self {
            target: Target {
                package: (*package).to_owned(),
                name: (*target).to_owned(),
            },
            path: path.iter().map(|&module| module.to_owned()).collect(),
        })
    }
}

impl fmt::Display for TestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.target, self.path.join("::"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TestName {
        text.parse().unwrap()
    }

    #[test]
    fn a_test_or_a_module() {
        assert!(name("p::t::one").matches("one"));
        assert!(name("p::t::module").matches("module::one"));
        assert!(!name("p::t::one").matches("one_more"));
        assert!(!name("p::t::module::one").matches("module"));
        assert!(!name("p::t::one").matches("module::one"));
    }

    #[test]
    fn a_star_is_one_module() {
        assert!(name("p::t::*::one").matches("fixed::one"));
        assert!(!name("p::t::*::one").matches("one"));
        assert!(!name("p::t::*::one").matches("a::fixed::one"));
    }

    #[test]
    fn what_names_no_test_is_refused() {
        for text in ["", "p", "p::t", "p::t::", "p::t::*", "p::::x"] {
            assert!(text.parse::<TestName>().is_err(), "{text}");
        }
        assert_eq!(name("p::t::*::one").to_string(), "p::t::*::one");
    }
}
