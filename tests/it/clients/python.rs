//! kafka-python's administration.

use super::{PATIENCE, Subject, script};
use frazil_tests::run;

#[test]
fn kafka_python_creates_describes_changes_and_deletes_topics() {
    let subject = Subject::start();
    run(subject.tools.python(&script("admin.py")).arg(&subject.bootstrap), PATIENCE).expect("admin.py");
}

#[test]
fn kafka_python_deletes_records_and_sees_directories_features_and_users() {
    let subject = Subject::start();
    let mut python = subject.tools.python(&script("admin_more.py"));
    run(python.arg(&subject.bootstrap), PATIENCE).expect("admin_more.py");
}
