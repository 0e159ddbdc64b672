//! `frazil group`.

use super::{Subject, cases, wait_for};
use frazil_tests::frazil::built_binary;
use frazil_tests::{KafkaProcess, Tools};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::{Command, Stdio};
use tempfile::TempDir;

cases! {
    a_group_is_listed_described_and_deleted_with_its_lag,
    a_reset_is_a_dry_run_until_it_is_executed,
    resets_lead_where_kafkas_own_tool_leads,
    resets_that_lead_nowhere_are_refused,
    a_group_in_use_is_shown_with_its_members_and_left_alone,
    a_group_of_the_consumer_protocol_is_shown_alike,
}

pub(super) fn describe(subject: &Subject, group: &str) -> Value {
    subject.json(&["group", "describe", group])
}

/// Committed offset of each partition of a group, `-1` for none.
pub(super) fn committed(subject: &Subject, group: &str) -> Vec<i64> {
    let described = describe(subject, group);
    let partitions = described["partitions"].as_array().expect("partitions");
    partitions.iter().map(|partition| partition["committed"].as_i64().unwrap_or(-1)).collect()
}

fn reset(subject: &Subject, group: &str, arguments: &[&str]) -> Vec<(String, i64, i64)> {
    let rows = subject.json(&[&["group", "reset", group], arguments].concat());
    let row = |row: &Value| {
        let topic = row["topic"].as_str().expect("a topic").to_owned();
        (topic, row["partition"].as_i64().expect("a number"), row["new"].as_i64().expect("an offset"))
    };
    rows.as_array().expect("rows").iter().map(row).collect()
}

fn a_group_is_listed_described_and_deleted_with_its_lag(subject: &Subject) {
    let (topic, group) = ("listed", "listed-group");
    subject.topic(topic, 3, 10);
    reset(subject, group, &["--to-offset", "4", "--topic", "listed:0-1", "--execute"]);
    let groups = subject.json(&["group", "list"]);
    let listed = groups.as_array().expect("groups").iter().find(|listed| listed["group"] == group).expect("our group");
    assert_eq!((&listed["state"], &listed["type"]), (&"Empty".into(), &"classic".into()));
    assert_eq!(
        subject.json(&["group", "list", "--state", "stable", "--type", "classic"]).as_array().map(Vec::len),
        Some(0)
    );

    let described = describe(subject, group);
    assert_eq!(
        (&described["state"], &described["type"], &described["lag"]),
        (&"Empty".into(), &"classic".into(), &12.into())
    );
    assert_eq!(described["coordinator"]["address"], subject.bootstrap);
    let partitions = described["partitions"].as_array().expect("partitions");
    assert_eq!(partitions.len(), 2);
    let row = &partitions[1];
    assert_eq!((&row["committed"], &row["end"], &row["lag"]), (&4.into(), &10.into(), &6.into()));
    let csv = subject.ok(&["group", "describe", group, "-o", "csv"]);
    assert!(csv.contains("listed,0,4,10,6,"), "{csv}");
    let table = subject.ok(&["group", "describe", group]);
    assert!(
        table.contains("lag          12\n") && table.contains("listed          1          4   10    6  -"),
        "{table}"
    );

    subject.ok(&["group", "delete", group, "--dry-run"]);
    assert_eq!(committed(subject, group), [4, 4]);
    subject.ok(&["group", "delete", group]);
    let said = subject.refused(1, &["group", "describe", group]);
    assert!(said.contains("GroupIdNotFound") && said.contains("frazil group list"), "{said}");
    subject.refused(1, &["group", "delete", group]);
    subject.ok(&["group", "delete", group, "--if-exists"]);
    subject.ok(&["group", "delete", group, "--if-exists", "--dry-run"]);
    reset(subject, group, &["--to-latest", "--topic", topic, "--execute"]);
    let ran = subject.run(&["group", "delete", group, "no-such-group"]);
    assert!(ran.code == 3 && ran.stderr.contains("group listed-group deleted\nerror: group no-such-group"), "{ran:?}");
}

fn a_reset_is_a_dry_run_until_it_is_executed(subject: &Subject) {
    let (topic, group) = ("dry", "dry-group");
    subject.topic(topic, 2, 10);
    let expected = [(topic.to_owned(), 0, 7), (topic.to_owned(), 1, 7)];
    assert_eq!(reset(subject, group, &["--to-offset", "7", "--topic", topic]), expected);
    subject.refused(1, &["group", "describe", group]);
    assert_eq!(reset(subject, group, &["--to-offset", "7", "--topic", topic, "--dry-run"]), expected);
    assert_eq!(reset(subject, group, &["--to-offset", "7", "--topic", topic, "--execute"]), expected);
    assert_eq!(committed(subject, group), [7, 7]);
    reset(subject, group, &["--shift-by", "-3", "--topic", "dry:1", "--execute"]);
    assert_eq!(committed(subject, group), [7, 4]);
    reset(subject, group, &["--to-earliest", "--all-topics", "--execute"]);
    assert_eq!(committed(subject, group), [0, 0]);
    let ran = subject.run(&["group", "reset", group, "--to-latest", "--all-topics"]);
    assert!(ran.code == 0 && ran.stderr.contains("--execute"), "{ran:?}");
    assert!(ran.stdout.contains("TOPIC  PARTITION  COMMITTED  NEW  LAG  NOTE"), "{ran:?}");
}

/// The plan of `kafka-consumer-groups.sh --reset-offsets --dry-run`.
fn reset_by_java(subject: &Subject, group: &str, arguments: &[&str]) -> Vec<(String, i64, i64)> {
    let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    let printed = subject.java(class, &[&["--reset-offsets", "--dry-run", "--group", group], arguments].concat());
    let row = |line: &str| {
        let mut words = line.split_whitespace().filter(|word| *word != group);
        let (topic, partition, offset) = (words.next()?, words.next()?, words.next()?);
        Some((topic.to_owned(), partition.parse().ok()?, offset.parse().ok()?))
    };
    let mut rows: Vec<_> = printed.lines().filter_map(row).collect();
    rows.sort();
    rows
}

fn resets_lead_where_kafkas_own_tool_leads(subject: &Subject) {
    let (topic, group) = ("compared", "compared-group");
    subject.topic(topic, 3, 10);
    subject.ok(&["topic", "delete-records", topic, "-p", "0", "--before-offset", "3"]);
    reset(subject, group, &["--to-offset", "5", "--topic", "compared:0-1", "--execute"]);
    let moment = subject.ok(&["consume", topic, "-p", "1", "-n", "1", "-f", "%d"]);
    let whole_topic = ["--topic", topic];
    // Kafka's tool takes seconds to start. That our plan is its plan is shown on Kafka; on Frazil a few show that it
    // understands the broker.
    let step = if subject.is_frazil() { 3 } else { 1 };
    for (ours, java) in [
        (vec!["--to-earliest"], vec!["--to-earliest"]),
        (vec!["--to-latest"], vec!["--to-latest"]),
        (vec!["--to-offset", "2"], vec!["--to-offset", "2"]),
        (vec!["--to-time", &moment], vec!["--to-datetime", moment.trim_end_matches('Z')]),
        (vec!["--to-offset", "99"], vec!["--to-offset", "99"]),
        (vec!["--to-time", "2100-01-01T00:00:00.000+01:00"], vec!["--to-datetime", "2100-01-01T00:00:00.000+01:00"]),
        (vec!["--by-duration", "1h"], vec!["--by-duration", "PT1H"]),
    ]
    .iter()
    .step_by(step)
    {
        let ours_planned = reset(subject, group, &[&ours[..], &whole_topic].concat());
        assert_eq!(ours_planned, reset_by_java(subject, group, &[&java[..], &whole_topic].concat()), "{ours:?}");
        assert_eq!(ours_planned.len(), 3);
    }
    // Shifts need committed offsets, and so do all topics.
    for arguments in [
        ["--shift-by", "2", "--topic", "compared:0,1"].as_slice(),
        &["--shift-by", "-4", "--topic", "compared:0,1"],
        &["--shift-by", "100", "--all-topics"],
        &["--to-earliest", "--all-topics"],
    ]
    .iter()
    .step_by(step)
    {
        let ours = reset(subject, group, arguments);
        assert_eq!(ours, reset_by_java(subject, group, arguments), "{arguments:?}");
        assert_eq!(ours.len(), 2);
    }
}

fn resets_that_lead_nowhere_are_refused(subject: &Subject) {
    let (topic, group) = ("nowhere", "nowhere-group");
    subject.topic(topic, 1, 3);
    let reset = |arguments: &[&str], code| subject.refused(code, &[&["group", "reset", group], arguments].concat());
    let said = reset(&["--to-latest", "--all-topics"], 1);
    assert!(said.contains("no committed offsets") && said.contains("--topic"), "{said}");
    let said = reset(&["--shift-by", "1", "--topic", topic], 1);
    assert!(said.contains("nowhere/0 has no committed offset"), "{said}");
    let said = reset(&["--to-latest", "--topic", "nowhere:0,5"], 1);
    assert!(said.contains("no partition nowhere/5"), "{said}");
    let said = reset(&["--to-latest", "--topic", "no-such-topic"], 1);
    assert!(said.contains("UnknownTopicOrPartition"), "{said}");
    let said = reset(&["--to-time", "soon", "--topic", topic], 2);
    assert!(said.contains("2026-"), "{said}");
    for usage in [
        ["--topic", topic].as_slice(),
        &["--to-latest"],
        &["--to-latest", "--to-earliest", "--topic", topic],
        &["--to-latest", "--topic", topic, "--all-topics"],
        &["--to-latest", "--topic", "nowhere:x"],
        &["--to-latest", "--topic", topic, "--execute", "--dry-run"],
        &["--to-offset", "-5", "--topic", topic],
    ] {
        assert_eq!(subject.run(&[&["group", "reset", group], usage].concat()).code, 2, "{usage:?}");
    }
    subject.refused(1, &["group", "describe", group]);
}

fn a_group_in_use_is_shown_with_its_members_and_left_alone(subject: &Subject) {
    let (topic, group) = ("in-use", "in-use-group");
    subject.topic(topic, 2, 5);
    let member = subject.start(&["consume", topic, "-g", group, "--instance-id", "desk", "--commit-interval", "10ms"]);
    let described = wait_for("the member has read and committed", || {
        let described = subject.run(&["group", "describe", group, "-o", "json"]);
        let described: Value = serde_json::from_str(&described.stdout).ok()?;
        (described["state"] == "Stable" && described["lag"] == 0 && described["partitions"][0]["committed"] == 5)
            .then_some(described)
    });
    assert_eq!(described["assignor"], "range");
    let shown = &described["members"][0];
    assert_eq!(
        (&shown["client"], &shown["host"], &shown["instance"]),
        (&"frazil".into(), &"127.0.0.1".into(), &"desk".into())
    );
    assert_eq!(
        shown["assigned"],
        serde_json::json!([{"topic": topic, "partition": 0}, {"topic": topic, "partition": 1}])
    );
    assert_eq!(described["partitions"][0]["member"], shown["member"]);
    let table = subject.ok(&["group", "describe", group]);
    assert!(table.contains("type         classic (range)") && table.contains("in-use:0-1"), "{table}");

    let said = subject.refused(1, &["group", "delete", group]);
    assert!(said.contains("NonEmptyGroup") && said.contains("frazil group describe in-use-group"), "{said}");
    let said = subject.refused(1, &["group", "delete", group, "--dry-run"]);
    assert!(said.contains("NonEmptyGroup") && said.contains("1 member"), "{said}");
    for execute in [&["--execute"][..], &[]] {
        let arguments = [&["group", "reset", group, "--to-earliest", "--all-topics"], execute].concat();
        let said = subject.refused(1, &arguments);
        assert!(said.contains("it is Stable and has 1 member\n") && said.contains("stop its members"), "{said}");
    }
    assert_eq!(committed(subject, group), [5, 5]);
    member.interrupt(super::PATIENCE).expect("it ends");
}

fn a_group_of_the_consumer_protocol_is_shown_alike(subject: &Subject) {
    let (topic, group) = ("modern", "modern-group");
    subject.topic(topic, 2, 3);
    let mut java = subject.tools.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
    java.args(["--bootstrap-server", &subject.bootstrap, "--topic", topic, "--group", group, "--from-beginning"]);
    java.args(["--consumer-property", "group.protocol=consumer", "--consumer-property", "auto.commit.interval.ms=100"]);
    let member = frazil_tests::command::Running::start(&mut java).expect("Java starts");
    let described = wait_for("the Java consumer has read and committed", || {
        let described = subject.run(&["group", "describe", group, "-o", "json"]);
        let described: Value = serde_json::from_str(&described.stdout).ok()?;
        (described["state"] == "Stable" && described["lag"] == 0 && committed(subject, group) == [3, 3])
            .then_some(described)
    });
    assert_eq!((&described["type"], &described["assignor"]), (&"consumer".into(), &"uniform".into()));
    assert!(described["epoch"].as_i64() >= Some(1), "{described}");
    let shown = &described["members"][0];
    assert!(shown["epoch"].as_i64() >= Some(1) && shown["client"] == "console-consumer", "{described}");
    assert_eq!(shown["assigned"].as_array().map(Vec::len), Some(2));
    let listed = subject.json(&["group", "list", "--type", "consumer"]);
    assert!(listed.as_array().expect("groups").iter().any(|listed| listed["group"] == group), "{listed}");
    let said = subject.refused(1, &["group", "reset", group, "--to-earliest", "--all-topics", "--execute"]);
    assert!(said.contains("in use"), "{said}");
    // Java leaves the group, and ends with the signal's code.
    drop(member.interrupt(super::PATIENCE));
    wait_for("the Java consumer left", || (describe(subject, group)["state"] == "Empty").then_some(()));
    reset(subject, group, &["--to-offset", "1", "--all-topics", "--execute"]);
    assert_eq!(committed(subject, group), [1, 1]);
}

/// On Kafka, which has more than one broker without a database.
#[test]
fn groups_are_listed_although_one_broker_is_silent() {
    let (tools, folder) = (Tools::locate().expect("the tools"), TempDir::new().expect("a folder"));
    // It is a member of the cluster for as long as the test takes.
    let kafka = KafkaProcess::start(&tools, folder.path(), &[("broker.session.timeout.ms", "600000")]);
    let kafka = kafka.expect("Kafka starts");
    let silent = kafka.join(&tools, folder.path(), 2, &[]).expect("another one starts");
    let list = || {
        let mut command = Command::new(built_binary().expect("the binary"));
        command.args(["group", "list", "--timeout", "5s"]).env("FRAZIL_BOOTSTRAP", kafka.bootstrap());
        let output = command.stdin(Stdio::null()).output().expect("frazil runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    assert_eq!(list(), (Some(0), String::new()));
    let pid = Pid::from_raw(i32::try_from(silent.id()).expect("a process id")).expect("a process id");
    kill_process(pid, Signal::STOP).expect("it runs");
    let (code, said) = list();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("warning: broker 2 did not tell its groups: "), "{said}");
    drop(silent);
}
