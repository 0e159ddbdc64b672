use super::world::World;
use crate::BrokerSettings;
use crate::testing::{Client, batch};
use frazil_wire::Compression;
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as ReplacedResource, AlterableConfig as Replaced,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

async fn describe_as(client: &mut Client, version: i16, kind: i8, name: &str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let request = request.with_include_documentation(version >= 3);
    client.call(version, &request).await.expect("answered").results.remove(0)
}

async fn describe(client: &mut Client, kind: i8, name: &str) -> BTreeMap<String, DescribeConfigsResourceResult> {
    let result = describe_as(client, 4, kind, name).await;
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    result.configs.into_iter().map(|config| (config.name.to_string(), config)).collect()
}

/// Value and source.
async fn value_of(client: &mut Client, kind: i8, name: &str, setting: &str) -> (String, i8) {
    let config = describe(client, kind, name).await.remove(setting).expect("the setting is listed");
    (config.value.map(|value| value.to_string()).unwrap_or_default(), config.config_source)
}

async fn alter(client: &mut Client, kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> i16 {
    let config = |(name, operation, value): &(&str, i8, Option<&str>)| {
        AlterableConfig::default().with_name(text(name)).with_config_operation(*operation).with_value(value.map(text))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(changes.iter().map(config).collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let dry = client.call(1, &request.clone().with_validate_only(true)).await.expect("answered");
    let response = client.call(1, &request).await.expect("answered");
    assert_eq!(dry.responses[0].error_code, response.responses[0].error_code, "a dry run says the same");
    response.responses[0].error_code
}

#[tokio::test]
async fn every_setting_of_a_topic_is_listed_with_default_type_and_synonyms() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let configs = describe(&mut client, TOPIC, "t").await;
    assert_eq!(configs.len(), 33);
    let retention = &configs["retention.ms"];
    assert_eq!((retention.value.as_deref().map(String::from), retention.config_source), (Some("604800000".into()), 5));
    assert_eq!(retention.config_type, 5);
    let synonyms: Vec<_> =
        retention.synonyms.iter().map(|synonym| (synonym.name.to_string(), synonym.source)).collect();
    assert_eq!(synonyms, [("log.retention.hours".to_owned(), 5)]);
    assert_eq!(configs["cleanup.policy"].value.as_deref().map(String::from), Some("delete".into()));
    assert_eq!((configs["cleanup.policy"].config_type, configs["preallocate"].config_type), (7, 1));
    assert!(configs.values().all(|config| !config.read_only && !config.is_sensitive));
    assert!(configs.values().all(|config| config.documentation.as_ref().is_some_and(|text| !text.is_empty())));
    for version in 1..=4 {
        assert_eq!(describe_as(&mut client, version, TOPIC, "t").await.configs.len(), 33, "version {version}");
    }
}

#[tokio::test]
async fn only_the_settings_asked_for_are_listed() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text("t"))
        .with_configuration_keys(Some(vec![text("retention.ms"), text("no.such")]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = client.call(4, &request).await.expect("answered");
    let names: Vec<_> = response.results[0].configs.iter().map(|config| config.name.to_string()).collect();
    assert_eq!(names, ["retention.ms"]);
    assert!(
        response.results[0].configs[0].synonyms.is_empty() && response.results[0].configs[0].documentation.is_none()
    );
}

#[tokio::test]
async fn unknown_resources_get_kafkas_codes() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    for (kind, name, code) in
        [(TOPIC, "nowhere", 3), (TOPIC, "bad name", 17), (BROKER, "1", 42), (BROKER, "x", 42), (99, "t", 42)]
    {
        assert_eq!(describe_as(&mut client, 4, kind, name).await.error_code, code, "describe {kind} {name}");
        assert_eq!(
            alter(&mut client, kind, name, &[("retention.ms", SET, Some("1"))]).await,
            code,
            "alter {kind} {name}"
        );
    }
}

#[tokio::test]
async fn incremental_changes_set_delete_append_and_subtract() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let cases: &[(&str, i8, Option<&str>, i16, &str)] = &[
        ("retention.ms", SET, Some("5"), 0, "5/1"),
        ("retention.ms", SET, Some("-2"), 40, "5/1"),
        ("retention.ms", APPEND, Some("6"), 40, "5/1"),
        ("retention.ms", SET, None, 42, "5/1"),
        ("retention.ms", 9, Some("6"), 42, "5/1"),
        ("retention.ms", DELETE, None, 0, "604800000/5"),
        ("cleanup.policy", APPEND, Some("compact"), 0, "delete,compact/1"),
        ("cleanup.policy", APPEND, Some("compact"), 0, "delete,compact/1"),
        ("cleanup.policy", SUBTRACT, Some("delete"), 0, "compact/1"),
        ("cleanup.policy", APPEND, Some("burn"), 40, "compact/1"),
        ("cleanup.policy", DELETE, Some("ignored"), 0, "delete/5"),
        ("min.cleanable.dirty.ratio", SET, Some("0.2"), 0, "0.2/1"),
        ("min.cleanable.dirty.ratio", SET, Some("2"), 40, "0.2/1"),
        ("preallocate", SET, Some("TRUE"), 0, "TRUE/1"),
        ("preallocate", SET, Some("maybe"), 40, "TRUE/1"),
    ];
    for (name, operation, value, code, expected) in cases {
        assert_eq!(
            alter(&mut client, TOPIC, "t", &[(name, *operation, *value)]).await,
            *code,
            "{name} {operation} {value:?}"
        );
        let (value, source) = value_of(&mut client, TOPIC, "t", name).await;
        assert_eq!(format!("{value}/{source}"), *expected, "{name} {operation}");
    }
    assert_eq!(alter(&mut client, TOPIC, "t", &[("no.such", SET, Some("1"))]).await, 40);
    let twice = [("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))];
    assert_eq!(alter(&mut client, TOPIC, "t", &twice).await, 42);
}

#[tokio::test]
async fn replacing_changes_forget_what_they_do_not_name() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("retention.ms", "5"), ("segment.ms", "6")]).await.expect("answered");
    let request = |value: &str, times: usize| {
        let config = Replaced::default().with_name(text("retention.ms")).with_value(Some(text(value)));
        let resource = ReplacedResource::default().with_resource_type(TOPIC).with_resource_name(text("t"));
        AlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![config]); times])
    };
    for version in 0..=2 {
        let dry = request("8", 1).with_validate_only(true);
        assert_eq!(client.call(version, &dry).await.expect("answered").responses[0].error_code, 0);
        let response = client.call(version, &request("7", 1)).await.expect("answered");
        assert_eq!(response.responses[0].error_code, 0, "version {version}");
        assert_eq!(value_of(&mut client, TOPIC, "t", "retention.ms").await, ("7".to_owned(), 1));
        assert_eq!(value_of(&mut client, TOPIC, "t", "segment.ms").await, ("604800000".to_owned(), 5));
    }
    assert_eq!(client.call(2, &request("x", 1)).await.expect("answered").responses[0].error_code, 40);
    let response = client.call(2, &request("7", 2)).await.expect("answered");
    assert_eq!(response.responses.iter().map(|response| response.error_code).collect::<Vec<_>>(), [42]);
}

#[tokio::test]
async fn broker_settings_have_sources_and_are_defaults_of_topics() {
    let world = World::new();
    let kafka = BTreeMap::from([("log.retention.hours".to_owned(), "1".to_owned())]);
    let settings = BrokerSettings { num_partitions: 4, kafka, ..BrokerSettings::default() };
    let broker = world.start_with(3, None, settings).await;
    let mut client = broker.client_with("t", 1).await;
    let configs = describe(&mut client, BROKER, "3").await;
    let shown = |name: &str| {
        (configs[name].value.as_deref().map(String::from), configs[name].config_source, configs[name].read_only)
    };
    let address = format!("PLAINTEXT://{}", broker.address);
    assert_eq!(shown("advertised.listeners"), (Some(address.clone()), 4, true));
    assert_eq!(shown("listeners"), (Some(address), 4, true));
    assert_eq!(shown("node.id"), (Some("3".into()), 4, true));
    assert_eq!(shown("num.partitions"), (Some("4".into()), 4, true));
    assert_eq!(shown("default.replication.factor"), (Some("1".into()), 5, true));
    assert_eq!(shown("message.max.bytes"), (Some("1048588".into()), 5, false));
    assert_eq!(shown("log.retention.ms"), (None, 5, false));
    assert_eq!(value_of(&mut client, TOPIC, "t", "retention.ms").await, ("3600000".to_owned(), 4));

    assert_eq!(alter(&mut client, BROKER, "", &[("log.retention.ms", SET, Some("9"))]).await, 0);
    assert_eq!(value_of(&mut client, TOPIC, "t", "retention.ms").await, ("9".to_owned(), 3));
    assert_eq!(describe(&mut client, BROKER, "").await.len(), 1);
    assert_eq!(alter(&mut client, BROKER, "3", &[("log.retention.ms", SET, Some("8"))]).await, 0);
    assert_eq!(value_of(&mut client, TOPIC, "t", "retention.ms").await, ("8".to_owned(), 2));
    let synonyms: Vec<_> = describe(&mut client, TOPIC, "t").await["retention.ms"]
        .synonyms
        .iter()
        .map(|synonym| {
            (synonym.name.to_string(), synonym.value.as_deref().map(String::from).unwrap_or_default(), synonym.source)
        })
        .collect();
    let expected = [
        ("log.retention.ms", "8", 2),
        ("log.retention.ms", "9", 3),
        ("log.retention.hours", "1", 4),
        ("log.retention.hours", "168", 5),
    ];
    assert_eq!(synonyms, expected.map(|(name, value, source)| (name.to_owned(), value.to_owned(), source)));

    for (name, value) in [("num.partitions", "9"), ("no.such", "1"), ("message.max.bytes", "many")] {
        assert_eq!(alter(&mut client, BROKER, "", &[(name, SET, Some(value))]).await, 42, "{name}");
    }
    assert_eq!(alter(&mut client, BROKER, "", &[("message.max.bytes", SET, Some("80"))]).await, 0);
    let produced = client.produce("t", 0, batch(Compression::None, 1, &["a long value, longer than that"])).await;
    assert_eq!(produced.expect("answered").error_code, 10, "the new default holds at once");
    assert_eq!(alter(&mut client, TOPIC, "t", &[("max.message.bytes", SET, Some("1000"))]).await, 0);
    let produced = client.produce("t", 0, batch(Compression::None, 1, &["a long value, longer than that"])).await;
    assert_eq!(produced.expect("answered").error_code, 0);
}

#[tokio::test]
async fn settings_of_security_are_known_and_secrets_are_not_shown() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let relogin = "sasl.kerberos.min.time.before.relogin";
    let configs = describe(&mut client, BROKER, "0").await;
    assert_eq!((configs[relogin].config_type, configs[relogin].read_only), (5, false));
    assert_eq!((configs["ssl.protocol"].config_type, configs["ssl.allow.dn.changes"].read_only), (2, true));
    let cases = [
        ("0", relogin, "58000", 0),
        ("0", relogin, "soon", 42),
        ("", relogin, "58000", 42),
        ("0", "sasl.login.class", "org.example.Login", 42),
        ("0", "ssl.keystore.location", "/keys", 42),
        ("0", "ssl.client.auth", "maybe", 42),
        ("0", "ssl.client.auth", "required", 0),
        ("0", "sasl.jaas.config", "secret", 0),
    ];
    for (broker, name, value, code) in cases {
        assert_eq!(alter(&mut client, BROKER, broker, &[(name, SET, Some(value))]).await, code, "{name}={value}");
    }
    assert_eq!(value_of(&mut client, BROKER, "0", relogin).await, ("58000".to_owned(), 2));
    let secret = describe(&mut client, BROKER, "0").await.remove("sasl.jaas.config").expect("it is listed");
    assert_eq!((secret.value, secret.is_sensitive, secret.config_source, secret.config_type), (None, true, 2, 9));
    assert!(secret.synonyms.iter().all(|synonym| synonym.value.is_none()), "{:?}", secret.synonyms);
}

#[tokio::test]
async fn throttles_of_replicas_are_listed_where_they_are_set_only() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let throttle = "leader.replication.throttled.rate";
    assert!(!describe(&mut client, BROKER, "0").await.contains_key(throttle));
    // kafka-reassign-partitions deletes them whether or not they are there.
    assert_eq!(alter(&mut client, BROKER, "0", &[(throttle, DELETE, None)]).await, 0);
    assert_eq!(alter(&mut client, BROKER, "0", &[(throttle, SET, Some("-1"))]).await, 42);
    assert_eq!(alter(&mut client, BROKER, "0", &[(throttle, SET, Some("1000"))]).await, 0);
    assert_eq!(value_of(&mut client, BROKER, "0", throttle).await, ("1000".to_owned(), 2));
    assert!(!describe(&mut client, BROKER, "").await.contains_key(throttle));
    assert_eq!(alter(&mut client, BROKER, "", &[(throttle, SET, Some("2000"))]).await, 0);
    assert!(describe(&mut client, BROKER, "").await.contains_key(throttle));
    for name in ["0", ""] {
        assert_eq!(alter(&mut client, BROKER, name, &[(throttle, DELETE, None)]).await, 0);
    }
    assert!(!describe(&mut client, BROKER, "0").await.contains_key(throttle));
}

#[tokio::test]
async fn groups_and_subscriptions_have_settings_within_the_brokers_bounds() {
    const CLIENT_METRICS: i8 = 16;
    const GROUP: i8 = 32;
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let timeout = "consumer.session.timeout.ms";
    assert_eq!(value_of(&mut client, GROUP, "g", timeout).await, ("45000".into(), 5));
    let cases = [
        (GROUP, "g", timeout, "44999", 40),
        (GROUP, "g", timeout, "60001", 40),
        (GROUP, "g", timeout, "50000", 0),
        (GROUP, "g", "no.such.setting", "1", 40),
        (GROUP, "", timeout, "50000", 42),
        (CLIENT_METRICS, "m", "interval.ms", "99", 42),
        (CLIENT_METRICS, "m", "interval.ms", "100", 0),
        (CLIENT_METRICS, "m", "no.such.setting", "1", 42),
        (CLIENT_METRICS, "", "interval.ms", "100", 42),
    ];
    for (kind, resource, name, value, code) in cases {
        let changes = [(name, SET, Some(value))];
        assert_eq!(alter(&mut client, kind, resource, &changes).await, code, "{resource} {name}={value}");
    }
    assert_eq!(value_of(&mut client, GROUP, "g", timeout).await, ("50000".into(), 8));
    assert_eq!(value_of(&mut client, CLIENT_METRICS, "m", "interval.ms").await, ("100".into(), 7));
    assert_eq!(value_of(&mut client, GROUP, "other", timeout).await, ("45000".into(), 5));
    let synonyms = describe(&mut client, GROUP, "g").await[timeout].synonyms.clone();
    let synonyms: Vec<_> = synonyms.iter().map(|synonym| (synonym.value.clone(), synonym.source)).collect();
    assert_eq!(synonyms, [(Some(text("50000")), 8)]);
    for kind in [GROUP, CLIENT_METRICS] {
        assert_eq!(describe_as(&mut client, 4, kind, "").await.error_code, 42);
    }
}
