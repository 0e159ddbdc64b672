//! Running clients: to their end with a deadline and everything they said, or while the test goes on.

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What a command that succeeded wrote.
#[derive(Debug)]
pub struct Finished {
    /// Standard output, as it came.
    pub stdout: Vec<u8>,
    /// Standard error, for messages.
    pub stderr: String,
}

impl Finished {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs `command` without input. An error tells what it was, what it wrote, and whether it failed or took longer than
/// `deadline` (it is killed then).
pub fn run(command: &mut Command, deadline: Duration) -> Result<Finished> {
    run_with_input(command, &[], deadline)
}

/// As [`run`], with `input` on its standard input.
pub fn run_with_input(command: &mut Command, input: &[u8], deadline: Duration) -> Result<Finished> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {shown}"))?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    feed(&mut child, input.to_vec());
    let status = wait(&mut child, deadline)?;
    let finished = Finished { stdout: joined(stdout), stderr: String::from_utf8_lossy(&joined(stderr)).into_owned() };
    match status {
        Some(status) if status.success() => Ok(finished),
        Some(status) => bail!("{shown}\nended with {status}\n{}\n{}", last(&finished.stderr), last(&finished.text())),
        None => bail!("{shown}\ndid not end in {deadline:?}\n{}\n{}", last(&finished.stderr), last(&finished.text())),
    }
}

/// Waits for the end of `child`, at most `deadline`; then kills it and returns nothing.
pub fn wait(child: &mut Child, deadline: Duration) -> Result<Option<ExitStatus>> {
    let until = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn feed(child: &mut Child, input: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        // A command that stops reading early says why in its status.
        thread::spawn(move || stdin.write_all(&input));
    }
}

fn read_all(source: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // What could be read before an error is still worth showing.
            let _ = source.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn joined(reader: JoinHandle<Vec<u8>>) -> Vec<u8> {
    reader.join().expect("reading a pipe does not panic")
}

/// The end of a long text, for messages.
fn last(text: &str) -> &str {
    let start = text.len().saturating_sub(4_000);
    let start = (start..=text.len()).find(|&at| text.is_char_boundary(at)).expect("the end is a boundary");
    &text[start..]
}

/// A command that goes on while the test does something, and tells by lines on standard output how far it is.
#[derive(Debug)]
pub struct Running {
    shown: String,
    child: Child,
    lines: Receiver<String>,
    stderr: JoinHandle<Vec<u8>>,
}

impl Running {
    /// Starts it, without input.
    pub fn start(command: &mut Command) -> Result<Running> {
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {shown}"))?;
        let (give, lines) = mpsc::channel();
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| give.send(line))
        });
        let stderr = read_all(child.stderr.take());
        Ok(Running { shown, child, lines, stderr })
    }

    /// Waits until it prints `wanted` on a line of its own.
    pub fn wait_for_line(&mut self, wanted: &str, deadline: Duration) -> Result<()> {
        self.wait_for(wanted, |line| line == wanted, deadline)
    }

    /// Waits until it prints a line with `wanted` in it.
    pub fn wait_for_text(&mut self, wanted: &str, deadline: Duration) -> Result<()> {
        self.wait_for(wanted, |line| line.contains(wanted), deadline)
    }

    fn wait_for(&mut self, wanted: &str, is_it: impl Fn(&str) -> bool, deadline: Duration) -> Result<()> {
        let until = Instant::now() + deadline;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if is_it(&line) => return Ok(()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("{} did not print {wanted:?} in {deadline:?}", self.shown),
                // It ended: how is more telling than that it did not print the line.
                Err(RecvTimeoutError::Disconnected) => {
                    return self.end(until.saturating_duration_since(Instant::now()));
                }
            }
        }
    }

    /// The next line it prints; nothing when it has printed its last.
    pub fn next_line(&mut self, deadline: Duration) -> Result<Option<String>> {
        match self.lines.recv_timeout(deadline) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("{} printed nothing in {deadline:?}", self.shown),
        }
    }

    /// Waits for its end; an error tells how it failed.
    pub fn finish(mut self, deadline: Duration) -> Result<()> {
        self.end(deadline)
    }

    /// As Ctrl-C: asks it to stop (SIGINT), and waits for its end. Returns the lines it still printed, and all that it
    /// wrote to standard error.
    pub fn interrupt(mut self, deadline: Duration) -> Result<(Vec<String>, String)> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(id, Signal::INT)?;
        let status = wait(&mut self.child, deadline)?;
        let stderr =
            String::from_utf8_lossy(&joined(std::mem::replace(&mut self.stderr, thread::spawn(Vec::new)))).into_owned();
        match status {
            Some(status) if status.success() => Ok((self.lines.iter().collect(), stderr)),
            status => bail!("{}\nended with {status:?} when it was interrupted\n{}", self.shown, last(&stderr)),
        }
    }

    /// Stops it where it stands (SIGSTOP), as a long pause of a machine does; it can still be killed.
    pub fn pause(&self) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(id, Signal::STOP)?)
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn end(&mut self, deadline: Duration) -> Result<()> {
        let status = wait(&mut self.child, deadline)?;
        let stderr = std::mem::replace(&mut self.stderr, thread::spawn(Vec::new));
        let stderr = String::from_utf8_lossy(&joined(stderr)).into_owned();
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{}\nended with {status}\n{}", self.shown, last(&stderr)),
            None => bail!("{}\ndid not end in {deadline:?}\n{}", self.shown, last(&stderr)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
