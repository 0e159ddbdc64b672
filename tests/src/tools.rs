//! The clients that `make tools` installed, found and started.

use anyhow::{Context as _, Result, ensure};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cache folder of `tests/tools/install`: `$FRAZIL_CACHE`, else `.cache` at the root of the repository.
#[derive(Clone, Debug)]
pub struct Tools {
    cache: PathBuf,
}

impl Tools {
    /// Finds the folder; an error says how to fill it.
    pub fn locate() -> Result<Tools> {
        let cache = env::var_os("FRAZIL_CACHE").map_or_else(|| repository().join(".cache"), PathBuf::from);
        for part in ["python/.complete", "kafka/.complete"] {
            ensure!(cache.join(part).exists(), "{} is missing: run `make tools`", cache.join(part).display());
        }
        Ok(Tools { cache })
    }

    /// The folder of one part of the cache, such as `suites-java`; an error says how to fill it.
    pub fn part(&self, name: &str) -> Result<PathBuf> {
        let folder = self.cache.join(name);
        ensure!(folder.join(".complete").exists(), "{} is missing: run `make tools-suites`", folder.display());
        Ok(folder.canonicalize()?)
    }

    /// A Python of the virtual environment, running the script at `path` below the repository.
    pub fn python(&self, path: &str) -> Command {
        let mut command = Command::new(self.cache.join("python/bin/python"));
        command.arg(repository().join(path));
        command
    }

    /// As [`Tools::python`], with kafka-python 2 instead of 3.
    pub fn python_with_kafka_python_2(&self, path: &str) -> Command {
        let mut command = self.python(path);
        command.env("PYTHONPATH", self.cache.join("python/kafka-python-2"));
        command
    }

    /// kcat, with `bootstrap` as its brokers and without configuration files of the user.
    pub fn kcat(&self, bootstrap: &str) -> Command {
        let mut command = Command::new("kcat");
        command.args(["-F", "/dev/null", "-b", bootstrap]);
        command
    }

    /// A Java program of Apache Kafka by its class, with a small heap and quiet logs.
    pub fn java(&self, class: &str) -> Command {
        let kafka = self.cache.join("kafka");
        let mut command = Command::new("java");
        command
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg(format!("-Dlog4j2.configurationFile={}", kafka.join("log4j2.xml").display()))
            .arg("-cp")
            .arg(kafka.join("libs/*"))
            .arg(class);
        command
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository")
}

/// A program of this workspace next to the running one, such as `frazil`.
pub(crate) fn sibling(program: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("where this program lies")?;
    let mut folder = own.parent().context("a program lies in a folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("test programs lie in deps of the profile's folder")?;
    }
    Ok(folder.join(program))
}
