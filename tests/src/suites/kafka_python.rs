//! kafka-python's integration tests: its producer, consumer, groups, transactions and admin client.

use super::logged::{Logged, read};
use super::subject::Broker;
use super::{Case, Outcome, Run, Suite, log_name};
use crate::{Tools, run};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// How long one test may take; the slowest waits for a session of half a minute.
const CASE_SECONDS: u64 = 120;

/// The suite.
pub struct KafkaPython;

impl Suite for KafkaPython {
    fn name(&self) -> &'static str {
        "kafka-python"
    }

    fn broker(&self) -> Broker {
        Broker::default()
    }

    fn cases(&self, tools: &Tools) -> Result<Vec<String>> {
        let mut collect = pytest(tools, "127.0.0.1:9092")?;
        let collected = run(collect.args(["--collect-only", "-q", "test/integration"]), Duration::from_secs(120))?;
        Ok(collected.text().lines().filter_map(short_name).map(str::to_owned).collect())
    }

    fn run(&self, run: &Run<'_>, cases: &[String]) -> Result<Vec<Case>> {
        let log = run.logs.join(match cases {
            [only] => log_name(only),
            _ => "pytest.log".to_owned(),
        });
        let mut pytest = pytest(run.tools, &run.subject.bootstrap)?;
        pytest.args(["-v", "--tb=short", "-rA", &format!("--timeout={CASE_SECONDS}")]);
        pytest.args(cases.iter().map(|case| format!("test/integration/{case}")));
        let patience = Duration::from_secs(CASE_SECONDS) * u32::try_from(cases.len())?;
        if Logged::start(&mut pytest, &log)?.wait(patience)?.is_none() {
            bail!("pytest did not end in {patience:?}, see {}", log.display());
        }
        Ok(results(&read(&log)))
    }
}

/// pytest in the folder of the tests, pointed at a broker.
fn pytest(tools: &Tools, bootstrap: &str) -> Result<Command> {
    let folder = tools.part("suites-python")?;
    let mut command = Command::new(folder.join("bin/python"));
    command.current_dir(folder.join("source")).args(["-m", "pytest", "-p", "no:cacheprovider"]);
    // Where a broker of the tests' own would lie: the fixture only wants the folder to exist.
    // Wide enough for the reasons of failures.
    command.env("COLUMNS", "500");
    command.env("KAFKA_ROOT", &folder).env("KAFKA_VERSION", "4.1.0").env("KAFKA_URI", format!("kafka://{bootstrap}"));
    Ok(command)
}

/// `test_x.py::test_y[z]` of a line that begins with a test's path.
fn short_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("test/integration/").filter(|rest| rest.contains("::"))?;
    rest.split([' ', '\t']).next()
}

/// Reads pytest's summary, `PASSED path::test` or `FAILED path::test - why`, and, for what the summary does not name, its
/// verbose lines `path::test SKIPPED (why)`.
fn results(log: &str) -> Vec<Case> {
    let mut found = BTreeMap::new();
    for line in log.lines() {
        let summary =
            ["PASSED ", "FAILED ", "ERROR "].iter().find_map(|state| Some((*state, line.strip_prefix(state)?)));
        if let Some((state, rest)) = summary
            && let Some(name) = short_name(rest)
        {
            let why = || rest.split_once(" - ").map_or("", |(_, why)| why).to_owned();
            let outcome = if state == "PASSED " { Outcome::Passed } else { Outcome::Failed(why()) };
            // A test that passed and whose fixture failed afterwards stands there twice.
            let outcome = if found.contains_key(name) && outcome == Outcome::Passed { continue } else { outcome };
            found.insert(name.to_owned(), outcome);
        } else if let (Some(name), Some((_, why))) = (short_name(line), line.split_once(" SKIPPED ")) {
            found.insert(name.to_owned(), Outcome::Skipped(why.trim().to_owned()));
        }
    }
    found.into_iter().map(|(name, outcome)| Case { name, outcome }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_what_pytest_prints() {
        let log = "test/integration/test_a.py::test_one Done!\n\
                   PASSED         [  1%]\n\
                   test/integration/test_a.py::test_three SKIPPED (no TLS) [100%]\n\
                   PASSED test/integration/test_a.py::test_one\n\
                   FAILED test/integration/test_a.py::TestB::test_two[x-1] - assert 1 == 2\n";
        let found = results(log);
        let outcomes: Vec<(&str, &Outcome)> = found.iter().map(|case| (case.name.as_str(), &case.outcome)).collect();
        let expected = [
            ("test_a.py::TestB::test_two[x-1]", &Outcome::Failed("assert 1 == 2".to_owned())),
            ("test_a.py::test_one", &Outcome::Passed),
            ("test_a.py::test_three", &Outcome::Skipped("(no TLS) [100%]".to_owned())),
        ];
        assert_eq!(outcomes, expected);
    }
}
