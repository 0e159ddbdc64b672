//! What the documents claim, as far as a program can check it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names of all functions below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() && !path.ends_with("target") {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("UTF-8 source");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn the_tests_that_the_readme_names_exist() {
    let mut known = BTreeSet::new();
    functions(&root().join("crates"), &mut known);
    functions(&root().join("tests"), &mut known);
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let rows = readme.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.rsplit('|').nth(1));
    let quoted = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: Vec<&str> = quoted.filter(|name| name.matches('_').count() > 3).collect();
    assert!(named.len() > 15, "the tables of the README name their tests: {named:?}");
    for name in named {
        assert!(known.contains(name), "the README names the test {name}, which does not exist");
    }
}

#[test]
fn pages_link_to_files_that_exist() {
    for page in ["README.md", "ARCHITECTURE.md", "docs/format/README.md"] {
        let path = root().join(page);
        let text = std::fs::read_to_string(&path).expect("a page");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_local = !target.contains("://") && !target.starts_with('#');
            let place = path.parent().expect("a page lies in a folder").join(target);
            assert!(!is_local || place.exists(), "{page} links to {target}, which does not exist");
        }
    }
}
