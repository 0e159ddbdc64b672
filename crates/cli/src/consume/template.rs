//! Format strings as in kcat and rpk: `%k %v %o %p %t\n`.
//!
//! | written | printed |
//! |---|---|
//! | `%v` `%s` | value |
//! | `%k` | key |
//! | `%V` `%S` | length of the value in bytes, -1 for none |
//! | `%K` | length of the key in bytes, -1 for none |
//! | `%h` | headers: `name=value,name=value` |
//! | `%t` | topic |
//! | `%p` `%o` | partition, offset |
//! | `%T` | timestamp, milliseconds since 1970 |
//! | `%d` | timestamp, as date and time in UTC |
//! | `%%` | a percent sign |
//! | `\n` `\t` `\r` `\0` `\\` `\xNN` | those bytes |

use crate::client::ReadRecord;
use crate::time::Timestamp;
use bytes::Bytes;
use std::io::{self, Write};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Value,
    Key,
    ValueLength,
    KeyLength,
    Headers,
    Topic,
    Partition,
    Offset,
    Timestamp,
    Date,
}

/// A format string, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// Why a text is no format string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} means nothing in a format; known are %v %k %V %K %h %t %p %o %T %d %% and \\n \\t \\r \\0 \\\\ \\xNN")]
pub struct TemplateError(String);

impl Template {
    /// Parses a format string.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut template = Template { parts: Vec::new() };
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '%' => template.add_field(rest.next())?,
                '\\' => {
                    let byte = escape(&mut rest)?;
                    template.add_literal(&[byte]);
                }
                other => template.add_literal(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Ok(template)
    }

    fn add_field(&mut self, field: Option<char>) -> Result<(), TemplateError> {
        let part = match field {
            Some('v' | 's') => Part::Value,
            Some('k') => Part::Key,
            Some('V' | 'S') => Part::ValueLength,
            Some('K') => Part::KeyLength,
            Some('h') => Part::Headers,
            Some('t') => Part::Topic,
            Some('p') => Part::Partition,
            Some('o') => Part::Offset,
            Some('T') => Part::Timestamp,
            Some('d') => Part::Date,
            Some('%') => {
                self.add_literal(b"%");
                return Ok(());
            }
            other => return Err(TemplateError(format!("%{}", other.map(String::from).unwrap_or_default()))),
        };
        self.parts.push(part);
        Ok(())
    }

    fn add_literal(&mut self, bytes: &[u8]) {
        match self.parts.last_mut() {
            Some(Part::Literal(literal)) => literal.extend_from_slice(bytes),
            _ => self.parts.push(Part::Literal(bytes.to_vec())),
        }
    }

    /// Prints a record.
    pub fn print(&self, topic: &str, record: &ReadRecord, out: &mut impl Write) -> io::Result<()> {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(bytes) => out.write_all(bytes),
            Part::Value => out.write_all(record.value.as_deref().unwrap_or_default()),
            Part::Key => out.write_all(record.key.as_deref().unwrap_or_default()),
            Part::ValueLength => write!(out, "{}", length(record.value.as_ref())),
            Part::KeyLength => write!(out, "{}", length(record.key.as_ref())),
            Part::Headers => print_headers(&record.headers, out),
            Part::Topic => out.write_all(topic.as_bytes()),
            Part::Partition => write!(out, "{}", record.partition),
            Part::Offset => write!(out, "{}", record.offset),
            Part::Timestamp => write!(out, "{}", record.timestamp),
            Part::Date => write!(out, "{}", Timestamp(record.timestamp)),
        })
    }
}

fn escape(rest: &mut std::str::Chars<'_>) -> Result<u8, TemplateError> {
    match rest.next() {
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('r') => Ok(b'\r'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits: String = rest.take(2).collect();
            let hexadecimal = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| hexadecimal);
            byte.ok_or_else(|| TemplateError(format!("\\x{digits}")))
        }
        other => Err(TemplateError(format!("\\{}", other.map(String::from).unwrap_or_default()))),
    }
}

fn length(bytes: Option<&Bytes>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

fn print_headers(headers: &[(Bytes, Option<Bytes>)], out: &mut impl Write) -> io::Result<()> {
    for (index, (name, value)) in headers.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(name)?;
        out.write_all(b"=")?;
        out.write_all(value.as_deref().unwrap_or(b"NULL"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printed(format: &str) -> Vec<u8> {
        let record = ReadRecord {
            partition: 3,
            offset: 42,
            timestamp: 1_709_210_096_789,
            key: Some(Bytes::from_static(b"k1")),
            value: Some(Bytes::from_static(b"\xffraw")),
            headers: vec![("a".into(), Some("1".into())), ("a".into(), None)],
        };
        let mut out = Vec::new();
        Template::parse(format).unwrap().print("orders", &record, &mut out).unwrap();
        out
    }

    #[test]
    fn every_field_prints_what_kcat_prints() {
        assert_eq!(printed(r"%k %o %p %t\n"), b"k1 42 3 orders\n");
        assert_eq!(printed("%v|%s"), b"\xffraw|\xffraw");
        assert_eq!(printed("%K %V %S %T"), b"2 4 4 1709210096789");
        assert_eq!(printed("%h"), b"a=1,a=NULL");
        assert_eq!(printed("%d"), b"2024-02-29T12:34:56.789Z");
        assert_eq!(printed(r"100%%\t\\\x41\0"), b"100%\t\\A\0");
    }

    #[test]
    fn missing_keys_and_values_print_nothing_and_have_length_minus_one() {
        let record = ReadRecord { partition: 0, offset: 0, timestamp: -1, key: None, value: None, headers: vec![] };
        let mut out = Vec::new();
        Template::parse("[%k][%v]%K%V").unwrap().print("t", &record, &mut out).unwrap();
        assert_eq!(out, b"[][]-1-1");
    }

    #[test]
    fn unknown_fields_are_errors_that_name_themselves() {
        for (format, named) in [("%y", "%y"), ("50%", "%"), (r"\q", r"\q"), (r"\x4", r"\x4"), (r"\x+1", r"\x+1")] {
            assert_eq!(Template::parse(format), Err(TemplateError(named.to_string())), "{format}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,30}") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn text_without_signs_prints_as_it_is(text in "[^%\\\\]{0,30}") {
            prop_assert_eq!(printed(&text), text.as_bytes());
        }
    }
}
