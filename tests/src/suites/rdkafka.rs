//! The tests inside the crate `rdkafka`, each in a process of its own.

use super::logged::{in_parallel, last_words, outcome, read};
use super::subject::Broker;
use super::{Case, Outcome, Run, Suite, log_name};
use crate::{Tools, run};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(180);

/// The suite.
pub struct Rdkafka;

impl Suite for Rdkafka {
    fn name(&self) -> &'static str {
        "rdkafka"
    }

    fn broker(&self) -> Broker {
        // Its tests count partitions, and some name the port.
        Broker { partitions: 3, port: Some(9092), ..Broker::default() }
    }

    fn cases(&self, tools: &Tools) -> Result<Vec<String>> {
        let mut cases = Vec::new();
        for (program, path) in programs(tools)? {
            let listed = run(Command::new(path).arg("--list"), PATIENCE)?.text();
            let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
            cases.extend(names.map(|name| format!("{program}::{name}")));
        }
        Ok(cases)
    }

    fn run(&self, run: &Run<'_>, cases: &[String]) -> Result<Vec<Case>> {
        let programs = programs(run.tools)?;
        in_parallel(cases, run.jobs, |case| {
            let (program, test) = case.split_once("::").context("program::test")?;
            let (_, path) = programs.iter().find(|(name, _)| name == program).context("a known program")?;
            let log = run.logs.join(log_name(case));
            let mut command = Command::new(path);
            command.args(["--exact", test]);
            command.env("KAFKA_HOST", &run.subject.bootstrap).env("KAFKA_VERSION", "4.0").env("RUST_LOG", "off");
            let outcome = match outcome(&mut command, &log, PATIENCE)? {
                Outcome::Failed(said) => Outcome::Failed(panic_of(&read(&log)).unwrap_or(said)),
                other => other,
            };
            Ok(vec![Case { name: case.clone(), outcome }])
        })
    }
}

/// The built test programs of the crate, which cargo told when it built them: name and path.
fn programs(tools: &Tools) -> Result<Vec<(String, PathBuf)>> {
    let told = fs::read_to_string(tools.part("suites-rdkafka")?.join("rdkafka.json"))?;
    let mut programs = Vec::new();
    for line in told.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let is_test = message["profile"]["test"] == true;
        if let (true, Some(path), Some(name)) =
            (is_test, message["executable"].as_str(), message["target"]["name"].as_str())
        {
            programs.push((name.to_owned(), PathBuf::from(path)));
        }
    }
    Ok(programs)
}

/// The message of a panic and where it was.
fn panic_of(log: &str) -> Option<String> {
    let from = log.find("panicked at")?;
    Some(last_words(&log[from..].lines().take(4).collect::<Vec<_>>().join("\n")))
}
