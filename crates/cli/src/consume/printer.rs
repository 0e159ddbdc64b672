//! How records are printed: by a format string, or as one JSON object each.

use super::template::{Template, TemplateError};
use crate::client::ReadRecord;
use crate::time::Timestamp;
use bytes::Bytes;
use serde_json::{Value, json};
use std::io::{self, Write};

/// How records are printed.
#[derive(Debug)]
pub enum Printer {
    /// By a format string.
    Template(Template),
    /// As one JSON object per line.
    Json,
}

impl Printer {
    /// One value per line.
    pub fn values() -> Result<Printer, TemplateError> {
        Template::parse(r"%v\n").map(Printer::Template)
    }

    /// Prints a record of this topic.
    pub fn print(&self, topic: &str, record: &ReadRecord, out: &mut impl Write) -> io::Result<()> {
        match self {
            Printer::Template(template) => template.print(topic, record, out),
            Printer::Json => writeln!(out, "{}", to_json(topic, record)),
        }
    }
}

/// One object per record. Bytes stand in it as text, and what is no UTF-8 as hexadecimal digits under a name that
/// says so (`key_hex`, `value_hex`).
fn to_json(topic: &str, record: &ReadRecord) -> Value {
    let mut object = json!({
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "time": Timestamp(record.timestamp).to_string(),
    });
    put_bytes(&mut object, "key", record.key.as_ref());
    put_bytes(&mut object, "value", record.value.as_ref());
    if !record.headers.is_empty() {
        let headers = record.headers.iter().map(|(name, value)| {
            let mut header = json!({});
            put_bytes(&mut header, "name", Some(name));
            put_bytes(&mut header, "value", value.as_ref());
            header
        });
        object["headers"] = headers.collect();
    }
    object
}

fn put_bytes(object: &mut Value, name: &str, bytes: Option<&Bytes>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => object[name] = Value::Null,
        Some((_, Ok(text))) => object[name] = Value::from(text),
        Some((bytes, Err(_))) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            object[format!("{name}_hex")] = Value::from(digits);
        }
    }
}
