//! What can be said on the command line.

use crate::client::Client;
use crate::commands::{bench, cluster, config, consume, dev, group, health, produce, server, storage, topic, txn};
use crate::output::screen_columns;
use crate::settings::keys::{KEYS, Key};
use crate::settings::{HostPort, Sources, units};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

/// Kafka for object storage: one binary, brokers that keep nothing
#[derive(Debug, Parser)]
#[command(name = "frazil", version, propagate_version = true, disable_help_flag = true)]
pub struct CommandLine {
    /// Print help
    #[arg(short, long, action = ArgAction::HelpShort, global = true, display_order = 1_000)]
    help: Option<bool>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run everything in one process on a local directory, with a demo topic
    Dev(dev::DevArgs),
    /// Run a broker
    Server(server::ServerArgs),
    /// Create, list, describe, alter and delete topics, and delete records
    #[command(subcommand)]
    Topic(topic::TopicVerb),
    /// Write records: lines from stdin or files
    #[command(after_help = produce::EXAMPLES)]
    Produce(produce::ProduceArgs),
    /// Read records, alone or as a member of a group
    #[command(after_help = consume::EXAMPLES)]
    Consume(consume::ConsumeArgs),
    /// Read records as they arrive (consume -o newest)
    #[command(after_help = consume::TAIL_EXAMPLES)]
    Tail(consume::ConsumeArgs),
    /// List, describe, reset and delete groups of consumers
    #[command(subcommand)]
    Group(group::GroupVerb),
    /// List, describe and abort transactions
    #[command(subcommand)]
    Txn(txn::TxnVerb),
    /// Describe the cluster
    #[command(subcommand)]
    Cluster(cluster::ClusterVerb),
    /// Look into a store, and prove it against its metadata
    #[command(subcommand)]
    Storage(storage::StorageVerb),
    /// Show the configuration
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Ask a broker whether it is ready (for container health checks, too)
    Health(health::HealthArgs),
    /// Put load on any Kafka cluster, and measure
    Bench(bench::BenchArgs),
    /// Print a completion script for bash: source <(frazil completion)
    Completion,
}

/// How to reach a cluster.
#[derive(Clone, Debug, Args)]
pub struct ClusterArgs {
    /// Brokers to ask first: host:port, separated by commas
    #[arg(short = 'b', long, env = "FRAZIL_BOOTSTRAP", default_value = "localhost:9092", value_delimiter = ',',
          value_parser = parse_address)]
    pub bootstrap: Vec<HostPort>,
    /// How long to wait for the cluster
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Below so many columns a flag's help stands under it.
const COLUMNS_FOR_HELP_BESIDE: usize = 110;

impl CommandLine {
    /// What the process was called with; ends it with help or a usage error where that is due.
    pub fn of_process() -> CommandLine {
        let is_narrow = screen_columns().is_some_and(|columns| columns < COLUMNS_FOR_HELP_BESIDE);
        let matches = CommandLine::command().next_line_help(is_narrow).get_matches();
        CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

impl ClusterArgs {
    /// A client of that cluster, which connects when it is asked something.
    pub fn client(&self) -> Client {
        Client::new(self.bootstrap.clone(), self.timeout)
    }
}

/// Where settings come from.
#[derive(Clone, Debug, Args)]
pub struct SettingsArgs {
    /// TOML file with settings
    #[arg(long, env = "FRAZIL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The settings themselves.
    #[command(flatten)]
    pub flags: SettingFlags,
}

impl SettingsArgs {
    /// The sources these flags, the process's environment and the file make.
    pub fn sources(&self, dev: bool) -> Sources {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Sources { file: self.config.clone(), environment, flags: self.flags.0.clone(), dev }
    }
}

/// How a setting is spelled on the command line.
struct Spelling {
    flag: String,
    value: String,
    heading: String,
}

/// By path. The parser keeps references to them for as long as the process lives.
static SPELLINGS: LazyLock<BTreeMap<&'static str, Spelling>> = LazyLock::new(|| {
    let spelling = |key: &'static Key| {
        let name = key.path.rsplit('.').next().unwrap_or(key.path);
        let heading = format!("Settings of [{}]", key.section());
        (key.path, Spelling { flag: key.flag(), value: name.to_uppercase(), heading })
    };
    KEYS.iter().map(spelling).collect()
});

/// Settings given as flags: path and text. One flag per setting, made from the table of settings.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags(pub Vec<(String, String)>);

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        KEYS.iter().fold(command, |command, key| {
            let words = &SPELLINGS[key.path];
            let help =
                if key.default.is_empty() { key.help } else { &format!("{} [default: {}]", key.help, key.default) };
            command.arg(
                Arg::new(key.path)
                    .long(words.flag.as_str())
                    .value_name(words.value.as_str())
                    .help(help.to_string())
                    .help_heading(words.heading.as_str())
                    .hide_short_help(key.kafka_name().is_some() || key.section() == "log")
                    .allow_hyphen_values(true),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        SettingFlags::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<SettingFlags, clap::Error> {
        let given = KEYS.iter().filter_map(|key| {
            let text = matches.get_one::<String>(key.path)?;
            Some((key.path.to_string(), text.clone()))
        });
        Ok(SettingFlags(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = SettingFlags::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Reads `host`, `host:port`; the port is Kafka's when left out.
pub fn parse_address(text: &str) -> Result<HostPort, String> {
    HostPort::parse(text, Some(9092)).ok_or_else(|| "not an address; write it as host:port".to_string())
}

/// Reads `250ms`, `10s`, ….
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).map_err(|error| error.to_string())
}

/// Reads `64MiB`, ….
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    units::parse_bytes(text).map_err(|error| error.to_string())
}

/// Reads `name=value`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("write it as name=value".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag_of_the_server() {
        let line = ["frazil", "server", "--store-url", "memory://", "--kafka-num-partitions", "-4"];
        let parsed = CommandLine::try_parse_from(line).unwrap();
        let Verb::Server(server) = parsed.verb else { panic!("{parsed:?}") };
        let expected = [("store.url", "memory://"), ("kafka.num_partitions", "-4")];
        assert_eq!(server.settings.flags.0, expected.map(|(path, text)| (path.to_string(), text.to_string())));
    }

    /// Flags of settings apart, which are many and told in full by `frazil config print`.
    #[test]
    fn help_fits_a_narrow_terminal() {
        fn check(path: &str, command: &Command, too_long: &mut Vec<String>) {
            let mut check_line = |what: &str, line: &str, most: usize| {
                if line.chars().count() > most {
                    too_long.push(format!("{path} {what}: {line}"));
                }
            };
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            after.lines().for_each(|line| check_line("after help", line, 82));
            check_line("about", &command.get_about().map(ToString::to_string).unwrap_or_default(), 72);
            for argument in command.get_arguments() {
                let is_setting = argument.get_help_heading().is_some_and(|heading| heading.starts_with("Settings"));
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                check_line(argument.get_id().as_str(), &help, if is_setting { usize::MAX } else { 72 });
            }
            command.get_subcommands().for_each(|verb| check(&format!("{path} {}", verb.get_name()), verb, too_long));
        }
        let mut too_long = Vec::new();
        check("frazil", &CommandLine::command(), &mut too_long);
        assert_eq!(too_long, Vec::<String>::new());
    }
}
