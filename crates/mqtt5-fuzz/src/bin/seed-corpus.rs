//! Writes the seeds of every target into the folder that is named: `seed-corpus fuzz/corpus`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let Some(root) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("usage: seed-corpus FOLDER"));
    };
    for target in mqtt5_fuzz::TARGETS {
        let folder = root.join(target.name);
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if is_seed(&path) {
                fs::remove_file(path)?;
            }
        }
        let seeds = mqtt5_fuzz::seeds(target.name);
        let mut bytes = 0;
        for (name, seed) in &seeds {
            fs::write(folder.join(format!("seed-{name}")), seed)?;
            bytes += seed.len();
        }
        println!(
            "{:<12} {:>4} seeds, {bytes:>6} bytes",
            target.name,
            seeds.len()
        );
    }
    Ok(())
}

fn is_seed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with("seed-")
}
