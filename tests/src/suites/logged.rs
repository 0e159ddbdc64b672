//! Running a case as a process: its words go to a file, and it ends in time together with whatever it started.

use super::Outcome;
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A process whose output goes to a file; its whole group is killed with it.
#[derive(Debug)]
pub struct Logged {
    child: Child,
    log: PathBuf,
}

impl Logged {
    /// Starts it without input; `log` is appended to.
    pub fn start(command: &mut Command, log: &Path) -> Result<Logged> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Logged { child, log: log.to_owned() })
    }

    /// Waits for its end; nothing when that takes longer, and then it is killed.
    pub fn wait(mut self, deadline: Duration) -> Result<Option<ExitStatus>> {
        let until = Instant::now() + deadline;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(None)
    }

    /// `kill -9` of it and all that it started.
    pub fn kill(self) {}

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) -> Result<()> {
        Ok(kill_process_group(group(&self.child)?, Signal::TERM)?)
    }

    /// Whether it ended, and how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        read(&self.log)
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        if let Ok(group) = group(&self.child) {
            // What it started may outlive it; when nothing does, there is nobody to signal.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn group(child: &Child) -> Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process id")
}

/// A log as text; empty when there is none.
pub fn read(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

/// Runs a command to its end: passed when it succeeds, else failed with its last words.
pub fn outcome(command: &mut Command, log: &Path, deadline: Duration) -> Result<Outcome> {
    Ok(match Logged::start(command, log)?.wait(deadline)? {
        Some(status) if status.success() => Outcome::Passed,
        Some(status) => Outcome::Failed(format!("{status}: {}", last_words(&read(log)))),
        None => Outcome::Failed(format!("did not end in {deadline:?}: {}", last_words(&read(log)))),
    })
}

/// The last lines that say something.
pub fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join("\n");
    last.chars().take(1_000).collect()
}

/// Calls `work` for each of `items`, at most `jobs` at a time, and gathers what comes out; the first error ends it.
pub fn in_parallel<I: Sync, O: Send>(
    items: &[I],
    jobs: usize,
    work: impl Fn(&I) -> Result<Vec<O>> + Sync,
) -> Result<Vec<O>> {
    let next = AtomicUsize::new(0);
    let gathered = Mutex::new(Ok(Vec::new()));
    let worker = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = work(item);
            let mut gathered = gathered.lock().expect("nobody panics with it");
            match (gathered.as_mut(), result) {
                (Ok(all), Ok(found)) => all.extend(found),
                (Ok(_), Err(error)) => *gathered = Err(error),
                (Err(_), _) => return,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(worker);
        }
    });
    gathered.into_inner().expect("nobody panics with it")
}
