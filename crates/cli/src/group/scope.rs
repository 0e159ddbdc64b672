//! Partitions as people name them: `orders`, `orders:0`, `orders:0,2-4`.

use std::collections::BTreeSet;

/// Some partitions of a topic, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicScope {
    /// The topic.
    pub topic: String,
    /// Its partitions; all when `None`.
    pub partitions: Option<BTreeSet<i32>>,
}

/// Reads `TOPIC`, `TOPIC:N`, `TOPIC:N,N`, `TOPIC:N-N`.
pub fn parse_scope(text: &str) -> Result<TopicScope, String> {
    let wrong = || "write it as TOPIC, TOPIC:0 or TOPIC:0,2-4".to_string();
    let (topic, partitions) = match text.split_once(':') {
        None => (text, None),
        Some((topic, partitions)) => (topic, Some(parse_partitions(partitions).ok_or_else(wrong)?)),
    };
    if topic.is_empty() {
        return Err(wrong());
    }
    Ok(TopicScope { topic: topic.to_string(), partitions })
}

fn parse_partitions(text: &str) -> Option<BTreeSet<i32>> {
    let mut partitions = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (parse_partition(first)?, parse_partition(last)?);
        partitions.extend(first..=last);
    }
    (!partitions.is_empty()).then_some(partitions)
}

/// Numbers beyond what a topic can have are a slip of the hand.
fn parse_partition(text: &str) -> Option<i32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number < frazil_base::limits::PARTITIONS_PER_TOPIC_MAX)
}

/// Partitions for a line of text: `0-3,7`. They come in order.
pub fn shown_partitions(partitions: impl IntoIterator<Item = i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for partition in partitions {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == partition => *last = partition,
            _ => runs.push((partition, partition)),
        }
    }
    let run = |(first, last): &(i32, i32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn topics_and_partitions_are_read_as_kafkas_tools_write_them() {
        let scope = |text| parse_scope(text).map(|scope| (scope.topic, scope.partitions));
        assert_eq!(scope("orders"), Ok(("orders".to_string(), None)));
        assert_eq!(scope("orders:0,2"), Ok(("orders".to_string(), Some(BTreeSet::from([0, 2])))));
        assert_eq!(scope("orders:5,0-2"), Ok(("orders".to_string(), Some(BTreeSet::from([0, 1, 2, 5])))));
        for text in ["", ":0", "orders:", "orders:x", "orders:0,,1", "orders:-1", "orders:2-1", "orders:0-99999999999"]
        {
            assert!(parse_scope(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn partitions_are_shown_as_they_are_read(partitions in proptest::collection::btree_set(0i32..50, 1..20)) {
            let text = shown_partitions(partitions.iter().copied());
            prop_assert_eq!(parse_partitions(&text), Some(partitions), "{}", text);
        }
    }
}
