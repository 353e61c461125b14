//! Every input that is kept, on a stable toolchain: the seeds, what widens the coverage, and what once failed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mqtt5_fuzz::{TARGETS, Target};

fn folder(kind: &str, target: &str) -> PathBuf {
    let this_crate = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fuzz = this_crate.join("../../fuzz");
    fuzz.join(kind).join(target)
}

/// The files of a folder in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Memory is counted for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn replay(target: Target) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let corpus = files(&folder("corpus", target.name));
    assert!(!corpus.is_empty(), "the corpus of {} is empty", target.name);
    let regressions = folder("regressions", target.name);
    let regressions = if regressions.exists() {
        files(&regressions)
    } else {
        Vec::new()
    };
    let (count, old) = (corpus.len(), regressions.len());
    for file in corpus.into_iter().chain(regressions) {
        let input = fs::read(&file).unwrap();
        let run = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        assert!(run.is_ok(), "{} fails on {}", target.name, file.display());
    }
    println!("{}: {count} inputs and {old} regressions", target.name);
}

macro_rules! replays {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            let target = TARGETS.iter().find(|target| target.name == stringify!($name));
            replay(*target.expect("a target of this name"));
        })*

        #[test]
        fn no_target_is_left_out() {
            let names = TARGETS.map(|target| target.name);
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

replays!(decode, stream, round_trip, machine, topic, differential);

/// The seeds are what the golden vectors give today.
#[test]
fn seeds_are_up_to_date() {
    for target in TARGETS {
        let corpus = folder("corpus", target.name);
        let seeds = mqtt5_fuzz::seeds(target.name);
        for (name, seed) in &seeds {
            let file = corpus.join(format!("seed-{name}"));
            let kept = fs::read(&file).unwrap_or_default();
            assert!(
                kept == *seed,
                "{}: run `cargo xtask fuzz --seed-corpus`",
                file.display()
            );
        }
        let is_seed = |file: &&PathBuf| {
            let name = file.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with("seed-")
        };
        let kept = files(&corpus).iter().filter(is_seed).count();
        assert_eq!(kept, seeds.len(), "{}: old seeds", target.name);
    }
}

/// libFuzzer runs the same targets.
#[test]
fn every_target_is_a_fuzz_target() {
    let programs = files(&folder("fuzz_targets", ""));
    let mut names: Vec<_> = programs
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let mut targets = TARGETS.map(|target| target.name.to_owned()).to_vec();
    names.sort();
    targets.sort();
    assert_eq!(names, targets);
}

/// Every class of disagreements is explained, and nothing else is.
#[test]
fn disagreements_are_explained() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/disagreements.md");
    let text = fs::read_to_string(file).unwrap();
    let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
    assert!(headings.eq(mqtt5_fuzz::disagreements()));
}
