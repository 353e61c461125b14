//! Adapters are thin.

use anyhow::{Result, bail};

use crate::environment::crate_dir;
use crate::source::Source;

/// The crates that give the machines sockets and time.
pub(crate) const ADAPTERS: [&str; 3] = ["mqtt5-tokio", "mqtt5-async-std", "mqtt5-blocking"];

const BUDGET: usize = 400;

/// Fails when an adapter has more lines of code than it may have: blank lines, comments and tests do not count.
pub(crate) fn check() -> Result<()> {
    let mut over = Vec::new();
    println!("{:<20} {:>5} of {BUDGET}", "adapter", "lines");
    for adapter in ADAPTERS {
        let lines: usize = Source::of_crate(&crate_dir(adapter))?
            .iter()
            .map(Source::code_lines)
            .sum();
        println!("{adapter:<20} {lines:>5}");
        if lines > BUDGET {
            over.push(adapter);
        }
    }
    if !over.is_empty() {
        bail!("more than {BUDGET} lines of code: {}", over.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_adapters_keep_to_it() {
        super::check().unwrap();
    }
}
