//! Transactions with real clients: Apache Kafka's (KIP-890, the new protocol) and librdkafka's (the one before).
//!
//! The Java cases are one program, `Transactions.java`, run as a source file.

use super::{PATIENCE, Subject, against_kafka, script};
use frazil_tests::command::Running;
use frazil_tests::{FrazilProcess, FrazilSettings, Tools, run};
use std::collections::BTreeSet;
use std::process::Command;
use tempfile::TempDir;

/// What copiers copy.
const RECORDS: usize = 1_500;
const COPIES_BETWEEN_KILLS: usize = 15;
const PARTITIONS: &str = "6";
const TRANSACTIONS: usize = 240;
/// The broker is killed whenever so many more transactions were confirmed.
const KILL_EVERY: usize = 60;

fn java(tools: &Tools, case: &str, bootstrap: &str) -> Command {
    let program = frazil_tests::tools::repository().join(script("Transactions.java"));
    let mut java = tools.java(&program.display().to_string());
    java.args([case, bootstrap]);
    java
}

fn java_case(case: &str) {
    let subject = Subject::start();
    run(&mut java(&subject.tools, case, &subject.bootstrap), PATIENCE).expect(case);
}

#[test]
fn java_reads_whole_committed_transactions_and_nothing_of_aborted_ones() {
    java_case("atomic");
}

#[test]
fn java_sees_nothing_behind_an_open_transaction_until_it_ends() {
    java_case("stable");
}

#[test]
fn a_java_zombie_is_fenced_by_its_successor() {
    java_case("fencing");
}

#[test]
fn a_java_transaction_that_lasts_too_long_is_aborted_and_its_id_goes_on() {
    java_case("timeout");
}

#[test]
fn the_java_admin_client_describes_lists_aborts_and_fences_transactions() {
    java_case("admin");
}

#[test]
fn librdkafka_commits_aborts_and_is_fenced() {
    let subject = Subject::start();
    let mut python = subject.tools.python(&script("confluent_transactions.py"));
    run(python.args(["all", &subject.bootstrap]), PATIENCE).expect("the script");
}

#[test]
fn transactions_of_the_java_producer_stay_whole_while_the_broker_is_killed() {
    stay_whole(|tools, bootstrap| {
        let mut looping = java(tools, "loop", bootstrap);
        looping.args([&TRANSACTIONS.to_string(), PARTITIONS]);
        looping
    });
}

#[test]
fn transactions_of_librdkafka_stay_whole_while_the_broker_is_killed() {
    stay_whole(|tools, bootstrap| {
        let mut looping = tools.python(&script("confluent_transactions.py"));
        looping.args(["loop", bootstrap, &TRANSACTIONS.to_string(), PARTITIONS]);
        looping
    });
}

#[test]
fn a_java_copier_of_the_classic_group_protocol_copies_exactly_once_while_the_broker_is_killed() {
    copies_exactly_once("classic", |tools, bootstrap| {
        let mut copier = java(tools, "copy", bootstrap);
        copier.args([&RECORDS.to_string(), "classic"]);
        copier
    });
}

#[test]
fn a_java_copier_of_the_consumer_group_protocol_copies_exactly_once_while_the_broker_is_killed() {
    copies_exactly_once("consumer", |tools, bootstrap| {
        let mut copier = java(tools, "copy", bootstrap);
        copier.args([&RECORDS.to_string(), "consumer"]);
        copier
    });
}

#[test]
fn a_librdkafka_copier_copies_exactly_once_while_the_broker_is_killed() {
    copies_exactly_once("librdkafka", |tools, bootstrap| {
        let mut copier = tools.python(&script("confluent_transactions.py"));
        copier.args(["copy", bootstrap, &RECORDS.to_string()]);
        copier
    });
}

/// Records and the offsets they were made of are committed together: no kill leaves one without the other.
fn copies_exactly_once(what: &str, copier: impl Fn(&Tools, &str) -> Command) {
    if against_kafka() {
        return;
    }
    let tools = Tools::locate().expect("the tools");
    let folder = TempDir::new().expect("a folder");
    let mut broker = FrazilProcess::start(FrazilSettings::on_folder(folder.path())).expect("frazil starts");
    run(java(&tools, "fill", &broker.bootstrap()).arg(RECORDS.to_string()), PATIENCE).expect("the source is filled");
    let mut client = Running::start(&mut copier(&tools, &broker.bootstrap())).expect("the copier starts");
    let mut transactions = 0;
    while client.next_line(PATIENCE).expect("it goes on").is_some() {
        transactions += 1;
        if transactions % COPIES_BETWEEN_KILLS == 0 && transactions < 5 * COPIES_BETWEEN_KILLS {
            broker = broker.kill_and_restart().expect("frazil starts again");
        }
    }
    client.finish(PATIENCE).expect("the copier ends well");
    assert!(transactions > 2 * COPIES_BETWEEN_KILLS, "{what}: {transactions} transactions");
    let mut compare = java(&tools, "compare", &broker.bootstrap());
    run(compare.arg(RECORDS.to_string()), PATIENCE).expect("each record is there once and in order");
}

/// Every confirmed transaction is in all partitions, every other in all or in none, aborted ones in none.
fn stay_whole(looping: impl Fn(&Tools, &str) -> Command) {
    if against_kafka() {
        return;
    }
    let tools = Tools::locate().expect("the tools");
    let folder = TempDir::new().expect("a folder");
    let mut broker = FrazilProcess::start(FrazilSettings::on_folder(folder.path())).expect("frazil starts");
    let mut client = Running::start(&mut looping(&tools, &broker.bootstrap())).expect("the client starts");
    let mut confirmed = BTreeSet::new();
    while let Some(line) = client.next_line(PATIENCE).expect("it goes on") {
        confirmed.extend(line.strip_prefix("committed ").map(str::to_owned));
        if confirmed.len() % KILL_EVERY == KILL_EVERY / 2 {
            broker = broker.kill_and_restart().expect("frazil starts again");
        }
    }
    client.finish(PATIENCE).expect("the client ends well");
    assert_eq!(confirmed.len(), TRANSACTIONS);

    let mut check = java(&tools, "check", &broker.bootstrap());
    let printed = run(check.arg(PARTITIONS), PATIENCE).expect("all partitions hold the same transactions").text();
    let visible: BTreeSet<String> =
        printed.lines().filter_map(|line| line.strip_prefix("visible ")).map(str::to_owned).collect();
    let lost: Vec<_> = confirmed.difference(&visible).collect();
    assert!(lost.is_empty(), "confirmed and not there: {lost:?}");
    // What was neither confirmed nor aborted was under way when the broker died.
    assert!(visible.len() <= confirmed.len() + TRANSACTIONS / KILL_EVERY + 1, "{} visible", visible.len());
}
