//! Kafka's features (KIP-584): which behaviours clients and tools may rely on. One row each; ApiVersions shows them.

/// A feature and its levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Feature {
    /// Its name in Kafka.
    pub name: &'static str,
    /// Lowest level served.
    pub min: i16,
    /// Highest level served.
    pub max: i16,
    /// The level in force; 0 for none.
    pub finalized: i16,
}

/// All features, by name.
pub(crate) const FEATURES: &[Feature] = &[
    // Level 1: groups of the consumer protocol (KIP-848).
    Feature { name: "group.version", min: 0, max: 1, finalized: 1 },
    // Level 27 is what Kafka 4.1 calls 4.1-IV1. Tools take it for the version of the cluster.
    Feature { name: "metadata.version", min: 7, max: 27, finalized: 27 },
    // Level 2: partitions join implicitly and every end raises the epoch (KIP-890).
    Feature { name: "transaction.version", min: 0, max: 2, finalized: 2 },
];

/// The feature of this name.
pub(crate) fn find(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}

#[cfg(test)]
mod tests {
    use super::FEATURES;

    #[test]
    fn the_table_is_sorted_and_every_level_can_be_had() {
        assert!(FEATURES.is_sorted_by(|a, b| a.name < b.name));
        assert!(FEATURES.iter().all(|feature| (feature.min..=feature.max).contains(&feature.finalized)));
    }
}
