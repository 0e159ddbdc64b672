//! kafka-python's administration.

use super::{PATIENCE, Subject, script};
use frazil_tests::run;

#[test]
fn kafka_python_creates_describes_changes_and_deletes_topics() {
    let subject = Subject::start();
    run(subject.tools.python(&script("admin.py")).arg(&subject.bootstrap), PATIENCE).expect("admin.py");
}
