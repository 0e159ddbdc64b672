//! What may be shown of a URL.

use url::Url;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Words that make a query parameter a secret.
const SECRET_WORDS: &[&str] =
    &["secret", "password", "passwd", "token", "access_key", "accesskey", "account_key", "sas", "signature"];

/// The URL without its password and without query parameters that sound like secrets. A text that is no URL but may
/// hold a secret (an `@`) is hidden as a whole.
pub fn url(text: &str) -> String {
    let Ok(mut parsed) = Url::parse(text) else {
        return if text.contains('@') || text.contains('?') { HIDDEN.to_string() } else { text.to_string() };
    };
    if parsed.cannot_be_a_base() && text.contains('@') {
        return HIDDEN.to_string();
    }
    let has_secret = parsed.password().is_some() || parsed.query_pairs().any(|(name, _)| sounds_secret(&name));
    if !has_secret {
        return text.to_string();
    }
    if parsed.password().is_some() && parsed.set_password(Some(HIDDEN)).is_err() {
        return HIDDEN.to_string();
    }
    let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
    if !pairs.is_empty() {
        let shown = pairs.iter().map(|(name, value)| {
            let value = if sounds_secret(name) { HIDDEN } else { value };
            format!("{name}={value}")
        });
        parsed.set_query(Some(&shown.collect::<Vec<_>>().join("&")));
    }
    parsed.to_string()
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn passwords_and_secret_parameters_are_hidden() {
        assert_eq!(url("postgres://frazil:hunter2@db/frazil"), "postgres://frazil:***@db/frazil");
        assert_eq!(
            url("s3://b/p?region=eu-1&secret_access_key=hunter2&endpoint=http://h:9000"),
            "s3://b/p?region=eu-1&secret_access_key=***&endpoint=http://h:9000"
        );
        assert_eq!(url("user:hunter2@host"), "***");
        assert_eq!(url("//user:hunter2@host/x"), "***");
    }

    #[test]
    fn what_holds_no_secret_is_shown_as_written() {
        for text in ["file:///data", "s3://bucket/prefix?region=eu-1", "memory://", "embedded", "/data", "./data", ""] {
            assert_eq!(url(text), text);
        }
    }
}
