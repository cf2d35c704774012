//! Where things are: the workspace, the shared test data, programs, scratch directories.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate stands in the workspace")
        .to_owned()
}

/// The folder of shared test data: `DOLMEN_SHARED`, or `shared` beside the workspace.
pub fn shared() -> Option<PathBuf> {
    let path = match std::env::var_os("DOLMEN_SHARED") {
        Some(path) => path.into(),
        None => root().parent()?.join("shared"),
    };
    path.is_dir().then_some(path)
}

/// The Dolmen under test: `DOLMEN_BIN`, or the release binary, or the debug one.
pub fn dolmen() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("DOLMEN_BIN") {
        return Ok(path.into());
    }
    let target = target();
    let found = ["release/dolmen", "debug/dolmen"].map(|p| target.join(p)).into_iter().find(|p| p.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!("no dolmen under {}: run cargo build --release", target.display()),
    }
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Whether a program can be run.
pub fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|dir| dir.join(program).is_file())
}

/// The first of these programs that is missing.
pub fn missing<'a>(programs: &[&'a str]) -> Option<&'a str> {
    programs.iter().copied().find(|p| !has(p))
}

/// Installs the Debian packages of these names where programs of these names are missing and the system lets
/// us; gives the first that is missing still.
pub fn install<'a>(programs: &[&'a str]) -> Option<&'a str> {
    missing(programs)?;
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        // What does not work shows in the program that is missing still.
        run(&mut command).is_ok()
    };
    let install = [&["install", "-y", "-q", "--no-install-recommends"], programs].concat();
    let _done = apt(&install) || (apt(&["update", "-q"]) && apt(&install));
    missing(programs)
}

/// For tests that need programs: says which one is missing, so that the test can return.
pub fn skip_without(programs: &[&str]) -> bool {
    let missing = missing(programs);
    if let Some(program) = missing {
        eprintln!("skipped: needs {program}, which is not installed");
    }
    missing.is_some()
}

/// A directory that goes away with its value, unless `DOLMEN_KEEP` is set.
pub fn scratch(name: &str) -> Result<tempfile::TempDir> {
    let mut dir = tempfile::Builder::new().prefix(&format!("dolmen-{name}-")).tempdir()?;
    dir.disable_cleanup(std::env::var_os("DOLMEN_KEEP").is_some());
    Ok(dir)
}

/// Runs a command and gives its stdout; an error with its stderr where it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
