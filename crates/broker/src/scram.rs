//! What a broker keeps of a password (SCRAM: RFC 5802, RFC 7677).

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use frazil_meta::record::ScramCredential;

/// Which hash function it is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Sha256,
    Sha512,
}

impl Mechanism {
    /// By Kafka's number.
    pub fn from_number(number: i8) -> Option<Mechanism> {
        match number {
            1 => Some(Mechanism::Sha256),
            2 => Some(Mechanism::Sha512),
            _ => None,
        }
    }

    /// Kafka's number.
    pub fn number(self) -> u8 {
        match self {
            Mechanism::Sha256 => 1,
            Mechanism::Sha512 => 2,
        }
    }

    fn hmac(self, key: &[u8], message: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Mechanism::Sha256 => hmac::HMAC_SHA256,
            Mechanism::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message)
    }

    fn hash(self, message: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Mechanism::Sha256 => &digest::SHA256,
            Mechanism::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message)
    }
}

/// `StoredKey = H(HMAC(SaltedPassword, "Client Key"))`, `ServerKey = HMAC(SaltedPassword, "Server Key")`.
pub(crate) fn credential(
    mechanism: Mechanism,
    salt: Bytes,
    salted_password: &[u8],
    iterations: i32,
) -> ScramCredential {
    let client_key = mechanism.hmac(salted_password, b"Client Key");
    let stored_key = mechanism.hash(client_key.as_ref());
    let server_key = mechanism.hmac(salted_password, b"Server Key");
    let [stored_key, server_key] = [stored_key.as_ref(), server_key.as_ref()].map(Bytes::copy_from_slice);
    ScramCredential { salt, stored_key, server_key, iterations }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The salted password of RFC 7677's example (user "user", password "pencil"); the keys are Python's `hmac`'s.
    #[test]
    fn keys_follow_from_the_salted_password_as_in_rfc_7677() {
        let salted: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| {
                let digits = &"c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d"[at..at + 2];
                u8::from_str_radix(digits, 16).expect("hex")
            })
            .collect();
        let kept = credential(Mechanism::Sha256, Bytes::from_static(b"salt"), &salted, 4096);
        assert_eq!(hex(&kept.stored_key), "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6");
        assert_eq!(hex(&kept.server_key), "c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5");
    }
}
