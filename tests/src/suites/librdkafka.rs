//! librdkafka's own test runner, one process for each test number: a crash or a hang costs that number only.

use super::logged::{Logged, in_parallel, read};
use super::subject::Broker;
use super::{Case, Outcome, Run, Suite};
use crate::{Tools, run};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long one number may take; the runner has deadlines of its own for each test.
const PATIENCE: Duration = Duration::from_secs(420);

/// Tests that leave themselves out in the runner's quick mode.
const NOT_QUICK: [&str; 1] = ["0082"];

/// A test that is run in parts, because it stops at the first thing that is missing.
const IN_PARTS: (&str, [&str; 22]) = (
    "0081_admin",
    [
        "do_test_AlterConfigs",
        "do_test_AlterConsumerGroupOffsets",
        "do_test_CreateAcls",
        "do_test_CreatePartitions",
        "do_test_CreateTopics",
        "do_test_DeleteAcls",
        "do_test_DeleteConsumerGroupOffsets",
        "do_test_DeleteGroups",
        "do_test_DeleteRecords",
        "do_test_DeleteTopics",
        "do_test_DescribeAcls",
        "do_test_DescribeCluster",
        "do_test_DescribeConfigs",
        "do_test_DescribeConfigs_groups",
        "do_test_DescribeConsumerGroups",
        "do_test_DescribeConsumerGroups_with_authorized_ops",
        "do_test_DescribeTopics",
        "do_test_IncrementalAlterConfigs",
        "do_test_ListConsumerGroupOffsets",
        "do_test_ListConsumerGroups",
        "do_test_ListOffsets",
        "do_test_UserScramCredentials",
    ],
);

/// What one process of the runner is asked for: a test number, or a part of one, `0081_admin/do_test_CreateTopics`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ask {
    Number(String),
    Part { test: String, part: String },
}

impl Ask {
    fn for_case(case: &str) -> Ask {
        match case.split_once('/') {
            Some((test, part)) => Ask::Part { test: test.to_owned(), part: part.to_owned() },
            None => Ask::Number(case[..4].to_owned()),
        }
    }

    fn number(&self) -> &str {
        match self {
            Ask::Number(number) => number,
            Ask::Part { test, .. } => &test[..4],
        }
    }
}

/// One way of running it.
pub struct Librdkafka {
    name: &'static str,
    scenario: &'static str,
    idempotent: bool,
    consumer_protocol: bool,
}

impl Librdkafka {
    /// As it comes.
    pub fn plain() -> Librdkafka {
        Librdkafka { name: "librdkafka", scenario: "default", idempotent: false, consumer_protocol: false }
    }

    /// The tests that want a broker without automatic creation of topics.
    pub fn without_auto_create() -> Librdkafka {
        Librdkafka { name: "librdkafka-noautocreate", scenario: "noautocreate", ..Librdkafka::plain() }
    }

    /// With every producer idempotent.
    pub fn idempotent() -> Librdkafka {
        Librdkafka { name: "librdkafka-idempotent", idempotent: true, ..Librdkafka::plain() }
    }

    /// With every consumer speaking KIP-848.
    pub fn with_consumer_protocol() -> Librdkafka {
        Librdkafka { name: "librdkafka-consumer", consumer_protocol: true, ..Librdkafka::plain() }
    }

    fn command(&self, run: &Run<'_>, ask: &Ask) -> Result<Command> {
        let mut command = Command::new("./test-runner");
        command.current_dir(tests_folder(run.tools)?).args(["-p1", "-L", "-K", "-s", self.scenario]);
        if !NOT_QUICK.contains(&ask.number()) {
            command.arg("-Q");
        }
        if self.idempotent {
            command.arg("-P");
        }
        if self.consumer_protocol {
            command.env("TEST_CONSUMER_GROUP_PROTOCOL", "consumer");
        }
        command.env("TESTS", ask.number()).env("TEST_KAFKA_VERSION", "4.1.0");
        if let Ask::Part { part, .. } = ask {
            // The runner compares with `function:line`.
            command.env("SUBTESTS", format!("{part}:"));
        }
        command.env("RDKAFKA_TEST_CONF", run.logs.join("test.conf"));
        // Some tests call Kafka's scripts, or compare with its Java client.
        command
            .env("KAFKA_PATH", run.tools.part("suites-java")?)
            .env("KAFKA_JARS", run.tools.part("kafka")?.join("libs"));
        command.env("BROKERS", &run.subject.bootstrap).env("LD_LIBRARY_PATH", "../src:../src-cpp");
        Ok(command)
    }

    fn run_one(&self, run: &Run<'_>, ask: &Ask) -> Result<Vec<Case>> {
        let name = match ask {
            Ask::Number(number) => number.clone(),
            Ask::Part { part, .. } => format!("{}-{part}", ask.number()),
        };
        let log = run.logs.join(format!("{name}.log"));
        if log.exists() {
            fs::rename(&log, run.logs.join(format!("{name}-first.log")))?;
        }
        let ended = Logged::start(&mut self.command(run, ask)?, &log)?.wait(PATIENCE)?;
        let said = read(&log);
        let mut results = summary(&said);
        let how = || match ended {
            Some(status) => format!("{status}: {}", last_failure(&said)),
            None => format!("did not end in {PATIENCE:?}: {}", last_failure(&said)),
        };
        if let Ask::Part { test, part } = ask {
            let outcome = results.remove(test).unwrap_or_else(|| Outcome::Failed(how()));
            return Ok(vec![Case { name: format!("{test}/{part}"), outcome }]);
        }
        for name in names(run.tools, self.scenario)?.iter().filter(|name| name.starts_with(ask.number())) {
            results.entry(name.clone()).or_insert_with(|| Outcome::Failed(how()));
        }
        Ok(results.into_iter().map(|(name, outcome)| Case { name, outcome }).collect())
    }
}

impl Suite for Librdkafka {
    fn name(&self) -> &'static str {
        self.name
    }

    fn broker(&self) -> Broker {
        Broker { auto_create: self.scenario != "noautocreate", kafka_nodes: 3, ..Broker::default() }
    }

    fn cases(&self, tools: &Tools) -> Result<Vec<String>> {
        names(tools, self.scenario)
    }

    fn run(&self, run: &Run<'_>, cases: &[String]) -> Result<Vec<Case>> {
        build_java_helpers(run)?;
        // Names are random because several processes run at once, and tests clean up after themselves by prefix.
        let conf = format!(
            "bootstrap.servers={}\nbroker.address.family=v4\ntest.topic.random=true\ntest.timeout.multiplier=2\n",
            run.subject.bootstrap
        );
        fs::write(run.logs.join("test.conf"), conf)?;
        let asks: BTreeSet<Ask> = cases.iter().map(|case| Ask::for_case(case)).collect();
        in_parallel(&asks.into_iter().collect::<Vec<_>>(), run.jobs, |ask| self.run_one(run, ask))
    }
}

fn tests_folder(tools: &Tools) -> Result<PathBuf> {
    Ok(tools.part("suites-librdkafka")?.join("librdkafka/tests"))
}

/// Built once, before several tests try to at the same time.
fn build_java_helpers(run_: &Run<'_>) -> Result<()> {
    let mut make = Command::new("make");
    make.current_dir(tests_folder(run_.tools)?).args(["-s", "java"]);
    make.env("KAFKA_PATH", run_.tools.part("suites-java")?).env("KAFKA_JARS", run_.tools.part("kafka")?.join("libs"));
    run(&mut make, PATIENCE)?;
    Ok(())
}

/// The tests of a scenario that need a broker and have no known issue, from the table in `test.c`.
fn names(tools: &Tools, scenario: &str) -> Result<Vec<String>> {
    let table = fs::read_to_string(tests_folder(tools)?.join("test.c")).context("librdkafka's test.c")?;
    let (whole, parts) = IN_PARTS;
    let split = |name: String| -> Vec<String> {
        if name == whole { parts.iter().map(|part| format!("{whole}/{part}")).collect() } else { vec![name] }
    };
    Ok(table_entries(&table, scenario).into_iter().flat_map(split).collect())
}

fn table_entries(source: &str, scenario: &str) -> Vec<String> {
    let table = source.split("struct test tests[] = {").nth(1).unwrap_or_default();
    let table = table.split("{NULL}").next().unwrap_or_default();
    let wanted = |entry: &&str| {
        let scenarios = entry.split(".scenario = \"").nth(1).and_then(|rest| rest.split('"').next());
        let flags = entry.split(',').nth(1).unwrap_or_default();
        let left_out = ["TEST_F_LOCAL", "TEST_F_MANUAL", "TEST_F_KNOWN_ISSUE"];
        let is_left_out = flags.split('|').any(|flag| left_out.contains(&flag.trim().trim_end_matches(')')));
        !is_left_out && scenarios.unwrap_or("default").split(',').any(|name| name == scenario)
    };
    let entries = table.split("_TEST(").skip(1).filter(wanted);
    entries.filter_map(|entry| entry.split(',').next()).map(|name| name.trim().to_owned()).collect()
}

/// Reads the table that the runner prints at its end: `| name | STATE | 1.234s | why`.
fn summary(log: &str) -> BTreeMap<String, Outcome> {
    let plain = without_colours(log);
    let Some(table) = plain.rsplit_once(") SUMMARY").map(|(_, table)| table) else { return BTreeMap::new() };
    let mut results = BTreeMap::new();
    for line in table.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (Some(name), Some(state)) = (cells.get(1), cells.get(2)) else { continue };
        let why = cells.get(4).copied().unwrap_or_default();
        let outcome = match *state {
            "PASSED" => Outcome::Passed,
            "SKIPPED" => Outcome::Skipped(why.to_owned()),
            _ if why.is_empty() => Outcome::Failed(last_failure(log)),
            _ => Outcome::Failed(why.to_owned()),
        };
        results.insert((*name).to_owned(), outcome);
    }
    results.remove("<MAIN>");
    results
}

/// The last line that tells of a failure, else the last words.
fn last_failure(log: &str) -> String {
    let plain = without_colours(log);
    let telling = |line: &&str| ["TEST FAILURE", "Test ", "Assert", "assert"].iter().any(|start| line.contains(start));
    let lines: Vec<&str> = plain.lines().filter(|line| !line.trim().is_empty()).collect();
    let failure = lines.iter().position(|line| line.contains("TEST FAILURE"));
    let said = match failure {
        Some(at) => lines[at..].iter().skip(1).take(2).copied().collect::<Vec<_>>().join("\n"),
        None => lines.iter().rev().find(|line| telling(line)).or(lines.last()).copied().unwrap_or_default().to_owned(),
    };
    said.chars().take(500).collect()
}

fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_those_of_the_table_that_need_a_broker() {
        let source = "struct test tests[] = {\n{.name = \"<MAIN>\"},\n _TEST(0000_unit,\n TEST_F_LOCAL,\n _THRES(.u = 1.0)),\
             _TEST(0001_multiobj, 0), _TEST(0028_long, TEST_F_KNOWN_ISSUE, TEST_BRKVER(0, 9, 0, 0)),\
             _TEST(0055_latency, TEST_F_KNOWN_ISSUE_WIN32), _TEST(0107_topic, 0, .scenario = \"noautocreate\"),\
             _TEST(0103_txn, 0, .scenario = \"default,ak23\"), _TEST(8000_idle, TEST_F_MANUAL),\n {NULL}};";
        assert_eq!(table_entries(source, "default"), ["0001_multiobj", "0055_latency", "0103_txn"]);
        assert_eq!(table_entries(source, "noautocreate"), ["0107_topic"]);
    }

    #[test]
    fn results_are_read_from_the_runners_summary() {
        let log = "TEST 2026 (bare, scenario default) SUMMARY\n#====#\n\
            |\u{1b}[32m <MAIN>        |     PASSED |   3.000s \u{1b}[0m|\n\
            |\u{1b}[32m 0001_multiobj |     PASSED |   1.000s \u{1b}[0m|\n\
            |\u{1b}[31m 0003_msgmax   |     FAILED |   1.000s \u{1b}[0m|\u{1b}[31m too large\u{1b}[0m\n#====#\n";
        let expected = [
            ("0001_multiobj".to_owned(), Outcome::Passed),
            ("0003_msgmax".to_owned(), Outcome::Failed("too large".to_owned())),
        ];
        assert_eq!(summary(log), BTreeMap::from(expected));
    }
}
