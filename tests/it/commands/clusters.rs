//! `frazil cluster`.

use super::{Subject, cases};

cases! {
    the_cluster_is_described_with_its_brokers_zones_and_features,
}

fn the_cluster_is_described_with_its_brokers_zones_and_features(subject: &Subject) {
    let described = subject.json(&["cluster", "describe"]);
    assert!(described["cluster"].as_str().is_some_and(|id| id.len() > 10), "{described}");
    let brokers = described["brokers"].as_array().expect("brokers");
    assert_eq!(brokers.len(), 1);
    assert_eq!(brokers[0]["address"], subject.bootstrap);
    assert_eq!(brokers[0]["zone"], "zone-a");
    assert_eq!(brokers[0]["broker"], described["controller"]);
    let level = |name: &str| {
        let features = described["features"].as_array().expect("features");
        features.iter().find(|feature| feature["feature"] == name).map(|feature| feature["level"].clone())
    };
    assert_eq!(level("group.version"), Some(1.into()), "{described}");
    assert_eq!(level("transaction.version"), Some(2.into()), "{described}");
    assert!(level("metadata.version").is_some_and(|level| level.as_i64() >= Some(27)), "{described}");
    let table = subject.ok(&["cluster", "describe"]);
    assert!(table.contains("zones       zone-a (1 broker)"), "{table}");
}
