//! MirrorMaker 2 between Apache Kafka and the broker that is tried, both ways at once.

use super::checks::{Check, Scene, contains, names, read_committed, run_checks, same_lines, wait_until};
use super::logged::Logged;
use super::subject::Broker;
use super::{Case, Run, Suite};
use crate::{KafkaProcess, Tools};
use anyhow::{Result, ensure};
use std::time::Duration;

/// The suite.
pub struct Mirror;

const CASES: &[Check] = &[("both-ways", both_ways), ("exactly-once-killed", exactly_once_killed)];

impl Suite for Mirror {
    fn name(&self) -> &'static str {
        "mirror"
    }

    fn broker(&self) -> Broker {
        Broker::default()
    }

    fn cases(&self, _: &Tools) -> Result<Vec<String>> {
        Ok(names(CASES))
    }

    fn run(&self, run: &Run<'_>, cases: &[String]) -> Result<Vec<Case>> {
        // Each case has a Kafka of its own beside the broker; both mirror everything they see.
        run_checks(CASES, &Run { jobs: 1, ..*run }, cases)
    }
}

const PATIENCE: Duration = Duration::from_secs(240);
const RECORDS: usize = 2_000;

/// The broker, a Kafka on the other side, and the mirror between them.
struct Sides<'a> {
    scene: &'a Scene<'a>,
    other: KafkaProcess,
}

impl<'a> Sides<'a> {
    fn new(scene: &'a Scene<'a>) -> Result<Sides<'a>> {
        let other =
            KafkaProcess::start(scene.run.tools, scene.folder.path(), &[("auto.create.topics.enable", "false")])?;
        Ok(Sides { scene, other })
    }

    fn mirror(&self, topics: &str, groups: &str, more: &str) -> Result<Logged> {
        let settings = format!(
            "clusters = other, subject\nother.bootstrap.servers = {}\nsubject.bootstrap.servers = {}\n\
             other->subject.enabled = true\nsubject->other.enabled = true\ntopics = {topics}\ngroups = {groups}\n\
             replication.factor = 1\ncheckpoints.topic.replication.factor = 1\nheartbeats.topic.replication.factor = 1\n\
             offset-syncs.topic.replication.factor = 1\nconfig.storage.replication.factor = 1\n\
             offset.storage.replication.factor = 1\nstatus.storage.replication.factor = 1\n\
             offset.storage.partitions = 2\nstatus.storage.partitions = 2\n\
             refresh.topics.interval.seconds = 3\nrefresh.groups.interval.seconds = 3\n\
             sync.group.offsets.enabled = true\nsync.group.offsets.interval.seconds = 2\n\
             emit.checkpoints.interval.seconds = 2\nsync.topic.configs.interval.seconds = 5\n\
             offset.lag.max = 0\noffset.flush.interval.ms = 1000\nsession.timeout.ms = 6000\n{more}",
            self.other.bootstrap(),
            self.scene.bootstrap()
        );
        let settings = self.scene.file("mirror.properties", &settings)?;
        let mut java = self.scene.java("org.apache.kafka.connect.mirror.MirrorMaker")?;
        self.scene.start(java.arg(settings), "mirror")
    }

    fn tool(&self, bootstrap: &str, class: &str, arguments: &[&str], input: &str) -> Result<String> {
        self.scene.tool_with_input(class, &[&["--bootstrap-server", bootstrap], arguments].concat(), input)
    }

    fn fill(&self, bootstrap: &str, topic: &str, from: usize, to: usize) -> Result<()> {
        let lines: String = lines(from, to).iter().map(|line| format!("{line}\n")).collect();
        self.tool(bootstrap, "ConsoleProducer", &["--topic", topic], &lines)?;
        Ok(())
    }

    fn create(&self, bootstrap: &str, topic: &str) -> Result<()> {
        let arguments = ["--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=86400000"];
        self.tool(bootstrap, "TopicCommand", &arguments, "")?;
        Ok(())
    }

    /// Waits until the mirrored topic holds lines `0..count`, each once.
    fn arrived(&self, bootstrap: &str, topic: &str, count: usize) -> Result<()> {
        let mut found = Vec::new();
        let waited = wait_until(&format!("{topic} holds {count} records"), PATIENCE, || {
            let exists = self.tool(bootstrap, "TopicCommand", &["--list"], "")?.lines().any(|name| name == topic);
            found = if exists { read_committed(self.scene, bootstrap, topic)? } else { Vec::new() };
            Ok(found.len() >= count)
        });
        same_lines(found, lines(0, count))?;
        waited
    }
}

fn lines(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("record {number}")).collect()
}

/// The sum of a group's positions in a topic's partitions, from its description. A producer may have left one empty, and
/// the group has no position in that.
fn positions(described: &str, topic: &str) -> usize {
    let rows = described.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_topic = rows.filter(|cells| cells.get(1) == Some(&topic));
    of_topic.filter_map(|cells| cells.get(3)?.parse::<usize>().ok()).sum()
}

/// Topics with their settings, records, and a group's position, in both directions at once.
fn both_ways(scene: &Scene<'_>) -> Result<()> {
    let sides = Sides::new(scene)?;
    let (other, subject) = (sides.other.bootstrap(), scene.bootstrap().to_owned());
    let (orders, packers) = (scene.own("orders"), scene.own("packers"));
    let (invoices, clerks) = (scene.own("invoices"), scene.own("clerks"));
    let (orders_here, invoices_there) = (format!("other.{orders}"), format!("subject.{invoices}"));
    sides.create(&other, &orders)?;
    sides.create(&subject, &invoices)?;
    sides.fill(&other, &orders, 0, RECORDS)?;
    sides.fill(&subject, &invoices, 0, RECORDS)?;
    let mirror = sides.mirror(&format!("{orders}, {invoices}"), &format!("{packers}, {clerks}"), "")?;
    sides.arrived(&subject, &orders_here, RECORDS)?;
    sides.arrived(&other, &invoices_there, RECORDS)?;
    let settings = sides.tool(&subject, "TopicCommand", &["--describe", "--topic", &orders_here], "")?;
    contains(&settings, &["PartitionCount: 3", "retention.ms=86400000"])?;
    sides.fill(&other, &orders, RECORDS, 2 * RECORDS)?;
    sides.fill(&subject, &invoices, RECORDS, 2 * RECORDS)?;
    sides.arrived(&subject, &orders_here, 2 * RECORDS)?;
    sides.arrived(&other, &invoices_there, 2 * RECORDS)?;
    // The mirror translates no position before the first offset that it knows on both sides, and when it starts late it
    // knows only the last ones. So the groups read to the end.
    let all = (2 * RECORDS).to_string();
    for (bootstrap, topic, group) in [(&other, &orders, &packers), (&subject, &invoices, &clerks)] {
        let read = ["--topic", topic, "--from-beginning", "--max-messages", &all, "--group", group];
        sides.tool(bootstrap, "consumer.ConsoleConsumer", &read, "")?;
    }
    for (bootstrap, group, topic) in [(&subject, &packers, &orders_here), (&other, &clerks, &invoices_there)] {
        wait_until(&format!("{group} is at the end of {topic}"), PATIENCE, || {
            let described =
                sides.tool(bootstrap, "consumer.group.ConsumerGroupCommand", &["--describe", "--group", group], "");
            Ok(described.is_ok_and(|text| positions(&text, topic) == 2 * RECORDS))
        })?;
    }
    let listed = sides.tool(&subject, "TopicCommand", &["--list"], "")?;
    contains(&listed, &["heartbeats", "mm2-configs.other.internal", "mm2-offset-syncs.other.internal"])?;
    mirror.terminate()?;
    ensure!(mirror.wait(PATIENCE)?.is_some(), "the mirror does not end");
    Ok(())
}

/// With exactly-once support on both sides the mirror may be killed at any time.
fn exactly_once_killed(scene: &Scene<'_>) -> Result<()> {
    let sides = Sides::new(scene)?;
    let (other, subject) = (sides.other.bootstrap(), scene.bootstrap().to_owned());
    let (there, here) = (scene.own("there"), scene.own("here"));
    sides.create(&other, &there)?;
    sides.create(&subject, &here)?;
    let exactly_once = "subject.exactly.once.source.support = enabled\nother.exactly.once.source.support = enabled\n\
                        dedicated.mode.enable.internal.rest = true\nlisteners = http://127.0.0.1:0\n";
    let topics = format!("{there}, {here}");
    let mut mirror = sides.mirror(&topics, "nobody", exactly_once)?;
    for round in 0..3 {
        sides.fill(&other, &there, round * RECORDS, (round + 1) * RECORDS)?;
        sides.fill(&subject, &here, round * RECORDS, (round + 1) * RECORDS)?;
        if round < 2 {
            let some = |bootstrap: &str, topic: &str| {
                Ok::<_, anyhow::Error>({
                    let listed = sides.tool(bootstrap, "TopicCommand", &["--list"], "")?;
                    listed.lines().any(|name| name == topic) && !read_committed(scene, bootstrap, topic)?.is_empty()
                })
            };
            wait_until("something was mirrored", PATIENCE, || some(&subject, &format!("other.{there}")))?;
            mirror.kill();
            mirror = sides.mirror(&topics, "nobody", exactly_once)?;
        }
    }
    sides.arrived(&subject, &format!("other.{there}"), 3 * RECORDS)?;
    sides.arrived(&other, &format!("subject.{here}"), 3 * RECORDS)?;
    mirror.terminate()?;
    ensure!(mirror.wait(PATIENCE)?.is_some(), "the mirror does not end");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_in_the_topic() {
        let described = "\nGROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG\n\
                         g other.t 1 3681 3681 0\ng other.t 2 319 319 0\ng t 2 7 7 0\ng other.t 0 - 0 -\n";
        assert_eq!(positions(described, "other.t"), 4_000);
        assert_eq!(positions(described, "other.u"), 0);
    }
}
