//! What must hold in every run, judged by the record and the fake processes.
//!
//! | invariant | when |
//! |---|---|
//! | [`single_attempt`]: a subtask has at most one live attempt that counts | each step |
//! | [`slot_owner`]: the live tasks of a slot belong to one job | each step |
//! | [`slot_size`]: slots are large enough for what they are granted for, and are used for that | each step |
//! | [`outstanding`]: no container is asked for or launched that nobody needs | each step |
//! | [`no_orphan`]: no worker outlives its job | each step |
//! | [`stages`]: readers of partitions have the newest, whole; only what is needed runs again; \
//!   partitions are kept while they are needed and deleted when the job ends | each step |
//! | [`checkpoints`]: complete means stored; restarts begin from the newest; nothing in use is deleted; \
//!   no record is committed twice | each step |
//! | [`commit`]: what is committed is what the last attempts put out, once | each step, end |
//! | [`legal_end`]: every job ends, and as its history says it may | end |
//! | [`no_leak`]: no container or process is left over | end |
//! | [`exactly_once`]: a finished job committed each record of its sources once | end |
//! | [`files`]: storage holds what is to be retained, and nothing else | end |
//! | [`heals`]: after the last fault checkpoints are complete again | end |
//! | [`answers`]: each request for a savepoint is answered once | end |

mod answers;
mod checkpoints;
mod commit;
mod exactly_once;
mod files;
mod heals;
mod legal_end;
mod no_leak;
mod no_orphan;
mod outstanding;
mod single_attempt;
mod slot_owner;
mod slot_size;
pub(crate) mod stages;

use crate::world::World;

/// One rule: its name, and what is wrong, if anything.
struct Invariant {
    name: &'static str,
    check: fn(&World) -> Result<(), String>,
}

/// Hold after each decision.
const STEP: &[Invariant] = &[
    Invariant {
        name: "single_attempt",
        check: single_attempt::check,
    },
    Invariant {
        name: "slot_owner",
        check: slot_owner::check,
    },
    Invariant {
        name: "slot_size",
        check: slot_size::check,
    },
    Invariant {
        name: "outstanding",
        check: outstanding::check,
    },
    Invariant {
        name: "no_orphan",
        check: no_orphan::check,
    },
    Invariant {
        name: "stages",
        check: stages::check,
    },
    Invariant {
        name: "checkpoints",
        check: checkpoints::check,
    },
    Invariant {
        name: "commit",
        check: commit::check_step,
    },
];

/// Hold when nothing happens any more.
const END: &[Invariant] = &[
    Invariant {
        name: "commit",
        check: commit::check_end,
    },
    Invariant {
        name: "legal_end",
        check: legal_end::check,
    },
    Invariant {
        name: "no_leak",
        check: no_leak::check,
    },
    Invariant {
        name: "exactly_once",
        check: exactly_once::check,
    },
    Invariant {
        name: "files",
        check: files::check,
    },
    Invariant {
        name: "heals",
        check: heals::check,
    },
    Invariant {
        name: "answers",
        check: answers::check,
    },
];

pub(crate) fn check_step(world: &World, seed: u64) {
    check(STEP, world, seed);
}

pub(crate) fn check_end(world: &World, seed: u64) {
    check(END, world, seed);
}

fn check(table: &[Invariant], world: &World, seed: u64) {
    for Invariant { name, check } in table {
        if let Err(what) = check(world) {
            panic!("seed {seed} at {:?}: {name}: {what}", world.now);
        }
    }
}
