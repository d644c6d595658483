//! Asks the headers of the CPython that the agent is built for where it keeps what the sampler reads.
//!
//! Without them the crate is built all the same, and says at run time why it cannot sample.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What tells which interpreter PyO3 builds for, in PyO3's order.
const VARIABLES: [&str; 5] = ["PYO3_CONFIG_FILE", "PYO3_PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX", "PATH"];
/// What an interpreter is asked: its folders of headers, its own file, and whether it has no lock.
const ASK: &str = "import sys, sysconfig as s; p = s.get_paths(); \
    print(p['include'], p['platinclude'], sys.executable, s.get_config_var('Py_GIL_DISABLED') or 0, \
    sys.implementation.name, sep='\\n')";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(pitviper_layout)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=shim/layout.c");
    for variable in VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    match compile() {
        Ok(()) => println!("cargo::rustc-cfg=pitviper_layout"),
        Err(reason) => println!("cargo::rustc-env=PITVIPER_NO_LAYOUT={}", reason.replace('\n', " ")),
    }
}

/// Compiles the table of the layout; the reason why not.
fn compile() -> Result<(), String> {
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let (system, processor) = (target("OS"), target("ARCH"));
    if system != "linux" || !["x86_64", "aarch64"].contains(&processor.as_str()) {
        return Err(format!("profiling is not supported on {system} on {processor}"));
    }
    if std::env::var("TARGET") != std::env::var("HOST") {
        return Err("the agent was cross-compiled, without an interpreter to ask for its headers".to_owned());
    }
    let interpreter = interpreter()?;
    let answer = Command::new(&interpreter)
        .args(["-c", ASK])
        .output()
        .map_err(|error| format!("{} could not be asked for its headers: {error}", interpreter.display()))?;
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let [include, platform_include, executable, without_lock, implementation] = answer.lines().collect::<Vec<_>>()[..]
    else {
        return Err(format!("{} does not say where its headers are", interpreter.display()));
    };
    println!("cargo::rerun-if-changed={executable}");
    if implementation != "cpython" {
        return Err(format!("profiling is not supported on {implementation}"));
    }
    if without_lock != "0" {
        return Err("profiling is not supported on free-threaded interpreters".to_owned());
    }
    if !Path::new(include).join("internal/pycore_runtime.h").exists() {
        return Err(format!("the agent was built without CPython's headers: none in {include}"));
    }
    println!("cargo::rerun-if-changed={include}/patchlevel.h");
    cc::Build::new()
        .file("shim/layout.c")
        .include(include)
        .include(platform_include)
        .include(format!("{include}/internal"))
        .warnings(false)
        .cargo_warnings(false)
        .try_compile("pitviper_profiler_layout")
        .map_err(|error| format!("CPython's headers in {include} could not be used: {error}"))
}

/// The interpreter that PyO3 builds for.
fn interpreter() -> Result<PathBuf, String> {
    if let Some(file) = std::env::var_os("PYO3_CONFIG_FILE") {
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("cargo::rerun-if-changed={}", file.display());
        let named = text.lines().find_map(|line| line.strip_prefix("executable="));
        return named.map(PathBuf::from).ok_or_else(|| "the agent was built for no interpreter at hand".to_owned());
    }
    if let Some(named) = std::env::var_os("PYO3_PYTHON") {
        return Ok(named.into());
    }
    for prefix in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(folder) = std::env::var_os(prefix) {
            return Ok(Path::new(&folder).join("bin/python"));
        }
    }
    let works = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|ran| ran.status.success());
    let found = ["python", "python3"].into_iter().find(works);
    found.map(PathBuf::from).ok_or_else(|| "the agent was built without an interpreter to ask".to_owned())
}
