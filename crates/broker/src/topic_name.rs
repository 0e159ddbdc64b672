//! Which topic names there can be.

use frazil_base::limits::TOPIC_NAME_BYTES_MAX;
use frazil_meta::state::State;

/// Whether a topic may have this name; else why not.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() {
        Err("the empty string is not allowed".to_owned())
    } else if name == "." || name == ".." {
        Err("'.' or '..' is not allowed".to_owned())
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        Err(format!("the length of '{name}' is longer than the max allowed length {TOPIC_NAME_BYTES_MAX}"))
    } else if !name.bytes().all(legal) {
        Err(format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"))
    } else {
        Ok(())
    }
}

/// A topic whose name is the same once `.` and `_` are not told apart, as Kafka's metrics cannot.
pub(crate) fn collision<'a>(state: &'a State, name: &str) -> Option<&'a str> {
    if !name.contains(['.', '_']) {
        return None;
    }
    let wanted = folded(name);
    state.topics().map(|topic| topic.name.as_str()).find(|other| *other != name && folded(other) == wanted)
}

/// The name as Kafka's metrics see it: `.` and `_` are the same.
pub(crate) fn folded(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_follow_kafkas_rules() {
        let (longest, too_long) = ("x".repeat(249), "x".repeat(250));
        for good in ["a", "A-b_c.9", "...", longest.as_str()] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", too_long.as_str()] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
