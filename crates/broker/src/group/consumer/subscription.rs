//! What members subscribe to: topics by name, and regular expressions over topic names.
//!
//! Kafka takes RE2 syntax and matches whole names. Here an expression is resolved at once, when a member brings it or
//! topics change, so a member never waits for a second rebalance to see its topics.

use frazil_base::{Seq, TopicId};
use regex::{Regex, RegexBuilder};
use std::collections::BTreeMap;

/// Memory that one compiled expression may take. Kafka has no limit; an expression that needs more is refused.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A topic as groups see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicShape {
    pub id: TopicId,
    pub partitions: i32,
}

/// All topics at one point of the metadata log.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicMap {
    /// The record that changed them last.
    pub version: Seq,
    by_name: BTreeMap<String, TopicShape>,
    names: BTreeMap<TopicId, String>,
}

impl TopicMap {
    /// The topics as of `version`.
    pub fn new(version: Seq, topics: impl IntoIterator<Item = (String, TopicShape)>) -> TopicMap {
        let by_name: BTreeMap<_, _> = topics.into_iter().collect();
        let names = by_name.iter().map(|(name, shape)| (shape.id, name.clone())).collect();
        TopicMap { version, by_name, names }
    }

    /// The topic of this name.
    pub fn by_name(&self, name: &str) -> Option<TopicShape> {
        self.by_name.get(name).copied()
    }

    /// The name of the topic.
    pub fn name(&self, topic: TopicId) -> Option<&str> {
        self.names.get(&topic).map(String::as_str)
    }

    /// The topics whose whole name the pattern matches.
    pub fn matching<'a>(&'a self, pattern: &'a Pattern) -> impl Iterator<Item = TopicShape> + 'a {
        self.by_name.iter().filter(|(name, _)| pattern.matches(name)).map(|(_, shape)| *shape)
    }
}

/// A compiled expression that matches whole names.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PatternError(String);

impl Pattern {
    /// Compiles an expression in RE2 syntax.
    pub fn new(expression: &str) -> Result<Pattern, PatternError> {
        let expression = without_quotes(expression);
        // By itself first: inside the group a stray parenthesis would find a partner.
        build(&expression)?;
        build(&format!(r"\A(?:{expression})\z")).map(Pattern)
    }

    /// Whether it matches the whole name.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

fn build(expression: &str) -> Result<Regex, PatternError> {
    let built = RegexBuilder::new(expression).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build();
    built.map_err(|error| PatternError(last_line(&error.to_string())))
}

/// The reason without the drawing above it.
fn last_line(error: &str) -> String {
    let line = error.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// RE2 quotes literal text with `\Q…\E`, the crate `regex` does not.
fn without_quotes(expression: &str) -> String {
    let mut plain = String::new();
    let mut rest = expression;
    while let Some(start) = quote_start(rest) {
        let (before, quoted) = (&rest[..start], &rest[start + 2..]);
        let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
        plain += before;
        plain += &regex::escape(literal);
        rest = after;
    }
    plain + rest
}

/// Where the first `\Q` starts whose backslash is not itself escaped.
fn quote_start(expression: &str) -> Option<usize> {
    let mut bytes = expression.bytes().enumerate();
    while let Some((position, byte)) = bytes.next() {
        if byte == b'\\' && bytes.next().is_some_and(|(_, escaped)| escaped == b'Q') {
            return Some(position);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> TopicMap {
        let shape = |number: usize| TopicShape { id: TopicId(number as u128 + 1), partitions: 1 };
        TopicMap::new(Seq(1), names.iter().enumerate().map(|(number, name)| (name.to_string(), shape(number))))
    }

    fn matched(expression: &str, names: &[&str]) -> Vec<String> {
        let topics = topics(names);
        let pattern = Pattern::new(expression).expect("a good expression");
        topics.matching(&pattern).map(|shape| topics.name(shape.id).expect("a topic").to_owned()).collect()
    }

    #[test]
    fn expressions_match_whole_names() {
        let names = ["orders", "orders-eu", "pre-orders", "logs.1", "logs+1"];
        assert_eq!(matched("orders", &names), ["orders"]);
        assert_eq!(matched("orders.*", &names), ["orders", "orders-eu"]);
        assert_eq!(matched("orders|logs.*", &names), ["logs+1", "logs.1", "orders"]);
        assert_eq!(matched("(?i)ORDERS", &names), ["orders"]);
        assert_eq!(matched(r"^\Qlogs.\E\d$", &names), ["logs.1"]);
        assert_eq!(matched(r"\Qlogs+1", &names), ["logs+1"]);
        assert_eq!(matched("", &names), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_expression_is_refused_with_a_reason() {
        for bad in ["[", "(", ")", "a)(b", "*a", "a{2,1}", r"\8", "(?=a)", "a{1000}{1000}{1000}"] {
            let error = Pattern::new(bad).expect_err(bad).to_string();
            assert!(!error.is_empty() && !error.contains('\n'), "{bad}: {error}");
        }
    }
}
