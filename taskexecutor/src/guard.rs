//! Who must use less memory, before the NodeManager kills the container without a word.

/// Above so many hundredths of the container sources of the worker that is furthest over its share
/// read more slowly.
const EASED: u64 = 85;
/// Above so many that worker is killed.
const KILLED: u64 = 95;
/// Between two looks at the memory sources pause for up to so long.
const LONGEST_PAUSE_MS: u64 = 90;
const MIB: u64 = 1 << 20;

/// What a worker uses, and what its slots are there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) job: String,
    pub(crate) slots: u32,
    pub(crate) resident_bytes: u64,
    pub(crate) budget_bytes: u64,
}

/// What is to be done about the memory of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// That worker's sources pause for so many milliseconds.
    Ease {
        worker: usize,
        pause_ms: u8,
    },
    /// That worker is killed, with this message.
    Kill {
        worker: usize,
        why: String,
    },
}

/// Looks at a container of so many bytes, in which the agent itself uses some.
pub(crate) fn judge(container_bytes: u64, agent_bytes: u64, workers: &[Share]) -> Verdict {
    let used = agent_bytes + workers.iter().map(|it| it.resident_bytes).sum::<u64>();
    let over = |share: &Share| i128::from(share.resident_bytes) - i128::from(share.budget_bytes);
    let worst = (0..workers.len()).max_by_key(|at| over(&workers[*at]));
    let Some(worker) = worst.filter(|_| container_bytes > 0) else {
        return Verdict::Fine;
    };
    let eased = container_bytes / 100 * EASED;
    let killed = container_bytes / 100 * KILLED;
    if used >= killed {
        let why = ledger(container_bytes, agent_bytes, workers, worker);
        return Verdict::Kill { worker, why };
    }
    if used >= eased {
        let pause = (used - eased) * LONGEST_PAUSE_MS / (killed - eased).max(1);
        let pause_ms = u8::try_from(pause.max(1)).unwrap_or(u8::MAX);
        return Verdict::Ease { worker, pause_ms };
    }
    Verdict::Fine
}

fn ledger(container_bytes: u64, agent_bytes: u64, workers: &[Share], worst: usize) -> String {
    let used = agent_bytes + workers.iter().map(|it| it.resident_bytes).sum::<u64>();
    let mut text = format!(
        "the task executor killed this worker, because its container was about to exceed its memory: {} of {} MiB \
         are used (limit {KILLED} %). The task executor itself: {} MiB",
        used / MIB,
        container_bytes / MIB,
        agent_bytes / MIB
    );
    for (at, share) in workers.iter().enumerate() {
        let who = if at == worst {
            "this worker"
        } else {
            "another worker"
        };
        text.push_str(&format!(
            "; {who} (job {}, {} slots): {} MiB, its share is {} MiB",
            share.job,
            share.slots,
            share.resident_bytes / MIB,
            share.budget_bytes / MIB
        ));
    }
    text.push_str(
        ". Give containers more (taskmanager.memory.process.size), fewer slots (taskmanager.numberOfTaskSlots), or the job \
         a larger parallelism",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(job: &str, resident: u64, budget: u64) -> Share {
        Share {
            job: job.to_owned(),
            slots: 1,
            resident_bytes: resident * MIB,
            budget_bytes: budget * MIB,
        }
    }

    fn of(workers: &[Share]) -> Verdict {
        judge(1_000 * MIB, 30 * MIB, workers)
    }

    #[test]
    fn whoever_fits_is_left_alone() {
        assert_eq!(of(&[]), Verdict::Fine);
        assert_eq!(
            of(&[share("a", 700, 480), share("b", 100, 480)]),
            Verdict::Fine
        );
        let without_limit = judge(0, 0, &[share("a", 700, 480)]);
        assert_eq!(without_limit, Verdict::Fine);
    }

    #[test]
    fn who_is_furthest_over_its_share_slows_down_as_memory_gets_scarce() {
        let pauses = [820, 870, 919].map(|used| {
            let verdict = of(&[share("a", 0, 480), share("b", used, 480)]);
            let Verdict::Ease { worker, pause_ms } = verdict else {
                panic!("{verdict:?}");
            };
            assert_eq!(worker, 1);
            pause_ms
        });
        assert_eq!(pauses, [1, 45, 89]);
        // The smaller one, if the larger one may be large.
        let verdict = of(&[share("large", 700, 800), share("small", 150, 100)]);
        assert!(
            matches!(verdict, Verdict::Ease { worker: 1, .. }),
            "{verdict:?}"
        );
    }

    #[test]
    fn at_last_it_is_killed_and_the_message_says_where_memory_is() {
        let verdict = of(&[share("a", 620, 480), share("b", 300, 480)]);
        let Verdict::Kill { worker, why } = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!(worker, 0);
        for words in [
            "950 of 1000 MiB",
            "itself: 30 MiB",
            "this worker (job a, 1 slots): 620 MiB, its share is 480 MiB",
            "another worker (job b, 1 slots): 300 MiB",
            "taskmanager.memory.process.size",
        ] {
            assert!(why.contains(words), "{words}: {why}");
        }
    }
}
