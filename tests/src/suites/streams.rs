//! Kafka Streams with exactly_once_v2: a word count of ours that is killed again and again while it runs, and Kafka's own
//! smoke test, which checks a dozen operators against what it produced.

use super::checks::{Check, Scene, contains, names, run_checks, wait_until};
use super::logged::Logged;
use super::subject::Broker;
use super::{Case, Run, Suite};
use crate::Tools;
use crate::tools::repository;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// The suite.
pub struct Streams;

const CASES: &[Check] = &[
    ("word-count-killed-while-it-runs", word_count_killed),
    ("application-reset", application_reset),
    ("smoke-test-exactly-once", smoke_test),
];

impl Suite for Streams {
    fn name(&self) -> &'static str {
        "streams"
    }

    fn broker(&self) -> Broker {
        Broker::default()
    }

    fn cases(&self, _: &Tools) -> Result<Vec<String>> {
        Ok(names(CASES))
    }

    fn run(&self, run: &Run<'_>, cases: &[String]) -> Result<Vec<Case>> {
        run_checks(CASES, run, cases)
    }
}

const PATIENCE: Duration = Duration::from_secs(180);
const WORDS: [&str; 8] = ["ice", "stream", "slush", "floe", "brash", "frazil", "nilas", "pancake"];

/// Lines `from..to` of a text that never ends.
fn lines(from: usize, to: usize) -> String {
    let word = |number: usize| WORDS[(number * number + number / 7) % WORDS.len()];
    (from..to).map(|number| format!("{} {} {}\n", word(number), word(number + 3), word(2 * number))).collect()
}

fn counts(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

/// One word count application of two instances, with its topics.
struct WordCount<'a> {
    scene: &'a Scene<'a>,
    input: String,
    output: String,
}

impl<'a> WordCount<'a> {
    fn new(scene: &'a Scene<'a>) -> Result<WordCount<'a>> {
        let count = WordCount { scene, input: scene.own("input"), output: scene.own("output") };
        scene.create_topic(&count.input, 4)?;
        scene.create_topic(&count.output, 4)?;
        Ok(count)
    }

    fn start(&self, instance: &str) -> Result<Logged> {
        let jars = self.scene.jars()?;
        let mut java = Command::new("java");
        java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        java.arg(format!("-Dlog4j2.configurationFile={}", jars.join("log4j2.xml").display()));
        java.arg("-cp").arg(jars.join("libs/*")).arg(repository().join("tests/suites/java/WordCount.java"));
        java.args([self.scene.bootstrap(), &self.scene.own("application")]);
        java.arg(self.scene.folder.path().join(instance)).args([&self.input, &self.output]);
        self.scene.start(&mut java, instance)
    }

    fn wait_until_running(&self, instance: &str, times: usize) -> Result<()> {
        wait_until(&format!("{instance} runs for the {times}. time"), PATIENCE, || {
            Ok(self.scene.said_by(instance).matches("STATE RUNNING").count() >= times)
        })
    }

    fn produce(&self, from: usize, to: usize) -> Result<()> {
        self.scene.tool_with_input("ConsoleProducer", &["--topic", &self.input], &lines(from, to))?;
        Ok(())
    }

    /// Each word's counts as a read_committed consumer sees them, in order.
    fn output(&self) -> Result<BTreeMap<String, Vec<u64>>> {
        let arguments = [
            "--topic",
            &self.output,
            "--from-beginning",
            "--timeout-ms",
            "10000",
            "--consumer-property",
            "isolation.level=read_committed",
            "--property",
            "print.key=true",
        ];
        let read = self.scene.tool("consumer.ConsoleConsumer", &arguments)?;
        let mut output: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for line in read.lines() {
            let (word, count) = line.split_once('\t').with_context(|| format!("word and count: {line:?}"))?;
            output.entry(word.to_owned()).or_default().push(count.parse()?);
        }
        Ok(output)
    }

    /// Waits until as many counts are committed as there are words, then compares each word's counts with 1, 2, 3, …
    fn is_exact_for(&self, lines_in_all: usize) -> Result<()> {
        let expected = counts(&lines(0, lines_in_all));
        let total: u64 = expected.values().sum();
        let mut output = BTreeMap::new();
        let waited = wait_until("as many counts as words", PATIENCE, || {
            output = self.output()?;
            Ok(output.values().map(Vec::len).sum::<usize>() as u64 >= total)
        });
        for (word, count) in expected {
            let found = output.get(&word).cloned().unwrap_or_default();
            let wrong = (1..=count).zip(&found).find(|(should, is)| should != *is);
            ensure!(
                wrong.is_none(),
                "{word}: the counts go wrong here (should be, is): {wrong:?}, {} in all",
                found.len()
            );
            ensure!(found.len() as u64 == count, "{word}: {} counts instead of {count}", found.len());
        }
        waited
    }
}

fn word_count_killed(scene: &Scene<'_>) -> Result<()> {
    let count = WordCount::new(scene)?;
    let mut first = count.start("first")?;
    let mut second = count.start("second")?;
    count.wait_until_running("first", 1)?;
    count.wait_until_running("second", 1)?;
    for round in 0..4 {
        let at = round * 3_000;
        // Killed in the middle of what is being counted: one, then the other.
        count.produce(at, at + 2_000)?;
        if round % 2 == 0 {
            first.kill();
            count.produce(at + 2_000, at + 3_000)?;
            first = count.start("first")?;
        } else {
            second.kill();
            count.produce(at + 2_000, at + 3_000)?;
            second = count.start("second")?;
        }
    }
    count.is_exact_for(12_000)?;
    for instance in [first, second] {
        instance.terminate()?;
        instance.wait(PATIENCE)?;
    }
    Ok(())
}

/// The reset tool makes an application count everything once more.
fn application_reset(scene: &Scene<'_>) -> Result<()> {
    let count = WordCount::new(scene)?;
    let first = count.start("first")?;
    count.produce(0, 500)?;
    count.is_exact_for(500)?;
    first.terminate()?;
    first.wait(PATIENCE)?;
    let application = scene.own("application");
    let arguments = ["--application-id", &application, "--input-topics", &count.input, "--force"];
    let said = scene.tool("StreamsResetter", &arguments)?;
    contains(&said, &["Done.", &format!("{application}-KSTREAM-AGGREGATE-STATE-STORE")])?;
    let again = WordCount { scene, input: count.input.clone(), output: scene.own("again") };
    scene.create_topic(&again.output, 4)?;
    let second = again.start("second")?;
    again.is_exact_for(500)?;
    second.terminate()?;
    second.wait(PATIENCE)?;
    Ok(())
}

/// Kafka's system test of Streams: a driver that produces and verifies, and the application beside it.
fn smoke_test(scene: &Scene<'_>) -> Result<()> {
    let topics = [
        "data",
        "echo",
        "max",
        "min",
        "min-suppressed",
        "min-raw",
        "dif",
        "sum",
        "sws-raw",
        "sws-suppressed",
        "cnt",
        "avg",
        "tagg",
        "fk",
    ];
    for topic in topics {
        scene.create_topic(topic, 5)?;
    }
    let settings = |state: &str, more: &str| {
        let folder = scene.folder.path().join(state);
        let text = format!("bootstrap.servers={}\nstate.dir={}\n{more}", scene.bootstrap(), folder.display());
        scene.file(&format!("{state}.properties"), &text)
    };
    let eos =
        "processing.guarantee=exactly_once_v2\nacceptable.recovery.lag=9223372036854775807\nsession.timeout.ms=6000\n";
    let class = "org.apache.kafka.streams.tests.StreamsSmokeTest";
    let mut application = scene.java(class)?;
    let application = scene.start(application.args([settings("one", eos)?.as_str(), "process"]), "application")?;
    let mut driver = scene.java(class)?;
    let said = scene.finish(driver.args([settings("driver", "")?.as_str(), "run"]), "")?;
    contains(&said, &["ALL-RECORDS-DELIVERED", "SUCCESS"])?;
    application.terminate()?;
    application.wait(PATIENCE)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_same_in_pieces() {
        assert_eq!(lines(0, 10), lines(0, 4) + &lines(4, 10));
        assert_eq!(counts("ice ice floe\nice"), BTreeMap::from([("ice".to_owned(), 3), ("floe".to_owned(), 1)]));
        assert_eq!(counts(&lines(0, 1_000)).len(), WORDS.len(), "every word occurs");
    }
}
