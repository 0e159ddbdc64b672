//! `frazil topic delete-records`.

use super::{Subject, cases, values};
use serde_json::Value;

cases! {
    records_are_deleted_before_an_offset_of_a_partition,
    records_are_deleted_before_a_time_or_all_of_them,
    a_cut_that_makes_no_sense_is_refused,
}

/// Start and end of each partition.
fn ranges(subject: &Subject, topic: &str) -> Vec<(i64, i64)> {
    let described = subject.json(&["topic", "describe", topic]);
    let number = |partition: &Value, name: &str| partition[name].as_i64().expect("a number");
    let partitions = described["partitions"].as_array().expect("partitions");
    partitions.iter().map(|partition| (number(partition, "start"), number(partition, "end"))).collect()
}

fn delete(subject: &Subject, arguments: &[&str]) -> Vec<(i64, i64)> {
    let deleted = subject.json(&[&["topic", "delete-records"], arguments].concat());
    let number = |row: &Value, name: &str| row[name].as_i64().expect("a number");
    let rows = deleted.as_array().expect("rows");
    rows.iter().map(|row| (number(row, "new_start"), number(row, "deleted"))).collect()
}

fn records_are_deleted_before_an_offset_of_a_partition(subject: &Subject) {
    let topic = "cut-by-offset";
    subject.topic(topic, 2, 10);
    let cut = ["cut-by-offset", "--partition", "1", "--before-offset", "4"];
    assert_eq!(delete(subject, &[&cut[..], &["--dry-run"]].concat()), [(4, 4)]);
    assert_eq!(ranges(subject, topic), [(0, 10), (0, 10)], "a dry run deletes nothing");
    assert_eq!(delete(subject, &cut), [(4, 4)]);
    assert_eq!(ranges(subject, topic), [(0, 10), (4, 10)]);
    assert_eq!(delete(subject, &cut), [(4, 0)], "once is enough");
    let read = subject.ok(&["consume", topic, "-p", "1", "-e"]);
    assert_eq!(read.lines().collect::<Vec<_>>(), values(1, 4..10));
}

fn records_are_deleted_before_a_time_or_all_of_them(subject: &Subject) {
    let topic = "cut-by-time";
    subject.topic(topic, 2, 5);
    assert_eq!(delete(subject, &[topic, "--before-time", "-1h"]), [(0, 0), (0, 0)]);
    assert_eq!(ranges(subject, topic), [(0, 5), (0, 5)]);
    let last = subject.ok(&["consume", topic, "-p", "0", "-o", "4", "-n", "1", "-f", "%d"]);
    let cut = delete(subject, &[topic, "--before-time", &last]);
    // Records of one batch may bear the same millisecond; partition 1 was written later.
    assert!(cut[0].0 <= 4 && cut[1] == (0, 0), "{cut:?} before {last}");
    assert_eq!(delete(subject, &[topic, "--all", "--dry-run"]).iter().map(|row| row.0).collect::<Vec<_>>(), [5, 5]);
    delete(subject, &[topic, "--all"]);
    assert_eq!(ranges(subject, topic), [(5, 5), (5, 5)]);
    subject.produce(topic, 0, &values(0, 5..6));
    assert_eq!(subject.ok(&["consume", topic, "-e", "-f", r"%o %v\n"]), "5 0-5\n");
}

fn a_cut_that_makes_no_sense_is_refused(subject: &Subject) {
    let topic = "cut-wrong";
    subject.topic(topic, 2, 3);
    let delete =
        |arguments: &[&str], code: i32| subject.refused(code, &[&["topic", "delete-records"], arguments].concat());
    let said = delete(&[topic, "--before-offset", "2"], 2);
    assert!(said.contains("2 partitions"), "{said}");
    let said = delete(&[topic, "--before-offset", "4", "--partition", "0"], 2);
    assert!(said.contains("ends at offset 3"), "{said}");
    let said = delete(&[topic, "--all", "--partition", "7"], 2);
    assert!(said.contains("cut-wrong/7"), "{said}");
    delete(&[topic, "--before-time", "soon"], 2);
    delete(&["no-such-topic", "--all"], 1);
    assert_eq!(subject.run(&["topic", "delete-records", topic]).code, 2, "what to delete must be said");
    assert_eq!(ranges(subject, topic), [(0, 3), (0, 3)]);
}
