//! Varints and checked reads for records and snapshots.
//!
//! Unsigned numbers are LEB128 (seven bits a byte, low ones first), signed ones are zigzag-coded first. Every value has
//! exactly one encoding: a reader refuses overlong varints, so bytes that decode encode to the same bytes again.
//! A count is checked against the bytes that are left before anything is allocated for it.

use bytes::Bytes;
use frazil_base::limits::META_RECORD_BYTES_MAX;

/// Why bytes are no record, or not one that this version understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A value goes beyond the end.
    #[error("the bytes end at {position} inside a value")]
    Truncated {
        /// Where the value starts.
        position: usize,
    },
    /// Bytes follow the last value.
    #[error("{count} bytes too many after position {position}")]
    TrailingBytes {
        /// Where the last value ends.
        position: usize,
        /// How many follow.
        count: usize,
    },
    /// A value that cannot be.
    #[error("{what} is wrong at position {position}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// Where it ends.
        position: usize,
    },
    /// More than `META_RECORD_BYTES_MAX`.
    #[error("a record of {bytes} bytes, more than {META_RECORD_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A format that a newer Frazil wrote.
    #[error("format version {version} was written by a newer Frazil; this one knows versions up to {known}")]
    NewerVersion {
        /// The version in the bytes.
        version: u8,
        /// The last version known here.
        known: u8,
    },
    /// A command that a newer Frazil wrote.
    #[error("command {tag} was written by a newer Frazil; this one does not know it")]
    UnknownCommand {
        /// The command's tag.
        tag: u8,
    },
    /// The cluster was raised to a level that this version does not implement.
    #[error("the cluster is at feature level {level}, this Frazil knows levels up to {known}: start a newer one")]
    NewerFeatureLevel {
        /// The level in the record.
        level: u16,
        /// The last level known here.
        known: u16,
    },
}

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(capacity: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(capacity) }
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.varint(value as u64);
    }

    /// 16 bytes, most significant first, as ids are printed.
    pub(crate) fn u128(&mut self, value: u128) {
        self.raw(&value.to_be_bytes());
    }

    pub(crate) fn string(&mut self, value: &str) {
        self.count(value.len());
        self.raw(value.as_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.raw(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Length + 1 and the bytes; 0 for `None`.
    pub(crate) fn optional_string(&mut self, value: Option<&str>) {
        match value {
            None => self.varint(0),
            Some(value) => {
                self.count(value.len() + 1);
                self.raw(value.as_bytes());
            }
        }
    }
}

/// Takes values from bytes, each checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, position: 0 }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(crate) fn invalid(&self, what: &'static str) -> DecodeError {
        DecodeError::Invalid { what, position: self.position }
    }

    pub(crate) fn raw(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        if count > self.remaining() {
            return Err(DecodeError::Truncated { position: self.position });
        }
        let slice = &self.bytes[self.position..self.position + count];
        self.position += count;
        Ok(slice)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.position).ok_or(DecodeError::Truncated { position: self.position })?;
        self.position += 1;
        Ok(byte)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.invalid("a varint beyond 64 bits"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                let overlong = byte == 0 && shift > 0;
                return if overlong { Err(self.invalid("an overlong varint")) } else { Ok(value) };
            }
        }
        Err(self.invalid("a varint beyond 64 bits"))
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64, DecodeError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// An unsigned number that fits the type; `what` names it in the error.
    pub(crate) fn unsigned<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        let value = self.varint()?;
        T::try_from(value).map_err(|_| self.invalid(what))
    }

    /// A signed number that fits the type; `what` names it in the error.
    pub(crate) fn signed<T: TryFrom<i64>>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        let value = self.zigzag()?;
        T::try_from(value).map_err(|_| self.invalid(what))
    }

    /// How many elements follow, each of at least `bytes_each_min` bytes: never more than can be there.
    pub(crate) fn count(&mut self, bytes_each_min: usize) -> Result<usize, DecodeError> {
        let count = self.unsigned::<usize>("a count")?;
        if count > self.remaining() / bytes_each_min {
            return Err(self.invalid("a count beyond the bytes that follow"));
        }
        Ok(count)
    }

    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.invalid(what)),
        }
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.raw(8)?.try_into().expect("8 bytes were asked for");
        Ok(u64::from_be_bytes(bytes))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, DecodeError> {
        let bytes = self.raw(16)?.try_into().expect("16 bytes were asked for");
        Ok(u128::from_be_bytes(bytes))
    }

    pub(crate) fn string(&mut self) -> Result<String, DecodeError> {
        let count = self.count(1)?;
        self.text(count)
    }

    /// A copy: what is kept must not hold on to the record it came in.
    pub(crate) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let count = self.count(1)?;
        self.raw(count).map(Bytes::copy_from_slice)
    }

    pub(crate) fn optional_string(&mut self) -> Result<Option<String>, DecodeError> {
        match self.unsigned::<usize>("a length")? {
            0 => Ok(None),
            count => self.text(count - 1).map(Some),
        }
    }

    fn text(&mut self, count: usize) -> Result<String, DecodeError> {
        let bytes = self.raw(count)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.invalid("a text in UTF-8"))?;
        Ok(text.to_owned())
    }

    /// Nothing may follow.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { position: self.position, count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::default();
        write(&mut writer);
        writer.into_vec()
    }

    #[test]
    fn overlong_and_oversized_varints_are_refused() {
        for bytes in [&[0x80, 0x00][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]] {
            assert!(matches!(Reader::new(bytes).varint(), Err(DecodeError::Invalid { .. })), "{bytes:x?}");
        }
        assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Truncated { position: 1 }));
    }

    #[test]
    fn a_count_never_exceeds_the_bytes_that_follow() {
        let bytes = written(|w| w.varint(u64::MAX));
        assert!(Reader::new(&bytes).count(1).is_err());
        let bytes = written(|w| [w.varint(2), w.raw(b"abc")].into_iter().collect());
        assert!(Reader::new(&bytes).count(2).is_err());
        assert_eq!(Reader::new(&bytes).count(1), Ok(2));
    }

    proptest! {
        #[test]
        fn numbers_survive(unsigned: u64, signed: i64) {
            let bytes = written(|w| [w.varint(unsigned), w.zigzag(signed)].into_iter().collect());
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(unsigned));
            prop_assert_eq!(reader.zigzag(), Ok(signed));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn small_magnitudes_take_one_byte(value in -64i64..64) {
            prop_assert_eq!(written(|w| w.zigzag(value)).len(), 1);
        }

        #[test]
        fn texts_survive(plain: String, optional: Option<String>) {
            let bytes = written(|w| [w.string(&plain), w.optional_string(optional.as_deref())].into_iter().collect());
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.string(), Ok(plain));
            prop_assert_eq!(reader.optional_string(), Ok(optional));
        }
    }
}
