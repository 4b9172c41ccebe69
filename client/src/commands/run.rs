//! `flott run` and `flott run-application`: chooses the target and leaves the rest to it.

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::bail;
use flott_config::options::{
    EXECUTION_ATTACHED, EXECUTION_SHUTDOWN_ON_ATTACHED_EXIT, EXECUTION_STATE_RECOVERY_CLAIM_MODE,
    EXECUTION_STATE_RECOVERY_IGNORE_UNCLAIMED, EXECUTION_STATE_RECOVERY_PATH, EXECUTION_TARGET,
};

use crate::cli::RunArgs;
use crate::console::Console;
use crate::settings::Settings;
use crate::target::{ProgramCall, Target};
use crate::{elf, local, yarn};

/// `main()` runs here, unless the target says otherwise.
pub(crate) async fn run(args: RunArgs, console: &Rc<Console>) -> anyhow::Result<ExitCode> {
    start(args, console, |_| Ok(())).await
}

/// `main()` runs in the cluster.
pub(crate) async fn run_application(
    args: RunArgs,
    console: &Rc<Console>,
) -> anyhow::Result<ExitCode> {
    start(args, console, |target| match target {
        Target::YarnApplication => Ok(()),
        Target::Local | Target::YarnPerJob => {
            bail!(
                "run-application runs main() in the cluster: give -t yarn-application, or use run"
            )
        }
    })
    .await
}

async fn start(
    args: RunArgs,
    console: &Rc<Console>,
    check: impl Fn(Target) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&args.settings, &flags(&args), console)?;
    let target = Target::choose(settings.target().as_deref())?;
    check(target)?;
    let call = ProgramCall {
        path: args.program.path().into(),
        args: args.program.args()?,
    };
    elf::check_executable(&call.path)?;
    match target {
        Target::Local => {
            if args.detached {
                console.note("note: -d has no effect with -t local, the job runs in this process");
            }
            local::run(&call, settings.hello(), console).await
        }
        Target::YarnPerJob | Target::YarnApplication => {
            // Boxed: the futures behind it are large.
            Box::pin(yarn::run(target, call, &settings, console)).await
        }
    }
}

/// Flags are short for configuration keys, and rank above -D.
fn flags(args: &RunArgs) -> Vec<(&'static str, String)> {
    let mut flags = Vec::new();
    if let Some(target) = &args.target {
        flags.push((EXECUTION_TARGET.key(), target.clone()));
    }
    if args.detached {
        flags.push((EXECUTION_ATTACHED.key(), "false".to_owned()));
    }
    if args.shutdown_on_attached_exit {
        flags.push((EXECUTION_SHUTDOWN_ON_ATTACHED_EXIT.key(), "true".to_owned()));
    }
    let restore = &args.restore;
    if let Some(path) = &restore.path {
        flags.push((EXECUTION_STATE_RECOVERY_PATH.key(), path.clone()));
    }
    if restore.allow_non_restored {
        let key = EXECUTION_STATE_RECOVERY_IGNORE_UNCLAIMED.key();
        flags.push((key, "true".to_owned()));
    }
    if let Some(mode) = &restore.claim_mode {
        flags.push((EXECUTION_STATE_RECOVERY_CLAIM_MODE.key(), mode.clone()));
    }
    flags
}
