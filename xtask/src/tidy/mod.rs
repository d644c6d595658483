//! The checks on the house: arrows between rooms, fences around heavy dependencies, documentation
//! at the top of each file, lengths, and words that belong nowhere.
//!
//! Each check is a function from the tree to a list of [`Complaint`]s. To add one, write it in a
//! module beside this file and list it in [`run`].

mod arrows;
mod files;
mod imports;
mod settings;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use settings::Settings;

/// Something that is not as it should be, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Complaint {
    place: String,
    message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

fn complain(place: impl Into<String>, message: impl Into<String>) -> Complaint {
    Complaint { place: place.into(), message: message.into() }
}

/// A text file of the tree.
struct SourceFile {
    /// Its path below the root, with forward slashes.
    path: String,
    text: String,
}

impl SourceFile {
    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }
}

/// Runs every check.
///
/// # Errors
/// When a check complains, or the tree cannot be read.
#[expect(clippy::print_stderr, reason = "a command-line tool talks on stderr")]
pub(crate) fn run() -> Result<()> {
    let root = root()?;
    let settings = Settings::read(&root.join("tidy.toml"))?;
    let files = read_tree(&root)?;

    let mut complaints = arrows::check(&root, &settings)?;
    complaints.extend(files::check(&files, &settings));
    complaints.extend(imports::check(&files));
    complaints.extend(words::check(&files));
    complaints.sort();

    if complaints.is_empty() {
        eprintln!("tidy: {} files, nothing to complain about", files.len());
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    bail!("tidy: {} complaints", complaints.len());
}

fn root() -> Result<PathBuf> {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().map(Path::to_path_buf).context("xtask lies below the root")
}

/// Reads every text file that git tracks or would track.
fn read_tree(root: &Path) -> Result<Vec<SourceFile>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let listing = String::from_utf8(output.stdout).context("file names are not UTF-8")?;
    let mut files = Vec::new();
    for path in listing.split_terminator('\0') {
        // Deleted files are still listed until they are committed; binary files are not text.
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        files.push(SourceFile { path: path.to_owned(), text });
    }
    Ok(files)
}
