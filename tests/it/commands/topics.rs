//! `frazil topic` with settings.

use super::{Subject, cases};
use serde_json::Value;

cases! {
    settings_are_set_at_creation_altered_and_taken_back,
    every_setting_is_shown_with_source_default_and_effect,
    a_wrong_setting_is_refused_with_the_brokers_words,
}

fn setting(subject: &Subject, topic: &str, name: &str) -> Value {
    let described = subject.json(&["topic", "describe", topic, "--configs"]);
    let configs = described["configs"].as_array().expect("configs");
    configs.iter().find(|config| config["setting"] == name).expect("the setting").clone()
}

fn settings_are_set_at_creation_altered_and_taken_back(subject: &Subject) {
    let topic = "with-settings";
    subject.ok(&[
        "topic",
        "create",
        topic,
        "-p",
        "2",
        "-c",
        "retention.ms=60000",
        "--config",
        "max.message.bytes=2000000",
    ]);
    let retention = setting(subject, topic, "retention.ms");
    assert_eq!((&retention["value"], &retention["source"]), (&"60000".into(), &"topic".into()));
    let bytes = setting(subject, topic, "max.message.bytes");
    assert_eq!((&bytes["value"], &bytes["default"]), (&"2000000".into(), &"1048588".into()));

    subject.ok(&["topic", "alter", topic, "--config", "retention.ms=120000", "--dry-run"]);
    assert_eq!(setting(subject, topic, "retention.ms")["value"], "60000", "a dry run changes nothing");
    subject.ok(&["topic", "alter", topic, "--config", "retention.ms=120000", "--reset", "max.message.bytes"]);
    assert_eq!(setting(subject, topic, "retention.ms")["value"], "120000");
    let bytes = setting(subject, topic, "max.message.bytes");
    assert_eq!((&bytes["value"], &bytes["source"]), (&"1048588".into(), &"default".into()));
}

fn every_setting_is_shown_with_source_default_and_effect(subject: &Subject) {
    subject.ok(&["topic", "create", "all-settings"]);
    let described = subject.json(&["topic", "describe", "all-settings", "--configs"]);
    let configs = described["configs"].as_array().expect("configs");
    assert!(configs.len() > 25, "{}", configs.len());
    let without_default: Vec<&Value> = configs.iter().filter(|config| config["default"].is_null()).collect();
    assert!(without_default.is_empty(), "{without_default:?}");
    assert!(configs.iter().all(|config| config["documentation"].as_str().is_some_and(|text| text.len() > 10)));
    // Kafka does what it says; Frazil takes settings about files and replicas that mean nothing here, and tells.
    let effect = |name: &str| setting(subject, "all-settings", name)["effect"].clone();
    assert_eq!(effect("max.message.bytes"), "yes");
    assert_eq!(effect("min.insync.replicas"), if subject.is_frazil() { "none" } else { "yes" });
    let table = subject.ok(&["topic", "describe", "all-settings", "--configs"]);
    assert!(table.contains("SETTING") && table.contains("EFFECT") && !table.contains("DOCUMENTATION"), "{table}");
}

fn a_wrong_setting_is_refused_with_the_brokers_words(subject: &Subject) {
    let ran = subject.run(&["topic", "create", "wrong", "-c", "retention.ms=soon"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("InvalidConfig") && ran.stderr.contains("retention.ms"), "{ran:?}");
    let ran = subject.run(&["topic", "create", "wrong", "-c", "retention=1"]);
    assert!(ran.code == 1 && ran.stderr.contains("retention"), "{ran:?}");
    assert_eq!(subject.run(&["topic", "create", "wrong", "-c", "retention.ms"]).code, 2);
    subject.refused(2, &["topic", "alter", "wrong"]);
}
