//! Rust source as tokens: enough of the language to look for names and to count lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::environment::workspace_root;

/// A file of source without comments and without what is compiled for tests only.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) tokens: Vec<Token>,
}

/// One token, and the lines that it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) first_line: usize,
    pub(crate) last_line: usize,
}

impl Source {
    /// Reads every file of a crate's `src` folder, leaving out those that only tests compile.
    pub(crate) fn of_crate(directory: &Path) -> Result<Vec<Self>> {
        let root = directory.join("src");
        let mut paths = Vec::new();
        collect(&root, &mut paths)?;
        ensure!(!paths.is_empty(), "no source in {}", root.display());
        paths.sort();

        let mut sources = Vec::new();
        let mut test_only = Vec::new();
        for path in paths {
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let (tokens, modules) = without_tests(&tokens(&text));
            test_only.extend(modules.iter().map(|module| module_path(&path, module)));
            sources.push(Self { path, tokens });
        }
        sources.retain(|source| {
            !test_only
                .iter()
                .any(|module| is_part_of(&source.path, module))
        });
        Ok(sources)
    }

    /// A line of this file, as compilers write it.
    pub(crate) fn place(&self, line: usize) -> String {
        let path = self
            .path
            .strip_prefix(workspace_root())
            .unwrap_or(&self.path);
        format!("{}:{line}", path.display())
    }

    /// The number of lines that hold code.
    pub(crate) fn code_lines(&self) -> usize {
        let lines: BTreeSet<usize> = self
            .tokens
            .iter()
            .flat_map(|t| t.first_line..=t.last_line)
            .collect();
        lines.len()
    }
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// The path, without `.rs` or `/mod.rs`, of a module declared in `parent`.
fn module_path(parent: &Path, module: &str) -> PathBuf {
    let stem = parent
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let is_root = matches!(stem, "lib" | "main" | "mod");
    let folder = if is_root {
        parent.with_file_name("")
    } else {
        parent.with_extension("")
    };
    folder.join(module)
}

fn is_part_of(path: &Path, module: &Path) -> bool {
    path.with_extension("") == module || path.starts_with(module)
}

/// Splits source into tokens, dropping white space and comments. Text that is no Rust gives some tokens too.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = token_length(rest, first);
        let (token, after) = rest.split_at(length);
        let last_line = line + token.matches('\n').count();
        if !first.is_whitespace() && !token.starts_with("//") && !token.starts_with("/*") {
            tokens.push(Token {
                text: token.to_owned(),
                first_line: line,
                last_line,
            });
        }
        line = last_line;
        rest = after;
    }
    tokens
}

fn token_length(rest: &str, first: char) -> usize {
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment_length(rest)
    } else if let Some(length) = string_length(rest) {
        length
    } else if first == '\'' {
        quote_length(rest)
    } else if is_word(first) {
        rest.find(|c| !is_word(c)).unwrap_or(rest.len())
    } else {
        first.len_utf8()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        if tail.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a string literal of any kind at the start of `rest`.
fn string_length(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""]
        .into_iter()
        .find(|&prefix| {
            let after = rest.strip_prefix(prefix);
            let after = after.map(|after| {
                if prefix.ends_with('r') {
                    after.trim_start_matches('#')
                } else {
                    after
                }
            });
            after.is_some_and(|after| after.starts_with('"'))
        })?;
    let body = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let start = hashes + 1;
        let length = body[start..]
            .find(&end)
            .map_or(body.len(), |at| start + at + end.len());
        return Some(prefix.len() + length);
    }
    Some(prefix.len() + escaped_length(body, '"'))
}

/// The length of a literal that begins and ends with `quote` and has escapes.
fn escaped_length(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    body.len()
}

/// A character literal, or the quote of a lifetime or label.
fn quote_length(rest: &str) -> usize {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => escaped_length(rest, '\''),
        _ => 1,
    }
}

/// Takes out the items marked `#[cfg(test)]`; also names the modules among them that live in files of their own.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let mut kept = Vec::new();
    let mut modules = Vec::new();
    let mut rest = tokens;
    while let Some(first) = rest.first() {
        if let Some(item) = test_item(rest) {
            if let ["mod", name, ";"] = texts(item)[item.len().saturating_sub(3)..] {
                modules.push(name.to_owned());
            }
            rest = &rest[attribute_length(rest) + item.len()..];
        } else {
            kept.push(first.clone());
            rest = &rest[1..];
        }
    }
    (kept, modules)
}

/// The tokens of an item for tests, without the attribute with which `tokens` begins.
fn test_item(tokens: &[Token]) -> Option<&[Token]> {
    let attribute = texts(&tokens[..attribute_length(tokens)]);
    let for_tests = attribute.starts_with(&["#", "[", "cfg", "(", "test"])
        || attribute.starts_with(&["#", "[", "cfg", "(", "all", "(", "test"]);
    let after = &tokens[attribute.len()..];
    for_tests.then(|| &after[..item_length(after)])
}

/// The length of an outer attribute at the start, or 0.
fn attribute_length(tokens: &[Token]) -> usize {
    if !texts(&tokens[..tokens.len().min(2)]).starts_with(&["#", "["]) {
        return 0;
    }
    1 + group_length(&tokens[1..])
}

/// The length of an item: its further attributes, and everything up to its semicolon or closing brace.
fn item_length(tokens: &[Token]) -> usize {
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "{" => return at + group_length(&tokens[at..]),
            "(" | "[" => at += group_length(&tokens[at..]),
            _ => at += 1,
        }
    }
    tokens.len()
}

/// The length of a group in brackets, which begins with the first token.
pub(crate) fn group_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The bare text of tokens.
pub(crate) fn texts(tokens: &[Token]) -> Vec<&str> {
    tokens.iter().map(|token| token.text.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        texts(&without_tests(&tokens(text)).0).join(" ")
    }

    #[test]
    fn comments_are_dropped() {
        assert_eq!(code("a // b\n/// c\n/* d /* e */ f */ g\n//! h"), "a g");
    }

    #[test]
    fn strings_are_one_token() {
        assert_eq!(tokens(r#"f("// \" b", 'x', '\'', 'a) "#).len(), 11);
        assert_eq!(tokens("r#\"a \" // b\"# c").len(), 2);
        assert_eq!(tokens(r#"br"\" b"c" b"#).len(), 3);
        assert_eq!(code("'outer: loop"), "' outer : loop");
    }

    #[test]
    fn raw_identifiers_are_no_strings() {
        assert_eq!(code("r#type r b"), "r # type r b");
    }

    #[test]
    fn items_for_tests_are_dropped() {
        assert_eq!(code("a #[cfg(test)] mod tests { fn x() { {} } } b"), "a b");
        assert_eq!(
            code("#[cfg(test)] #[rustfmt::skip] fn f() -> [u8; 2] { [0; 2] } b"),
            "b"
        );
        assert_eq!(code("#[cfg(all(test, unix))] use a::b; c"), "c");
        assert_eq!(
            code("#[cfg(unix)] mod a { b }"),
            "# [ cfg ( unix ) ] mod a { b }"
        );
    }

    #[test]
    fn test_modules_in_files_are_named() {
        let (_, modules) = without_tests(&tokens(
            "#[cfg(test)] mod tests; #[cfg(test)] mod inline { mod x; }",
        ));
        assert_eq!(modules, ["tests"]);
        assert_eq!(
            module_path(Path::new("src/lib.rs"), "tests"),
            Path::new("src/tests")
        );
        assert_eq!(
            module_path(Path::new("src/a.rs"), "tests"),
            Path::new("src/a/tests")
        );
        assert!(is_part_of(
            Path::new("src/tests/x.rs"),
            Path::new("src/tests")
        ));
        assert!(is_part_of(
            Path::new("src/tests.rs"),
            Path::new("src/tests")
        ));
        assert!(!is_part_of(
            Path::new("src/tests_of.rs"),
            Path::new("src/tests")
        ));
    }

    #[test]
    fn only_lines_with_code_count() {
        let text = "// one\nfn f() {\n\n    g(\"a\n    b\"); // c\n}\n#[cfg(test)]\nmod tests {}\n";
        let (tokens, _) = without_tests(&tokens(text));
        let source = Source {
            path: PathBuf::new(),
            tokens,
        };
        assert_eq!(source.code_lines(), 4);
    }
}
