//! Kafka's settings: what exists, of which type, with which default, and where a value in force comes from.
//!
//! The table (`config::table`) names every topic, group and subscription setting of Kafka 4.1 and the broker settings
//! that tools look at. A topic setting is taken from the topic, else from a broker setting (its synonyms: `retention.ms`
//! from `log.retention.ms`, minutes, hours), else from its default; a broker setting from this broker's dynamic value,
//! else the cluster's, else the operator's configuration, else the default. A group setting is taken from the group,
//! else from the value in force of a broker setting, which Kafka shows as the default. Settings without meaning on object
//! storage are accepted, stored and shown, and marked as without effect in their documentation.

pub(crate) mod table;

use kafka_protocol::error::ResponseError;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What the documentation of a setting ends with that is accepted and stored, but changes nothing.
pub const WITHOUT_EFFECT: &str = "(Accepted and stored by Frazil; without effect.)";

/// What subscriptions to metrics know of clients (KIP-714).
const CLIENT_ATTRIBUTES: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Settings as they are stored.
pub(crate) type Values = BTreeMap<String, String>;

/// Type of a setting, with the number that DescribeConfigs (KIP-569) uses for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    /// Its value is never shown.
    Password = 9,
}

/// Which values of its type a setting takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// This value, or one in the range.
    OrBetween(i64, i64, i64),
    Fraction,
    OneOf(&'static [&'static str]),
    /// `*`, or pairs `partition:broker`.
    Replicas,
    /// Pairs `attribute=regular expression` that tell which clients are meant (KIP-714).
    Clients,
}

/// Whether and for whom a setting can be changed while brokers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    ReadOnly,
    PerBroker,
    /// For one broker and one of its listeners, under a name that begins with the listener's; there are none here.
    PerListener,
    ClusterWide,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Option<&'static str>,
    pub rule: Rule,
    pub update: Update,
    /// For a topic or group setting: the broker settings it falls back to, most specific first, and how many of the
    /// setting's units one of theirs is.
    pub synonyms: &'static [(&'static str, i64)],
    /// Whether it changes what Frazil does.
    pub has_effect: bool,
    pub documentation: &'static str,
}

impl Setting {
    /// Whether its value is a secret.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Whether `value` is of the type and in the range; else why not.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let fail = |why: String| Err(format!("Invalid value {value} for configuration {}: {why}", self.name));
        match self.kind {
            Kind::Boolean if !value.eq_ignore_ascii_case("true") && !value.eq_ignore_ascii_case("false") => {
                fail("Expected value to be either true or false".to_owned())
            }
            Kind::Boolean => Ok(()),
            Kind::Short if value.trim().parse::<i16>().is_err() => fail("Not a number of type SHORT".to_owned()),
            Kind::Int if value.trim().parse::<i32>().is_err() => fail("Not a number of type INT".to_owned()),
            Kind::Long if value.trim().parse::<i64>().is_err() => fail("Not a number of type LONG".to_owned()),
            Kind::Double if value.trim().parse::<f64>().is_err() => fail("Not a number of type DOUBLE".to_owned()),
            _ => self.check_rule(value).or_else(fail),
        }
    }

    /// Kafka's code for a value that the check refuses.
    fn refusal_code(&self, scope: Scope) -> ResponseError {
        if matches!(self.rule, Rule::Clients) { ResponseError::InvalidConfig } else { refusal_code(scope) }
    }

    fn check_rule(&self, value: &str) -> Result<(), String> {
        let number = || value.trim().parse::<i64>().unwrap_or_default();
        match self.rule {
            Rule::Any => Ok(()),
            Rule::AtLeast(least) if number() < least => Err(format!("Value must be at least {least}")),
            Rule::AtLeast(_) => Ok(()),
            Rule::Between(least, most) | Rule::OrBetween(_, least, most) => {
                let special = matches!(self.rule, Rule::OrBetween(special, ..) if special == number());
                let inside = special || (least..=most).contains(&number());
                if inside { Ok(()) } else { Err(format!("Value must be between {least} and {most}")) }
            }
            Rule::Fraction => {
                let inside = value.trim().parse::<f64>().is_ok_and(|fraction| (0.0..=1.0).contains(&fraction));
                if inside { Ok(()) } else { Err("Value must be between 0 and 1".to_owned()) }
            }
            Rule::OneOf(allowed) => {
                let items = if self.kind == Kind::List { list_items(value) } else { vec![value] };
                match items.iter().all(|item| allowed.contains(item)) {
                    true => Ok(()),
                    false => Err(format!("String must be one of: {}", allowed.join(", "))),
                }
            }
            Rule::Replicas => {
                let items = list_items(value);
                match items.first() == Some(&"*") || items.into_iter().all(is_replica) {
                    true => Ok(()),
                    false => Err("Value must be * or a list of partition:broker,partition:broker,...".to_owned()),
                }
            }
            Rule::Clients => match list_items(value).into_iter().find(|item| !tells_clients(item)) {
                None => Ok(()),
                Some(item) => Err(format!("Illegal client matching pattern: {item}")),
            },
        }
    }
}

/// Whether the item is `partition:broker`.
fn is_replica(item: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    item.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

/// Whether the item is `attribute=regular expression`, of an attribute that clients have.
fn tells_clients(item: &str) -> bool {
    item.split_once('=').is_some_and(|(attribute, expression)| {
        CLIENT_ATTRIBUTES.contains(&attribute.trim()) && regex::Regex::new(expression.trim()).is_ok()
    })
}

/// The items of a value of type LIST.
pub(crate) fn list_items(value: &str) -> Vec<&str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// Where a value comes from, with its number in DescribeConfigs (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    DynamicTopic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    DynamicClientMetrics = 7,
    DynamicGroup = 8,
}

/// One of the values that a setting could take, in the order of precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate<'a> {
    pub name: &'static str,
    pub value: Cow<'a, str>,
    pub source: Source,
    unit: i64,
}

impl Candidate<'_> {
    /// The value in the units of the setting it is a candidate for.
    fn in_units(&self) -> String {
        match (self.unit, self.value.trim().parse::<i64>()) {
            (1, _) | (_, Err(_)) => self.value.clone().into_owned(),
            (_, Ok(number)) if number < 0 => number.to_string(),
            (unit, Ok(number)) => number.saturating_mul(unit).to_string(),
        }
    }
}

/// The places where values are stored, most specific first.
#[derive(Clone, Copy)]
pub(crate) struct Layers<'a> {
    /// Of the topic, group or subscription itself.
    pub own: Option<&'a Values>,
    pub broker: Option<&'a Values>,
    pub cluster: Option<&'a Values>,
    pub fixed: &'a Values,
}

impl<'a> Layers<'a> {
    /// Every value that `setting` could take, the one in force first.
    pub fn candidates(&self, setting: &Setting, scope: Scope) -> Vec<Candidate<'a>> {
        let mut candidates = Vec::new();
        let own = self.own.and_then(|values| values.get(setting.name));
        if let (Some(source), Some(value)) = (scope.own_source(), own) {
            candidates.push(Candidate { name: setting.name, value: value.into(), source, unit: 1 });
        }
        let names = match scope {
            Scope::Topic => setting.synonyms.to_vec(),
            Scope::Broker => table::family(setting.name).into_iter().map(|name| (name, 1)).collect(),
            Scope::Group | Scope::ClientMetrics => return candidates,
        };
        let stored = [
            (self.broker, Source::DynamicBroker),
            (self.cluster, Source::DynamicDefaultBroker),
            (Some(self.fixed), Source::StaticBroker),
        ];
        for (values, source) in stored {
            candidates.extend(names.iter().filter_map(|&(name, unit)| {
                let (name, value) = (table::broker(name)?.name, values?.get(name)?);
                Some(Candidate { name, value: value.into(), source, unit })
            }));
        }
        candidates.extend(names.iter().filter_map(|&(name, unit)| {
            let row = table::broker(name)?;
            Some(Candidate { name: row.name, value: row.default?.into(), source: Source::Default, unit })
        }));
        if scope == Scope::Broker {
            // Others of its family come after it, never in its place.
            let before = candidates.iter().take_while(|candidate| candidate.name != setting.name).count();
            candidates.drain(..before);
        }
        candidates
    }

    /// The value in force, and its source.
    pub fn effective(&self, setting: &Setting, scope: Scope) -> (Option<String>, Source) {
        match self.candidates(setting, scope).first() {
            Some(candidate) => (Some(candidate.in_units()), candidate.source),
            None => (self.default_of(setting, scope), Source::Default),
        }
    }

    /// The value of a setting that was set nowhere: its default; for a group, a broker setting may stand for it.
    pub fn default_of(&self, setting: &Setting, scope: Scope) -> Option<String> {
        let broker = setting.synonyms.first().filter(|_| scope == Scope::Group);
        match broker.and_then(|(name, _)| table::broker(name)) {
            Some(broker) => self.effective(broker, Scope::Broker).0,
            None => setting.default.map(str::to_owned),
        }
    }

    /// The number in force of a broker setting.
    pub fn number(&self, name: &str) -> i64 {
        let setting = table::broker(name).expect("settings that the code asks for stand in the table");
        let value = self.effective(setting, Scope::Broker).0.unwrap_or_default();
        value.trim().parse().unwrap_or_default()
    }

    /// Whether nothing was set while brokers run, so that the operator's values and the defaults are in force.
    fn nothing_is_dynamic(&self) -> bool {
        [self.own, self.broker, self.cluster].iter().all(|values| values.is_none_or(Values::is_empty))
    }
}

/// Among whose settings a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Topic,
    Broker,
    Group,
    ClientMetrics,
}

impl Scope {
    /// The source of values that the thing itself was given; those of brokers have sources of their own.
    fn own_source(self) -> Option<Source> {
        match self {
            Scope::Topic => Some(Source::DynamicTopic),
            Scope::Broker => None,
            Scope::Group => Some(Source::DynamicGroup),
            Scope::ClientMetrics => Some(Source::DynamicClientMetrics),
        }
    }
}

/// Which timestamp a topic's records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The topic settings that producing asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicRules {
    pub max_message_bytes: usize,
    pub timestamp_type: TimestampType,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    pub compacted: bool,
    /// `None` keeps what the producer chose.
    pub compression: Option<String>,
}

impl TopicRules {
    /// The rules of a topic.
    pub fn of(layers: Layers<'_>) -> TopicRules {
        let text = |name: &str| {
            let setting = table::topic(name).expect("the settings that producing asks for stand in the table");
            layers.effective(setting, Scope::Topic).0.unwrap_or_default()
        };
        let number = |name: &str| text(name).trim().parse::<i64>().unwrap_or(i64::MAX);
        let compression = text("compression.type");
        TopicRules {
            max_message_bytes: usize::try_from(number("max.message.bytes")).unwrap_or(0),
            timestamp_type: match text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            compacted: list_items(&text("cleanup.policy")).contains(&"compact"),
            compression: (compression != "producer").then_some(compression),
        }
    }

    /// The rules of a topic. `undisturbed` are those of a topic for which nothing was set while brokers run: most topics.
    pub fn of_or(layers: Layers<'_>, undisturbed: &TopicRules) -> TopicRules {
        if layers.nothing_is_dynamic() { undisturbed.clone() } else { TopicRules::of(layers) }
    }
}

/// How a setting changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Operation {
    /// From its number in IncrementalAlterConfigs (KIP-339).
    pub fn from_code(code: i8) -> Option<Operation> {
        match code {
            0 => Some(Operation::Set),
            1 => Some(Operation::Delete),
            2 => Some(Operation::Append),
            3 => Some(Operation::Subtract),
            _ => None,
        }
    }
}

/// A refused change: Kafka's code and its message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ConfigError {
    pub code: ResponseError,
    pub message: String,
}

/// Checks one change of a setting and works out the value to store; `None` takes it back to its default.
///
/// `layers` are the values in force now, which APPEND and SUBTRACT start from.
pub(crate) fn change(
    scope: Scope,
    layers: Layers<'_>,
    name: &str,
    operation: Operation,
    value: Option<&str>,
) -> Result<Option<String>, ConfigError> {
    if operation == Operation::Delete {
        // Nothing is wrong with taking back what cannot be set.
        return Ok(None);
    }
    let setting = find(scope, name)?;
    let code = refusal_code(scope);
    let refuse = |message: String| Err(ConfigError { code, message });
    match setting.update {
        Update::ReadOnly if scope == Scope::Broker => {
            return refuse(format!("Cannot update these configs dynamically: {name}"));
        }
        Update::PerListener => {
            let message =
                "These security configs can be dynamically updated only per-listener using the listener prefix";
            return refuse(format!("{message}: {name}"));
        }
        Update::ReadOnly | Update::PerBroker | Update::ClusterWide => (),
    }
    let Some(operand) = value else {
        let message = format!("Null value not supported for : {name}");
        return Err(ConfigError { code: ResponseError::InvalidRequest, message });
    };
    let changed = match operation {
        Operation::Append | Operation::Subtract if setting.kind != Kind::List => {
            let verb = if operation == Operation::Append { "APPEND" } else { "SUBTRACT" };
            let message = format!("Can't {verb} to key {name} because its type is not LIST.");
            return Err(ConfigError { code: ResponseError::InvalidConfig, message });
        }
        Operation::Append | Operation::Subtract => {
            let current = layers.effective(setting, scope).0.unwrap_or_default();
            edited_list(&current, operand, operation == Operation::Append)
        }
        Operation::Set | Operation::Delete => operand.to_owned(),
    };
    match setting.check(&changed).and_then(|()| check_bounds(scope, layers, setting, &changed)) {
        Ok(()) => Ok(Some(changed)),
        Err(message) => Err(ConfigError { code: setting.refusal_code(scope), message }),
    }
}

/// Whether there is a setting of this name.
pub(crate) fn is_known(scope: Scope, name: &str) -> bool {
    find(scope, name).is_ok()
}

/// What groups may ask for lies between two broker settings.
fn check_bounds(scope: Scope, layers: Layers<'_>, setting: &Setting, value: &str) -> Result<(), String> {
    let bounds = table::GROUP_BOUNDS.iter().filter(|(name, ..)| scope == Scope::Group && *name == setting.name);
    let number = |value: &str| value.trim().parse::<i64>().ok();
    let limit = |name: &str| number(&layers.effective(table::broker(name)?, Scope::Broker).0?);
    for (name, least, most) in bounds {
        let wanted = number(value);
        if limit(least).is_some_and(|least| wanted < Some(least)) {
            return Err(format!("{name} must be greater than or equal to {least}"));
        }
        if limit(most).is_some_and(|most| wanted > Some(most)) {
            return Err(format!("{name} must be less than or equal to {most}"));
        }
    }
    Ok(())
}

fn edited_list(current: &str, operand: &str, append: bool) -> String {
    let (mut items, operands) = (list_items(current), list_items(operand));
    if append {
        let new = operands.into_iter().filter(|item| !items.contains(item)).collect::<Vec<_>>();
        items.extend(new);
    } else {
        items.retain(|item| !operands.contains(item));
    }
    items.join(",")
}

fn refusal_code(scope: Scope) -> ResponseError {
    match scope {
        Scope::Topic | Scope::Group => ResponseError::InvalidConfig,
        Scope::Broker | Scope::ClientMetrics => ResponseError::InvalidRequest,
    }
}

fn find(scope: Scope, name: &str) -> Result<&'static Setting, ConfigError> {
    let (setting, noun) = match scope {
        Scope::Topic => (table::topic(name), "topic"),
        Scope::Broker => (table::broker(name), "broker"),
        Scope::Group => (table::group(name), "group"),
        Scope::ClientMetrics => (table::client_metrics(name), "client metrics"),
    };
    setting.ok_or_else(|| ConfigError {
        code: refusal_code(scope),
        message: format!("Unknown {noun} config name: {name}"),
    })
}

#[cfg(test)]
mod tests;
