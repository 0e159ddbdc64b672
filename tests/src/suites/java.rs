//! Apache Kafka's own tools and the programs of its system tests, on the Java clients.

mod copiers;
mod tools;
mod verifiable;

use super::checks::{Check, Scene, contains, names, run_checks};
use super::subject::Broker;
use super::{Case, Run, Suite};
use crate::Tools;
use anyhow::Result;

/// The suite.
pub struct Java;

const CASES: &[Check] = &[
    ("ClientCompatibilityTest", client_compatibility),
    ("verifiable-classic-range", verifiable::classic_range),
    ("verifiable-classic-cooperative", verifiable::classic_cooperative),
    ("verifiable-classic-static", verifiable::classic_static),
    ("verifiable-classic-killed-member", verifiable::classic_killed),
    ("verifiable-consumer-uniform", verifiable::consumer_uniform),
    ("verifiable-consumer-range", verifiable::consumer_range),
    ("verifiable-consumer-static", verifiable::consumer_static),
    ("verifiable-consumer-killed-member", verifiable::consumer_killed),
    ("verifiable-upgrade-and-downgrade", verifiable::upgrade_and_downgrade),
    ("copier-one-partition", copiers::one_partition),
    ("copier-random-aborts", copiers::random_aborts),
    ("copier-group-mode-killed", copiers::group_mode_killed),
    ("tool-topics", tools::topics),
    ("tool-configs-of-topics-and-brokers", tools::configs_of_topics_and_brokers),
    ("tool-configs-of-groups", tools::configs_of_groups),
    ("tool-configs-of-quotas", tools::configs_of_quotas),
    ("tool-configs-of-scram-users", tools::configs_of_scram_users),
    ("tool-client-metrics", tools::client_metrics),
    ("tool-consumer-groups", tools::consumer_groups),
    ("tool-consumer-groups-reset", tools::consumer_groups_reset),
    ("tool-consumer-groups-members", tools::consumer_groups_members),
    ("tool-groups", tools::groups),
    ("tool-delete-records", tools::delete_records),
    ("tool-get-offsets", tools::get_offsets),
    ("tool-log-dirs", tools::log_dirs),
    ("tool-features", tools::features),
    ("tool-transactions", tools::transactions),
    ("tool-reassign-partitions", tools::reassign_partitions),
    ("tool-leader-election", tools::leader_election),
    ("tool-metadata-quorum", tools::metadata_quorum),
    ("tool-cluster-and-api-versions", tools::cluster_and_api_versions),
    ("tool-end-to-end-latency", tools::end_to_end_latency),
    ("tool-performance", tools::performance),
    ("tool-transactional-performance", tools::transactional_performance),
    ("tool-console-consumer-group", tools::console_consumer_group),
    ("tool-console-consumer-pattern", tools::console_consumer_pattern),
    ("tool-acls", tools::acls),
];

impl Suite for Java {
    fn name(&self) -> &'static str {
        "java"
    }

    fn broker(&self) -> Broker {
        Broker::default()
    }

    fn cases(&self, _: &Tools) -> Result<Vec<String>> {
        Ok(names(CASES))
    }

    fn run(&self, run: &Run<'_>, cases: &[String]) -> Result<Vec<Case>> {
        run_checks(CASES, run, cases)
    }
}

/// What every Java client may expect of a broker of this age.
fn client_compatibility(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    scene.create_topic(&topic, 1)?;
    let supported = [
        "offsets-for-times",
        "cluster-id",
        "create-topics",
        "describe-acls",
        "describe-configs",
        "idempotent-producer",
    ];
    let mut arguments = vec!["--topic".to_owned(), topic, "--num-cluster-nodes".to_owned(), "1".to_owned()];
    arguments.extend(["--expect-record-too-large-exception".to_owned(), "False".to_owned()]);
    arguments.extend(supported.iter().flat_map(|what| [format!("--{what}-supported"), "True".to_owned()]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    contains(&scene.tool("ClientCompatibilityTest", &arguments)?, &["SUCCESS"])
}
