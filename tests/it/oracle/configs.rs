//! DescribeConfigs of both: names, types, values, defaults, sources, what can be changed, synonyms.

use super::answers::{PATIENCE, PAUSE};
use super::pair::Pair;
use super::requests::*;
use frazil_broker::testing::Client;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Kafka's settings that Frazil does not have, by the beginnings of their names, and why.
const ABSENT: &[(&str, &str)] = &[
    ("controller.", "KRaft's controllers and their quorum; the engine keeps the metadata log here"),
    ("delegation.token.", "delegation tokens are not served"),
    ("group.share.", "share groups are not served"),
    ("group.streams.", "streams groups are not served"),
    ("metadata.", "KRaft's metadata log; the engine has settings of its own"),
    ("remote.", "tiered storage and its plug-ins; everything is in the object store"),
    ("share.coordinator.", "share groups are not served"),
    ("share.fetch.", "share groups are not served"),
];

const ONE_NODE: &str = "the harness sets it for a cluster of one node";

/// What is different on purpose: setting, what of it, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("advertised.listeners", "value", "addresses of their own"),
    ("advertised.listeners", "synonyms", "Frazil always knows it"),
    ("listener.security.protocol.map", "value", "the harness names Kafka's controller"),
    ("listener.security.protocol.map", "source", "the harness names Kafka's controller"),
    ("listener.security.protocol.map", "synonyms", "the harness names Kafka's controller"),
    ("listeners", "value", "addresses of their own"),
    ("listeners", "synonyms", "addresses of their own"),
    ("listeners", "read only", "a socket is bound at the start"),
    ("log.dirs", "value", "folders of their own"),
    ("log.dirs", "synonyms", "folders of their own"),
    (
        "log.retention.hours",
        "value",
        "Kafka shows its default beside the operator's source once log.retention.ms is set",
    ),
    ("max.connections", "value", "a limit that holds"),
    ("max.connections", "source", "a limit that holds"),
    ("max.connections", "read only", "read at the start"),
    ("max.connections", "synonyms", "a limit that holds"),
    ("min.insync.replicas", "missing", "Kafka's eligible leader replicas set it for the cluster"),
    ("min.insync.replicas", "source", "Kafka's eligible leader replicas set it for the cluster"),
    ("min.insync.replicas", "synonyms", "Kafka's eligible leader replicas set it for the cluster"),
    ("node.id", "synonyms", "Frazil has a default"),
    ("offsets.topic.replication.factor", "value", ONE_NODE),
    ("offsets.topic.replication.factor", "source", ONE_NODE),
    ("offsets.topic.replication.factor", "synonyms", ONE_NODE),
    ("process.roles", "source", "Kafka's operator has to write it, Frazil's cannot"),
    ("process.roles", "synonyms", "Kafka's operator has to write it, Frazil's cannot"),
    ("transaction.state.log.min.isr", "value", ONE_NODE),
    ("transaction.state.log.min.isr", "source", ONE_NODE),
    ("transaction.state.log.min.isr", "synonyms", ONE_NODE),
    ("transaction.state.log.replication.factor", "value", ONE_NODE),
    ("transaction.state.log.replication.factor", "source", ONE_NODE),
    ("transaction.state.log.replication.factor", "synonyms", ONE_NODE),
    ("queued.max.request.bytes", "value", "a limit that holds"),
    ("queued.max.request.bytes", "source", "a limit that holds"),
    ("queued.max.request.bytes", "synonyms", "a limit that holds"),
    ("flush.ms", "synonyms", "Kafka names no broker setting of another unit; Frazil says where the value comes from"),
    (
        "follower.replication.throttled.replicas",
        "synonyms",
        "Kafka has no broker setting for it and names none; Frazil names its own default",
    ),
    (
        "leader.replication.throttled.replicas",
        "synonyms",
        "Kafka has no broker setting for it and names none; Frazil names its own default",
    ),
    (
        "remote.log.copy.disable",
        "synonyms",
        "Kafka has no broker setting for it and names none; Frazil names its own default",
    ),
    (
        "remote.log.delete.on.disable",
        "synonyms",
        "Kafka has no broker setting for it and names none; Frazil names its own default",
    ),
    (
        "remote.storage.enable",
        "synonyms",
        "Kafka has no broker setting for it and names none; Frazil names its own default",
    ),
    ("retention.ms", "source", "Kafka names no broker setting of another unit; Frazil says where the value comes from"),
    (
        "retention.ms",
        "synonyms",
        "Kafka names no broker setting of another unit; Frazil says where the value comes from",
    ),
    (
        "segment.jitter.ms",
        "synonyms",
        "Kafka names no broker setting of another unit; Frazil says where the value comes from",
    ),
    ("segment.ms", "synonyms", "Kafka names no broker setting of another unit; Frazil says where the value comes from"),
];

/// One setting, as far as it is compared.
fn aspects(config: &DescribeConfigsResourceResult) -> BTreeMap<&'static str, String> {
    let text = |value: &Option<kafka_protocol::protocol::StrBytes>| value.as_ref().map(ToString::to_string);
    let synonyms = config.synonyms.iter().map(|synonym| {
        let value = text(&synonym.value).unwrap_or_default();
        format!("{}={value} ({})", synonym.name.as_str(), synonym.source)
    });
    BTreeMap::from([
        ("type", config.config_type.to_string()),
        ("value", format!("{:?}", text(&config.value))),
        ("source", config.config_source.to_string()),
        ("read only", config.read_only.to_string()),
        ("sensitive", config.is_sensitive.to_string()),
        ("synonyms", synonyms.collect::<Vec<_>>().join(", ")),
        ("documentation", config.documentation.as_ref().is_some_and(|text| !text.is_empty()).to_string()),
    ])
}

async fn described(client: &mut Client, kind: i8, name: &str) -> BTreeMap<String, DescribeConfigsResourceResult> {
    let mut response = client.call(4, &describe(kind, name)).await.expect("answered");
    let result = response.results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    result.configs.into_iter().map(|config| (config.name.to_string(), config)).collect()
}

/// What is told otherwise.
struct Difference {
    setting: String,
    aspect: &'static str,
    shown: String,
}

impl Difference {
    /// The row of `DIFFERENT` that explains it.
    fn explanation(&self) -> Option<usize> {
        DIFFERENT.iter().position(|(setting, aspect, _)| *setting == self.setting && *aspect == self.aspect)
    }
}

async fn differences(clients: &mut [Client; 2], kind: i8, name: &str) -> Vec<Difference> {
    let [frazil, kafka] = clients;
    let (frazil, kafka) = (described(frazil, kind, name).await, described(kafka, kind, name).await);
    let is_absent = |name: &str| ABSENT.iter().any(|(start, _)| name.starts_with(start));
    let mut found = Vec::new();
    let mut note = |setting: &str, aspect, shown| found.push(Difference { setting: setting.to_owned(), aspect, shown });
    for (name, theirs) in &kafka {
        let Some(ours) = frazil.get(name) else {
            if !is_absent(name) {
                note(name, "missing", "only Kafka has it".to_owned());
            }
            continue;
        };
        let (ours, theirs) = (aspects(ours), aspects(theirs));
        for (aspect, ours) in ours.iter().filter(|(aspect, ours)| **ours != theirs[*aspect]) {
            note(name, aspect, format!("Frazil {ours}, Kafka {}", theirs[aspect]));
        }
    }
    frazil.keys().filter(|name| !kafka.contains_key(*name)).for_each(|name| {
        note(name, "present", "only Frazil has it".to_owned());
    });
    found
}

/// Compares again until both are alike, for Kafka's brokers learn of a change a moment after its controller. Gives the
/// rows of `DIFFERENT` that were needed.
async fn assert_alike(clients: &mut [Client; 2], kind: i8, name: &str) -> BTreeSet<usize> {
    let began = Instant::now();
    loop {
        let (known, unknown): (Vec<_>, Vec<_>) =
            differences(clients, kind, name).await.into_iter().partition(|found| found.explanation().is_some());
        if unknown.is_empty() {
            return known.iter().filter_map(Difference::explanation).collect();
        }
        let shown = unknown.iter().map(|found| format!("{}, {}: {}", found.setting, found.aspect, found.shown));
        let shown: Vec<_> = shown.collect();
        assert!(began.elapsed() < PATIENCE, "kind {kind} {name:?}:\n{}", shown.join("\n"));
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_told_as_kafka_tells_them() {
    let pair = Pair::start(&[
        ("num.partitions", "3"),
        ("log.retention.hours", "72"),
        ("message.max.bytes", "2000000"),
        ("offsets.retention.minutes", "600"),
    ]);
    let mut clients = pair.connect().await;
    for client in &mut clients {
        let created = client.call(5, &create(vec![with(topic("t", 1, 1), "retention.bytes", Some("5000"))])).await;
        assert_eq!(created.expect("answered").topics[0].error_code, 0);
        let began = Instant::now();
        while client.call(12, &metadata(&["t"], false)).await.expect("answered").topics[0].error_code != 0 {
            assert!(began.elapsed() < PATIENCE, "the topic is not there");
            tokio::time::sleep(PAUSE).await;
        }
    }
    let mut needed = BTreeSet::new();
    for (kind, name) in [(TOPIC, "t"), (BROKER, "1"), (GROUP, "g"), (CLIENT_METRICS, "m")] {
        needed.append(&mut assert_alike(&mut clients, kind, name).await);
    }
    for client in &mut clients {
        for request in [
            set(BROKER, "1", "log.cleaner.threads", "2"),
            set(BROKER, "", "log.retention.ms", "700000000"),
            set(BROKER, "", "log.cleanup.policy", "compact,delete"),
            set(TOPIC, "t", "cleanup.policy", "compact"),
            set(GROUP, "g", "consumer.session.timeout.ms", "50000"),
            set(CLIENT_METRICS, "m", "interval.ms", "1000"),
        ] {
            let altered = client.call(1, &request).await.expect("answered");
            assert_eq!(altered.responses[0].error_code, 0, "{altered:?}");
        }
    }
    for (kind, name) in [(TOPIC, "t"), (BROKER, "1"), (BROKER, ""), (GROUP, "g"), (CLIENT_METRICS, "m")] {
        needed.append(&mut assert_alike(&mut clients, kind, name).await);
    }
    let gone = (0..DIFFERENT.len()).filter(|row| !needed.contains(row)).map(|row| &DIFFERENT[row]);
    assert_eq!(gone.collect::<Vec<_>>(), Vec::<&(&str, &str, &str)>::new(), "rows that explain nothing");
}
