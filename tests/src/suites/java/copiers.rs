//! TransactionalMessageCopier: what it copies arrives exactly once, also when it aborts at random or is killed.

use crate::suites::checks::{Scene, same_lines, wait_until};
use crate::suites::logged::Logged;
use anyhow::{Result, ensure};
use std::time::Duration;

const RECORDS: usize = 3_000;
const PATIENCE: Duration = Duration::from_secs(180);

struct Copy<'a> {
    scene: &'a Scene<'a>,
    from: String,
    to: String,
    group: String,
    expected: Vec<String>,
}

impl<'a> Copy<'a> {
    /// Makes both topics and fills the first one.
    fn new(scene: &'a Scene<'a>, partitions: u32) -> Result<Copy<'a>> {
        let copy = Copy {
            scene,
            from: scene.own("from"),
            to: scene.own("to"),
            group: scene.own("group"),
            expected: (0..RECORDS).map(|number| number.to_string()).collect(),
        };
        scene.create_topic(&copy.from, partitions)?;
        scene.create_topic(&copy.to, partitions)?;
        scene.tool("VerifiableProducer", &["--topic", &copy.from, "--max-messages", &RECORDS.to_string()])?;
        Ok(copy)
    }

    fn start(&self, id: &str, more: &[&str]) -> Result<Logged> {
        let mut java = self.scene.java("org.apache.kafka.tools.TransactionalMessageCopier")?;
        java.args(["--broker-list", self.scene.bootstrap(), "--input-topic", &self.from, "--output-topic", &self.to]);
        java.args(["--input-partition", "0", "--consumer-group", &self.group, "--transaction-size", "100"]);
        // As long as a killed one's transaction may hold back what comes after it.
        java.args(["--transaction-timeout", "10000", "--transactional-id", &self.scene.own(id)]).args(more);
        self.scene.start(&mut java, id)
    }

    fn finish(&self, id: &str, more: &[&str]) -> Result<()> {
        let status = self.start(id, more)?.wait(PATIENCE)?;
        ensure!(status.is_some_and(|status| status.success()), "the copier ended with {status:?}");
        Ok(())
    }

    fn everything_arrived_once(&self) -> Result<()> {
        same_lines(self.scene.committed_values(&self.to)?, self.expected.clone())
    }
}

pub fn one_partition(scene: &Scene<'_>) -> Result<()> {
    let copy = Copy::new(scene, 1)?;
    copy.finish("copier", &["--use-group-metadata"])?;
    // In order, too: there is one partition.
    ensure!(scene.committed_values(&copy.to)? == copy.expected, "the copy is not the original");
    Ok(())
}

pub fn random_aborts(scene: &Scene<'_>) -> Result<()> {
    let copy = Copy::new(scene, 1)?;
    copy.finish("copier", &["--enable-random-aborts", "--use-group-metadata"])?;
    copy.everything_arrived_once()
}

/// Two copiers in one group; one is killed in the middle of a transaction and started again under its name.
pub fn group_mode_killed(scene: &Scene<'_>) -> Result<()> {
    let copy = Copy::new(scene, 4)?;
    let how = ["--group-mode", "--use-group-metadata", "--enable-random-aborts"];
    let first = copy.start("first", &how)?;
    let second = copy.start("second", &how)?;
    wait_until("the first one copied something", PATIENCE, || {
        Ok(scene.said_by("first").contains("\"consumed\"") || scene.said_by("second").contains("\"consumed\""))
    })?;
    first.kill();
    let again = copy.start("first", &how)?;
    second.wait(PATIENCE)?;
    again.wait(PATIENCE)?;
    // Whoever was killed may have held partitions until its session ended; a last one copies what is left.
    copy.finish("first", &how)?;
    copy.everything_arrived_once()
}
