//! Suites whose cases are functions of ours that drive programs of Kafka: a table of names and functions.

use super::logged::{Logged, read};
use super::{Case, Outcome, Run, log_name};
use crate::Tools;
use crate::command::run_with_input;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long one program may take; minutes of slack for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A name and what it does; an error is a failure.
pub type Check = (&'static str, fn(&Scene<'_>) -> Result<()>);

/// The names of a table.
pub fn names(table: &[Check]) -> Vec<String> {
    table.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// Runs some of a table's checks, each in a scene of its own.
pub fn run_checks(table: &[Check], run: &Run<'_>, cases: &[String]) -> Result<Vec<Case>> {
    super::logged::in_parallel(cases, run.jobs, |case| {
        let (_, check) = table.iter().find(|(name, _)| name == case).with_context(|| format!("no case {case}"))?;
        let scene = Scene::new(run, case)?;
        let outcome = match check(&scene) {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}").chars().take(1_500).collect()),
        };
        Ok(vec![Case { name: case.clone(), outcome }])
    })
}

/// A case at work: the broker, names that nobody else uses, a folder for files, and a log.
pub struct Scene<'a> {
    /// The suite's run.
    pub run: &'a Run<'a>,
    /// Thrown away at its end.
    pub folder: TempDir,
    log: PathBuf,
    name: String,
}

impl<'a> Scene<'a> {
    fn new(run: &'a Run<'a>, case: &str) -> Result<Scene<'a>> {
        let name = case.chars().filter(|character| character.is_alphanumeric() || *character == '-').collect();
        Ok(Scene { run, folder: TempDir::with_prefix("case-")?, log: run.logs.join(log_name(case)), name })
    }

    /// `host:port` of the broker.
    pub fn bootstrap(&self) -> &str {
        &self.run.subject.bootstrap
    }

    /// A topic, group or transactional id of this case; a second try of the same case gets other names.
    pub fn own(&self, what: &str) -> String {
        let id = self.folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        format!("{}-{what}-{id}", self.name)
    }

    /// The folder of Kafka's jars.
    pub fn jars(&self) -> Result<PathBuf> {
        self.run.tools.part("suites-java")
    }

    /// A Java program by its class, with 512 MiB of heap and quiet logs.
    pub fn java(&self, class: &str) -> Result<Command> {
        java(self.run.tools, class)
    }

    /// Runs a tool that takes `--bootstrap-server` and returns what it printed.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        self.tool_with_input(class, arguments, "")
    }

    /// As [`Scene::tool`], with lines on standard input.
    pub fn tool_with_input(&self, class: &str, arguments: &[&str], input: &str) -> Result<String> {
        let mut java = self.java(&format!("org.apache.kafka.tools.{class}"))?;
        java.args(arguments);
        // Some want it first, before their own verbs.
        if !arguments.contains(&"--bootstrap-server") && !arguments.contains(&"--broker-list") {
            java.args(["--bootstrap-server", self.bootstrap()]);
        }
        self.finish(&mut java, input)
    }

    /// Runs a program to its end and returns what it printed; all of it goes to the log.
    pub fn finish(&self, command: &mut Command, input: &str) -> Result<String> {
        self.note(&format!("$ {command:?}"))?;
        let finished = run_with_input(command, input.as_bytes(), PATIENCE);
        match &finished {
            Ok(finished) => self.note(&format!("{}\n{}", finished.stderr, finished.text()))?,
            Err(error) => self.note(&format!("{error:#}"))?,
        }
        // The log has the whole command; its class and arguments are enough for a message.
        finished.map(|finished| finished.text()).map_err(|error| {
            let said = format!("{error:#}");
            let short = said.split_once("libs/*\" ").map_or(said.as_str(), |(_, rest)| rest);
            anyhow::anyhow!("{short}")
        })
    }

    /// Starts a program that goes on; what it prints is a file of its own.
    pub fn start(&self, command: &mut Command, name: &str) -> Result<Logged> {
        Logged::start(command, &self.log.with_extension(format!("{name}.log")))
    }

    /// What every run of the program `name` printed.
    pub fn said_by(&self, name: &str) -> String {
        read(&self.log.with_extension(format!("{name}.log")))
    }

    /// A file in the case's folder.
    pub fn file(&self, name: &str, content: &str) -> Result<String> {
        let path = self.folder.path().join(name);
        fs::write(&path, content)?;
        Ok(path.display().to_string())
    }

    /// Writes into the case's log.
    pub fn note(&self, text: &str) -> Result<()> {
        let mut log = File::options().create(true).append(true).open(&self.log)?;
        Ok(writeln!(log, "{text}")?)
    }

    /// Makes a topic.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<()> {
        let partitions = partitions.to_string();
        self.tool("TopicCommand", &["--create", "--topic", name, "--partitions", &partitions])?;
        Ok(())
    }

    /// Every value of a topic that a read_committed consumer sees, once per record.
    pub fn committed_values(&self, topic: &str) -> Result<Vec<String>> {
        read_committed(self, self.bootstrap(), topic)
    }
}

/// As [`Scene::committed_values`], from any broker: reads until nothing came for ten seconds.
pub fn read_committed(scene: &Scene<'_>, bootstrap: &str, topic: &str) -> Result<Vec<String>> {
    let read = scene.tool(
        "consumer.ConsoleConsumer",
        &[
            "--bootstrap-server",
            bootstrap,
            "--topic",
            topic,
            "--from-beginning",
            "--timeout-ms",
            "10000",
            "--consumer-property",
            "isolation.level=read_committed",
        ],
    )?;
    Ok(read.lines().map(str::to_owned).collect())
}

/// See [`Scene::java`].
pub fn java(tools: &Tools, class: &str) -> Result<Command> {
    let folder = tools.part("suites-java")?;
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]);
    command.arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.xml").display()));
    command.arg("-cp").arg(folder.join("libs/*")).arg(class);
    Ok(command)
}

/// Asks until the answer is yes; an error of the question ends it.
pub fn wait_until(what: &str, patience: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + patience;
    while !is_so()? {
        if Instant::now() > until {
            bail!("not in {patience:?}: {what}");
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Fails with the text unless it contains all of `wanted`.
pub fn contains(text: &str, wanted: &[&str]) -> Result<()> {
    for piece in wanted {
        ensure!(text.contains(piece), "{piece:?} is missing in:\n{text}");
    }
    Ok(())
}

/// The same multiset of lines; an error tells what is missing, too much, or there twice.
pub fn same_lines(mut found: Vec<String>, mut expected: Vec<String>) -> Result<()> {
    found.sort();
    expected.sort();
    if found == expected {
        return Ok(());
    }
    let missing: Vec<&String> = expected.iter().filter(|line| found.binary_search(line).is_err()).take(5).collect();
    let strange: Vec<&String> = found.iter().filter(|line| expected.binary_search(line).is_err()).take(5).collect();
    let mut twice: Vec<&String> = found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    twice.dedup();
    twice.truncate(5);
    bail!(
        "{} lines instead of {}; missing {missing:?}, not expected {strange:?}, twice {twice:?}",
        found.len(),
        expected.len()
    )
}

/// Lines of a file, none when it does not exist yet.
pub fn lines_of(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
