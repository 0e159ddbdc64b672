//! What a suite's run means, given its list.

use super::exceptions::{Exceptions, Kind};
use super::{Against, Case, Outcome, seconds};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The result of one suite.
#[derive(Debug)]
pub struct Verdict {
    suite: &'static str,
    duration: Duration,
    /// Cases that passed, in the first or second try.
    pub passed: usize,
    passed_again: Vec<String>,
    /// Cases that should have passed, with what they said.
    pub failed: Vec<(String, String)>,
    /// Listed cases that did not pass, or were not worth running, by kind and reason.
    excused: BTreeMap<(Kind, String), usize>,
    /// Listed cases that passed.
    stale: Vec<String>,
    /// What became of each case, in words.
    each: Vec<(String, &'static str)>,
}

impl Verdict {
    /// Compares what happened with the list; `left_out` were not run because of it.
    pub fn new(
        suite: &'static str,
        against: Against,
        exceptions: &Exceptions,
        cases: Vec<Case>,
        left_out: &[String],
        duration: Duration,
    ) -> Verdict {
        let mut verdict = Verdict {
            suite,
            duration,
            passed: 0,
            passed_again: Vec::new(),
            failed: Vec::new(),
            excused: BTreeMap::new(),
            stale: Vec::new(),
            each: Vec::new(),
        };
        for name in left_out {
            verdict.excuse(name, exceptions, against);
        }
        for case in cases {
            verdict.add(case, exceptions, against);
        }
        verdict
    }

    fn add(&mut self, case: Case, exceptions: &Exceptions, against: Against) {
        let kind = exceptions.of(&case.name, against).map(|exception| exception.kind);
        let has_passed = matches!(case.outcome, Outcome::Passed | Outcome::PassedAgain);
        if has_passed || kind.is_none() {
            self.each.push((case.name.clone(), if has_passed { "passed" } else { "FAILED" }));
        }
        match (case.outcome, kind) {
            (Outcome::Passed, None | Some(Kind::Flaky)) => self.passed += 1,
            (Outcome::PassedAgain, None) => {
                self.passed += 1;
                self.passed_again.push(case.name);
            }
            (Outcome::Passed | Outcome::PassedAgain, Some(_)) => {
                self.passed += 1;
                self.stale.push(case.name);
            }
            (Outcome::Failed(said), None) => self.failed.push((case.name, said)),
            // A case that leaves itself out where it should run proves nothing; the list must say so.
            (Outcome::Skipped(why), None) => self.failed.push((case.name, format!("left itself out: {why}"))),
            (Outcome::Failed(_) | Outcome::Skipped(_), Some(_)) => self.excuse(&case.name, exceptions, against),
        }
    }

    fn excuse(&mut self, case: &str, exceptions: &Exceptions, against: Against) {
        if let Some(exception) = exceptions.of(case, against) {
            *self.excused.entry((exception.kind, exception.reason.clone())).or_default() += 1;
            self.each.push((case.to_owned(), exception.kind.name()));
        }
    }

    /// One line for each case, in order.
    pub fn each(&self) -> String {
        let mut each = self.each.clone();
        each.sort();
        each.iter().map(|(case, became)| format!("{became:14} {} {case}\n", self.suite)).collect()
    }

    /// Whether everything that is not listed passed.
    pub fn is_good(&self) -> bool {
        self.failed.is_empty()
    }

    /// Listed cases that did not pass or were not run.
    pub fn excused(&self) -> usize {
        self.excused.values().sum()
    }

    /// Cases that did not pass and are listed, of one kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.excused.iter().filter(|((other, _), _)| *other == kind).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:24} {:4} passed, {:3} failed", self.suite, self.passed, self.failed.len())?;
        let known = [
            (Kind::NotApplicable, "not applicable"),
            (Kind::KafkaFails, "fail against Kafka too"),
            (Kind::Flaky, "flaky against Kafka too"),
            (Kind::FrazilLacks, "lacking"),
        ];
        for (kind, words) in known.into_iter().filter(|(kind, _)| self.count(*kind) > 0) {
            write!(f, ", {} {words}", self.count(kind))?;
        }
        writeln!(f, ", {}", seconds(self.duration))?;
        for ((kind, reason), count) in &self.excused {
            writeln!(f, "    {count} {}: {reason}", kind.name())?;
        }
        for name in &self.passed_again {
            writeln!(f, "    passed at the second try: {name}")?;
        }
        for name in &self.stale {
            writeln!(f, "    PASSES NOW: {name}: remove this line from tests/suites/{}.txt", self.suite)?;
        }
        for (name, said) in &self.failed {
            writeln!(f, "    FAILED: {name}: {}", said.replace('\n', "\n        "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, outcome: Outcome) -> Case {
        Case { name: name.to_owned(), outcome }
    }

    fn judge(list: &str, against: Against, cases: Vec<Case>) -> Verdict {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list.txt");
        std::fs::write(&path, list).expect("a file");
        let list = Exceptions::read(&path).expect("a list");
        Verdict::new("suite", against, &list, cases, &[], Duration::ZERO)
    }

    #[test]
    fn an_unlisted_failure_is_a_failure_and_so_is_leaving_oneself_out() {
        let failed = || case("a", Outcome::Failed("why".to_owned()));
        assert!(!judge("", Against::Frazil, vec![failed()]).is_good());
        assert!(!judge("", Against::Frazil, vec![case("a", Outcome::Skipped("no".to_owned()))]).is_good());
        assert!(judge("frazil-lacks a -- groups", Against::Frazil, vec![failed()]).is_good());
        assert!(!judge("frazil-lacks a -- groups", Against::Kafka, vec![failed()]).is_good());
    }

    #[test]
    fn every_case_has_a_line_with_what_became_of_it() {
        let failed = |name| case(name, Outcome::Failed("why".to_owned()));
        let cases = vec![failed("c"), case("a", Outcome::Passed), failed("b")];
        let each = judge("frazil-lacks b -- groups", Against::Frazil, cases).each();
        assert_eq!(each, "passed         suite a\nfrazil-lacks   suite b\nFAILED         suite c\n");
    }

    #[test]
    fn a_listed_case_that_passes_must_leave_the_list_unless_it_is_flaky() {
        let shown = |list| judge(list, Against::Frazil, vec![case("a", Outcome::Passed)]).to_string();
        assert!(shown("frazil-lacks a -- groups").contains("remove this line"));
        assert!(!shown("flaky a -- a race").contains("remove this line"));
    }
}
