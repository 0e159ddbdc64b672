//! `frazil consume -g`: a member among its own kind and among other clients.

use super::groups::{committed, describe};
use super::{PATIENCE, Subject, cases, values, wait_for};
use frazil_tests::command::Running;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

cases! {
    a_group_goes_on_where_it_stopped,
    two_members_share_the_partitions_and_hand_them_over,
    the_partitions_of_a_killed_member_go_to_the_others,
    a_static_member_comes_back_to_its_partitions_and_fences_its_double,
    a_member_reads_partitions_that_are_added,
    it_shares_a_group_with_librdkafka_whoever_leads,
    it_shares_a_group_with_the_java_consumer_whoever_leads,
    members_without_a_common_assignor_are_told_apart,
    a_member_that_waits_for_others_can_be_stopped,
    what_a_group_cannot_do_is_refused,
}

fn next(member: &mut Running) -> String {
    member.next_line(PATIENCE).expect("a record in time").expect("it goes on")
}

/// Lines until all of `expected` were seen; how often each was.
fn seen(member: &mut Running, expected: &[String]) -> BTreeMap<String, usize> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    while expected.iter().any(|value| !seen.contains_key(value)) {
        *seen.entry(next(member)).or_default() += 1;
    }
    seen
}

fn of_partitions(count: usize, of: std::ops::Range<usize>) -> Vec<String> {
    (0..count as i32).flat_map(|partition| values(partition, of.clone())).collect()
}

/// Waits until the group is stable and its members have so many partitions, in any order.
fn wait_for_shares(subject: &Subject, group: &str, shares: &[usize]) -> Value {
    wait_for(&format!("{group} is shared {shares:?}"), || {
        let described: Value =
            serde_json::from_str(&subject.run(&["group", "describe", group, "-o", "json"]).stdout).ok()?;
        let members = described["members"].as_array()?;
        let mut sizes: Vec<usize> =
            members.iter().map(|member| member["assigned"].as_array().map_or(0, Vec::len)).collect();
        sizes.sort_unstable();
        (described["state"] == "Stable" && sizes == shares).then_some(described)
    })
}

fn a_group_goes_on_where_it_stopped(subject: &Subject) {
    let (topic, group) = ("resumed", "resumed-group");
    subject.topic(topic, 1, 10);
    let consume = |more: &[&str]| subject.run(&[&["consume", topic, "-g", group], more].concat());
    let first = consume(&["-n", "3"]);
    assert_eq!(first.stdout.lines().collect::<Vec<_>>(), values(0, 0..3), "{first:?}");
    assert!(
        first.stderr.contains("reading resumed:0\n") && first.stderr.contains("3 records printed and committed"),
        "{first:?}"
    );
    assert_eq!(committed(subject, group), [3], "what was fetched and not printed is not committed");
    let rest = consume(&["-e", "-f", "%o %v\\n"]);
    assert_eq!(
        rest.stdout.lines().collect::<Vec<_>>(),
        values(0, 3..10).iter().enumerate().map(|(index, value)| format!("{} {value}", index + 3)).collect::<Vec<_>>()
    );
    assert_eq!(consume(&["-e"]).stdout, "", "all is read");
    assert_eq!(describe(subject, group)["state"], "Empty", "it left");
    // A group that is new to the topic starts where it is told.
    let ran = subject.run(&["consume", topic, "-g", "resumed-late", "-o", "-2", "-e"]);
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), values(0, 8..10));
    assert_eq!(subject.run(&["tail", topic, "-g", "resumed-tail", "-e"]).stdout, "");
    // Records that are gone are skipped, and said to be.
    subject.ok(&["group", "reset", group, "--to-earliest", "--all-topics", "--execute"]);
    subject.ok(&["topic", "delete-records", topic, "--before-offset", "6"]);
    let skipped = consume(&["-e"]);
    assert_eq!(skipped.stdout.lines().collect::<Vec<_>>(), values(0, 6..10));
    assert!(skipped.stderr.contains("offset 0 of resumed/0 is not readable; going on at 6"), "{skipped:?}");
}

fn two_members_share_the_partitions_and_hand_them_over(subject: &Subject) {
    let (topic, group) = ("shared", "shared-group");
    subject.topic(topic, 4, 5);
    let mut one = subject.start(&["consume", topic, "-g", group]);
    let first = of_partitions(4, 0..5);
    assert!(seen(&mut one, &first).values().all(|times| *times == 1));
    let mut two = subject.start(&["consume", topic, "-g", group]);
    wait_for_shares(subject, group, &[2, 2]);
    (0..4).for_each(|partition| subject.produce(topic, partition, &values(partition, 5..8)));
    let mut lines: Vec<String> = (0..6).map(|_| next(&mut one)).collect();
    lines.extend((0..6).map(|_| next(&mut two)));
    lines.sort();
    assert_eq!(lines, of_partitions(4, 5..8), "each record once, between the two");

    let (rest, said) = two.interrupt(PATIENCE).expect("it ends");
    assert!(rest.is_empty() && said.contains("6 records printed and committed"), "{rest:?} {said}");
    wait_for_shares(subject, group, &[4]);
    (0..4).for_each(|partition| subject.produce(topic, partition, &values(partition, 8..9)));
    assert!(
        seen(&mut one, &of_partitions(4, 8..9)).values().all(|times| *times == 1),
        "nothing twice after a farewell"
    );
    one.interrupt(PATIENCE).expect("it ends");
    let described = describe(subject, group);
    assert_eq!((&described["lag"], &described["state"]), (&0.into(), &"Empty".into()));
}

fn the_partitions_of_a_killed_member_go_to_the_others(subject: &Subject) {
    let (topic, group) = ("survived", "survived-group");
    subject.topic(topic, 2, 3);
    let arguments = ["consume", topic, "-g", group, "--session-timeout", "6s"];
    let mut stays = subject.start(&arguments);
    seen(&mut stays, &of_partitions(2, 0..3));
    let mut dies = subject.start(&arguments);
    wait_for_shares(subject, group, &[1, 1]);
    (0..2).for_each(|partition| subject.produce(topic, partition, &values(partition, 3..4)));
    next(&mut dies);
    dies.kill().expect("killed");
    wait_for_shares(subject, group, &[2]);
    (0..2).for_each(|partition| subject.produce(topic, partition, &values(partition, 4..5)));
    // What the dead one printed and did not commit may come again, but nothing is left out.
    seen(&mut stays, &of_partitions(2, 4..5));
    stays.interrupt(PATIENCE).expect("it ends");
    assert_eq!(describe(subject, group)["lag"], 0);
}

fn a_static_member_comes_back_to_its_partitions_and_fences_its_double(subject: &Subject) {
    let (topic, group) = ("static", "static-group");
    subject.topic(topic, 2, 2);
    let start = |name: &str| subject.start(&["consume", topic, "-g", group, "--instance-id", name]);
    let (desk, shelf) = (start("desk"), start("shelf"));
    let before = wait_for_shares(subject, group, &[1, 1]);
    let (_, said) = desk.interrupt(PATIENCE).expect("it ends");
    let generation =
        |said: &str| said.split_once(": reading").and_then(|(head, _)| head.rsplit(' ').next().map(str::to_owned));
    let last_generation = said.lines().filter_map(generation).next_back().expect("it was told its partitions");
    assert_eq!(describe(subject, group)["members"].as_array().map(Vec::len), Some(2), "it is expected back");
    let desk = start("desk");
    let place = |described: &Value, name: &str| {
        let members = described["members"].as_array().expect("members");
        let member = members.iter().find(|member| member["instance"] == name).expect("the member");
        (member["assigned"].clone(), member["member"].clone())
    };
    let after = wait_for("it came back under another member id", || {
        let after = describe(subject, group);
        (place(&after, "desk").1 != place(&before, "desk").1).then_some(after)
    });
    assert_eq!(place(&after, "desk").0, place(&before, "desk").0);
    assert_eq!(place(&after, "shelf"), place(&before, "shelf"));

    let double = start("desk");
    let error = desk.finish(PATIENCE).expect_err("there can be one of a name only").to_string();
    assert!(error.contains("FencedInstanceId") && error.contains("--instance-id"), "{error}");
    wait_for_shares(subject, group, &[1, 1]);
    let (_, said) = double.interrupt(PATIENCE).expect("it ends");
    assert_eq!(said.lines().filter_map(generation).next_back(), Some(last_generation), "no rebalance: {said}");
    shelf.interrupt(PATIENCE).expect("it ends");
}

fn a_member_reads_partitions_that_are_added(subject: &Subject) {
    let (topic, group) = ("grown", "grown-group");
    subject.topic(topic, 1, 1);
    let mut member = subject.start(&["consume", topic, "-g", group]);
    seen(&mut member, &values(0, 0..1));
    subject.ok(&["topic", "alter", topic, "--partitions", "2"]);
    subject.produce(topic, 1, &values(1, 0..2));
    assert!(seen(&mut member, &values(1, 0..2)).values().all(|times| *times == 1));
    member.interrupt(PATIENCE).expect("it ends");
    assert_eq!(committed(subject, group), [1, 2]);
}

/// Both orders, because the first to join leads and shares out the partitions for both. Topic and group have one name.
fn share_with(subject: &Subject, client: &str, other: impl Fn(&str) -> Command) {
    for we_lead in [true, false] {
        let name = format!("{client}-{}", if we_lead { "led" } else { "followed" });
        subject.topic(&name, 4, 0);
        let start_ours = || subject.start(&["consume", &name, "-g", &name, "--session-timeout", "6s"]);
        let start_other = || Running::start(&mut other(&name)).expect("it starts");
        let (mut ours, mut others) = if we_lead {
            let ours = start_ours();
            wait_for_shares(subject, &name, &[4]);
            (ours, start_other())
        } else {
            let others = start_other();
            wait_for_shares(subject, &name, &[4]);
            (start_ours(), others)
        };
        let described = wait_for_shares(subject, &name, &[2, 2]);
        assert_eq!(described["assignor"], "range");
        (0..4).for_each(|partition| subject.produce(&name, partition, &values(partition, 0..3)));
        let mut read: Vec<String> = (0..6).map(|_| next(&mut ours)).collect();
        read.extend((0..6).map(|_| next(&mut others)));
        read.sort();
        assert_eq!(read, of_partitions(4, 0..3), "{name}: each record once, between the two");
        ours.interrupt(PATIENCE).expect("it ends");
        wait_for_shares(subject, &name, &[4]);
        others.kill().expect("killed");
    }
}

fn it_shares_a_group_with_librdkafka_whoever_leads(subject: &Subject) {
    share_with(subject, "with-kcat", |name| {
        let mut kcat = subject.tools.kcat(&subject.bootstrap);
        kcat.args(["-q", "-u", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000", "-G", name, name]);
        kcat
    });
}

fn it_shares_a_group_with_the_java_consumer_whoever_leads(subject: &Subject) {
    share_with(subject, "with-java", |name| {
        let mut java = subject.tools.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
        java.args(["--bootstrap-server", &subject.bootstrap, "--topic", name, "--group", name, "--from-beginning"]);
        for property in ["session.timeout.ms=6000", "heartbeat.interval.ms=500"] {
            java.args(["--consumer-property", property]);
        }
        java
    });
}

fn members_without_a_common_assignor_are_told_apart(subject: &Subject) {
    let (topic, group) = ("unlike", "unlike-group");
    subject.topic(topic, 1, 0);
    let mut kcat = subject.tools.kcat(&subject.bootstrap);
    kcat.args(["-q", "-X", "partition.assignment.strategy=roundrobin", "-G", group, topic]);
    let other = Running::start(&mut kcat).expect("kcat starts");
    wait_for_shares(subject, group, &[1]);
    let said = subject.refused(1, &["consume", topic, "-g", group]);
    assert!(said.contains("InconsistentGroupProtocol") && said.contains("`range`"), "{said}");
    other.kill().expect("killed");
}

/// The other one neither comes nor goes: the rebalance lasts until its session ends, in 45 seconds.
fn a_member_that_waits_for_others_can_be_stopped(subject: &Subject) {
    let (topic, group) = ("waiting", "waiting-group");
    subject.topic(topic, 2, 0);
    let sleeper = subject.start(&["consume", topic, "-g", group]);
    wait_for_shares(subject, group, &[2]);
    sleeper.pause().expect("paused");
    let waits = subject.start(&["consume", topic, "-g", group]);
    wait_for("the rebalance begins", || (describe(subject, group)["state"] == "PreparingRebalance").then_some(()));
    let (lines, _) = waits.interrupt(Duration::from_secs(20)).expect("it does not wait for the other one");
    assert!(lines.is_empty(), "{lines:?}");
    sleeper.kill().expect("killed");
}

/// The coordinator, its memory of members and the leaders go and come back; the member is the same one afterwards.
#[test]
fn a_member_goes_on_when_its_broker_is_killed_and_started_again() {
    let subject = Subject::frazil();
    let (topic, group) = ("restarted", "restarted-group");
    subject.topic(topic, 2, 2);
    let mut member = subject.start(&["consume", topic, "-g", group, "--commit-interval", "10ms"]);
    seen(&mut member, &of_partitions(2, 0..2));
    wait_for("it has committed", || (committed(&subject, group) == [2, 2]).then_some(()));
    let before = describe(&subject, group)["members"][0]["member"].clone();
    let subject = subject.kill_and_restart();
    (0..2).for_each(|partition| subject.produce(topic, partition, &values(partition, 2..4)));
    assert!(seen(&mut member, &of_partitions(2, 2..4)).values().all(|times| *times == 1), "nothing twice");
    wait_for("it has committed", || (committed(&subject, group) == [4, 4]).then_some(()));
    assert_eq!(describe(&subject, group)["members"][0]["member"], before);
    let (_, said) = member.interrupt(PATIENCE).expect("it ends");
    assert_eq!(said.matches("reading restarted:0-1").count(), 1, "no rebalance: {said}");
}

fn what_a_group_cannot_do_is_refused(subject: &Subject) {
    let topic = "impossible";
    subject.topic(topic, 1, 1);
    let said = subject.refused(1, &["consume", "no-such-topic", "-g", "impossible-group"]);
    assert!(said.contains("UnknownTopicOrPartition"), "{said}");
    let said = subject.refused(2, &["consume", topic, "-g", "impossible-group", "-o", "0:5"]);
    assert!(said.contains("-e or -n"), "{said}");
    let said = subject.refused(1, &["consume", topic, "-g", "impossible-group", "--session-timeout", "10ms", "-e"]);
    assert!(said.contains("InvalidSessionTimeout"), "{said}");
    assert_eq!(subject.run(&["consume", topic, "-g", "impossible-group", "-p", "0"]).code, 2);
    assert_eq!(subject.run(&["consume", topic, "--instance-id", "desk"]).code, 2);
}
