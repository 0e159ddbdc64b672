//! The walls between the crates, read from `cargo metadata`: left never imports right, and each outside library that
//! stands for a concern may be named by the crates that own the concern only.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};

/// The data path, left to right.
const ORDER: [&str; 8] = ["base", "wire", "store", "meta", "log", "broker", "console", "cli"];

/// Who may name what, besides `cli` where it wires and the member crates `tests` and `benches`.
const OWNERS: [(&str, &[&str]); 12] = [
    ("rand", &["base"]),
    ("kafka-protocol", &["wire", "broker", "cli"]),
    ("object_store", &["store"]),
    ("aws-sdk-s3", &["store"]),
    ("aws-config", &["store"]),
    ("tokio-postgres", &["meta"]),
    ("moka", &["log"]),
    ("axum", &["console"]),
    ("clap", &["cli"]),
    ("datafusion", &["sql"]),
    ("arrow", &["lake", "sql"]),
    ("parquet", &["lake", "sql"]),
];

/// The workspace, its crates, and what they link.
pub fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .other_options(vec!["--locked".to_owned(), "--offline".to_owned()])
        .exec()
        .expect("cargo metadata answers in a workspace that was just built")
}

/// Product crates by their short name.
fn product_crates(metadata: &Metadata) -> BTreeMap<String, &Package> {
    metadata
        .workspace_packages()
        .into_iter()
        .filter_map(|package| Some((package.name.strip_prefix("frazil-")?.to_owned(), package)))
        .filter(|(name, _)| name != "tests" && name != "benches")
        .collect()
}

/// Names of the crates that `package` links in the product (not its tests).
fn linked(package: &Package) -> BTreeSet<&str> {
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.as_str()).collect()
}

#[test]
fn every_product_crate_stands_in_the_order_of_the_data_path() {
    let metadata = metadata();
    let found: BTreeSet<String> = product_crates(&metadata).into_keys().collect();
    let expected: BTreeSet<String> = ORDER.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, expected, "a new crate takes its place in ORDER; a removed one leaves it");
}

#[test]
fn left_never_imports_right() {
    let metadata = metadata();
    for (name, package) in product_crates(&metadata) {
        let own_place = ORDER.iter().position(|other| *other == name).expect("checked by the test above");
        for dependency in linked(package).iter().filter_map(|dependency| dependency.strip_prefix("frazil-")) {
            let place = ORDER.iter().position(|other| *other == dependency).expect("a product crate");
            assert!(place < own_place, "{name} imports {dependency}, which stands to its right");
        }
    }
}

#[test]
fn broker_and_console_do_not_know_each_other() {
    let metadata = metadata();
    let crates = product_crates(&metadata);
    assert!(!linked(crates["console"]).contains("frazil-broker"));
    assert!(!linked(crates["broker"]).contains("frazil-console"));
}

#[test]
fn each_concern_has_its_owner() {
    let metadata = metadata();
    for (name, package) in product_crates(&metadata) {
        for (library, owners) in OWNERS {
            let allowed = owners.contains(&name.as_str());
            assert!(allowed || !linked(package).contains(library), "{name} names {library}; only {owners:?} may");
        }
    }
}

/// What serving Kafka must never need.
pub const ANALYTICS: [&str; 5] = ["arrow", "parquet", "datafusion", "frazil-lake", "frazil-sql"];

/// Names of all crates that a product crate reaches, itself included.
pub fn reached_from<'a>(metadata: &'a Metadata, product: &str) -> BTreeSet<&'a str> {
    let resolve = metadata.resolve.as_ref().expect("metadata with dependencies");
    let edges: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, &node.dependencies)).collect();
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let mut reached = BTreeSet::new();
    let mut ahead = vec![&product_crates(metadata)[product].id];
    while let Some(id) = ahead.pop() {
        if reached.insert(id) {
            ahead.extend(edges[id].iter());
        }
    }
    assert!(reached.len() > 20, "the walk must have seen the real graph, not {} packages", reached.len());
    reached.into_iter().map(|id| names[id]).collect()
}

#[test]
fn the_broker_never_links_analytics() {
    let metadata = metadata();
    let reached = reached_from(&metadata, "broker");
    for banned in ANALYTICS {
        assert!(!reached.contains(banned), "the broker reaches {banned}");
    }
}

/// Sources below a crate's `src`, with their text.
fn sources(crate_name: &str) -> Vec<(String, String)> {
    fn walk(directory: &std::path::Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(directory).expect("a source directory") {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8 source");
                found.push((path.display().to_string(), text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&std::path::PathBuf::from(format!("{}/../crates/{crate_name}/src", env!("CARGO_MANIFEST_DIR"))), &mut found);
    found
}

#[test]
fn clock_and_randomness_come_from_base_only() {
    for name in ["wire", "store", "meta", "log", "broker"] {
        for (path, text) in sources(name) {
            for banned in ["SystemTime::now", "std::time::Instant", "rand::random", "rand::rng", "Uuid::new_v4"] {
                assert!(!text.contains(banned), "{path} uses {banned}; ask `Env` instead");
            }
        }
    }
}

#[test]
fn wire_and_the_state_machine_are_synchronous() {
    let state = sources("meta").into_iter().filter(|(path, _)| path.contains("/state") || path.contains("/record"));
    for (path, text) in sources("wire").into_iter().chain(state) {
        assert!(!text.contains("async fn") && !text.contains(".await"), "{path} is asynchronous");
        assert!(!text.contains("tokio::"), "{path} names tokio");
    }
}
