//! Other projects' own test suites, run against a running Frazil, or against Apache Kafka so that a failure means something.
//!
//! Each suite names its cases and the broker it wants, runs cases, and says how each ended. `tests/suites/<suite>.txt`
//! lists the cases that do not pass, each with its reason: [`exceptions`] reads it, and [`verdict`] compares it with what
//! happened. A case that is not listed must pass; one that fails is tried once more, alone, because a busy machine breaks
//! clients' deadlines; a listed one that passes must leave the list. Lists may only shrink.
//!
//! [`catalogue`] holds the suites; the program `frazil-suites` runs them, all (`make suites`) or the fast selection (`make test`).

pub mod checks;
pub mod connect;
pub mod exceptions;
pub mod java;
pub mod kafka_python;
pub mod librdkafka;
pub mod logged;
pub mod mirror;
pub mod rdkafka;
pub mod streams;
pub mod subject;
pub mod verdict;

use crate::Tools;
use crate::tools::repository;
use anyhow::{Context as _, Result, ensure};
use exceptions::Exceptions;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use subject::{Broker, Subject};
use verdict::Verdict;

/// Whom a suite is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The built `frazil` on a local directory.
    Frazil,
    /// Apache Kafka 4.1.1.
    Kafka,
}

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Only when it was run again, alone.
    PassedAgain,
    /// With the last of what it said.
    Failed(String),
    /// The suite itself left it out, and why.
    Skipped(String),
}

/// One case that was run.
#[derive(Clone, Debug)]
pub struct Case {
    /// As in the lists.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// A suite: cases with names, and a way to run some of them.
pub trait Suite: Sync {
    /// Its name, which is also that of its list.
    fn name(&self) -> &'static str;

    /// The broker it wants.
    fn broker(&self) -> Broker;

    /// All of its cases.
    fn cases(&self, tools: &Tools) -> Result<Vec<String>>;

    /// Runs some of them, at most `run.jobs` at a time; those it says nothing about have failed.
    fn run(&self, run: &Run<'_>, cases: &[String]) -> Result<Vec<Case>>;
}

/// All suites, in the order they are run: quick and telling ones first.
pub fn catalogue() -> Vec<Box<dyn Suite>> {
    vec![
        Box::new(kafka_python::KafkaPython),
        Box::new(java::Java),
        Box::new(rdkafka::Rdkafka),
        Box::new(librdkafka::Librdkafka::plain()),
        Box::new(librdkafka::Librdkafka::without_auto_create()),
        Box::new(librdkafka::Librdkafka::idempotent()),
        Box::new(librdkafka::Librdkafka::with_consumer_protocol()),
        Box::new(streams::Streams),
        Box::new(connect::Connect),
        Box::new(mirror::Mirror),
    ]
}

/// What a suite has at hand while it runs.
pub struct Run<'a> {
    /// Installed clients.
    pub tools: &'a Tools,
    /// The broker.
    pub subject: &'a Subject,
    /// Where each case leaves what it said.
    pub logs: &'a Path,
    /// How many cases may run at once.
    pub jobs: usize,
}

/// Which cases are wanted.
#[derive(Clone, Debug)]
pub enum Selection {
    /// All of all suites.
    All,
    /// Those whose name contains one of the texts.
    Containing(Vec<String>),
    /// Those that `tests/suites/fast.txt` names, by suite.
    Fast(BTreeMap<String, Vec<String>>),
}

impl Selection {
    /// The fast selection, quick enough for every `make test`.
    pub fn fast() -> Result<Selection> {
        let text = fs::read_to_string(lists().join("fast.txt"))?;
        let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (suite, case) =
                line.split_once(' ').with_context(|| format!("fast.txt: `suite case`, not {line:?}"))?;
            wanted.entry(suite.to_owned()).or_default().push(case.trim().to_owned());
        }
        Ok(Selection::Fast(wanted))
    }

    /// Whether it could want a case of that suite at all.
    pub fn wants_some_of(&self, suite: &str) -> bool {
        match self {
            Selection::All | Selection::Containing(_) => true,
            Selection::Fast(wanted) => wanted.contains_key(suite),
        }
    }

    fn wants(&self, suite: &str, case: &str) -> bool {
        match self {
            Selection::All => true,
            Selection::Containing(texts) => texts.iter().any(|text| case.contains(text.as_str())),
            Selection::Fast(wanted) => {
                wanted.get(suite).is_some_and(|cases| cases.iter().any(|wanted| wanted == "*" || wanted == case))
            }
        }
    }
}

/// Where the lists lie.
pub fn lists() -> PathBuf {
    repository().join("tests/suites")
}

/// Runs one suite and compares it with its list. `logs` is emptied first.
pub fn run_suite(
    suite: &dyn Suite,
    against: Against,
    selection: &Selection,
    jobs: usize,
    logs: &Path,
) -> Result<Verdict> {
    let tools = Tools::locate()?;
    let exceptions = Exceptions::read(&lists().join(format!("{}.txt", suite.name())))?;
    let all = suite.cases(&tools)?;
    ensure!(!all.is_empty(), "{} has no cases", suite.name());
    exceptions.check_names(&all)?;
    let wanted: Vec<String> = all.into_iter().filter(|case| selection.wants(suite.name(), case)).collect();
    let (runnable, left_out): (Vec<String>, Vec<String>) =
        wanted.into_iter().partition(|case| exceptions.is_worth_running(case, against));
    prepare(logs)?;
    let began = Instant::now();
    let cases = if runnable.is_empty() {
        Vec::new()
    } else {
        run_cases(suite, &tools, against, &exceptions, &runnable, jobs, logs)?
    };
    Ok(Verdict::new(suite.name(), against, &exceptions, cases, &left_out, began.elapsed()))
}

fn prepare(logs: &Path) -> Result<()> {
    if logs.exists() {
        fs::remove_dir_all(logs)?;
    }
    Ok(fs::create_dir_all(logs)?)
}

fn run_cases(
    suite: &dyn Suite,
    tools: &Tools,
    against: Against,
    exceptions: &Exceptions,
    wanted: &[String],
    jobs: usize,
    logs: &Path,
) -> Result<Vec<Case>> {
    let subject = Subject::start(tools, against, &suite.broker(), logs)?;
    let run = Run { tools, subject: &subject, logs, jobs };
    let mut cases = complete(suite.run(&run, wanted)?, wanted);
    let failed = |case: &Case| matches!(case.outcome, Outcome::Failed(_)) && !exceptions.is_listed(&case.name, against);
    let again: Vec<String> = cases.iter().filter(|case| failed(case)).map(|case| case.name.clone()).collect();
    // When much is broken, a second try tells nothing and takes long.
    if again.is_empty() || again.len() > 20 || again.len() == cases.len() && cases.len() > 5 {
        return Ok(cases);
    }
    for name in again {
        let second = suite.run(&Run { jobs: 1, ..run }, std::slice::from_ref(&name))?;
        let passed = second.iter().any(|case| case.name == name && case.outcome == Outcome::Passed);
        if let Some(case) = cases.iter_mut().find(|case| passed && case.name == name) {
            case.outcome = Outcome::PassedAgain;
        }
    }
    Ok(cases)
}

/// Adds a failure for every case that the suite said nothing about.
fn complete(mut cases: Vec<Case>, wanted: &[String]) -> Vec<Case> {
    cases.retain(|case| wanted.contains(&case.name));
    for name in wanted {
        if !cases.iter().any(|case| case.name == *name) {
            cases.push(Case { name: name.clone(), outcome: Outcome::Failed("it gave no result".to_owned()) });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// A file name for a case.
fn log_name(case: &str) -> String {
    case.chars().map(|character| if character.is_alphanumeric() { character } else { '-' }).collect::<String>() + ".log"
}

/// Seconds with one decimal, for people.
fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
