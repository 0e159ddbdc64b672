use super::*;
use std::collections::BTreeSet;

fn values(values: &[(&str, &str)]) -> Values {
    values.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn the_tables_are_sorted_so_that_names_are_found() {
    assert!(table::TOPIC.is_sorted_by(|one, next| one.name < next.name));
    // Each is found by name, which a table out of order prevents.
    assert!(table::TOPIC.iter().all(|row| table::topic(row.name).is_some()));
    assert!(table::brokers().chain(table::THROTTLES).all(|row| table::broker(row.name).is_some()));
}

#[test]
fn every_default_passes_its_own_check_and_every_synonym_exists() {
    for row in table::TOPIC.iter().chain(table::brokers()).chain(table::THROTTLES) {
        if let Some(default) = row.default {
            assert_eq!(row.check(default), Ok(()), "{}", row.name);
        }
        for (synonym, _) in row.synonyms {
            let synonym = table::broker(synonym).unwrap_or_else(|| panic!("{} falls back to {synonym}", row.name));
            let same_kind =
                synonym.kind == row.kind || synonym.name.ends_with(".hours") || synonym.name.ends_with(".minutes");
            assert!(same_kind, "{}", synonym.name);
        }
    }
}

#[test]
fn a_topics_default_is_what_its_synonyms_give() {
    let nothing = Values::new();
    let layers = Layers { own: None, broker: None, cluster: None, fixed: &nothing };
    for row in table::TOPIC {
        assert_eq!(
            layers.effective(row, Scope::Topic),
            (row.default.map(str::to_owned), Source::Default),
            "{}",
            row.name
        );
    }
}

#[test]
fn the_nearest_value_is_in_force_and_hours_become_milliseconds() {
    let topic = values(&[("retention.ms", "1")]);
    let broker = values(&[("log.retention.ms", "2")]);
    let cluster = values(&[("log.retention.ms", "3")]);
    let fixed = values(&[("log.retention.minutes", "4"), ("log.retention.hours", "5")]);
    let forever = values(&[("log.retention.hours", "-1")]);
    let nothing = Values::new();
    let all = Layers { own: Some(&topic), broker: Some(&broker), cluster: Some(&cluster), fixed: &fixed };
    let row = table::topic("retention.ms").expect("it exists");
    let cases = [
        (all, "1", Source::DynamicTopic),
        (Layers { own: None, ..all }, "2", Source::DynamicBroker),
        (Layers { own: None, broker: None, ..all }, "3", Source::DynamicDefaultBroker),
        (Layers { own: None, broker: None, cluster: None, ..all }, "240000", Source::StaticBroker),
        (Layers { own: None, broker: None, cluster: None, fixed: &forever }, "-1", Source::StaticBroker),
        (Layers { own: None, broker: None, cluster: None, fixed: &nothing }, "604800000", Source::Default),
    ];
    for (layers, value, source) in cases {
        assert_eq!(layers.effective(row, Scope::Topic), (Some(value.to_owned()), source));
    }
}

#[test]
fn values_are_checked_by_type_and_range() {
    let cases = [
        ("retention.ms", "-1", true),
        ("retention.ms", "-2", false),
        ("retention.ms", "1.5", false),
        ("max.message.bytes", "2147483648", false),
        ("max.message.bytes", " 5 ", true),
        ("compression.type", "lz4", true),
        ("compression.type", "LZ4", false),
        ("compression.gzip.level", "-1", true),
        ("compression.gzip.level", "0", false),
        ("compression.gzip.level", "9", true),
        ("cleanup.policy", "compact, delete", true),
        ("cleanup.policy", "compact,shred", false),
        ("min.cleanable.dirty.ratio", "NaN", false),
        ("min.cleanable.dirty.ratio", "1", true),
        ("preallocate", "False", true),
        ("preallocate", "0", false),
        ("segment.bytes", "1048575", false),
        ("leader.replication.throttled.replicas", "*", true),
        ("leader.replication.throttled.replicas", "0:1, 12:3", true),
        ("leader.replication.throttled.replicas", "0:1,2", false),
        ("leader.replication.throttled.replicas", "0:", false),
    ];
    for (name, value, good) in cases {
        assert_eq!(table::topic(name).expect("it exists").check(value).is_ok(), good, "{name}={value}");
    }
}

#[test]
fn rules_come_from_all_layers() {
    let topic = values(&[("cleanup.policy", "delete,compact"), ("compression.type", "zstd")]);
    let cluster = values(&[("message.max.bytes", "77"), ("log.message.timestamp.type", "LogAppendTime")]);
    let nothing = Values::new();
    let layers = Layers { own: Some(&topic), broker: None, cluster: Some(&cluster), fixed: &nothing };
    let rules = TopicRules::of(layers);
    assert_eq!((rules.max_message_bytes, rules.timestamp_type), (77, TimestampType::LogAppendTime));
    assert!(rules.compacted);
    assert_eq!(rules.compression.as_deref(), Some("zstd"));
    let defaults = TopicRules::of(Layers { own: None, broker: None, cluster: None, fixed: &nothing });
    assert_eq!((defaults.max_message_bytes, defaults.timestamp_before_max_ms), (1_048_588, i64::MAX));
    assert_eq!((defaults.compacted, defaults.compression), (false, None));
}

#[test]
fn the_readme_names_every_setting_without_effect() {
    let readme = include_str!("../../../../README.md");
    let (_, listed) = readme.split_once("Settings that are accepted").expect("the list begins");
    let (listed, _) = listed.split_once("</details>").expect("the list ends");
    let kinds: [(&str, Vec<&Setting>); 4] = [
        ("Topics: ", table::TOPIC.iter().collect()),
        ("Brokers: ", table::brokers().chain(table::THROTTLES).collect()),
        ("Groups: ", table::GROUP.iter().collect()),
        ("Subscriptions to clients' metrics: ", table::CLIENT_METRICS.iter().collect()),
    ];
    for (kind, settings) in kinds {
        let paragraph = listed.split("\n\n").find_map(|paragraph| paragraph.strip_prefix(kind)).expect(kind);
        let named: BTreeSet<&str> = paragraph.split('`').skip(1).step_by(2).collect();
        let without_effect = settings.into_iter().filter(|setting| !setting.has_effect).map(|setting| setting.name);
        let differences: Vec<_> = named.symmetric_difference(&without_effect.collect()).copied().collect();
        assert_eq!(differences, [] as [&str; 0], "{kind}");
    }
}
