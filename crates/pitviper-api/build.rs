//! Finds the UI to embed, or makes a page that says there is none. Never fails the build.
//!
//! In this order: the directory `PITVIPER_UI_DIST` names; `ui/dist`; a fresh build with npm, unless
//! `PITVIPER_UI_SKIP` is set; a page that says so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const MISSING: &str = include_str!("src/ui/missing.html");

fn main() {
    println!("cargo:rerun-if-env-changed=PITVIPER_UI_DIST");
    println!("cargo:rerun-if-env-changed=PITVIPER_UI_SKIP");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/ui/missing.html");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("ui");
    if let Err(error) = fs::remove_dir_all(&out)
        && error.kind() != io::ErrorKind::NotFound
    {
        println!("cargo:warning=cannot clear {}: {error}", out.display());
    }
    let outcome = find_dist().and_then(|dist| {
        println!("cargo:rerun-if-changed={}", dist.display());
        copy(&dist, &out).map_err(|error| format!("cannot copy {}: {error}", dist.display()))
    });
    if let Err(reason) = outcome {
        println!("cargo:warning=the UI is not embedded: {reason}");
        fs::create_dir_all(&out).expect("cargo made OUT_DIR");
        fs::write(out.join("index.html"), MISSING).expect("OUT_DIR is writable");
    }
}

fn find_dist() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("PITVIPER_UI_DIST") {
        let dist = PathBuf::from(named);
        return has_page(&dist)
            .then_some(dist)
            .ok_or_else(|| "PITVIPER_UI_DIST names no directory with an index.html".to_owned());
    }
    let crate_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let ui = crate_dir.join("../../ui");
    let dist = ui.join("dist");
    if has_page(&dist) {
        return Ok(dist);
    }
    if env::var_os("PITVIPER_UI_SKIP").is_some() {
        return Err("PITVIPER_UI_SKIP is set; build ui/dist, unset it and build again".to_owned());
    }
    if !ui.join("package.json").exists() {
        return Err("there is no ui/package.json".to_owned());
    }
    for step in [&["install", "--no-audit", "--no-fund"][..], &["run", "build"]] {
        let status = Command::new("npm").args(step).current_dir(&ui).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("`npm {}` in ui/ ended with {status}", step.join(" "))),
            Err(error) => return Err(format!("npm cannot be run ({error}); install Node.js or set PITVIPER_UI_DIST")),
        }
    }
    if has_page(&dist) { Ok(dist) } else { Err("`npm run build` left no ui/dist/index.html".to_owned()) }
}

fn has_page(dist: &Path) -> bool {
    dist.join("index.html").is_file()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
