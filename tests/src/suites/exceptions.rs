//! The list of a suite's cases that do not pass, one a line: `kind case -- reason`.

use super::Against;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Why a case is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It cannot be asked here: it wants another broker, a listener, a tool. It is not run.
    NotApplicable,
    /// It fails against Kafka too, so nothing follows from its failing. It is run against Kafka only.
    KafkaFails,
    /// Against Kafka it passes on some days and fails on others. It is run, and either is fine.
    Flaky,
    /// Frazil lacks what it wants. It is run; it passes against Kafka.
    FrazilLacks,
}

impl Kind {
    /// As in the lists.
    pub fn name(self) -> &'static str {
        match self {
            Kind::NotApplicable => "not-applicable",
            Kind::KafkaFails => "kafka-fails",
            Kind::Flaky => "flaky",
            Kind::FrazilLacks => "frazil-lacks",
        }
    }

    fn parse(text: &str) -> Option<Kind> {
        let all = [Kind::NotApplicable, Kind::KafkaFails, Kind::Flaky, Kind::FrazilLacks];
        all.into_iter().find(|kind| kind.name() == text)
    }
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Why it is listed.
    pub kind: Kind,
    /// The reason, in words.
    pub reason: String,
}

/// The list of one suite, by case.
#[derive(Clone, Debug, Default)]
pub struct Exceptions(BTreeMap<String, Exception>);

impl Exceptions {
    /// Reads the list at `path`.
    pub fn read(path: &Path) -> Result<Exceptions> {
        let text = fs::read_to_string(path).with_context(|| format!("the list {}", path.display()))?;
        Exceptions::parse(&text).with_context(|| format!("the list {}", path.display()))
    }

    fn parse(text: &str) -> Result<Exceptions> {
        let mut found = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let parts =
                line.split_once(' ').and_then(|(kind, rest)| Some((Kind::parse(kind)?, rest.split_once(" -- ")?)));
            let Some((kind, (case, reason))) = parts else { bail!("`kind case -- reason`, not {line:?}") };
            let exception = Exception { kind, reason: reason.trim().to_owned() };
            ensure!(!exception.reason.is_empty(), "without a reason: {line:?}");
            ensure!(found.insert(case.trim().to_owned(), exception).is_none(), "twice: {line:?}");
        }
        Ok(Exceptions(found))
    }

    /// Refuses lines about cases that do not exist.
    pub fn check_names(&self, cases: &[String]) -> Result<()> {
        for name in self.0.keys() {
            ensure!(cases.contains(name), "{name} is listed, but the suite has no such case");
        }
        Ok(())
    }

    /// The line about `case` that counts against that broker.
    pub fn of(&self, case: &str, against: Against) -> Option<&Exception> {
        let exception = self.0.get(case)?;
        (against == Against::Frazil || exception.kind != Kind::FrazilLacks).then_some(exception)
    }

    /// Whether it may fail.
    pub fn is_listed(&self, case: &str, against: Against) -> bool {
        self.of(case, against).is_some()
    }

    /// Whether its result would tell something.
    pub fn is_worth_running(&self, case: &str, against: Against) -> bool {
        match self.of(case, against).map(|exception| exception.kind) {
            Some(Kind::NotApplicable) => false,
            Some(Kind::KafkaFails) => against == Against::Kafka,
            Some(Kind::Flaky | Kind::FrazilLacks) | None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# why\n\nfrazil-lacks a::b[c d] -- no groups yet\nkafka-fails e -- a race in it\n";

    #[test]
    fn a_line_names_kind_case_and_reason() {
        let list = Exceptions::parse(LIST).expect("a list");
        let lacking = list.of("a::b[c d]", Against::Frazil).expect("a line");
        assert_eq!((lacking.kind, lacking.reason.as_str()), (Kind::FrazilLacks, "no groups yet"));
        assert!(Exceptions::parse("frazil-lacks e").is_err(), "no reason");
        assert!(Exceptions::parse("because e -- of that").is_err(), "no such kind");
        assert!(Exceptions::parse("flaky e -- once\nflaky e -- twice").is_err(), "two lines about one case");
    }

    #[test]
    fn what_frazil_lacks_must_pass_against_kafka() {
        let list = Exceptions::parse(LIST).expect("a list");
        assert!(list.is_listed("a::b[c d]", Against::Frazil) && !list.is_listed("a::b[c d]", Against::Kafka));
        assert!(!list.is_worth_running("e", Against::Frazil) && list.is_worth_running("e", Against::Kafka));
    }

    #[test]
    fn a_line_about_no_case_is_refused() {
        let list = Exceptions::parse(LIST).expect("a list");
        assert!(list.check_names(&["e".to_owned()]).is_err());
    }
}
