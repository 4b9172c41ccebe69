//! The option table: every key the product reads. Adding an option is adding one entry here.

use std::time::Duration;

use crate::memory_size::MemorySize;
use crate::option::{ConfigOption, OptionInfo, PrefixOption};
use crate::port_range::PortRange;
use crate::value::{
    BatchShuffleMode, CheckpointRetention, CheckpointStorage, CheckpointingMode, ClaimMode, Factor,
    Fraction, HighAvailabilityType, RestartStrategyType, RuntimeExecutionMode, StateBackendType,
};

/// Defines the constants, and the sections of the reference in the same order.
macro_rules! options {
    ($($title:literal { $($name:ident: $type:ty = $key:literal, $doc:literal $(, $with:ident($argument:expr))*;)* })*) => {
        $($(
            #[doc = concat!("`", $key, "`: ", $doc)]
            pub const $name: ConfigOption<$type> =
                ConfigOption::<$type>::new($key, $doc)$(.$with($argument))*;
        )*)*

        /// The sections of the reference with their options.
        pub(crate) static SECTIONS: &[(&str, &[OptionInfo])] =
            &[$(($title, &[$(*$name.info()),*])),*];
    };
}

options! {
    "Job" {
        PARALLELISM_DEFAULT: u32 = "parallelism.default",
            "Subtasks of each operator that sets no parallelism of its own.",
            or("1"), at_least(1);
        PIPELINE_NAME: Option<String> = "pipeline.name",
            "Name of the job; else the program's.";
        PIPELINE_MAX_PARALLELISM: i32 = "pipeline.max-parallelism",
            "Number of key groups, which bounds every later parallelism; -1 derives it from the parallelism.",
            or("-1"), at_least(-1);
        PIPELINE_AUTO_WATERMARK_INTERVAL: Duration = "pipeline.auto-watermark-interval",
            "How often watermarks are made while records come; 0 makes none of the periodic ones.",
            or("200 ms");
        PIPELINE_OPERATOR_CHAINING_ENABLED: bool = "pipeline.operator-chaining.enabled",
            "Whether neighbouring operators are fused into one task.",
            or("true"), deprecated(&["pipeline.operator-chaining"]);
        EXECUTION_TARGET: Option<String> = "execution.target",
            "Where `flott run` runs a program that is given no `-t`: local, yarn-per-job or yarn-application.";
        EXECUTION_RUNTIME_MODE: RuntimeExecutionMode = "execution.runtime-mode",
            "Whether the job runs continuously or in stages over bounded input: STREAMING, BATCH, or \
             AUTOMATIC (BATCH if all sources are bounded).",
            or("STREAMING");
        EXECUTION_BATCH_SHUFFLE_MODE: BatchShuffleMode = "execution.batch-shuffle-mode",
            "How records are exchanged between tasks in BATCH: by way of files, stage after stage \
             (ALL_EXCHANGES_BLOCKING), or at once (ALL_EXCHANGES_PIPELINED).",
            or("ALL_EXCHANGES_BLOCKING"),
            deviation("The hybrid modes of Flink do not exist.");
        EXECUTION_BUFFER_TIMEOUT_ENABLED: bool = "execution.buffer-timeout.enabled",
            "Whether buffers that are not full are sent after a time.",
            or("true");
        EXECUTION_BUFFER_TIMEOUT: Duration = "execution.buffer-timeout.interval",
            "The longest time that records wait in a buffer that is not full; 0 sends each at once.",
            or("100 ms"), deprecated(&["execution.buffer-timeout"]);
        EXECUTION_ATTACHED: bool = "execution.attached",
            "Whether the client waits for the job's end.",
            or("false");
        EXECUTION_SHUTDOWN_ON_ATTACHED_EXIT: bool = "execution.shutdown-on-attached-exit",
            "Whether the cluster ends when an attached client is interrupted.",
            or("false");
    }
    "Failures" {
        RESTART_STRATEGY_TYPE: Option<RestartStrategyType> = "restart-strategy.type",
            "What happens after a failure: `none` fails the job, `fixed-delay`, `failure-rate` and `exponential-delay` start it again. \
             Without it: `exponential-delay` if the job takes checkpoints, else `none`.",
            deprecated(&["restart-strategy"]);
        RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS: u32 = "restart-strategy.fixed-delay.attempts",
            "Number of restarts before the job fails.",
            or("1");
        RESTART_STRATEGY_FIXED_DELAY_DELAY: Duration = "restart-strategy.fixed-delay.delay",
            "Pause before each restart.",
            or("1 s");
        RESTART_STRATEGY_FAILURE_RATE_MAX: u32 = "restart-strategy.failure-rate.max-failures-per-interval",
            "So many failures may happen within the interval before the job fails.",
            or("1");
        RESTART_STRATEGY_FAILURE_RATE_INTERVAL: Duration = "restart-strategy.failure-rate.failure-rate-interval",
            "The interval in which failures are counted.",
            or("1 min");
        RESTART_STRATEGY_FAILURE_RATE_DELAY: Duration = "restart-strategy.failure-rate.delay",
            "Pause before each restart.",
            or("1 s");
        RESTART_STRATEGY_EXPONENTIAL_INITIAL: Duration = "restart-strategy.exponential-delay.initial-backoff",
            "The first pause before a restart.",
            or("1 s");
        RESTART_STRATEGY_EXPONENTIAL_MAX: Duration = "restart-strategy.exponential-delay.max-backoff",
            "The longest pause before a restart.",
            or("1 min");
        RESTART_STRATEGY_EXPONENTIAL_MULTIPLIER: Factor = "restart-strategy.exponential-delay.backoff-multiplier",
            "What each pause is multiplied by for the next.",
            or("1.5");
        RESTART_STRATEGY_EXPONENTIAL_RESET: Duration = "restart-strategy.exponential-delay.reset-backoff-threshold",
            "After so long without a failure the next pause is the first one again.",
            or("1 h");
        RESTART_STRATEGY_EXPONENTIAL_JITTER: Fraction = "restart-strategy.exponential-delay.jitter-factor",
            "Share of a pause that is added or taken away at random.",
            or("0.1");
        RESTART_STRATEGY_EXPONENTIAL_ATTEMPTS: u32 = "restart-strategy.exponential-delay.attempts-before-reset-backoff",
            "So many restarts are allowed before the pause is the first one again; then the job fails.",
            or("2147483647");
        HEARTBEAT_INTERVAL: Duration = "heartbeat.interval",
            "Time between two signs of life of a process.",
            or("2 s"), deviation("Flink: 10 s. It must be well below the timeout, which is shorter here.");
        HEARTBEAT_TIMEOUT: Duration = "heartbeat.timeout",
            "Silence after which a process counts as lost. The end of a process is noticed at once; this is for lost hosts and networks.",
            or("10 s"), deviation("Flink: 50 s. There are no garbage collection pauses to wait for.");
        FLOTT_JOBMANAGER_LOST_TIMEOUT: Duration = "flott.jobmanager.lost-timeout",
            "Time that a task executor waits for a JobManager to come back before it ends.",
            or("5 min"), deviation("not in Flink.");
        HIGH_AVAILABILITY_TYPE: HighAvailabilityType = "high-availability.type",
            "How a master's successor finds running jobs.",
            or("NONE"), deprecated(&["high-availability", "recovery.mode"]),
            deviation("other types are refused, because they do not exist yet.");
    }
    "Checkpoints" {
        EXECUTION_CHECKPOINTING_INTERVAL: Option<Duration> = "execution.checkpointing.interval",
            "Time between two checkpoints; without it there are none. STREAMING only.";
        EXECUTION_CHECKPOINTING_MODE: CheckpointingMode = "execution.checkpointing.mode",
            "What a restart guarantees: each record counts EXACTLY_ONCE, or AT_LEAST_ONCE (no channel waits for the barriers of others).",
            or("EXACTLY_ONCE");
        EXECUTION_CHECKPOINTING_TIMEOUT: Duration = "execution.checkpointing.timeout",
            "A checkpoint that is not complete after this time is given up.",
            or("10 min");
        EXECUTION_CHECKPOINTING_MIN_PAUSE: Duration = "execution.checkpointing.min-pause",
            "The least time between the end of a checkpoint and the begin of the next.",
            or("0 ms");
        EXECUTION_CHECKPOINTING_MAX_CONCURRENT: u32 = "execution.checkpointing.max-concurrent-checkpoints",
            "So many checkpoints may be under way at a time.",
            or("1"), at_least(1);
        EXECUTION_CHECKPOINTING_TOLERABLE_FAILED: u32 = "execution.checkpointing.tolerable-failed-checkpoints",
            "So many checkpoints may fail one after the other before the job is restarted.",
            or("0");
        EXECUTION_CHECKPOINTING_RETENTION: CheckpointRetention =
            "execution.checkpointing.externalized-checkpoint-retention",
            "Which checkpoints stay when the job ends: NO_EXTERNALIZED_CHECKPOINTS, DELETE_ON_CANCELLATION (they stay if it fails), \
             RETAIN_ON_CANCELLATION.",
            or("NO_EXTERNALIZED_CHECKPOINTS");
        EXECUTION_CHECKPOINTING_NUM_RETAINED: u32 = "execution.checkpointing.num-retained",
            "So many complete checkpoints are kept while the job runs.",
            or("1"), at_least(1), deprecated(&["state.checkpoints.num-retained"]);
        EXECUTION_CHECKPOINTING_AFTER_TASKS_FINISH: bool = "execution.checkpointing.checkpoints-after-tasks-finish",
            "Whether there are checkpoints when some tasks have finished.",
            or("true"), deprecated(&["execution.checkpointing.checkpoints-after-tasks-finish.enabled"]);
        EXECUTION_CHECKPOINTING_UNALIGNED: bool = "execution.checkpointing.unaligned.enabled",
            "Whether barriers overtake the records in front of them, which become part of the checkpoint: it completes under back pressure. Only \
             with mode EXACTLY_ONCE and one checkpoint at a time; savepoints are always aligned.",
            or("false"), deprecated(&["execution.checkpointing.unaligned"]);
        EXECUTION_CHECKPOINTING_ALIGNED_TIMEOUT: Duration = "execution.checkpointing.aligned-checkpoint-timeout",
            "With unaligned checkpoints: barriers overtake records only when a checkpoint is older than this. 0: at once.",
            or("0 ms"), deprecated(&["execution.checkpointing.alignment-timeout"]);
        EXECUTION_CHECKPOINTING_UNALIGNED_FORCED: bool = "execution.checkpointing.unaligned.forced",
            "Has no effect: it allows unaligned checkpoints of jobs that Flink cannot take them of (iterations), and there are none here.",
            or("false"), deviation("Flink refuses such jobs without it.");
        EXECUTION_CHECKPOINTING_STORAGE: Option<CheckpointStorage> = "execution.checkpointing.storage",
            "Where checkpoints go: `filesystem` (to `execution.checkpointing.dir`) or `jobmanager` (into its memory); else whatever the directory says.",
            deprecated(&["state.checkpoint-storage"]);
        EXECUTION_CHECKPOINTING_DIR: Option<String> = "execution.checkpointing.dir",
            "Directory for checkpoints, local or on HDFS: each job has a directory of its own in it. Without it the JobManager holds them in memory, \
             5 MiB per task at most.",
            deprecated(&["state.checkpoints.dir", "state.backend.fs.checkpointdir"]);
        EXECUTION_CHECKPOINTING_SAVEPOINT_DIR: Option<String> = "execution.checkpointing.savepoint-dir",
            "Directory for savepoints that are asked for without one.",
            deprecated(&["state.savepoints.dir", "savepoints.state.backend.fs.dir"]);
        STATE_STORAGE_FS_MEMORY_THRESHOLD: MemorySize = "execution.checkpointing.data-inline-threshold",
            "State of an operator's subtask up to this size is stored in `_metadata` instead of a file.",
            or("20 kb"), deprecated(&["state.storage.fs.memory-threshold", "state.backend.fs.memory-threshold"]);
        EXECUTION_STATE_RECOVERY_PATH: Option<String> = "execution.state-recovery.path",
            "The savepoint or retained checkpoint that the job begins from: its directory or its `_metadata`.",
            deprecated(&["execution.savepoint.path"]);
        EXECUTION_STATE_RECOVERY_IGNORE_UNCLAIMED: bool = "execution.state-recovery.ignore-unclaimed-state",
            "Whether state of operators that the job does not have is skipped; else the job is refused.",
            or("false"), deprecated(&["execution.savepoint.ignore-unclaimed-state"]);
        EXECUTION_STATE_RECOVERY_CLAIM_MODE: ClaimMode = "execution.state-recovery.claim-mode",
            "Whose the savepoint or checkpoint is that the job begins from: NO_CLAIM (the user's: it stays as it is, and the job's checkpoints do \
             not need it) or CLAIM (the job's: it is deleted when a later checkpoint takes its place).",
            or("NO_CLAIM"), deprecated(&["execution.savepoint-restore-mode"]),
            deviation("LEGACY does not exist.");
        EXECUTION_STATE_RECOVERY_FROM_LOCAL: bool = "execution.state-recovery.from-local",
            "Whether tasks that are restarted where they ran take their state from there: from the worker's memory, or from the copies of \
             `execution.checkpointing.local-backup.enabled`. If not, everybody reads the storage.",
            or("true"), deprecated(&["state.backend.local-recovery"]),
            deviation("Flink: false, because there it means copies on disk.");
        EXECUTION_CHECKPOINTING_LOCAL_BACKUP_ENABLED: bool = "execution.checkpointing.local-backup.enabled",
            "Whether workers write their state a second time, to disks of their container, for the worker that takes the place of one that has ended.",
            or("false"), deprecated(&["state.backend.local-recovery"]);
        EXECUTION_CHECKPOINTING_LOCAL_BACKUP_DIRS: Option<String> = "execution.checkpointing.local-backup.dirs",
            "Directories for these copies, separated by commas; without them a directory of the container, on YARN below `LOCAL_DIRS`.",
            deprecated(&["taskmanager.state.local.root-dirs"]);
        STATE_LOCAL_RECOVERY_MEMORY_MAX: Option<MemorySize> = "state.local-recovery.memory.max",
            "Most memory of a worker that state of checkpoints may take which is kept for its tasks to roll back to; above it the oldest is let go, \
             and 0 keeps none. Without it: a quarter of the worker's memory, or 1 gb where that is not limited (the embedded cluster). What the \
             running tasks have not changed since is counted, too, and takes no memory of its own.",
            deviation("not in Flink.");
    }
    "State backends" {
        STATE_BACKEND_TYPE: StateBackendType = "state.backend.type",
            "Where the state of STREAMING jobs is: `hashmap` (in memory) or `rocksdb` (what does not fit into memory is on disk; the program \
             must be built with the feature `rocksdb`). The old names `jobmanager` and `filesystem` mean `hashmap`.",
            or("hashmap"), deprecated(&["state.backend"]);
        STATE_BACKEND_ROCKSDB_LOCALDIR: Option<String> = "state.backend.rocksdb.localdir",
            "Directory on the node for RocksDB's files, or several, separated by commas, of which each worker takes one. Else `io.tmp.dirs`, else \
             the container's own directory.";
        IO_TMP_DIRS: Option<String> = "io.tmp.dirs",
            "Directories on the node for temporary files, separated by commas.",
            deprecated(&["taskmanager.tmp.dirs"]),
            deviation("Only RocksDB's files go there; partitions of BATCH jobs are in the container's own directory.");
        STATE_BACKEND_ROCKSDB_MEMORY_MANAGED: bool = "state.backend.rocksdb.memory.managed",
            "Whether hot rows and RocksDB together take the managed memory of the slots. If not, and no fixed size is given, hot rows take that \
             memory and RocksDB takes its own defaults, for each state.",
            or("true");
        STATE_BACKEND_ROCKSDB_MEMORY_FIXED_PER_SLOT: Option<MemorySize> = "state.backend.rocksdb.memory.fixed-per-slot",
            "Memory of each slot for hot rows and RocksDB, instead of managed memory.";
        STATE_BACKEND_ROCKSDB_MEMORY_FIXED_PER_TM: Option<MemorySize> = "state.backend.rocksdb.memory.fixed-per-tm",
            "Memory of a worker for hot rows and RocksDB, instead of managed memory, if no size per slot is given.";
        STATE_BACKEND_ROCKSDB_HOT_RATIO: Fraction = "flott.state.backend.rocksdb.memory.hot-ratio",
            "Share of that memory for rows that are in memory as those of `hashmap` are; the rest is RocksDB's.",
            or("0.5"), deviation("not in Flink, which keeps no rows outside RocksDB.");
        STATE_BACKEND_ROCKSDB_WRITE_BUFFER_RATIO: Fraction = "state.backend.rocksdb.memory.write-buffer-ratio",
            "Share of RocksDB's memory for write buffers.",
            or("0.5");
        STATE_BACKEND_ROCKSDB_PARTITIONED_INDEX_FILTERS: bool = "state.backend.rocksdb.memory.partitioned-index-filters",
            "Whether RocksDB divides indexes and filters, so that parts of them can leave memory.",
            or("false");
        STATE_BACKEND_ROCKSDB_THREAD_NUM: u32 = "state.backend.rocksdb.thread.num",
            "Threads for flushes and compactions.",
            or("2"), at_least(1);
        STATE_BACKEND_ROCKSDB_FILES_OPEN: i32 = "state.backend.rocksdb.files.open",
            "Files that a database has open at a time; -1: all.",
            or("-1"), at_least(-1);
        STATE_BACKEND_ROCKSDB_BLOCK_SIZE: MemorySize = "state.backend.rocksdb.block.blocksize",
            "Size of a block, which is what is read from disk at once.",
            or("4 kb");
        STATE_BACKEND_ROCKSDB_WRITE_BUFFER_SIZE: Option<MemorySize> = "state.backend.rocksdb.writebuffer.size",
            "Size at which the write buffer of a state is written to disk; else an eighth of RocksDB's memory, between 1 and 64 MiB.",
            deviation("Flink: 64 mb.");
    }
    "Memory and slots" {
        TASKMANAGER_MEMORY_MANAGED_SIZE: Option<MemorySize> = "taskmanager.memory.managed.size",
            "Managed memory of a task executor, for the state backend `rocksdb`; else a fraction.",
            deprecated(&["taskmanager.memory.size"]);
        TASKMANAGER_MEMORY_MANAGED_FRACTION: Fraction = "taskmanager.memory.managed.fraction",
            "Share of the process memory without its reserve that is managed memory, as far as tasks have so much.",
            or("0.4"), deprecated(&["taskmanager.memory.fraction"]);
        JOBMANAGER_MEMORY_PROCESS_SIZE: MemorySize = "jobmanager.memory.process.size",
            "Memory of the JobManager's container.",
            or("256 mb"), deviation("Flink has no default and its example says 1600m; ours is no JVM.");
        TASKMANAGER_MEMORY_PROCESS_SIZE: MemorySize = "taskmanager.memory.process.size",
            "Memory of a task executor's container.",
            or("512 mb"), deviation("Flink has no default and its example says 1728m; ours is no JVM.");
        TASKMANAGER_NUMBER_OF_TASK_SLOTS: u32 = "taskmanager.numberOfTaskSlots",
            "Slots of a task executor: how many parallel pipelines it runs.",
            or("1"), at_least(1);
        TASKMANAGER_MEMORY_NETWORK_MIN: MemorySize = "taskmanager.memory.network.min",
            "Least memory for network buffers.",
            or("64 mb"), deprecated(&["taskmanager.network.memory.min"]);
        TASKMANAGER_MEMORY_NETWORK_MAX: MemorySize = "taskmanager.memory.network.max",
            "Most memory for network buffers.",
            or("1 gb"), deprecated(&["taskmanager.network.memory.max"]),
            deviation("Flink: no limit. More than this is not used.");
        TASKMANAGER_MEMORY_NETWORK_FRACTION: Fraction = "taskmanager.memory.network.fraction",
            "Share of the process memory for network buffers, between the least and the most.",
            or("0.1"), deprecated(&["taskmanager.network.memory.fraction"]);
        CLUSTER_FINE_GRAINED_RESOURCE_MANAGEMENT_ENABLED: bool =
            "cluster.fine-grained-resource-management.enabled",
            "Whether slot sharing groups may say what their slots must offer; if not, jobs with such groups are refused.",
            or("true"),
            deviation("Flink with false accepts such a job, which then waits in vain for its slots.");
        FINE_GRAINED_SHUFFLE_MODE_ALL_BLOCKING: bool = "fine-grained.shuffle-mode.all-blocking",
            "Whether, in BATCH, a job whose slot sharing groups say what their slots must offer exchanges all records \
             by way of files, whatever `execution.batch-shuffle-mode` says.",
            or("false"),
            deviation("Flink demands true for such jobs. Here a job has all of its slots before it starts, so that \
                no part of it can wait for slots that another part holds.");
        SLOT_REQUEST_TIMEOUT: Duration = "slot.request.timeout",
            "How long a job waits for its slots before it fails.",
            or("5 min");
        RESOURCEMANAGER_TASKMANAGER_TIMEOUT: Duration = "resourcemanager.taskmanager-timeout",
            "Time after which an idle task executor is released.",
            or("30 s"), deprecated(&["slotmanager.taskmanager-timeout"]);
    }
    "Addresses" {
        REST_PORT: u16 = "rest.port",
            "Port on which the REST interface listens where `rest.bind-port` does not say.",
            or("8081"), deprecated(&["web.port"]);
        REST_BIND_PORT: PortRange = "rest.bind-port",
            "Ports on which the REST interface may listen. On YARN a free one is chosen unless this is set.",
            or("8081"), fallback(&["rest.port"]), deprecated(&["jobmanager.web.port"]);
        REST_ASYNC_STORE_DURATION: Duration = "rest.async.store-duration",
            "How long the result of a savepoint, checkpoint or disposal that was asked for by REST can be fetched.",
            or("5 min");
        TASKMANAGER_DATA_PORT: PortRange = "taskmanager.data.port",
            "Ports on which task executors may exchange data; 0 chooses a free one.",
            or("0"), deviation("Flink takes a single port only.");
    }
    "Metrics" {
        METRICS_FETCHER_UPDATE_INTERVAL: Duration = "metrics.fetcher.update-interval",
            "Age up to which the metrics shown by the REST interface are served again; after that the task executors are asked.",
            or("2 s"), deviation("Flink: 10 s. Asking costs little here.");
        METRICS_LATENCY_INTERVAL: Duration = "metrics.latency.interval",
            "Time between two markers that sources send through the job to measure its latency; 0 sends none.",
            or("0 ms");
        REST_FLAMEGRAPH_ENABLED: bool = "rest.flamegraph.enabled",
            "Whether the REST interface samples the stacks of tasks when it is asked for a flame graph.",
            or("false");
        REST_FLAMEGRAPH_NUM_SAMPLES: u32 = "rest.flamegraph.num-samples",
            "Samples taken for a flame graph.",
            or("100"), at_least(1);
        REST_FLAMEGRAPH_DELAY_BETWEEN_SAMPLES: Duration = "rest.flamegraph.delay-between-samples",
            "Processor time between two samples of a flame graph.",
            or("50 ms");
        REST_FLAMEGRAPH_REFRESH_INTERVAL: Duration = "rest.flamegraph.refresh-interval",
            "Age up to which a flame graph is served again.",
            or("1 min");
    }
    "YARN" {
        YARN_APPLICATION_ID: Option<String> = "yarn.application.id",
            "The running application that list, cancel, stop, savepoint and checkpoint are meant for; also written `-yid`.";
        YARN_APPLICATION_NAME: Option<String> = "yarn.application.name",
            "Name of the application; else one that says what it runs.";
        YARN_APPLICATION_QUEUE: Option<String> = "yarn.application.queue",
            "Queue; else YARN's default.";
        YARN_APPLICATION_TYPE: Option<String> = "yarn.application.type",
            "Type shown by YARN; else Flott's.";
        YARN_VIEW_ACLS: Option<String> = "yarn.view.acls",
            "Who may see the application: `user1,user2 group1,group2`, or `*`.";
        YARN_MODIFY_ACLS: Option<String> = "yarn.modify.acls",
            "Who may kill the application: `user1,user2 group1,group2`, or `*`.";
        YARN_TAGS: Option<String> = "yarn.tags",
            "Tags of the application, separated by commas.";
        YARN_APPLICATION_PRIORITY: i32 = "yarn.application.priority",
            "Priority in the queue; -1 leaves it to YARN.",
            or("-1"), at_least(-1);
        YARN_APPLICATION_NODE_LABEL: Option<String> = "yarn.application.node-label",
            "Label of the nodes on which the application may run.";
        YARN_APPMASTER_VCORES: u32 = "yarn.appmaster.vcores",
            "Virtual cores of the JobManager's container.",
            or("1"), at_least(1);
        YARN_CONTAINERS_VCORES: i32 = "yarn.containers.vcores",
            "Virtual cores of a task executor's container; -1 is one for each slot.",
            or("-1"), at_least(-1);
        YARN_APPLICATION_ATTEMPTS: u32 = "yarn.application-attempts",
            "How often YARN starts the JobManager, the first time included. A later attempt runs the job again; the output of an earlier one is not seen.",
            or("2"), at_least(1), deviation("Flink: once without high availability.");
        YARN_APPLICATION_ATTEMPT_FAILURES_VALIDITY_INTERVAL: i32 =
            "yarn.application-attempt-failures-validity-interval",
            "Milliseconds after which a failure of the JobManager is no longer counted; -1 counts all of them.",
            or("10000"), at_least(-1);
        YARN_APPLICATION_MASTER_PORT: PortRange = "yarn.application-master.port",
            "Ports on which the JobManager may listen; 0 chooses a free one.",
            or("0");
        YARN_HEARTBEAT_INTERVAL: u32 = "yarn.heartbeat.interval",
            "Seconds between two calls to the ResourceManager.",
            or("5"), at_least(1), deprecated(&["yarn.heartbeat-delay"]);
        YARN_HEARTBEAT_CONTAINER_REQUEST_INTERVAL: Duration =
            "yarn.heartbeat.container-request-interval",
            "Time between two calls to the ResourceManager while containers are asked for.",
            or("500 ms");
        YARN_MAXIMUM_FAILED_CONTAINERS: i32 = "yarn.maximum-failed-containers",
            "Failed containers after which the application gives up; -1 never does.",
            or("20"), at_least(-1),
            deviation("Flink dropped this key; without it a program that cannot start would ask for containers for ever.");
        YARN_STAGING_DIRECTORY: Option<String> = "yarn.staging-directory",
            "Directory for the application's files; else `.flott` in the user's home on the default file system.",
            deviation("Flink: `.flink` in the home directory.");
        YARN_SHIP_FILES: Option<Vec<String>> = "yarn.ship-files",
            "Files and directories that every container gets, separated by semicolons.",
            deprecated(&["yarn.ship-directories"]);
        YARN_FILE_REPLICATION: i32 = "yarn.file-replication",
            "Copies of the application's files; -1 leaves it to the file system.",
            or("-1"), at_least(-1);
    }
    "Logging" {
        FLOTT_LOG_LEVEL: String = "flott.log.level",
            "Least level that is logged: error, warn, info, debug or trace; single modules as in `info,flott_network=debug`.",
            or("info"), deviation("Flink reads a Log4j file instead.");
    }
}

/// Environment variables of the JobManager's container.
pub const CONTAINERIZED_MASTER_ENV: PrefixOption = PrefixOption {
    prefix: "containerized.master.env.",
    doc: "Environment variables of the JobManager's container.",
};

/// Environment variables of the task executors' containers.
pub const CONTAINERIZED_TASKMANAGER_ENV: PrefixOption = PrefixOption {
    prefix: "containerized.taskmanager.env.",
    doc: "Environment variables of the task executors' containers.",
};

/// Every family of keys.
pub(crate) static PREFIXES: &[PrefixOption] =
    &[CONTAINERIZED_MASTER_ENV, CONTAINERIZED_TASKMANAGER_ENV];

/// Every option of the table, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static OptionInfo> {
    SECTIONS.iter().flat_map(|(_, options)| options.iter())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn keys_are_unique_and_options_documented() {
        let mut seen = BTreeSet::new();
        for info in all() {
            assert!(seen.insert(info.key), "{} twice", info.key);
            assert!(info.doc.ends_with('.'), "{}", info.key);
        }
        // Some options of Flink became several, which then mean the same kind of thing.
        let mut types = BTreeMap::new();
        for info in all() {
            for key in info.deprecated {
                assert!(!seen.contains(key), "{key} is a name of today");
                let first = *types.entry(*key).or_insert(info.type_name);
                assert_eq!(first, info.type_name, "{key}");
            }
        }
    }

    /// What `Configuration::get` relies on.
    #[test]
    fn defaults_are_valid_and_fallbacks_compatible() {
        for info in all() {
            match info.default {
                Some(default) => assert_eq!(info.check(default), Ok(()), "{}", info.key),
                None => assert!(info.optional, "{} needs a default", info.key),
            }
            for key in info.fallback {
                let other = all()
                    .find(|other| other.key == *key)
                    .expect("a known option");
                let pairs = (other.type_name, info.type_name);
                let compatible = pairs.0 == pairs.1 || pairs == ("Port", "Ports");
                assert!(compatible, "{} cannot stand in for {}", key, info.key);
            }
        }
    }
}
