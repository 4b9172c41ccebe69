//! A reader against a server in the same process.

use std::time::Instant;

use flott_operators::SubtaskContext;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

fn cut(delimiter: &str, text: &[u8], chunk: usize) -> Vec<String> {
    let mut delimited = Delimited::new(delimiter);
    let chunks = text
        .chunks(chunk)
        .map(|chunk| delimited.add(chunk).unwrap());
    let mut lines: Vec<String> = chunks.collect::<Vec<_>>().concat();
    lines.extend(delimited.rest());
    lines
}

#[test]
fn text_is_cut_at_delimiters_however_it_arrives() {
    for chunk in 1..12 {
        assert_eq!(
            cut("\n", b"to\r\nbe\n\nor not", chunk),
            ["to", "be", "", "or not"]
        );
        assert_eq!(cut("--", b"a-b--c--", chunk), ["a-b", "c"]);
        assert_eq!(cut("\n", b"", chunk), [""; 0]);
    }
}

async fn read(source: SocketTextSource) -> Result<Vec<String>, TaskError> {
    let context = SubtaskContext::for_tests("socket");
    let mut reader = source.create_reader(&ReaderContext::new(&context))?;
    reader.add_split(SocketSplit)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut lines = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "no end in time: {lines:?}");
        let mut batch = Batch::default();
        let progress = reader.fill(&mut batch)?;
        lines.append(&mut batch.rows);
        match progress {
            ReaderProgress::SplitFinished => return Ok(lines),
            ReaderProgress::More => (),
            ReaderProgress::Pending => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_until_the_server_has_closed_for_good() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        for text in ["one\ntw", "o\nthree"] {
            let (mut client, _) = server.accept().await.unwrap();
            client.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let source = SocketTextSource::new("127.0.0.1", port).max_retries(1);
    // The third connection is refused: the server is gone.
    let error = read(source).await.unwrap_err();
    served.await.unwrap();
    assert!(
        error.message.contains(&format!("127.0.0.1:{port}")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_connection_is_the_end_of_the_source() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut client, _) = server.accept().await.unwrap();
        for part in ["a|b", "c|", "d"] {
            client.write_all(part.as_bytes()).await.unwrap();
        }
    });
    let source = SocketTextSource::new("127.0.0.1", port).delimiter("|");
    assert_eq!(read(source).await.unwrap(), ["a", "bc", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_is_an_error_by_name() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    drop(server);
    let error = read(SocketTextSource::new("127.0.0.1", port))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("cannot read from the socket"),
        "{error}"
    );
}
