//! Kafka's command-line tools, one case each.

use crate::suites::checks::{Scene, contains, wait_until};
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;

const GROUPS: &str = "consumer.group.ConsumerGroupCommand";
const CONSUMER: &str = "consumer.ConsoleConsumer";
const PATIENCE: Duration = Duration::from_secs(90);

fn configs(scene: &Scene<'_>, arguments: &[&str]) -> Result<String> {
    let mut java = scene.java("kafka.admin.ConfigCommand")?;
    scene.finish(java.args(["--bootstrap-server", scene.bootstrap()]).args(arguments), "")
}

/// How ProducerPerformance is told where the broker is.
fn producer_of(scene: &Scene<'_>) -> [String; 2] {
    ["--producer-props".to_owned(), format!("bootstrap.servers={}", scene.bootstrap())]
}

/// A topic with `count` lines in each of its partitions.
fn filled_topic(scene: &Scene<'_>, partitions: u32, count: usize) -> Result<String> {
    let topic = scene.own("topic");
    scene.create_topic(&topic, partitions)?;
    let lines: String = (0..count).map(|number| format!("line {number}\n")).collect();
    scene.tool_with_input("ConsoleProducer", &["--topic", &topic], &lines)?;
    Ok(topic)
}

/// A group that read `count` records of a topic and ended.
fn group_that_read(scene: &Scene<'_>, topic: &str, count: usize) -> Result<String> {
    let group = scene.own("group");
    let count = count.to_string();
    scene.tool(CONSUMER, &["--topic", topic, "--group", &group, "--from-beginning", "--max-messages", &count])?;
    Ok(group)
}

/// The row of a group's description for a partition: group, topic, partition, current, end, lag, and so on.
fn row(described: &str, topic: &str, partition: u32) -> Result<Vec<String>> {
    let partition = partition.to_string();
    let rows = described.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let mut wanted =
        rows.filter(|cells| cells.get(1).is_some_and(|cell| cell == topic) && cells.get(2) == Some(&partition));
    wanted.next().with_context(|| format!("no row for {topic} {partition} in:\n{described}"))
}

pub fn topics(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    let run = |arguments: &[&str]| scene.tool("TopicCommand", arguments);
    run(&["--create", "--topic", &topic, "--partitions", "3", "--config", "retention.ms=60000"])?;
    contains(&run(&["--describe", "--topic", &topic])?, &["PartitionCount: 3", "retention.ms=60000", "Isr: 0"])?;
    run(&["--alter", "--topic", &topic, "--partitions", "5"])?;
    contains(&run(&["--describe", "--topic", &topic])?, &["PartitionCount: 5"])?;
    contains(&run(&["--list"])?, &[&topic])?;
    let again = run(&["--create", "--topic", &topic]);
    ensure!(again.is_err_and(|error| error.to_string().contains("already exists")), "it could be made twice");
    for states in ["--under-replicated-partitions", "--unavailable-partitions", "--at-min-isr-partitions"] {
        run(&["--describe", states])?;
    }
    run(&["--delete", "--topic", &topic])?;
    ensure!(!run(&["--list"])?.contains(&topic), "it is listed after its deletion");
    Ok(())
}

pub fn configs_of_topics_and_brokers(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    scene.create_topic(&topic, 1)?;
    let entity = ["--entity-type", "topics", "--entity-name", topic.as_str()];
    let with = |arguments: &[&'static str]| -> Vec<&str> { [&entity[..], arguments].concat() };
    configs(scene, &with(&["--alter", "--add-config", "retention.ms=120000,cleanup.policy=[compact,delete]"]))?;
    let described = configs(scene, &with(&["--describe"]))?;
    contains(&described, &["retention.ms=120000 sensitive=false", "DYNAMIC_TOPIC_CONFIG:retention.ms=120000"])?;
    let all = configs(scene, &with(&["--describe", "--all"]))?;
    contains(&all, &["segment.bytes=", "min.insync.replicas=", "DEFAULT_CONFIG:"])?;
    configs(scene, &with(&["--alter", "--delete-config", "retention.ms"]))?;
    ensure!(!configs(scene, &with(&["--describe"]))?.contains("retention.ms"), "it was not deleted");
    let refused = configs(scene, &with(&["--alter", "--add-config", "retention.ms=soon"]));
    ensure!(refused.is_err_and(|error| error.to_string().contains("InvalidConfig")), "a wrong value was accepted");

    let broker = ["--entity-type", "brokers", "--entity-name", "0"];
    let all = configs(scene, &[&broker[..], &["--describe", "--all"]].concat())?;
    contains(&all, &["num.partitions=4", "STATIC_BROKER_CONFIG:num.partitions=4", "log.retention.hours="])?;
    configs(scene, &[&broker[..], &["--alter", "--add-config", "log.cleaner.threads=2"]].concat())?;
    contains(&configs(scene, &[&broker[..], &["--describe"]].concat())?, &["log.cleaner.threads=2"])?;
    configs(scene, &[&broker[..], &["--alter", "--delete-config", "log.cleaner.threads"]].concat())?;
    configs(scene, &["--entity-type", "brokers", "--entity-default", "--describe"])?;
    Ok(())
}

pub fn configs_of_groups(scene: &Scene<'_>) -> Result<()> {
    let group = scene.own("group");
    let entity = ["--entity-type", "groups", "--entity-name", group.as_str()];
    configs(scene, &[&entity[..], &["--alter", "--add-config", "consumer.session.timeout.ms=50000"]].concat())?;
    contains(&configs(scene, &[&entity[..], &["--describe"]].concat())?, &["consumer.session.timeout.ms=50000"])?;
    configs(scene, &[&entity[..], &["--alter", "--delete-config", "consumer.session.timeout.ms"]].concat())?;
    Ok(())
}

pub fn configs_of_quotas(scene: &Scene<'_>) -> Result<()> {
    let user = scene.own("user");
    let entity = ["--entity-type", "users", "--entity-name", user.as_str()];
    configs(scene, &[&entity[..], &["--alter", "--add-config", "producer_byte_rate=1024000"]].concat())?;
    contains(&configs(scene, &[&entity[..], &["--describe"]].concat())?, &["producer_byte_rate=1024000"])?;
    let of_clients = ["--entity-type", "clients", "--entity-default"];
    configs(scene, &[&of_clients[..], &["--alter", "--add-config", "request_percentage=200"]].concat())?;
    contains(&configs(scene, &[&of_clients[..], &["--describe"]].concat())?, &["request_percentage=200"])?;
    configs(scene, &[&of_clients[..], &["--alter", "--delete-config", "request_percentage"]].concat())?;
    configs(scene, &[&entity[..], &["--alter", "--delete-config", "producer_byte_rate"]].concat())?;
    let described = configs(scene, &[&entity[..], &["--describe"]].concat())?;
    ensure!(!described.contains("producer_byte_rate"), "it was not deleted:\n{described}");
    Ok(())
}

pub fn configs_of_scram_users(scene: &Scene<'_>) -> Result<()> {
    let user = scene.own("user");
    let entity = ["--entity-type", "users", "--entity-name", user.as_str()];
    // One at a time: Kafka refuses two changes of one user in one request.
    for add in ["SCRAM-SHA-256=[iterations=8192,password=secret]", "SCRAM-SHA-512=[password=secret]"] {
        configs(scene, &[&entity[..], &["--alter", "--add-config", add]].concat())?;
    }
    let described = configs(scene, &[&entity[..], &["--describe"]].concat())?;
    contains(&described, &["SCRAM-SHA-256=iterations=8192", "SCRAM-SHA-512=iterations=4096"])?;
    configs(scene, &[&entity[..], &["--alter", "--delete-config", "SCRAM-SHA-256"]].concat())?;
    let described = configs(scene, &[&entity[..], &["--describe"]].concat())?;
    ensure!(!described.contains("SCRAM-SHA-256") && described.contains("SCRAM-SHA-512"), "one is left:\n{described}");
    Ok(())
}

pub fn client_metrics(scene: &Scene<'_>) -> Result<()> {
    let name = scene.own("metrics");
    let run = |arguments: &[&str]| scene.tool("ClientMetricsCommand", arguments);
    run(&["--alter", "--name", &name, "--metrics", "org.apache.kafka.producer.", "--interval", "60000"])?;
    contains(&run(&["--list"])?, &[&name])?;
    contains(&run(&["--describe", "--name", &name])?, &["interval.ms=60000"])?;
    run(&["--delete", "--name", &name])?;
    Ok(())
}

pub fn consumer_groups(scene: &Scene<'_>) -> Result<()> {
    let topic = filled_topic(scene, 1, 100)?;
    let group = group_that_read(scene, &topic, 60)?;
    let run = |arguments: &[&str]| scene.tool(GROUPS, arguments);
    contains(&run(&["--list"])?, &[&group])?;
    contains(&run(&["--list", "--state", "Empty"])?, &[&group])?;
    contains(&run(&["--list", "--type", "classic"])?, &[&group])?;
    let described = run(&["--describe", "--group", &group])?;
    ensure!(row(&described, &topic, 0)?[3..6] == ["60", "100", "40"], "current, end and lag in:\n{described}");
    contains(&run(&["--describe", "--group", &group, "--state"])?, &["Empty"])?;
    let deleted = run(&["--delete-offsets", "--group", &group, "--topic", &topic])?;
    contains(&deleted, &["Successful"])?;
    contains(&run(&["--delete", "--group", &group])?, &["successful"])?;
    ensure!(!run(&["--list"])?.contains(&group), "it is listed after its deletion");
    let gone = run(&["--describe", "--group", &group]);
    let said = gone.unwrap_or_else(|error| error.to_string());
    contains(&said, &["not found"])
}

pub fn consumer_groups_reset(scene: &Scene<'_>) -> Result<()> {
    let topic = filled_topic(scene, 1, 100)?;
    let group = group_that_read(scene, &topic, 100)?;
    let ways: [(&[&str], &str); 6] = [
        (&["--to-earliest"], "0"),
        (&["--to-latest"], "100"),
        (&["--to-offset", "30"], "30"),
        (&["--shift-by", "-10"], "20"),
        (&["--to-datetime", "2001-01-01T00:00:00.000"], "0"),
        (&["--by-duration", "P1D"], "0"),
    ];
    for (way, expected) in ways {
        let dry = [&["--reset-offsets", "--group", &group, "--topic", &topic, "--dry-run"], way].concat();
        let planned = scene.tool(GROUPS, &dry)?;
        contains(&planned, &[expected])?;
        let execute = [&["--reset-offsets", "--group", &group, "--topic", &topic, "--execute"], way].concat();
        scene.tool(GROUPS, &execute)?;
        let described = scene.tool(GROUPS, &["--describe", "--group", &group])?;
        ensure!(row(&described, &topic, 0)?[3] == expected, "{way:?} did not lead to {expected}:\n{described}");
    }
    Ok(())
}

/// A group while it has members, of either protocol.
pub fn consumer_groups_members(scene: &Scene<'_>) -> Result<()> {
    let topic = filled_topic(scene, 2, 10)?;
    for protocol in ["classic", "consumer"] {
        let group = scene.own(protocol);
        let mut java = scene.java("org.apache.kafka.tools.VerifiableConsumer")?;
        java.args(["--bootstrap-server", scene.bootstrap(), "--topic", &topic, "--group-id", &group]);
        let member = scene.start(java.args(["--group-protocol", protocol]), protocol)?;
        wait_until("it has partitions", PATIENCE, || Ok(scene.said_by(protocol).contains("partitions_assigned")))?;
        wait_until("it committed what it read", PATIENCE, || {
            Ok(scene.said_by(protocol).contains("offsets_committed"))
        })?;
        let state = scene.tool(GROUPS, &["--describe", "--group", &group, "--state"])?;
        contains(&state, &["Stable", scene.bootstrap()])?;
        let members = scene.tool(GROUPS, &["--describe", "--group", &group, "--members", "--verbose"])?;
        contains(&members, &["/127.0.0.1", &format!("{topic}:0,1")])?;
        let described = scene.tool(GROUPS, &["--describe", "--group", &group])?;
        contains(&row(&described, &topic, 0)?.join(" "), &["/127.0.0.1"])?;
        let refused = scene.tool(GROUPS, &["--delete", "--group", &group]);
        let said = refused.unwrap_or_else(|error| error.to_string());
        contains(&said, &["not empty"])?;
        contains(&scene.tool(GROUPS, &["--list", "--state", "Stable"])?, &[&group])?;
        member.terminate()?;
        member.wait(PATIENCE)?;
    }
    Ok(())
}

pub fn groups(scene: &Scene<'_>) -> Result<()> {
    let topic = filled_topic(scene, 1, 10)?;
    let group = group_that_read(scene, &topic, 10)?;
    let listed = scene.tool("GroupsCommand", &["--list"])?;
    let line = listed.lines().find(|line| line.starts_with(&group)).unwrap_or_default();
    contains(line, &["Classic", "consumer"])
}

pub fn delete_records(scene: &Scene<'_>) -> Result<()> {
    let topic = filled_topic(scene, 1, 100)?;
    let file = format!(r#"{{"partitions": [{{"topic": "{topic}", "partition": 0, "offset": 40}}], "version": 1}}"#);
    let file = scene.file("offsets.json", &file)?;
    contains(&scene.tool("DeleteRecordsCommand", &["--offset-json-file", &file])?, &["low_watermark: 40"])?;
    let earliest = scene.tool("GetOffsetShell", &["--topic", &topic, "--time", "-2"])?;
    contains(&earliest, &[&format!("{topic}:0:40")])?;
    let read = scene.tool(CONSUMER, &["--topic", &topic, "--from-beginning", "--max-messages", "60"])?;
    ensure!(read.lines().next() == Some("line 40"), "the first record is {:?}", read.lines().next());
    Ok(())
}

pub fn get_offsets(scene: &Scene<'_>) -> Result<()> {
    let topic = filled_topic(scene, 1, 50)?;
    for (time, expected) in [("-1", "50"), ("-2", "0"), ("earliest", "0"), ("latest", "50"), ("1", "0")] {
        let found = scene.tool("GetOffsetShell", &["--topic", &topic, "--time", time])?;
        contains(&found, &[&format!("{topic}:0:{expected}")])?;
    }
    contains(&scene.tool("GetOffsetShell", &["--topic", &topic, "--time", "max-timestamp"])?, &[&topic])
}

pub fn log_dirs(scene: &Scene<'_>) -> Result<()> {
    let topic = filled_topic(scene, 1, 100)?;
    let described = scene.tool("LogDirsCommand", &["--describe", "--topic-list", &topic])?;
    contains(&described, &["\"broker\":0", "\"logDirs\"", &format!("\"partition\":\"{topic}-0\"")])?;
    ensure!(!described.contains("\"size\":0,"), "a partition with records has a size:\n{described}");
    Ok(())
}

pub fn features(scene: &Scene<'_>) -> Result<()> {
    let described = scene.tool("FeatureCommand", &["--bootstrap-server", scene.bootstrap(), "describe"])?;
    for (feature, level) in [("metadata.version", ""), ("transaction.version", "2"), ("group.version", "1")] {
        let line = described.lines().find(|line| line.starts_with(&format!("Feature: {feature}\t")));
        let line = line.with_context(|| format!("{feature} is missing in:\n{described}"))?;
        contains(line, &[&format!("FinalizedVersionLevel: {level}")])?;
    }
    Ok(())
}

pub fn transactions(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    scene.create_topic(&topic, 1)?;
    let id = scene.own("id");
    let mut perf = scene.java("org.apache.kafka.tools.ProducerPerformance")?;
    perf.args(["--topic", &topic, "--num-records", "500", "--record-size", "50", "--throughput", "-1"]);
    perf.args(["--transactional-id", &id]).args(producer_of(scene));
    scene.finish(&mut perf, "")?;
    let run = |arguments: &[&str]| {
        scene.tool("TransactionsCommand", &[&["--bootstrap-server", scene.bootstrap()], arguments].concat())
    };
    let listed = run(&["list"])?;
    let line = listed.lines().find(|line| line.starts_with(&id)).with_context(|| format!("not listed:\n{listed}"))?;
    contains(line, &["CompleteCommit"])?;
    contains(&run(&["describe", "--transactional-id", &id])?, &[&id, "CompleteCommit"])?;
    contains(&run(&["describe-producers", "--topic", &topic, "--partition", "0"])?, &["ProducerEpoch", "None"])?;
    run(&["find-hanging", "--broker-id", "0"])?;
    Ok(())
}

pub fn reassign_partitions(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    scene.create_topic(&topic, 2)?;
    let part = |number| format!(r#"{{"topic": "{topic}", "partition": {number}, "replicas": [0]}}"#);
    let plan = format!(r#"{{"version": 1, "partitions": [{}, {}]}}"#, part(0), part(1));
    let plan = scene.file("plan.json", &plan)?;
    let run = |arguments: &[&str]| scene.tool("reassign.ReassignPartitionsCommand", arguments);
    contains(&run(&["--reassignment-json-file", &plan, "--execute"])?, &["Successfully started"])?;
    contains(&run(&["--reassignment-json-file", &plan, "--verify"])?, &["is completed"])?;
    contains(&run(&["--list"])?, &["No partition reassignments found"])
}

pub fn leader_election(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    scene.create_topic(&topic, 1)?;
    let arguments = ["--election-type", "preferred", "--topic", &topic, "--partition", "0"];
    let said = scene.tool("LeaderElectionCommand", &arguments)?;
    contains(&said, &["Valid replica already elected for partitions"])
}

pub fn metadata_quorum(scene: &Scene<'_>) -> Result<()> {
    let server = ["--bootstrap-server", scene.bootstrap()];
    let status = scene.tool("MetadataQuorumCommand", &[&server[..], &["describe", "--status"]].concat())?;
    contains(&status, &["ClusterId:", "LeaderId:", "CurrentVoters:"])?;
    let replication = scene.tool("MetadataQuorumCommand", &[&server[..], &["describe", "--replication"]].concat())?;
    contains(&replication, &["Leader"])
}

pub fn cluster_and_api_versions(scene: &Scene<'_>) -> Result<()> {
    let server = ["--bootstrap-server", scene.bootstrap()];
    let id = scene.tool("ClusterTool", &[&["cluster-id"], &server[..]].concat())?;
    ensure!(id.trim().len() > "Cluster ID: ".len(), "{id}");
    contains(&scene.tool("ClusterTool", &[&["list-endpoints"], &server[..]].concat())?, &["127.0.0.1"])?;
    contains(&scene.tool("BrokerApiVersionsCommand", &[])?, &["Produce(0): 0 to "])
}

pub fn end_to_end_latency(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    scene.create_topic(&topic, 1)?;
    let mut java = scene.java("org.apache.kafka.tools.EndToEndLatency")?;
    let said = scene.finish(java.args([scene.bootstrap(), &topic, "500", "all", "100"]), "")?;
    contains(&said, &["Percentiles: 50th"])
}

pub fn performance(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    scene.create_topic(&topic, 4)?;
    let mut perf = scene.java("org.apache.kafka.tools.ProducerPerformance")?;
    perf.args(["--topic", &topic, "--num-records", "100000", "--record-size", "200", "--throughput", "-1"]);
    contains(&scene.finish(perf.args(producer_of(scene)), "")?, &["100000 records sent"])?;
    let read = scene.tool("ConsumerPerformance", &["--topic", &topic, "--messages", "100000"])?;
    let cells: Vec<&str> = read.lines().last().unwrap_or_default().split(',').map(str::trim).collect();
    ensure!(cells.get(4).and_then(|count| count.parse().ok()).is_some_and(|count: u64| count >= 100_000), "{read}");
    Ok(())
}

pub fn transactional_performance(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    scene.create_topic(&topic, 4)?;
    let mut perf = scene.java("org.apache.kafka.tools.ProducerPerformance")?;
    perf.args(["--topic", &topic, "--num-records", "20000", "--record-size", "100", "--throughput", "10000"]);
    perf.args(["--transactional-id", &scene.own("id"), "--transaction-duration-ms", "100"]);
    contains(&scene.finish(perf.args(producer_of(scene)), "")?, &["20000 records sent"])?;
    let read = scene.committed_values(&topic)?.len();
    ensure!(read == 20_000, "{read} committed records");
    Ok(())
}

/// It goes on where it stopped.
pub fn console_consumer_group(scene: &Scene<'_>) -> Result<()> {
    let topic = filled_topic(scene, 1, 100)?;
    let group = group_that_read(scene, &topic, 60)?;
    let rest = scene.tool(CONSUMER, &["--topic", &topic, "--group", &group, "--max-messages", "40"])?;
    ensure!(rest.lines().next() == Some("line 60"), "it went on at {:?}", rest.lines().next());
    let new = scene.own("new-protocol");
    let arguments = ["--topic", &topic, "--group", &new, "--from-beginning", "--max-messages", "100"];
    let with_protocol = [&arguments[..], &["--consumer-property", "group.protocol=consumer"]].concat();
    ensure!(scene.tool(CONSUMER, &with_protocol)?.lines().count() == 100, "not 100 records");
    Ok(())
}

pub fn console_consumer_pattern(scene: &Scene<'_>) -> Result<()> {
    let topic = filled_topic(scene, 1, 20)?;
    for protocol in ["classic", "consumer"] {
        let pattern = format!("{}.*", &topic[..topic.len() - 2]);
        let property = format!("group.protocol={protocol}");
        let arguments =
            ["--include", &pattern, "--from-beginning", "--max-messages", "20", "--consumer-property", &property];
        ensure!(scene.tool(CONSUMER, &arguments)?.lines().count() == 20, "not 20 records with {protocol}");
    }
    Ok(())
}

pub fn acls(scene: &Scene<'_>) -> Result<()> {
    let topic = scene.own("topic");
    let entity = ["--allow-principal", "User:alice", "--operation", "Read", "--topic", topic.as_str()];
    scene.tool("AclCommand", &[&["--add"], &entity[..]].concat())?;
    contains(&scene.tool("AclCommand", &["--list", "--topic", &topic])?, &["User:alice", "operation=READ"])?;
    scene.tool("AclCommand", &[&["--remove", "--force"], &entity[..]].concat())?;
    Ok(())
}
