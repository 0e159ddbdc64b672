use super::*;
use std::fs;

const PLANTED: &str = "hunter2-planted";

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn flags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn with_file(content: &str) -> (tempfile::TempDir, Sources) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("frazil.toml");
    fs::write(&path, content).unwrap();
    (directory, Sources { file: Some(path), ..Sources::default() })
}

fn errors_of(sources: &Sources) -> String {
    match resolve(sources).and_then(|resolved| Settings::from_resolved(&resolved)) {
        Ok(settings) => panic!("accepted: {settings:?}"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn with_only_the_store_url_everything_else_has_its_default() {
    let sources = Sources { environment: environment(&[("FRAZIL__STORE__URL", "file:///data")]), ..Sources::default() };
    let settings = Settings::from_resolved(&resolve(&sources).unwrap()).unwrap();
    assert_eq!(settings.store.directory(), Some(PathBuf::from("/data")));
    assert_eq!(settings.broker_id, BrokerId(0));
    assert_eq!(settings.zone, None);
    assert_eq!(settings.kafka_listen.to_string(), "0.0.0.0:9092");
    assert_eq!(settings.http_listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.kafka_advertise, None);
    assert!(settings.kafka_given.is_empty());
    assert_eq!(settings.kafka.message_max_bytes, 1_048_588);
    assert!(settings.kafka.auto_create_topics);
}

#[test]
fn defaults_of_the_log_are_those_of_the_log_itself() {
    let settings = Settings::from_pairs([("store.url", "file:///data")]).unwrap();
    // On a directory no writer can come back late, so old snapshots need no grace.
    let expected = LogOptions { snapshots_kept_for: Duration::ZERO, ..LogOptions::default() };
    assert_eq!(format!("{:?}", settings.log), format!("{expected:?}"));
}

#[test]
fn the_flush_age_fits_the_store_unless_it_is_set() {
    let age = |pairs: &[(&'static str, &'static str)]| Settings::from_pairs(pairs.to_vec()).unwrap().log.flush_age;
    assert_eq!(age(&[("store.url", "file:///data")]), Duration::ZERO);
    assert_eq!(age(&[("store.url", "s3://bucket/prefix")]), Duration::from_millis(250));
    assert_eq!(age(&[("store.url", "s3://bucket"), ("log.flush_age", "1s")]), Duration::from_secs(1));
    assert_eq!(age(&[("store.url", "file:///data"), ("log.flush_age", "5ms")]), Duration::from_millis(5));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let (_directory, mut sources) =
        with_file("[kafka]\nnum_partitions = 3\n[broker]\nzone = \"a\"\n[log]\ncache_bytes = \"1MiB\"");
    sources.environment =
        environment(&[("FRAZIL__KAFKA__NUM_PARTITIONS", "5"), ("FRAZIL__BROKER__ZONE", "b"), ("HOME", "/root")]);
    sources.flags = flags(&[("kafka.num_partitions", "7")]);
    let resolved = resolve(&sources).unwrap();
    let seen = |path| (resolved.value(path).expose().to_string(), resolved.value(path).origin.to_string());
    assert_eq!(seen("kafka.num_partitions"), ("7".into(), "flag --kafka-num-partitions".into()));
    assert_eq!(seen("broker.zone"), ("b".into(), "env FRAZIL__BROKER__ZONE".into()));
    let file = format!("file {}", sources.file.unwrap().display());
    assert_eq!(seen("log.cache_bytes"), ("1MiB".into(), file));
    assert_eq!(seen("broker.id"), ("0".into(), "default".into()));
}

#[test]
fn a_new_group_waits_for_more_members_on_a_server_and_not_on_a_laptop() {
    let delay = |dev| {
        let flags = vec![("store.url".to_string(), "memory://".to_string())];
        let resolved = resolve(&Sources { flags, dev, ..Sources::default() }).expect("nothing is wrong");
        let settings = Settings::from_resolved(&resolved).expect("nothing is wrong");
        settings.kafka_given.get("group.initial.rebalance.delay.ms").cloned()
    };
    assert_eq!(delay(true), Some("0".to_string()));
    assert_eq!(delay(false), None, "Kafka's default");
}

#[test]
fn kafka_settings_take_plain_numbers_and_what_people_write() {
    let settings = Settings::from_pairs([
        ("store.url", "memory://"),
        ("kafka.log_retention_ms", "7d"),
        ("kafka.message_max_bytes", "2MiB"),
        ("kafka.group_initial_rebalance_delay_ms", "0"),
        ("kafka.log_retention_bytes", "-1"),
    ])
    .unwrap();
    let expected = [
        ("group.initial.rebalance.delay.ms", "0"),
        ("log.retention.bytes", "-1"),
        ("log.retention.ms", "604800000"),
        ("message.max.bytes", "2097152"),
    ];
    assert_eq!(settings.kafka_given, environment(&expected));
    assert_eq!(settings.kafka.message_max_bytes, 2 << 20);
}

#[test]
fn unknown_settings_are_errors_with_a_suggestion_written_as_the_source_writes_it() {
    let (_directory, mut sources) = with_file("[kafka]\nnum_partition = 3\n");
    sources.environment = environment(&[("FRAZIL__STORE__ULR", "memory://")]);
    sources.flags = flags(&[("log.flush_aeg", "1s")]);
    let errors = errors_of(&sources);
    assert!(errors.contains("unknown setting kafka.num_partition (file "), "{errors}");
    assert!(errors.contains("did you mean kafka.num_partitions?"), "{errors}");
    assert!(errors.contains("did you mean FRAZIL__STORE__URL?"), "{errors}");
    assert!(errors.contains("did you mean --log-flush-age?"), "{errors}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    let mut sources =
        Sources { flags: flags(&[("log.cache_bytes", "64G"), ("kafka.listen", "nowhere")]), ..Sources::default() };
    sources.environment = environment(&[("FRAZIL__BROKER__ID", "-4"), ("FRAZIL__STORE__URL", "ftp://host")]);
    let errors = errors_of(&sources);
    assert!(errors.contains("log.cache_bytes = 64G (flag --log-cache-bytes): the unit is ambiguous"), "{errors}");
    assert!(errors.contains("kafka.listen = nowhere (flag --kafka-listen): not an address"), "{errors}");
    assert!(errors.contains("store.url = ftp://host (env FRAZIL__STORE__URL): there is no store"), "{errors}");
}

#[test]
fn numbers_out_of_range_name_the_range() {
    let mut sources =
        Sources { flags: flags(&[("store.url", "memory://"), ("broker.id", "-4")]), ..Sources::default() };
    assert!(errors_of(&sources).contains("broker.id = -4 (flag --broker-id): out of range (0 to 2147483647)"));
    sources.flags = flags(&[("store.url", "memory://"), ("kafka.num_partitions", "0")]);
    assert!(errors_of(&sources).contains("out of range (1 to 100000)"));
}

#[test]
fn a_store_must_be_named() {
    assert!(errors_of(&Sources::default()).contains("store.url = \"\" (default): not set; write file:///path"));
}

#[test]
fn a_path_is_a_store_too() {
    let settings = Settings::from_pairs([("store.url", "/var/lib/my data")]).unwrap();
    assert_eq!(settings.store.directory(), Some(PathBuf::from("/var/lib/my data")));
}

#[test]
fn only_the_embedded_metadata_engine_exists() {
    let pairs = flags(&[("store.url", "memory://"), ("metadata.url", "postgres://db/frazil")]);
    assert!(errors_of(&Sources { flags: pairs, ..Sources::default() }).contains("write `embedded`"));
}

#[test]
fn a_wildcard_cannot_be_advertised() {
    let pairs = flags(&[("store.url", "memory://"), ("kafka.advertise", "0.0.0.0:9092")]);
    assert!(
        errors_of(&Sources { flags: pairs, ..Sources::default() }).contains("clients cannot connect to a wildcard")
    );
}

#[test]
fn malformed_files_name_the_line() {
    let (_directory, sources) = with_file("[kafka]\nnum_partitions = 3\nnum_partitions = \n");
    let errors = errors_of(&sources);
    assert!(errors.contains("is not valid TOML at line 3"), "{errors}");
    let missing = Sources { file: Some("/nowhere/frazil.toml".into()), ..Sources::default() };
    assert!(errors_of(&missing).contains("/nowhere/frazil.toml cannot be read"));
}

#[test]
fn references_and_twins_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("url");
    fs::write(&secret, format!("s3://bucket/p?secret_access_key={PLANTED}\n")).unwrap();
    let (_keep, mut sources) =
        with_file(&format!("[store]\nurl_file = {secret:?}\n[broker]\nzone = \"zone-${{env:AZ}}\""));
    sources.environment = environment(&[("AZ", "c")]);
    let resolved = resolve(&sources).unwrap();
    assert_eq!(resolved.value("broker.zone").expose(), "zone-c");
    assert!(resolved.value("store.url").expose().ends_with(PLANTED));
    assert!(Settings::from_resolved(&resolved).is_ok());
}

#[test]
fn references_that_lead_nowhere_name_themselves() {
    for (written, complaint) in [
        ("${env:MISSING}", "refers to ${env:MISSING}, which is not set"),
        ("${file:/nowhere/x}", "refers to ${file:/nowhere/x}, which cannot be read"),
        ("${vault:x}", "which is neither ${env:NAME} nor ${file:/path}"),
        ("${env:OPEN", "which has no closing brace"),
    ] {
        let errors = errors_of(&Sources { flags: flags(&[("broker.zone", written)]), ..Sources::default() });
        assert!(errors.contains(complaint), "{written}: {errors}");
    }
}

#[test]
fn a_setting_and_its_twin_in_one_place_are_an_error() {
    let (_directory, sources) = with_file("[store]\nurl = \"memory://\"\nurl_file = \"/dev/null\"");
    assert!(errors_of(&sources).contains("store.url and store.url_file are both set"));
}

#[test]
fn planted_secrets_appear_in_no_print_debug_or_error() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, PLANTED).unwrap();
    let in_url = format!("s3://bucket/p?secret_access_key={PLANTED}");
    let by_file = format!("${{file:{}}}", secret.display());
    let planted = environment(&[("PLANTED", PLANTED), ("FRAZIL__STORE__URL", &in_url)]);
    let harmless = Sources {
        environment: planted.clone(),
        flags: flags(&[("broker.zone", "${env:PLANTED}")]),
        ..Sources::default()
    };
    let resolved = resolve(&harmless).unwrap();
    let settings = Settings::from_resolved(&resolved).unwrap();
    assert!(settings.store.expose().as_str().contains(PLANTED));
    let shown: String = resolved.all().map(|(key, value)| format!("{} {}\n", key.path, value.shown())).collect();
    for text in [shown, format!("{resolved:?}"), format!("{:?}", settings.store), settings.store.to_string()] {
        assert!(!text.contains(PLANTED), "{text}");
    }

    let every_key_wrong: Vec<(String, String)> =
        keys::KEYS.iter().map(|key| (key.path.to_string(), by_file.clone())).collect();
    let errors = errors_of(&Sources { flags: every_key_wrong, ..Sources::default() });
    assert!(errors.lines().count() > 20, "{errors}");
    assert!(!errors.contains(PLANTED), "{errors}");
    let on_command_line = Sources { flags: flags(&[("store.url", &in_url)]), ..Sources::default() };
    let errors = errors_of(&on_command_line);
    assert!(errors.contains("flags are visible to everybody") && !errors.contains(PLANTED), "{errors}");
    let (_keep, with_typo) = with_file(&format!("[store]\nurl = \"{PLANTED}\n"));
    assert!(!errors_of(&with_typo).contains(PLANTED));
}

#[test]
fn addresses_are_read_with_names_and_both_kinds_of_numbers() {
    for (text, default, expected) in [
        ("localhost:9092", None, Some("localhost:9092")),
        ("[::1]:9092", None, Some("[::1]:9092")),
        ("[::1]", Some(9092), Some("[::1]:9092")),
        ("broker", Some(9092), Some("broker:9092")),
        ("broker", None, None),
        (":9092", None, None),
        ("host:port", None, None),
        ("host:70000", None, None),
        ("kafka://host:9092", None, None),
    ] {
        assert_eq!(HostPort::parse(text, default).map(|address| address.to_string()).as_deref(), expected, "{text}");
    }
}
