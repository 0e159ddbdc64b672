//! What members of a group with the protocol type `consumer` tell each other by way of JoinGroup and SyncGroup.
//!
//! Brokers treat it as opaque, but for one question: which topics a member is subscribed to, so that nobody deletes its
//! offsets. Every version begins as version 0 does (`ConsumerProtocolSubscription`), so that is what is read.

use crate::read::{DecodeError, Reader};
use bytes::Bytes;

/// The topics in a member's subscription.
pub fn subscribed_topics(metadata: &Bytes) -> Result<Vec<String>, DecodeError> {
    let mut reader = Reader::new(metadata.clone(), false);
    reader.i16()?;
    let count = reader.count(2)?;
    (0..count).map(|_| reader.string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::ConsumerProtocolSubscription;
    use kafka_protocol::protocol::{Encodable, StrBytes};

    #[test]
    fn topics_are_read_from_every_version() {
        let topics = ["one", "two"].map(StrBytes::from_static_str).to_vec();
        let subscription = ConsumerProtocolSubscription::default().with_topics(topics);
        for version in 0..=3_i16 {
            let mut metadata = BytesMut::new();
            metadata.put_i16(version);
            subscription.encode(&mut metadata, version).expect("it can be written");
            let read = subscribed_topics(&metadata.freeze()).expect("it can be read");
            assert_eq!(read, ["one", "two"], "version {version}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for bytes in [&b""[..], b"\0", b"\0\0\x7f\xff\xff\xff", b"\0\0\0\0\0\x01\0\x05ab"] {
            assert!(subscribed_topics(&Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
    }
}
