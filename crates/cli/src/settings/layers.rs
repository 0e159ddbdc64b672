//! From flags, environment, file and defaults to one value per setting that knows where it came from.
//!
//! Precedence: flag > environment > file > default. Whatever has no such setting is an error with a suggestion.
//! A value may be `${env:X}` or `${file:/path}` in whole or in part, and every setting has a twin `…_file` that names
//! a file with the value. Values that came from such places are secrets: they are never shown.

use super::keys::{self, KEYS, Key, Kind, VARIABLE_PREFIX};
use super::redact;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag, with its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Environment(name) => write!(f, "env {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A setting's value.
#[derive(Clone)]
pub struct Value {
    text: String,
    shown: String,
    /// Where it came from.
    pub origin: Origin,
}

impl Value {
    /// The value itself. Never print it; `shown` is for that.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What may be printed of it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether it came through a reference, so that it must not be shown.
    pub fn is_referenced(&self) -> bool {
        self.shown.contains("${")
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.shown, self.origin)
    }
}

/// What is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such setting.
    #[error("unknown setting {name} ({origin}){}", hint(.suggestion))]
    UnknownKey {
        /// As it was written.
        name: String,
        /// Where.
        origin: Origin,
        /// What was probably meant, written the same way.
        suggestion: Option<String>,
    },
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {cause}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The file is no TOML.
    #[error("the configuration file {} is not valid TOML at line {line}: {cause}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Why, without the line's content.
        cause: String,
    },
    /// A reference leads nowhere.
    #[error("{key} ({origin}) refers to {reference}, which {cause}")]
    Dangling {
        /// The setting.
        key: String,
        /// Where.
        origin: Origin,
        /// The reference.
        reference: String,
        /// Why it cannot be followed.
        cause: String,
    },
    /// A setting and its `_file` twin are both given in one place.
    #[error("{key} and {key}_file are both set ({origin}); keep one")]
    Twice {
        /// The setting.
        key: String,
        /// Where.
        origin: Origin,
    },
    /// The value does not fit the setting.
    #[error("{key} = {shown} ({origin}): {cause}")]
    Invalid {
        /// The setting.
        key: String,
        /// What may be printed of the value.
        shown: String,
        /// Where.
        origin: Origin,
        /// What is wrong.
        cause: String,
    },
}

fn hint(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// Everything that is wrong with the configuration, one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// What settings are made from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// The environment: all variables, also those that are none of ours.
    pub environment: BTreeMap<String, String>,
    /// Settings given as flags: path and value.
    pub flags: Vec<(String, String)>,
    /// Use the defaults of `frazil dev`.
    pub dev: bool,
}

/// One value per setting.
#[derive(Clone, Debug)]
pub struct Resolved {
    values: BTreeMap<&'static str, Value>,
}

impl Resolved {
    /// The value of a setting in `KEYS`.
    pub fn value(&self, path: &str) -> &Value {
        self.values.get(path).expect("every key has at least its default")
    }

    /// All settings and values, in the order of `KEYS`.
    pub fn all(&self) -> impl Iterator<Item = (&'static Key, &Value)> {
        KEYS.iter().map(|key| (key, self.value(key.path)))
    }

    /// Replaces a default by another one that was found while starting.
    pub fn set_default(&mut self, path: &'static str, text: &str) {
        let value = self.values.get_mut(path).expect("every key has at least its default");
        if value.origin == Origin::Default {
            *value = Value { text: text.to_string(), shown: text.to_string(), origin: Origin::Default };
        }
    }
}

/// Finds every setting's value.
pub fn resolve(sources: &Sources) -> Result<Resolved, ConfigErrors> {
    let mut layers = Layers { environment: &sources.environment, found: BTreeMap::new(), errors: Vec::new() };
    for key in KEYS {
        let default = key.dev_default.filter(|_| sources.dev).unwrap_or(key.default);
        layers.put(key, default, Origin::Default);
    }
    if let Some(path) = &sources.file {
        layers.add_file(path);
    }
    layers.add_environment();
    layers.add_flags(&sources.flags);
    if layers.errors.is_empty() { Ok(Resolved { values: layers.found }) } else { Err(ConfigErrors(layers.errors)) }
}

struct Layers<'a> {
    environment: &'a BTreeMap<String, String>,
    found: BTreeMap<&'static str, Value>,
    errors: Vec<ConfigError>,
}

impl Layers<'_> {
    fn add_file(&mut self, path: &Path) {
        match read_toml(path) {
            Err(error) => self.errors.push(error),
            Ok(table) => {
                let origin = Origin::File(path.to_path_buf());
                let mut entries = BTreeMap::new();
                flatten("", &table, &mut entries);
                self.add_layer(entries, |_| origin.clone(), |path| path.to_string());
            }
        }
    }

    fn add_environment(&mut self) {
        let ours = self.environment.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix(VARIABLE_PREFIX)?;
            Some((rest.to_ascii_lowercase().replace("__", "."), value.clone()))
        });
        let written = |path: &str| format!("{VARIABLE_PREFIX}{}", path.replace('.', "__").to_ascii_uppercase());
        self.add_layer(ours.collect(), |path| Origin::Environment(written(path)), written);
    }

    fn add_flags(&mut self, flags: &[(String, String)]) {
        let written = |path: &str| format!("--{}", path.replace(['.', '_'], "-"));
        self.add_layer(flags.iter().cloned().collect(), |path| Origin::Flag(written(path)), written);
    }

    /// Puts one source's entries over what is there. `written` spells a path as this source does.
    fn add_layer(
        &mut self,
        entries: BTreeMap<String, String>,
        origin: impl Fn(&str) -> Origin,
        written: impl Fn(&str) -> String,
    ) {
        for (path, text) in &entries {
            if let Some(key) = keys::find(path) {
                self.put(key, text, origin(path));
            } else if let Some(key) = path.strip_suffix("_file").and_then(keys::find) {
                if entries.contains_key(key.path) {
                    self.errors.push(ConfigError::Twice { key: key.path.to_string(), origin: origin(key.path) });
                }
                self.put(key, &format!("${{file:{text}}}"), origin(path));
            } else {
                let suggestion = keys::suggestion(path, KEYS.iter().map(|key| key.path)).map(&written);
                let (name, origin) = (written(path), origin(path));
                self.errors.push(ConfigError::UnknownKey { name, origin, suggestion });
            }
        }
    }

    fn put(&mut self, key: &'static Key, written: &str, origin: Origin) {
        match expand(written, self.environment) {
            Err((reference, cause)) => {
                self.errors.push(ConfigError::Dangling { key: key.path.to_string(), origin, reference, cause });
            }
            Ok(text) => {
                let is_url = key.kind == Kind::Url && text == written;
                let shown = if is_url { redact::url(written) } else { written.to_string() };
                self.found.insert(key.path, Value { text, shown, origin });
            }
        }
    }
}

/// Replaces `${env:X}` and `${file:/path}`. The error names the reference and what is wrong with it.
fn expand(written: &str, environment: &BTreeMap<String, String>) -> Result<String, (String, String)> {
    let mut expanded = String::new();
    let mut rest = written;
    while let Some(start) = rest.find("${") {
        expanded.push_str(&rest[..start]);
        let Some(end) = rest[start..].find('}') else {
            return Err(("${…".to_string(), "has no closing brace".to_string()));
        };
        let reference = &rest[start..=start + end];
        let inner = &reference[2..reference.len() - 1];
        let value = follow(inner, environment).map_err(|cause| (reference.to_string(), cause))?;
        expanded.push_str(&value);
        rest = &rest[start + end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn follow(reference: &str, environment: &BTreeMap<String, String>) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("env", name)) => environment.get(name).cloned().ok_or("is not set".to_string()),
        Some(("file", path)) => match std::fs::read_to_string(path) {
            Ok(content) => Ok(content.trim_end_matches(['\n', '\r']).to_string()),
            Err(error) => Err(format!("cannot be read: {error}")),
        },
        _ => Err("is neither ${env:NAME} nor ${file:/path}".to_string()),
    }
}

fn read_toml(path: &Path) -> Result<toml::Table, ConfigError> {
    let unreadable = |error: std::io::Error| ConfigError::Unreadable { path: path.into(), cause: error.to_string() };
    let content = std::fs::read_to_string(path).map_err(unreadable)?;
    content.parse().map_err(|error: toml::de::Error| {
        let position = error.span().map_or(0, |span| span.start.min(content.len()));
        let line = content.as_bytes()[..position].iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::Malformed { path: path.into(), line, cause: error.message().to_string() }
    })
}

fn flatten(prefix: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&path, inner, into),
            toml::Value::String(text) => {
                into.insert(path, text.clone());
            }
            other => {
                into.insert(path, other.to_string());
            }
        }
    }
}
