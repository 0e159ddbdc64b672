//! VerifiableProducer and VerifiableConsumer: members of a group share what is produced, and nothing is read twice
//! while members come and go in order.

use crate::suites::checks::{Scene, wait_until};
use crate::suites::logged::Logged;
use anyhow::{Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const RECORDS: usize = 12_000;
const PARTITIONS: u32 = 6;
const PATIENCE: Duration = Duration::from_secs(120);

pub fn classic_range(scene: &Scene<'_>) -> Result<()> {
    members_share_and_leave(scene, &CLASSIC)
}

pub fn classic_cooperative(scene: &Scene<'_>) -> Result<()> {
    let assignor = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    members_share_and_leave(scene, &["--group-protocol", "classic", "--assignment-strategy", assignor])
}

pub fn consumer_uniform(scene: &Scene<'_>) -> Result<()> {
    members_share_and_leave(scene, &CONSUMER)
}

pub fn consumer_range(scene: &Scene<'_>) -> Result<()> {
    members_share_and_leave(scene, &["--group-protocol", "consumer", "--group-remote-assignor", "range"])
}

pub fn classic_static(scene: &Scene<'_>) -> Result<()> {
    a_static_member_comes_back(scene, &CLASSIC)
}

pub fn consumer_static(scene: &Scene<'_>) -> Result<()> {
    a_static_member_comes_back(scene, &CONSUMER)
}

pub fn classic_killed(scene: &Scene<'_>) -> Result<()> {
    a_killed_member_is_replaced(scene, &["--group-protocol", "classic", "--session-timeout", "6000"])
}

pub fn consumer_killed(scene: &Scene<'_>) -> Result<()> {
    a_killed_member_is_replaced(scene, &CONSUMER)
}

const CLASSIC: [&str; 2] = ["--group-protocol", "classic"];
const CONSUMER: [&str; 2] = ["--group-protocol", "consumer"];

/// A topic, a group, and members that come and go.
struct Group<'a> {
    scene: &'a Scene<'a>,
    topic: String,
    id: String,
}

impl<'a> Group<'a> {
    fn new(scene: &'a Scene<'a>) -> Result<Group<'a>> {
        let group = Group { scene, topic: scene.own("topic"), id: scene.own("group") };
        scene.create_topic(&group.topic, PARTITIONS)?;
        Ok(group)
    }

    fn join(&self, name: &str, how: &[&str]) -> Result<Logged> {
        let mut java = self.scene.java("org.apache.kafka.tools.VerifiableConsumer")?;
        java.args(["--bootstrap-server", self.scene.bootstrap(), "--topic", &self.topic, "--group-id", &self.id]);
        java.args(["--verbose"]).args(how);
        self.scene.start(&mut java, name)
    }

    /// Starts producing `count` records with values `prefix.0`, `prefix.1` and so on.
    fn produce(&self, prefix: &str, count: usize) -> Result<()> {
        let count_text = count.to_string();
        let arguments = ["--topic", &self.topic, "--max-messages", &count_text, "--value-prefix", prefix];
        let said = self.scene.tool("VerifiableProducer", &arguments)?;
        let acknowledged = events(&said, "producer_send_success").count();
        ensure!(acknowledged == count, "{acknowledged} of {count} records acknowledged");
        Ok(())
    }

    fn wait_for_members(&self, names: &[&str]) -> Result<()> {
        wait_until(&format!("every one of {names:?} has partitions, six in all"), PATIENCE, || {
            let held: Vec<BTreeSet<i64>> = names.iter().map(|name| self.held(name)).collect();
            let all: BTreeSet<i64> = held.iter().flatten().copied().collect();
            let is_disjoint = held.iter().map(BTreeSet::len).sum::<usize>() == all.len();
            Ok(is_disjoint && all.len() == PARTITIONS as usize && held.iter().all(|partitions| !partitions.is_empty()))
        })
    }

    /// Partitions of a member, from the assignments and revocations it printed.
    fn held(&self, name: &str) -> BTreeSet<i64> {
        let mut held = BTreeSet::new();
        for event in self.scene.said_by(name).lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let partitions = event["partitions"].as_array().into_iter().flatten();
            let partitions = partitions.filter_map(|partition| partition["partition"].as_i64());
            match event["name"].as_str() {
                Some("partitions_assigned") => held.extend(partitions),
                Some("partitions_revoked" | "partitions_lost") => partitions.for_each(|partition| {
                    held.remove(&partition);
                }),
                Some("startup_complete" | "shutdown_complete") => held.clear(),
                _ => {}
            }
        }
        held
    }

    /// How often each value was read by the named members.
    fn read(&self, names: &[&str]) -> BTreeMap<String, usize> {
        let mut values = BTreeMap::new();
        for name in names {
            for event in events(&self.scene.said_by(name), "record_data") {
                *values.entry(event["value"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        values
    }

    fn wait_until_all_is_read(&self, names: &[&str], count: usize) -> Result<()> {
        let what = format!("{names:?} read {count} records");
        let waited = wait_until(&what, PATIENCE, || Ok(self.read(names).len() >= count));
        waited.map_err(|error| error.context(format!("{} values were read", self.read(names).len())))
    }

    fn nothing_was_read_twice(&self, names: &[&str], count: usize) -> Result<()> {
        let values = self.read(names);
        let twice: Vec<_> = values.iter().filter(|(_, times)| **times > 1).take(5).collect();
        ensure!(values.len() == count && twice.is_empty(), "{} of {count} values, read twice: {twice:?}", values.len());
        Ok(())
    }

    fn leave(&self, name: &str, member: Logged) -> Result<()> {
        member.terminate()?;
        member.wait(PATIENCE)?;
        let said = self.scene.said_by(name);
        ensure!(events(&said, "shutdown_complete").count() >= 1, "{name} did not shut down in order");
        let failed: Vec<Value> = events(&said, "offsets_committed").filter(|event| event["success"] != true).collect();
        ensure!(failed.is_empty(), "commits of {name} failed: {failed:?}");
        Ok(())
    }
}

fn events<'a>(said: &'a str, name: &'a str) -> impl Iterator<Item = Value> + 'a {
    let parsed = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter(move |event| event["name"] == name)
}

/// Two members share, a third joins, one leaves, all in order: everything is read, nothing twice.
fn members_share_and_leave(scene: &Scene<'_>, how: &[&str]) -> Result<()> {
    let group = Group::new(scene)?;
    let first = group.join("first", how)?;
    let second = group.join("second", how)?;
    group.wait_for_members(&["first", "second"])?;
    group.produce("1", RECORDS)?;
    group.wait_until_all_is_read(&["first", "second"], RECORDS)?;
    let third = group.join("third", how)?;
    group.wait_for_members(&["first", "second", "third"])?;
    group.produce("2", RECORDS)?;
    group.wait_until_all_is_read(&["first", "second", "third"], 2 * RECORDS)?;
    group.leave("first", first)?;
    group.wait_for_members(&["second", "third"])?;
    group.produce("3", RECORDS)?;
    group.wait_until_all_is_read(&["first", "second", "third"], 3 * RECORDS)?;
    group.leave("second", second)?;
    group.leave("third", third)?;
    group.nothing_was_read_twice(&["first", "second", "third"], 3 * RECORDS)
}

/// A static member leaves and comes back: it gets its partitions again and the other one keeps its own throughout.
fn a_static_member_comes_back(scene: &Scene<'_>, how: &[&str]) -> Result<()> {
    let group = Group::new(scene)?;
    let named = |name: &'static str| [how, &["--group-instance-id", name]].concat();
    let first = group.join("first", &named("one"))?;
    let second = group.join("second", &named("two"))?;
    group.wait_for_members(&["first", "second"])?;
    let (held_by_first, held_by_second) = (group.held("first"), group.held("second"));
    group.leave("first", first)?;
    let first = group.join("first", &named("one"))?;
    group.wait_for_members(&["first", "second"])?;
    ensure!(group.held("first") == held_by_first, "the first member got other partitions when it came back");
    ensure!(group.held("second") == held_by_second, "the second member lost partitions meanwhile");
    let assignments = events(&scene.said_by("second"), "partitions_assigned").count();
    group.produce("1", RECORDS)?;
    group.wait_until_all_is_read(&["first", "second"], RECORDS)?;
    let later = events(&scene.said_by("second"), "partitions_assigned").count();
    ensure!(assignments == later, "the second member was assigned anew");
    group.leave("first", first)?;
    group.leave("second", second)?;
    group.nothing_was_read_twice(&["first", "second"], RECORDS)
}

/// A member is killed: the other one takes its partitions over and reads what is left, from what was committed.
fn a_killed_member_is_replaced(scene: &Scene<'_>, how: &[&str]) -> Result<()> {
    let group = Group::new(scene)?;
    let first = group.join("first", how)?;
    let second = group.join("second", how)?;
    group.wait_for_members(&["first", "second"])?;
    group.produce("1", RECORDS)?;
    group.wait_until_all_is_read(&["first", "second"], RECORDS)?;
    first.kill();
    group.wait_for_members(&["second"])?;
    group.produce("2", RECORDS)?;
    group.wait_until_all_is_read(&["first", "second"], 2 * RECORDS)?;
    group.leave("second", second)
}

/// Classic members are replaced by members of the new protocol and back, one by one, while the group goes on.
pub fn upgrade_and_downgrade(scene: &Scene<'_>) -> Result<()> {
    let group = Group::new(scene)?;
    let old_one = group.join("old-1", &CLASSIC)?;
    let old_two = group.join("old-2", &CLASSIC)?;
    group.wait_for_members(&["old-1", "old-2"])?;
    group.produce("1", RECORDS)?;
    group.wait_until_all_is_read(&["old-1", "old-2"], RECORDS)?;
    let new_one = group.join("new-1", &CONSUMER)?;
    group.leave("old-1", old_one)?;
    group.wait_for_members(&["old-2", "new-1"])?;
    group.produce("2", RECORDS)?;
    group.wait_until_all_is_read(&["old-1", "old-2", "new-1"], 2 * RECORDS)?;
    group.leave("old-2", old_two)?;
    let back = group.join("back-1", &CLASSIC)?;
    group.wait_for_members(&["new-1", "back-1"])?;
    group.leave("new-1", new_one)?;
    group.wait_for_members(&["back-1"])?;
    group.produce("3", RECORDS)?;
    let all = ["old-1", "old-2", "new-1", "back-1"];
    group.wait_until_all_is_read(&all, 3 * RECORDS)?;
    group.leave("back-1", back)?;
    group.nothing_was_read_twice(&all, 3 * RECORDS)
}
