//! A directory that goes away with its owner.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, io, process};

/// A new, empty directory, removed with everything in it when this is dropped.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Creates the directory under the system's place for temporary files.
    ///
    /// # Panics
    ///
    /// When it cannot be created.
    #[expect(
        clippy::new_without_default,
        reason = "creating it has an effect on the file system"
    )]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("mqtt5-testkit-{}-{number}", process::id());
            let path = env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Self { path },
                // A process of the same number died before it could clean up.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot create {}: {error}", path.display()),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // The directory may be gone already, and a destructor has nobody to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_different_and_both_go_away() {
        let (first, second) = (TempDir::new(), TempDir::new());
        assert_ne!(first.path(), second.path());
        let paths = [first.path().to_owned(), second.path().to_owned()];
        fs::write(paths[0].join("file"), "x").unwrap();
        assert!(paths.iter().all(|path| path.is_dir()));

        drop((first, second));
        assert!(paths.iter().all(|path| !path.exists()));
    }
}
