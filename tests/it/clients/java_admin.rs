//! Apache Kafka's own administration tools. Each start of a JVM costs seconds, so each is asked much at once.

use super::{PATIENCE, Subject, against_kafka};
use frazil_tests::{run, run_with_input};
use std::fs;
use std::path::PathBuf;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";

impl Subject {
    /// What a tool prints, on both channels; it may fail.
    fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let mut java = self.tools.java(class);
        match run(java.args(["--bootstrap-server", &self.bootstrap]).args(arguments), PATIENCE) {
            Ok(finished) => finished.text() + &finished.stderr,
            Err(error) => format!("{error:#}"),
        }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        fs::write(&path, content).expect("a file");
        path.display().to_string()
    }
}

#[test]
fn java_tools_delete_records_and_show_sizes() {
    let subject = Subject::start();
    subject.tool(TOPICS, &["--create", "--topic", "orders", "--partitions", "2", "--config", "retention.ms=-1"]);
    let mut producer = subject.tools.java("org.apache.kafka.tools.ConsoleProducer");
    producer.args(["--bootstrap-server", &subject.bootstrap, "--topic", "orders"]);
    let lines: String = (0..100).map(|number| format!("line {number}\n")).collect();
    run_with_input(&mut producer, lines.as_bytes(), PATIENCE).expect("the console producer");

    let sizes = subject.tool("org.apache.kafka.tools.LogDirsCommand", &["--describe", "--topic-list", "orders"]);
    let json = sizes.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no answer: {sizes}"));
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let partitions = json["brokers"][0]["logDirs"][0]["partitions"].as_array().expect("partitions").clone();
    let bytes: i64 = partitions.iter().map(|partition| partition["size"].as_i64().expect("a size")).sum();
    assert_eq!(partitions.len(), 2, "{json}");
    assert!(bytes > 900, "{bytes} bytes of a hundred lines");

    let offsets = subject.file(
        "offsets.json",
        r#"{"version": 1, "partitions": [{"topic": "orders", "partition": 0, "offset": -1}, {"topic": "orders", "partition": 1, "offset": -1}]}"#,
    );
    let deleted = subject.tool("org.apache.kafka.tools.DeleteRecordsCommand", &["--offset-json-file", &offsets]);
    let watermarks = deleted.lines().filter_map(|line| line.rsplit_once("low_watermark: "));
    let sum: i64 = watermarks.map(|(_, offset)| offset.trim().parse::<i64>().expect("an offset")).sum();
    assert_eq!(sum, 100, "{deleted}");
    let left = subject.tool("org.apache.kafka.tools.GetOffsetShell", &["--topic", "orders", "--time", "-2"]);
    let starts = left.lines().filter_map(|line| line.rsplit(':').next()?.parse::<i64>().ok());
    assert_eq!(starts.sum::<i64>(), 100, "{left}");
}

#[test]
fn java_tools_change_settings_quotas_and_users() {
    let subject = Subject::start();
    let brokers = ["--entity-type", "brokers"];
    let broker = if against_kafka() { "1" } else { "0" };
    let one = [&brokers[..], &["--entity-name", broker]].concat();
    let all = [&brokers[..], &["--entity-default"]].concat();
    let configs = |entity: &[&str], arguments: &[&str]| subject.tool(CONFIGS, &[entity, arguments].concat());
    let done = configs(&all, &["--alter", "--add-config", "log.retention.ms=1234567"]);
    assert!(done.contains("Completed updating"), "{done}");
    let described = configs(&all, &["--describe"]);
    assert!(described.contains("log.retention.ms=1234567"), "{described}");
    let described = configs(&one, &["--describe", "--all"]);
    assert!(described.contains("DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=1234567"), "{described}");
    assert!(described.contains("DEFAULT_CONFIG:log.retention.hours=168"), "{described}");
    let refused = configs(&one, &["--alter", "--add-config", "log.cleaner.threads=many"]);
    assert!(refused.contains("InvalidRequestException") || refused.contains("InvalidConfiguration"), "{refused}");

    let group = ["--entity-type", "groups", "--entity-name", "g"];
    let done = configs(&group, &["--alter", "--add-config", "consumer.session.timeout.ms=50000"]);
    assert!(done.contains("Completed updating"), "{done}");
    let user = ["--entity-type", "users", "--entity-name", "ann"];
    for settings in ["producer_byte_rate=1000", "SCRAM-SHA-256=[iterations=4096,password=secret]"] {
        let done = configs(&user, &["--alter", "--add-config", settings]);
        assert!(done.contains("Completed updating"), "{done}");
    }
    let described = configs(&user, &["--describe"]);
    assert!(described.contains("producer_byte_rate=1000.0"), "{described}");
    assert!(described.contains("SCRAM-SHA-256=iterations=4096"), "{described}");
    let done = configs(&user, &["--alter", "--delete-config", "SCRAM-SHA-256"]);
    assert!(done.contains("Completed updating"), "{done}");
}

#[test]
fn java_tools_describe_features_versions_and_the_quorum() {
    let subject = Subject::start();
    let features = subject.tool("org.apache.kafka.tools.FeatureCommand", &["describe"]);
    let metadata = features.lines().find(|line| line.contains("metadata.version")).unwrap_or_default();
    assert!(metadata.contains("FinalizedVersionLevel: 4.1-IV1"), "{features}");
    let versions = subject.tool("org.apache.kafka.tools.BrokerApiVersionsCommand", &[]);
    for api in [
        "DeleteRecords(21)",
        "AlterReplicaLogDirs(34)",
        "DescribeLogDirs(35)",
        "ElectLeaders(43)",
        "AlterPartitionReassignments(45)",
        "DescribeClientQuotas(48)",
        "DescribeUserScramCredentials(50)",
        "UpdateFeatures(57)",
        "DescribeTopicPartitions(75)",
    ] {
        let line = versions.lines().find(|line| line.contains(api)).unwrap_or_default();
        assert!(line.contains("usable"), "{api}: {line:?}");
    }
    let quorum = subject.tool("org.apache.kafka.tools.MetadataQuorumCommand", &["describe", "--status"]);
    assert!(quorum.contains("LeaderId:") && quorum.contains("CurrentVoters:"), "{quorum}");
}

#[test]
fn java_tools_find_nothing_to_move_and_nothing_to_elect() {
    let subject = Subject::start();
    subject.tool(TOPICS, &["--create", "--topic", "orders", "--partitions", "2"]);
    let broker = if against_kafka() { "1" } else { "0" };
    let plan = subject.file(
        "plan.json",
        &format!(
            r#"{{"version": 1, "partitions": [{{"topic": "orders", "partition": 0, "replicas": [{broker}], "log_dirs": ["any"]}}]}}"#
        ),
    );
    let reassign = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
    let executed = subject.tool(reassign, &["--reassignment-json-file", &plan, "--execute"]);
    assert!(executed.contains("Successfully started partition reassignment"), "{executed}");
    let verified = subject.tool(reassign, &["--reassignment-json-file", &plan, "--verify"]);
    assert!(verified.contains("Reassignment of partition orders-0 is completed"), "{verified}");
    let elected = subject.tool(
        "org.apache.kafka.tools.LeaderElectionCommand",
        &["--election-type", "preferred", "--topic", "orders", "--partition", "0"],
    );
    assert!(elected.contains("Valid replica already elected"), "{elected}");
}
