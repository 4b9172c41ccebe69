//! What the test jobs share: when something goes wrong, in which role, and how fast records come.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use flott::{DataStream, Role, StreamExecutionEnvironment};

/// In which runs of `main()` something happens.
#[derive(Debug, Clone, Args)]
pub struct OnlyIn {
    /// Only if `main()` runs in that role (plan, submit, driver, worker, embedded).
    #[arg(long, value_name = "ROLE")]
    only_in: Option<String>,
}

impl OnlyIn {
    /// Whether it happens in this process.
    pub fn applies(&self, role: Role) -> bool {
        let name = match role {
            Role::Embedded => "embedded",
            other => other.as_str(),
        };
        self.only_in.as_deref().is_none_or(|wanted| wanted == name)
    }
}

/// At which record something goes wrong, and whether it does so again after a restart.
#[derive(Debug, Clone, Args)]
pub struct Trigger {
    /// Goes wrong at the record with this number.
    #[arg(long, default_value_t = 1_000)]
    at: i64,
    /// Goes wrong only if this file does not exist, and creates it: once, however many workers and
    /// restarts there are. Must be on a disk that all workers share.
    #[arg(long)]
    marker: Option<PathBuf>,
}

impl Trigger {
    /// Whether it goes wrong at this record.
    pub fn fires(&self, record: i64) -> bool {
        record == self.at
            && self.marker.as_ref().is_none_or(|marker| {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(marker)
                    .is_ok()
            })
    }
}

/// How many records a job has, over how many keys and subtasks.
#[derive(Debug, Clone, Args)]
pub struct Size {
    /// The records are the numbers from 1 to this.
    #[arg(long, default_value_t = 100_000)]
    records: i64,
    /// Number of keys: the key of a record is its remainder.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
    keys: i64,
    /// Number of subtasks of every operator; default: that of the configuration.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    parallelism: Option<u32>,
}

impl Size {
    /// The numbers, in as many subtasks as wanted.
    pub fn numbers(&self, env: &StreamExecutionEnvironment) -> DataStream<i64> {
        self.spread(env);
        env.from_sequence(1, self.records)
    }

    /// Gives what is built from now on as many subtasks as wanted.
    pub fn spread(&self, env: &StreamExecutionEnvironment) {
        if let Some(parallelism) = self.parallelism {
            env.set_parallelism(parallelism);
        }
    }

    /// The sums per key of `numbers`.
    pub fn sums(&self, numbers: DataStream<i64>) -> DataStream<(i64, i64)> {
        let keys = self.keys;
        numbers
            .map(move |n| (n % keys, n))
            .key_by(|(key, _)| *key)
            .sum(|(_, sum)| sum)
            .seal()
    }

    /// The sums per key of `numbers` as text files: a line `key sum` for every update, so the
    /// last (largest) sum of a key is its result.
    pub fn write_sums(&self, numbers: DataStream<i64>, output: &str) {
        self.sums(numbers).write_text(output, |(key, sum), line| {
            use std::fmt::Write;
            // Writing to a String cannot fail.
            let _ = write!(line, "{key} {sum}");
        });
    }
}

/// Lets through so many records a second, in each subtask. Blocks its thread as slow user code
/// does.
#[derive(Debug, Clone)]
pub struct Pace {
    per_second: u32,
    passed: u64,
    begin: Option<Instant>,
}

impl Pace {
    /// That many records a second; 0 counts as 1.
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            passed: 0,
            begin: None,
        }
    }

    /// Waits until the next record may pass.
    pub fn wait(&mut self) {
        let begin = *self.begin.get_or_insert_with(Instant::now);
        self.passed += 1;
        let due = Duration::from_secs_f64(self.passed as f64 / f64::from(self.per_second));
        if let Some(early) = due.checked_sub(begin.elapsed()) {
            std::thread::sleep(early);
        }
    }
}
