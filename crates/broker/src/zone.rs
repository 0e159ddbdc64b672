//! The client's zone, from its client id.

/// Keys that announce a zone, Frazil's own and those of systems that people come from.
const KEYS: [&str; 5] = ["zone", "ws_az", "warpstream_az", "diskless_az", "automq_az"];

/// The zone in a client id such as `orders-1,zone=eu-central-1a`.
pub(crate) fn of_client(client_id: Option<&str>) -> Option<&str> {
    let pairs = client_id?.split([',', ';', '&', '|', ' ']);
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, zone)| KEYS.contains(key) && !zone.is_empty())
        .map(|pair| pair.1)
}

#[cfg(test)]
mod tests {
    use super::of_client;

    #[test]
    fn a_zone_is_found_among_other_words() {
        let cases = [
            (None, None),
            (Some("rdkafka"), None),
            (Some("zone=a"), Some("a")),
            (Some("app,ws_az=us-east-1a"), Some("us-east-1a")),
            (Some("x=1&warpstream_az=b;y=2"), Some("b")),
            (Some("app|diskless_az=c"), Some("c")),
            (Some("app automq_az=d"), Some("d")),
            (Some("timezone=e"), None),
            (Some("zone="), None),
        ];
        for (client_id, zone) in cases {
            assert_eq!(of_client(client_id), zone, "{client_id:?}");
        }
    }
}
