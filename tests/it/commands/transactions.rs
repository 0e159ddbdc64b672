//! `frazil txn`.

use super::{PATIENCE, Subject, cases, wait_for};
use frazil_tests::command::Running;
use serde_json::Value;

cases! {
    a_transaction_is_listed_described_and_aborted_and_its_producer_fenced,
    ended_transactions_are_shown_and_need_no_abort,
    a_transaction_is_aborted_by_the_place_that_it_holds_up,
    records_of_transactions_are_read_as_the_isolation_says,
}

/// A producer that has written to partition 0 and 1 of `topic` in a transaction and holds it open.
fn hold_open(subject: &Subject, id: &str, topic: &str) -> Running {
    let mut command = subject.python("transaction.py");
    let mut producer = Running::start(command.args([id, topic, "hold"])).expect("the script starts");
    producer.wait_for_line("open", PATIENCE).expect("it opens a transaction");
    producer
}

fn describe(subject: &Subject, id: &str) -> Value {
    subject.json(&["txn", "describe", id])
}

fn committed_records(subject: &Subject, topic: &str) -> usize {
    let mut kcat = subject.tools.kcat(&subject.bootstrap);
    kcat.args(["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-X", "isolation.level=read_committed"]);
    frazil_tests::run(&mut kcat, PATIENCE).expect("kcat").text().lines().count()
}

fn a_transaction_is_listed_described_and_aborted_and_its_producer_fenced(subject: &Subject) {
    let (id, topic) = ("held-id", "held");
    subject.topic(topic, 2, 1);
    let mut producer = hold_open(subject, id, topic);
    let listed = subject.json(&["txn", "list", "--state", "Ongoing"]);
    let listed =
        listed.as_array().expect("rows").iter().find(|row| row["transactional_id"] == id).expect("ours").clone();
    assert_eq!(listed["state"], "Ongoing");
    let others =
        subject.json(&["txn", "list", "--longer-than", "1h", "--producer-id", &listed["producer_id"].to_string()]);
    assert_eq!(others, serde_json::json!([]), "it is not that old");

    let described = describe(subject, id);
    assert_eq!((&described["state"], &described["producer_id"]), (&"Ongoing".into(), &listed["producer_id"]));
    assert_eq!(described["timeout_ms"], 60_000);
    let partitions = described["partitions"].as_array().expect("partitions");
    assert_eq!(partitions.len(), 2);
    assert_eq!(
        (&partitions[1]["topic"], &partitions[1]["partition"], &partitions[1]["first_offset"]),
        (&topic.into(), &1.into(), &1.into())
    );
    let table = subject.ok(&["txn", "describe", id]);
    assert!(table.contains("state             Ongoing") && table.contains("timeout           1m"), "{table}");

    subject.ok(&["txn", "abort", id, "--dry-run"]);
    assert_eq!(describe(subject, id)["state"], "Ongoing", "a dry run aborts nothing");
    subject.ok(&["txn", "abort", id]);
    let after = describe(subject, id);
    assert!(after["state"] == "Empty" || after["state"] == "CompleteAbort", "{after}");
    producer.wait_for_line("fenced", PATIENCE).expect("its producer notices");
    assert_eq!(committed_records(subject, topic), 2, "what it wrote is never seen");
    let said = subject.run(&["txn", "abort", id]);
    assert!(said.code == 0 && said.stderr.contains("nothing to abort"), "{said:?}");
}

fn ended_transactions_are_shown_and_need_no_abort(subject: &Subject) {
    let topic = "ended";
    subject.topic(topic, 2, 0);
    for (id, how, state) in [("committed-id", "commit", "CompleteCommit"), ("aborted-id", "abort", "CompleteAbort")] {
        frazil_tests::run(subject.python("transaction.py").args([id, topic, how]), PATIENCE).expect("the script");
        let described = wait_for("its end is complete", || {
            let described = describe(subject, id);
            (described["state"] == state).then_some(described)
        });
        assert_eq!(
            (&described["partitions"], &described["started_ms"]),
            (&serde_json::json!([]), &Value::Null),
            "{described}"
        );
        let said = subject.run(&["txn", "abort", id]);
        assert!(said.code == 0 && said.stderr.contains(state), "{said:?}");
    }
    let said = subject.refused(1, &["txn", "describe", "no-such-id"]);
    assert!(said.contains("TransactionalIdNotFound") && said.contains("frazil txn list"), "{said}");
    subject.refused(1, &["txn", "abort", "no-such-id"]);
    let said = subject.run(&["txn", "list", "--state", "Sleeping"]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 1), "{said:?}");
    for usage in [&["txn", "abort"][..], &["txn", "abort", "x", "--topic", "t"], &["txn", "abort", "--topic", "t"]] {
        assert_eq!(subject.run(usage).code, 2, "{usage:?}");
    }
}

fn a_transaction_is_aborted_by_the_place_that_it_holds_up(subject: &Subject) {
    let (id, topic) = ("placed-id", "placed");
    subject.topic(topic, 2, 3);
    let producer = hold_open(subject, id, topic);
    assert_eq!(committed_records(subject, topic), 6);
    let at = |partition: &'static str, offset: &'static str| {
        ["txn", "abort", "--topic", "placed", "--partition", partition, "--start-offset", offset]
    };
    let said = subject.refused(1, &at("1", "2"));
    assert!(said.contains("open in placed/1 at 3"), "{said}");
    let said = subject.refused(1, &at("9", "3"));
    assert!(said.contains("no partition placed/9"), "{said}");
    subject.ok(&[&at("1", "3")[..], &["--dry-run"]].concat());
    assert_eq!(describe(subject, id)["partitions"][1]["first_offset"], 3, "a dry run aborts nothing");
    subject.ok(&at("1", "3"));
    subject.refused(1, &at("1", "3"));
    producer.kill().expect("killed");
    subject.ok(&["txn", "abort", id]);
    assert_ne!(describe(subject, id)["state"], "Ongoing");
    assert_eq!(committed_records(subject, topic), 6);
}

fn records_of_transactions_are_read_as_the_isolation_says(subject: &Subject) {
    let topic = "isolated";
    subject.topic(topic, 2, 1);
    for (id, how) in [("isolated-1", "commit"), ("isolated-2", "abort"), ("isolated-3", "commit")] {
        frazil_tests::run(subject.python("transaction.py").args([id, topic, how]), PATIENCE).expect("the script");
    }
    let mut producer = hold_open(subject, "isolated-4", topic);
    let count = |arguments: &[&str]| subject.ok(&[&["consume", topic, "-e"], arguments].concat()).lines().count();
    let all = 2 + 4 * 6;
    assert!(count(&[]) >= all, "also what is open and what was aborted");
    assert!(count(&["--isolation", "read_uncommitted"]) >= all);
    let committed = ["--isolation", "read_committed"];
    assert_eq!(count(&committed), 2 + 2 * 6, "the end is where the open transaction begins");
    assert_eq!(count(&[&committed[..], &["-g", "isolated-group"]].concat()), 2 + 2 * 6, "as a member of a group");
    subject.ok(&["txn", "abort", "isolated-4"]);
    producer.wait_for_line("fenced", PATIENCE).expect("its producer notices");
    assert_eq!(count(&committed), 2 + 2 * 6, "beyond it, too");
    let said = subject.run(&["consume", topic, "-e", "--isolation", "serializable"]);
    assert_eq!(said.code, 2, "{said:?}");
}
