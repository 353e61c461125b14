//! The programs that the tests run against.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use mqtt5_testkit::find_program;

use crate::cargo::{run, succeeds};
use crate::environment::is_root;

/// Installs Mosquitto and its clients where they are missing and that is possible; otherwise says what is missing.
pub(crate) fn ensure() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        println!("{} are installed", PROGRAMS.join(", "));
        return Ok(());
    }
    let missing = missing.join(", ");
    if !(is_root()? && succeeds(Command::new("apt-get").arg("--version"))) {
        bail!(
            "missing: {missing}. Install Mosquitto and its clients (on Debian: `apt-get install {}`), \
             or run this as root on a system with apt-get",
            PACKAGES.join(" "),
        );
    }
    println!("missing: {missing}; installing {}", PACKAGES.join(" and "));
    install()
}

fn install() -> Result<()> {
    let _policy = ServicePolicy::forbid(Path::new("/usr/sbin/policy-rc.d"))?;
    run(apt_get().arg("update"))?;
    run(apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(PACKAGES))?;

    let still_missing = missing();
    if !still_missing.is_empty() {
        bail!(
            "still missing after the installation: {}",
            still_missing.join(", ")
        );
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn missing() -> Vec<&'static str> {
    PROGRAMS
        .into_iter()
        .filter(|program| find_program(program).is_none())
        .collect()
}

/// Debian's way to keep a package from starting its service when it is installed.
#[derive(Debug)]
struct ServicePolicy {
    /// Written by us, so ours to remove.
    written: Option<PathBuf>,
}

impl ServicePolicy {
    fn forbid(path: &Path) -> Result<Self> {
        let written = match File::create_new(path) {
            Ok(mut file) => {
                let policy = Self {
                    written: Some(path.to_owned()),
                };
                file.write_all(b"#!/bin/sh\nexit 101\n")?;
                fs::set_permissions(path, Permissions::from_mode(0o755))?;
                return Ok(policy);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            Err(error) => return Err(error).with_context(|| format!("writing {}", path.display())),
        };
        Ok(Self { written })
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        let Some(path) = &self.written else { return };
        if let Err(error) = fs::remove_file(path) {
            eprintln!("warning: cannot remove {}: {error}", path.display());
        }
    }
}

const PROGRAMS: [&str; 3] = ["mosquitto", "mosquitto_pub", "mosquitto_sub"];
const PACKAGES: [&str; 2] = ["mosquitto", "mosquitto-clients"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_ours_goes_away_and_says_no() {
        let dir = mqtt5_testkit::TempDir::new();
        let path = dir.path().join("policy-rc.d");

        let policy = ServicePolicy::forbid(&path).unwrap();
        assert_eq!(Command::new(&path).status().unwrap().code(), Some(101));
        drop(policy);
        assert!(!path.exists());
    }

    #[test]
    fn a_policy_of_the_system_stays() {
        let dir = mqtt5_testkit::TempDir::new();
        let path = dir.path().join("policy-rc.d");
        fs::write(&path, "its own").unwrap();

        drop(ServicePolicy::forbid(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "its own");
    }
}
