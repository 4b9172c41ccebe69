//! Asks the directory.

use flott::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::{NamedVisit, Visit};

/// A question to the directory for each visit, on a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    directory: String,
}

impl Lookup {
    pub(crate) fn new(directory: String) -> Self {
        Self { directory }
    }

    async fn ask(&self, visitor: u64) -> std::io::Result<String> {
        let mut connection = BufReader::new(TcpStream::connect(&self.directory).await?);
        let question = format!("{visitor}\n");
        connection.write_all(question.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_line(&mut answer).await?;
        Ok(answer)
    }
}

impl AsyncFunction<Visit> for Lookup {
    type Out = NamedVisit;

    async fn async_invoke(&self, visit: Visit) -> FunctionResult<Vec<NamedVisit>> {
        let answer = self.ask(visit.visitor).await?;
        let answer = answer.trim_end();
        let Some(name) = answer.strip_prefix("ok ") else {
            return Err(format!("the directory answers '{answer}'").into());
        };
        Ok(vec![NamedVisit {
            id: visit.id,
            name: name.to_owned(),
        }])
    }

    fn timeout(&self, visit: Visit) -> FunctionResult<Vec<NamedVisit>> {
        Ok(vec![NamedVisit {
            id: visit.id,
            name: "a stranger".to_owned(),
        }])
    }
}
