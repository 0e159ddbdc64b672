//! How a command ends: an exit code that scripts can rely on, the cause, and the next command to try.

use crate::client::ClientError;
use crate::settings::ConfigErrors;
use std::fmt::Display;
use std::io::ErrorKind;

/// Stable exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Not done.
    Failure = 1,
    /// Not understood: flags, arguments or settings.
    Usage = 2,
    /// Done in part.
    Partial = 3,
    /// Not done in time.
    Timeout = 4,
}

/// Why a command failed. Prints as cause, deeper causes, and what to do next.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The cause, with its own causes.
    pub error: anyhow::Error,
    /// The next command, or whatever else helps.
    pub next: Option<String>,
}

/// What a command returns.
pub type Outcome = Result<Exit, Failure>;

impl Failure {
    /// A failure without advice.
    pub fn new(error: impl Into<anyhow::Error>) -> Failure {
        Failure { exit: Exit::Failure, error: error.into(), next: None }
    }

    /// A mistake in how the command was called.
    pub fn usage(message: impl Display) -> Failure {
        Failure { exit: Exit::Usage, error: anyhow::anyhow!("{message}"), next: None }
    }

    /// The same with advice.
    pub fn advising(mut self, next: impl Into<String>) -> Failure {
        self.next = Some(next.into());
        self
    }

    /// Whether the reader of our output went away, which is no failure at all.
    pub fn is_broken_pipe(&self) -> bool {
        let mut causes = self.error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
        causes.any(|error| error.kind() == ErrorKind::BrokenPipe)
    }

    /// The whole story, over several lines.
    pub fn story(&self) -> String {
        let mut causes = self.error.chain().map(ToString::to_string);
        let mut story = format!("error: {}", causes.next().unwrap_or_default());
        let mut told = story.clone();
        for cause in causes.filter(|cause| !cause.is_empty()) {
            if !told.contains(&cause) {
                story.push_str(&format!("\n  because: {cause}"));
                told.push_str(&cause);
            }
        }
        if let Some(next) = &self.next {
            story.push_str(&format!("\n  next: {next}"));
        }
        story
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let next = error.next_step();
        let exit = if matches!(error, ClientError::Timeout { .. }) { Exit::Timeout } else { Exit::Failure };
        Failure { exit, error: error.into(), next }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::new(error)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Failure {
        let next = Some("see every setting and where it comes from with `frazil config print --origin`".to_string());
        Failure { exit: Exit::Usage, error: errors.into(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_story_tells_each_cause_once_and_what_to_do() {
        let error = std::io::Error::other("disk on fire");
        let failure = Failure::new(Err::<(), _>(error).context("cannot write").unwrap_err()).advising("try water");
        assert_eq!(failure.story(), "error: cannot write\n  because: disk on fire\n  next: try water");
        let repeated = Failure::new(anyhow::anyhow!("a: b").context("x: a: b"));
        assert_eq!(repeated.story(), "error: x: a: b");
    }

    #[test]
    fn a_reader_that_went_away_is_recognised_at_any_depth() {
        let broken = std::io::Error::from(ErrorKind::BrokenPipe);
        assert!(Failure::new(anyhow::Error::from(broken).context("printing")).is_broken_pipe());
        assert!(!Failure::usage("no").is_broken_pipe());
    }
}
