//! Packages of npm and `PyPI`, as lock files pin them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What the example's lock file names, which is all of version 2.
pub(crate) const VERSION_2: &str = "docs/examples";

/// The packages of version 1.
pub(crate) const VERSION_1: &str = "services/cli/tests/conformance/v1";

/// The package for Python.
pub(crate) const PYTHON: &str = "services/cli/tests/conformance/python";

/// This folder of the checkout.
pub(crate) fn checkout(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder)
}

/// Where the packages are that the lock file in this folder of the checkout names. They are installed
/// by whoever asks first.
pub(crate) fn installed(folder: &str) -> PathBuf {
    let output = Command::new(checkout("compose/packages"))
        .arg(checkout(folder))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the packages of {folder} are not installed");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// Files of a folder of the checkout beside the packages of another, where Node finds them.
pub(crate) fn beside_packages(files: &str, packages: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in std::fs::read_dir(checkout(files)).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
    }
    let modules = installed(packages).join("node_modules");
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    folder
}
