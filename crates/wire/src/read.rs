//! Reading the protocol's primitive types, with every length and count checked against the bytes that are left.
//!
//! Kafka has two dialects: classic (lengths of 16 or 32 bits) and flexible (KIP-482: varint lengths plus one, and tagged
//! fields after every structure). A [`Reader`] speaks one of them.

use bytes::{Buf, Bytes};
use frazil_base::TopicId;
use frazil_base::limits::REQUEST_ENTRIES_MAX;

/// Why bytes from a peer are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message ends inside a field.
    #[error("the message ends inside a field: {needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// An array promises more entries than the bytes left can hold.
    #[error("an array of {count} entries in {left} bytes")]
    Count {
        /// Entries promised.
        count: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// More array entries than any request may have.
    #[error("more than {REQUEST_ENTRIES_MAX} array entries in one request")]
    TooManyEntries,
    /// A length below -1, or null where the protocol has no null.
    #[error("a length of {0} where there is none")]
    Length(i64),
    /// A varint longer than its type.
    #[error("a varint is longer than its type")]
    Varint,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// The version has no such layout.
    #[error("no layout for version {version} of API {key}")]
    Version {
        /// The API key.
        key: i16,
        /// The version.
        version: i16,
    },
    /// The generated decoder refused it.
    #[error("the message does not follow its schema")]
    Schema,
}

/// Takes values off the front of a message.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Bytes,
    flexible: bool,
    entries: usize,
}

macro_rules! primitive {
    ($name:ident, $from:ident, $type:ty, $what:literal) => {
        #[doc = $what]
        pub(crate) fn $name(&mut self) -> Result<$type, DecodeError> {
            self.bytes
                .$from()
                .map_err(|short| DecodeError::Truncated { needed: short.requested, left: short.available })
        }
    };
}

impl Reader {
    /// Reads `bytes` in the flexible or the classic dialect.
    pub(crate) fn new(bytes: Bytes, flexible: bool) -> Reader {
        Reader { bytes, flexible, entries: 0 }
    }

    /// What has not been read.
    pub(crate) fn into_rest(self) -> Bytes {
        self.bytes
    }

    primitive!(i8, try_get_i8, i8, "A signed byte.");
    primitive!(u8, try_get_u8, u8, "A byte.");
    primitive!(i16, try_get_i16, i16, "A big-endian 16-bit integer.");
    primitive!(i32, try_get_i32, i32, "A big-endian 32-bit integer.");
    primitive!(i64, try_get_i64, i64, "A big-endian 64-bit integer.");
    primitive!(u128, try_get_u128, u128, "A big-endian 128-bit integer.");

    /// A topic id.
    pub(crate) fn topic_id(&mut self) -> Result<TopicId, DecodeError> {
        Ok(TopicId(self.u128()?))
    }

    /// An unsigned varint of at most 32 bits.
    pub(crate) fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::Varint);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    /// The next `length` bytes, without copying them.
    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.bytes.len() {
            return Err(DecodeError::Truncated { needed: length, left: self.bytes.len() });
        }
        Ok(self.bytes.split_to(length))
    }

    /// Passes over the next `length` bytes.
    pub(crate) fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        if length > self.bytes.len() {
            return Err(DecodeError::Truncated { needed: length, left: self.bytes.len() });
        }
        self.bytes.advance(length);
        Ok(())
    }

    /// A string that may not be null.
    pub(crate) fn string(&mut self) -> Result<String, DecodeError> {
        self.nullable_string()?.ok_or(DecodeError::Length(-1))
    }

    /// A string or null.
    pub(crate) fn nullable_string(&mut self) -> Result<Option<String>, DecodeError> {
        let Some(length) = self.string_length()? else { return Ok(None) };
        if length > self.bytes.len() {
            return Err(DecodeError::Truncated { needed: length, left: self.bytes.len() });
        }
        let text = std::str::from_utf8(&self.bytes[..length]).map_err(|_| DecodeError::Utf8)?.to_owned();
        self.bytes.advance(length);
        Ok(Some(text))
    }

    /// Passes over a string or null.
    pub(crate) fn skip_string(&mut self) -> Result<(), DecodeError> {
        match self.string_length()? {
            Some(length) => self.skip(length),
            None => Ok(()),
        }
    }

    /// Bytes or null, without copying them.
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let length = if self.flexible { self.compact_length()? } else { classic_length(self.i32()?.into())? };
        length.map(|length| self.take(length)).transpose()
    }

    /// How many entries an array has, each of which takes `entry_bytes_min` bytes or more. Null counts as empty.
    pub(crate) fn count(&mut self, entry_bytes_min: usize) -> Result<usize, DecodeError> {
        let count = if self.flexible { self.compact_length()? } else { classic_length(self.i32()?.into())? };
        let (count, left) = (count.unwrap_or(0), self.bytes.len());
        if count > left / entry_bytes_min.max(1) {
            return Err(DecodeError::Count { count, left });
        }
        self.entries += count;
        if self.entries > REQUEST_ENTRIES_MAX {
            return Err(DecodeError::TooManyEntries);
        }
        Ok(count)
    }

    /// Passes over the tagged fields that end a structure of the flexible dialect.
    pub(crate) fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.tags(|_, _| Ok(()))
    }

    /// Hands each tagged field that ends a structure of the flexible dialect to `field`.
    pub(crate) fn tags(
        &mut self,
        mut field: impl FnMut(u32, Reader) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let length = self.unsigned_varint()? as usize;
            field(tag, Reader::new(self.take(length)?, true))?;
        }
        Ok(())
    }

    fn string_length(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.flexible { self.compact_length() } else { classic_length(self.i16()?.into()) }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.unsigned_varint()? as usize).checked_sub(1))
    }
}

fn classic_length(length: i64) -> Result<Option<usize>, DecodeError> {
    match length {
        -1 => Ok(None),
        0.. => Ok(Some(length as usize)),
        _ => Err(DecodeError::Length(length)),
    }
}
