//! Doing something to several things by name: each is told about, and the exit code says whether all of it was done.

use crate::client::ClientError;
use crate::exit::{Exit, Failure, Outcome};

/// Counts what was done, and tells about each.
pub struct Tally {
    noun: &'static str,
    done: usize,
    failures: Vec<ClientError>,
}

impl Tally {
    /// Of things that are called this.
    pub fn of(noun: &'static str) -> Tally {
        Tally { noun, done: 0, failures: Vec::new() }
    }

    /// One of them, with what was done.
    pub fn add(&mut self, result: Result<(), ClientError>, name: &str, done: &str) {
        match result {
            Ok(()) => {
                eprintln!("{} {name} {done}", self.noun);
                self.done += 1;
            }
            Err(error) => self.failures.push(error),
        }
    }

    /// The last failure is told by the caller, the others here.
    pub fn outcome(mut self) -> Outcome {
        let Some(last) = self.failures.pop() else { return Ok(Exit::Ok) };
        for failure in &self.failures {
            eprintln!("error: {failure}");
        }
        let mut failure = Failure::from(last);
        if self.done > 0 {
            failure.exit = Exit::Partial;
        }
        Err(failure)
    }
}
