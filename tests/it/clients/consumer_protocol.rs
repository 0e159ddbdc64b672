//! The consumer group protocol (KIP-848) with the clients that speak it: Java's and librdkafka's consumers with
//! `group.protocol=consumer`, and Kafka's group tool.

use super::{PATIENCE, Subject, against_kafka, script};
use frazil_tests::command::Running;
use frazil_tests::{FrazilProcess, Tools, run, run_with_input};
use std::process::Command;
use tempfile::TempDir;

/// Short intervals, so that rebalances take seconds.
const PROPERTIES: &[(&str, &str)] = &[
    ("group.consumer.heartbeat.interval.ms", "500"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.session.timeout.ms", "6000"),
    ("group.consumer.min.session.timeout.ms", "6000"),
];

fn confluent(subject: &Subject, case: &str) {
    let mut python = subject.tools.python(&script("confluent_consumer_protocol.py"));
    run(python.args([&subject.bootstrap, case]), PATIENCE).expect("the script");
}

#[test]
fn librdkafka_consumers_of_the_new_protocol_share_a_topic_and_process_every_record_once() {
    confluent(&Subject::start_with(PROPERTIES), "share");
}

#[test]
fn a_static_librdkafka_consumer_comes_back_to_its_partitions_and_its_name_is_its_own() {
    confluent(&Subject::start_with(PROPERTIES), "static");
}

#[test]
fn librdkafka_consumers_follow_a_regular_expression() {
    confluent(&Subject::start_with(PROPERTIES), "regex");
}

/// Members are replaced one by one, and the broker is killed after every step.
#[test]
fn classic_librdkafka_consumers_are_replaced_by_new_ones_and_back_while_the_broker_is_killed() {
    if against_kafka() {
        return confluent(&Subject::start_with(PROPERTIES), "migrate");
    }
    let tools = Tools::locate().expect("the tools");
    let folder = TempDir::new().expect("a folder");
    let settings = Subject::frazil_settings(folder.path(), PROPERTIES);
    let mut broker = FrazilProcess::start(settings).expect("frazil starts");
    let mut python = tools.python(&script("confluent_consumer_protocol.py"));
    let mut script = Running::start(python.args([&broker.bootstrap(), "migrate"])).expect("the script starts");
    for _ in 0..5 {
        script.wait_for_line("ready", PATIENCE).expect("the group goes on");
        broker = broker.kill_and_restart().expect("frazil starts again");
    }
    script.finish(PATIENCE).expect("every record was processed once");
}

fn java(subject: &Subject, class: &str, arguments: &[&str]) -> Command {
    let mut java = subject.tools.java(class);
    java.args(["--bootstrap-server", &subject.bootstrap]).args(arguments);
    java
}

fn create(subject: &Subject, topic: &str, partitions: &str) {
    let class = "org.apache.kafka.tools.TopicCommand";
    let arguments = ["--create", "--topic", topic, "--partitions", partitions, "--replication-factor", "1"];
    run(&mut java(subject, class, &arguments), PATIENCE).expect("the topic");
}

fn produce(subject: &Subject, topic: &str, lines: &str) {
    let mut kcat = subject.tools.kcat(&subject.bootstrap);
    run_with_input(kcat.args(["-P", "-t", topic]), lines.as_bytes(), PATIENCE).expect("kcat");
}

#[test]
fn the_java_console_consumer_reads_with_the_new_protocol_and_the_group_tool_shows_it() {
    let subject = Subject::start_with(PROPERTIES);
    create(&subject, "lines", "1");
    let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
    produce(&subject, "lines", &lines);
    let consume = |count: &str| {
        let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
        let arguments = ["--topic", "lines", "--group", "g", "--from-beginning", "--max-messages", count];
        let mut java = java(&subject, class, &arguments);
        run(java.args(["--consumer-property", "group.protocol=consumer"]), PATIENCE)
            .expect("the console consumer")
            .text()
    };
    assert_eq!(consume("60"), lines.split_inclusive('\n').take(60).collect::<String>());
    assert_eq!(consume("40"), lines.split_inclusive('\n').skip(60).collect::<String>());
    let tool = |arguments: &[&str]| {
        let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        run(&mut java(&subject, class, arguments), PATIENCE).expect("the group tool").text()
    };
    let described = tool(&["--describe", "--group", "g"]);
    let row = described.lines().find(|line| line.contains("lines")).unwrap_or_default();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells.get(..6), Some(["g", "lines", "0", "100", "100", "0"].as_slice()), "{described}");
    let listed = tool(&["--list", "--state", "--type"]);
    let row: Vec<_> = listed.lines().filter(|line| line.starts_with("g ")).flat_map(str::split_whitespace).collect();
    assert_eq!(row, ["g", "Consumer", "Empty"], "{listed}");
    let deleted = tool(&["--delete", "--group", "g"]);
    assert!(deleted.contains("successful"), "{deleted}");
}

#[test]
fn java_verifiable_consumers_of_the_new_protocol_share_a_topic_and_one_takes_over_when_the_other_is_killed() {
    let subject = Subject::start_with(PROPERTIES);
    create(&subject, "shared", "4");
    let consumer = |assignor: &str| {
        let class = "org.apache.kafka.tools.VerifiableConsumer";
        let arguments = ["--topic", "shared", "--group-id", "v", "--group-protocol", "consumer", "--verbose"];
        let mut java = java(&subject, class, &arguments);
        Running::start(java.args(["--group-remote-assignor", assignor])).expect("it starts")
    };
    let mut first = consumer("range");
    first.wait_for_text(r#""name":"partitions_assigned""#, PATIENCE).expect("it gets all four");
    let mut second = consumer("range");
    second
        .wait_for_text(r#""name":"partitions_assigned","partitions":[{"topic":"shared""#, PATIENCE)
        .expect("it gets two");
    first.wait_for_text(r#""name":"partitions_revoked""#, PATIENCE).expect("it gives two up");
    let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    let described = run(&mut java(&subject, class, &["--describe", "--group", "v", "--state", "--verbose"]), PATIENCE)
        .expect("the tool");
    let described = described.text();
    assert!(described.contains("Stable") && described.contains("range"), "{described}");
    // Killed: nobody says goodbye, the session has to end.
    first.kill().expect("it runs");
    second.wait_for_text(r#""name":"partitions_assigned""#, PATIENCE).expect("it gets the others, too");
    produce(&subject, "shared", &"line\n".repeat(40));
    second.wait_for_text(r#""name":"offsets_committed""#, PATIENCE).expect("it reads and commits");
}
