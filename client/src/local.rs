//! Target `local`: the program runs its jobs in its own process; here is only told how they go.

use std::process::ExitCode;
use std::rc::Rc;

use flott_protocol::environment::Role;
use flott_protocol::program::{Answer, Hello, launcher_message};

use crate::console::Console;
use crate::program::{Program, Request};
use crate::report::Report;
use crate::signals::Signals;
use crate::target::ProgramCall;

/// Runs the program to its end.
pub(crate) async fn run(
    call: &ProgramCall,
    hello: Hello,
    console: &Rc<Console>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let mut program = Program::start(&call.path, &call.args, Role::Embedded, hello, console)?;
    let report = Report::default();
    loop {
        let request = tokio::select! {
            request = program.next() => request?,
            signal = signals.next() => {
                program.stop().await;
                console.end_progress();
                console.note("Interrupted: the job was stopped.");
                return Ok(ExitCode::from(signal.exit_code()));
            }
        };
        match request {
            Some(Request::Started(started)) => {
                report.started(&started, console);
                console.progress("Running", "");
            }
            Some(Request::Ended(ended)) => report.ended(&ended, console),
            Some(Request::Execute(_, connection)) => {
                let reason = "jobs of a local run are executed in the program's own process";
                connection
                    .answer(launcher_message::Kind::Refused(reason.to_owned()))
                    .await;
            }
            Some(Request::Ask(ask, connection)) => {
                let answer = Answer::failed(ask.id, "its jobs run in the program's own process");
                connection
                    .answer(launcher_message::Kind::Answer(answer))
                    .await;
            }
            None => break,
        }
    }
    let ended = program.ended().await?;
    console.end_progress();
    report.conclude(Some(&ended))?;
    Ok(ExitCode::SUCCESS)
}
