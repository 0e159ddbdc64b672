//! Apache Kafka's own tools: the Java producer, consumer and admin client behind them.

use super::{PATIENCE, Subject};
use frazil_tests::{Finished, run, run_with_input};

impl Subject {
    fn java(&self, class: &str, arguments: &[&str]) -> Finished {
        let mut java = self.tools.java(class);
        run(java.args(["--bootstrap-server", &self.bootstrap]).args(arguments), PATIENCE).expect("a Java tool")
    }

    fn topics(&self, arguments: &[&str]) -> String {
        self.java("org.apache.kafka.tools.TopicCommand", arguments).text()
    }

    fn configs(&self, arguments: &[&str]) -> String {
        self.java("kafka.admin.ConfigCommand", arguments).text()
    }

    /// The sum of `kafka-get-offsets`, which prints `topic:partition:offset`.
    fn sum_of_offsets(&self, topic: &str, time: &str) -> i64 {
        let printed = self.java("org.apache.kafka.tools.GetOffsetShell", &["--topic", topic, "--time", time]).text();
        let offsets = printed.lines().map(|line| line.rsplit(':').next().unwrap_or_default());
        offsets.map(|offset| offset.parse::<i64>().expect("an offset")).sum()
    }
}

#[test]
fn java_tools_create_describe_alter_and_delete_a_topic() {
    let subject = Subject::start();
    subject.topics(&["--create", "--topic", "orders", "--partitions", "3", "--config", "retention.ms=60000"]);
    let described = subject.topics(&["--describe", "--topic", "orders"]);
    assert!(described.contains("PartitionCount: 3"), "{described}");
    assert!(described.contains("retention.ms=60000"), "{described}");
    assert_eq!(described.matches("Partition: ").count(), 3, "{described}");

    subject.topics(&["--alter", "--topic", "orders", "--partitions", "5"]);
    assert!(subject.topics(&["--describe", "--topic", "orders"]).contains("PartitionCount: 5"));

    let entity = ["--entity-type", "topics", "--entity-name", "orders"];
    let with = |arguments: &[&'static str]| [arguments, &entity].concat();
    subject.configs(&with(&["--alter", "--add-config", "retention.ms=120000,max.message.bytes=2000000"]));
    let configs = subject.configs(&with(&["--describe"]));
    assert!(configs.contains("retention.ms=120000 sensitive=false"), "{configs}");
    assert!(configs.contains("synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=120000"), "{configs}");
    subject.configs(&with(&["--alter", "--delete-config", "retention.ms"]));
    let configs = subject.configs(&with(&["--describe"]));
    assert!(!configs.contains("retention.ms") && configs.contains("max.message.bytes=2000000"), "{configs}");

    subject.topics(&["--delete", "--topic", "orders"]);
    let listed = subject.topics(&["--list"]);
    assert!(!listed.lines().any(|name| name == "orders"), "{listed}");
}

#[test]
fn the_idempotent_java_producer_stores_what_it_sent_and_java_reads_it_back() {
    let subject = Subject::start();
    subject.topics(&["--create", "--topic", "load", "--partitions", "4"]);
    for codec in ["none", "zstd"] {
        let mut java = subject.tools.java("org.apache.kafka.tools.ProducerPerformance");
        java.args(["--topic", "load", "--num-records", "50000", "--record-size", "200", "--throughput", "-1"]);
        java.args(["--producer-props", &format!("bootstrap.servers={}", subject.bootstrap)]);
        java.args(["acks=all", "enable.idempotence=true", &format!("compression.type={codec}")]);
        let report = run(&mut java, PATIENCE).expect("ProducerPerformance").text();
        assert!(report.contains("50000 records sent"), "{report}");
    }
    assert_eq!(subject.sum_of_offsets("load", "-1"), 100_000, "latest");
    assert_eq!(subject.sum_of_offsets("load", "-2"), 0, "earliest");
    let last_by_time = subject.sum_of_offsets("load", "-3");
    assert!((4..100_000).contains(&last_by_time), "offsets of the largest timestamps: {last_by_time}");
}

#[test]
fn the_java_console_producer_and_consumer_pass_lines_through() {
    let subject = Subject::start();
    let lines: String = (0..1_000).map(|number| format!("line {number}\n")).collect();
    let mut producer = subject.tools.java("org.apache.kafka.tools.ConsoleProducer");
    producer.args(["--bootstrap-server", &subject.bootstrap, "--topic", "lines"]);
    run_with_input(&mut producer, lines.as_bytes(), PATIENCE).expect("the console producer");
    let read = subject.java(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &["--topic", "lines", "--partition", "0", "--offset", "10", "--max-messages", "990"],
    );
    assert_eq!(read.text(), lines.split_inclusive('\n').skip(10).collect::<String>());
}

#[test]
fn the_java_admin_client_understands_the_broker_and_its_versions() {
    let subject = Subject::start();
    let versions = subject.java("org.apache.kafka.tools.BrokerApiVersionsCommand", &[]).text();
    assert!(versions.contains(&subject.bootstrap), "{versions}");
    // Version 0 is advertised although it is refused: librdkafka takes its absence for a broker without compression.
    assert!(versions.contains("Produce(0): 0 to "), "{versions}");
    for api in
        ["Fetch(1)", "ListOffsets(2)", "Metadata(3)", "CreateTopics(19)", "InitProducerId(22)", "DescribeCluster(60)"]
    {
        let line = versions.lines().find(|line| line.contains(api)).unwrap_or_default();
        assert!(line.contains("usable"), "{api}: {line:?}");
    }
    let mut cluster = subject.tools.java("org.apache.kafka.tools.ClusterTool");
    cluster.args(["cluster-id", "--bootstrap-server", &subject.bootstrap]);
    let cluster = run(&mut cluster, PATIENCE).expect("ClusterTool").text();
    let id = cluster.trim().strip_prefix("Cluster ID: ").unwrap_or_default();
    assert!(!id.is_empty(), "{cluster}");
}
