//! Consumer groups of the classic protocol with the clients that people use.

use super::{PATIENCE, Subject, against_kafka, script};
use frazil_tests::command::Running;
use frazil_tests::minio::Minio;
use frazil_tests::{FrazilProcess, FrazilSettings, Tools, run, run_with_input};
use std::process::Command;

fn python(subject: &Subject, name: &str, arguments: &[&str]) {
    run(subject.tools.python(&script(name)).arg(&subject.bootstrap).args(arguments), PATIENCE).expect("the script");
}

#[test]
fn confluent_groups_process_every_record_once_with_eager_and_cooperative_assignors() {
    let subject = Subject::start();
    for strategy in ["range", "roundrobin", "cooperative-sticky"] {
        python(&subject, "confluent_groups.py", &[strategy]);
    }
}

#[test]
fn confluent_static_members_come_back_without_a_rebalance_and_fence_their_twins() {
    python(&Subject::start(), "confluent_static.py", &[]);
}

#[test]
fn kafka_python_groups_process_every_record_once() {
    let subject = Subject::start();
    for strategy in ["range", "roundrobin", "sticky", "cooperative-sticky"] {
        python(&subject, "kafka_python_groups.py", &[strategy]);
    }
}

fn produce_lines(subject: &Subject, topic: &str, count: usize) -> String {
    let lines: String = (0..count).map(|number| format!("{number}\n")).collect();
    let mut kcat = subject.tools.kcat(&subject.bootstrap);
    run_with_input(kcat.args(["-P", "-t", topic]), lines.as_bytes(), PATIENCE).expect("kcat");
    lines
}

#[test]
fn kcat_consumes_in_a_group_and_goes_on_where_it_stopped() {
    let subject = Subject::start();
    let lines = produce_lines(&subject, "lines", 100);
    let consume = |count: &str| {
        let mut kcat = subject.tools.kcat(&subject.bootstrap);
        kcat.args(["-q", "-X", "auto.offset.reset=earliest", "-c", count, "-G", "kcat-group", "lines"]);
        run(&mut kcat, PATIENCE).expect("kcat").text()
    };
    assert_eq!(consume("60"), lines.split_inclusive('\n').take(60).collect::<String>());
    assert_eq!(consume("40"), lines.split_inclusive('\n').skip(60).collect::<String>());
}

fn java(subject: &Subject, class: &str, arguments: &[&str]) -> Command {
    let mut java = subject.tools.java(class);
    java.args(["--bootstrap-server", &subject.bootstrap]).args(arguments);
    java
}

fn console_consumer(subject: &Subject, group: &str, count: &str) -> String {
    let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let arguments = ["--topic", "lines", "--group", group, "--from-beginning", "--max-messages", count];
    run(&mut java(subject, class, &arguments), PATIENCE).expect("the console consumer").text()
}

#[test]
fn the_java_console_consumer_and_the_group_tool_agree_on_offsets() {
    let subject = Subject::start();
    let lines = produce_lines(&subject, "lines", 100);
    assert_eq!(console_consumer(&subject, "java", "100"), lines);
    let tool = |arguments: &[&str]| {
        run(&mut java(&subject, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", arguments), PATIENCE)
            .expect("the group tool")
            .text()
    };
    let described = tool(&["--describe", "--group", "java"]);
    let row = described.lines().find(|line| line.contains("lines")).unwrap_or_default();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells.get(..6), Some(["java", "lines", "0", "100", "100", "0"].as_slice()), "{described}");
    let state = tool(&["--describe", "--state", "--group", "java"]);
    assert!(state.contains("Empty"), "{state}");
    assert!(tool(&["--list", "--state"]).contains("java"), "listed");
    let reset = ["--reset-offsets", "--group", "java", "--topic", "lines", "--to-offset", "90", "--execute"];
    assert!(tool(&reset).contains("90"));
    assert_eq!(console_consumer(&subject, "java", "10"), lines.split_inclusive('\n').skip(90).collect::<String>());
    let deleted = tool(&["--delete-offsets", "--group", "java", "--topic", "lines"]);
    assert!(deleted.contains("Successful"), "{deleted}");
    let deleted = tool(&["--delete", "--group", "java"]);
    assert!(deleted.contains("successful"), "{deleted}");
    assert!(!tool(&["--list"]).contains("java"));
}

#[test]
fn java_verifiable_consumers_share_a_topic_and_one_takes_over_when_the_other_is_killed() {
    let subject = Subject::start();
    let consumer = || {
        let class = "org.apache.kafka.tools.VerifiableConsumer";
        let arguments = ["--topic", "shared", "--group-id", "verifiable", "--session-timeout", "6000"];
        Running::start(&mut java(&subject, class, &arguments)).expect("it starts")
    };
    let mut admin = java(
        &subject,
        "org.apache.kafka.tools.TopicCommand",
        &["--create", "--topic", "shared", "--partitions", "2", "--replication-factor", "1"],
    );
    run(&mut admin, PATIENCE).expect("the topic");
    let mut first = consumer();
    first.wait_for_text(r#""name":"partitions_assigned""#, PATIENCE).expect("it gets both");
    let mut second = consumer();
    second.wait_for_text(r#""name":"partitions_assigned""#, PATIENCE).expect("it gets one");
    first.wait_for_text(r#""name":"partitions_revoked""#, PATIENCE).expect("it gives one up");
    first.wait_for_text(r#""name":"partitions_assigned""#, PATIENCE).expect("it keeps one");
    // Killed: nobody says goodbye, the session has to end.
    drop(first);
    second.wait_for_text(r#""name":"partitions_assigned""#, PATIENCE).expect("it gets the other, too");
    produce_lines(&subject, "shared", 10);
    second.wait_for_text(r#""name":"offsets_committed""#, PATIENCE).expect("it reads and commits");
}

/// The bucket has everything: the process that comes back has an empty folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_offsets_survive_a_kill_and_an_empty_disk_on_a_bucket() {
    if against_kafka() {
        return;
    }
    let minio = Minio::start().await;
    let tools = Tools::locate().expect("the tools");
    let broker = FrazilProcess::start(FrazilSettings::on(&minio.url("groups"))).expect("frazil starts");
    let consume = |bootstrap: &str, count: &str| {
        let mut kcat = tools.kcat(bootstrap);
        kcat.args(["-q", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000", "-c", count]);
        run(kcat.args(["-G", "kcat-group", "lines"]), PATIENCE).expect("kcat").text()
    };
    let lines: String = (0..20).map(|number| format!("{number}\n")).collect();
    let mut producer = tools.kcat(&broker.bootstrap());
    run_with_input(producer.args(["-P", "-t", "lines"]), lines.as_bytes(), PATIENCE).expect("kcat");
    assert_eq!(consume(&broker.bootstrap(), "12"), lines.split_inclusive('\n').take(12).collect::<String>());
    let broker = broker.kill_and_restart().expect("frazil starts again");
    assert_eq!(consume(&broker.bootstrap(), "8"), lines.split_inclusive('\n').skip(12).collect::<String>());
}
