//! Writing the protocol's primitive types, in the classic or the flexible dialect.

use bytes::{BufMut, Bytes, BytesMut};

/// Appends values to a frame that begins with its own size.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    pub(crate) buffer: BytesMut,
    flexible: bool,
}

impl FrameWriter {
    /// Starts a response frame: a place for the size, the correlation id and, in the flexible dialect, no tagged field.
    pub(crate) fn response(correlation_id: i32, flexible: bool, capacity: usize) -> FrameWriter {
        let mut buffer = BytesMut::with_capacity(capacity + 16);
        buffer.put_i32(0);
        buffer.put_i32(correlation_id);
        let mut writer = FrameWriter { buffer, flexible };
        writer.no_tags();
        writer
    }

    /// Writes the size of the frame, `spliced` bytes of which are not in the buffer, and gives the buffer.
    pub(crate) fn finish(mut self, spliced: usize) -> Bytes {
        let size = self.buffer.len() - 4 + spliced;
        let size = i32::try_from(size).expect("the byte limits of requests keep answers below 2 GiB");
        self.buffer[..4].copy_from_slice(&size.to_be_bytes());
        self.buffer.freeze()
    }

    /// The number of an array's entries.
    pub(crate) fn count(&mut self, count: usize) {
        self.length_32(Some(count));
    }

    /// The number of an array's entries, or null.
    pub(crate) fn nullable_count(&mut self, count: Option<usize>) {
        self.length_32(count);
    }

    /// The number of bytes of a byte field; the bytes follow.
    pub(crate) fn bytes_length(&mut self, length: usize) {
        self.length_32(Some(length));
    }

    /// A string or null. Longer than the classic dialect can say: cut at a character.
    pub(crate) fn string(&mut self, text: Option<&str>) {
        let Some(text) = text else { return self.length_16(None) };
        let text = &text[..text.floor_char_boundary(i16::MAX as usize)];
        self.length_16(Some(text.len()));
        self.buffer.put_slice(text.as_bytes());
    }

    /// The end of a structure without tagged fields.
    pub(crate) fn no_tags(&mut self) {
        if self.flexible {
            self.buffer.put_u8(0);
        }
    }

    fn length_32(&mut self, length: Option<usize>) {
        if self.flexible {
            return self.compact_length(length);
        }
        let length = length.map_or(-1, |length| i32::try_from(length).expect("answers stay below 2 GiB"));
        self.buffer.put_i32(length);
    }

    fn length_16(&mut self, length: Option<usize>) {
        if self.flexible {
            return self.compact_length(length);
        }
        let length = length.map_or(-1, |length| i16::try_from(length).expect("strings were cut to fit"));
        self.buffer.put_i16(length);
    }

    fn compact_length(&mut self, length: Option<usize>) {
        let plus_one = length.map_or(0, |length| length + 1);
        put_unsigned_varint(&mut self.buffer, u32::try_from(plus_one).expect("answers stay below 2 GiB"));
    }
}

/// Appends an unsigned varint.
pub(crate) fn put_unsigned_varint(buffer: &mut impl BufMut, mut value: u32) {
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

/// Appends a zigzag varint of 64 bits; for the values of 32 bits it gives the same bytes as the varint of 32 bits.
pub(crate) fn put_varint(buffer: &mut impl BufMut, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        buffer.put_u8(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    buffer.put_u8(zigzag as u8);
}
