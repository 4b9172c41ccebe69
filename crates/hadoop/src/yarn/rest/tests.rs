//! The REST client against scripted ResourceManagers: standby, redirects, errors.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::yarn::launch::{LaunchContext, ShellCommand};

/// A server that gives the answers in turn, one connection each, and reports what it was asked.
async fn server(answers: Vec<String>) -> (HostPort, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_complete(&request) {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let _ = seen.send(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (HostPort::new("127.0.0.1", port), requests)
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0)
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn ok(body: &str) -> String {
    http("200 OK", "Content-Type: application/json\r\n", body)
}

async fn refused() -> HostPort {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    HostPort::new("127.0.0.1", listener.local_addr().unwrap().port())
}

fn client(servers: &[HostPort]) -> ResourceManagerRest {
    ResourceManagerRest::with_servers(servers.to_vec(), "a b").unwrap()
}

const ID: &str = "application_1700000000000_0001";

#[tokio::test]
async fn passes_over_refused_and_standby_servers_and_remembers_the_active_one() {
    let dead = refused().await;
    let redirect = http(
        "307 Temporary Redirect",
        "Location: http://unreachable.invalid:1/ws\r\n",
        "",
    );
    let (standby, _) = server(vec![redirect]).await;
    let body = format!(
        r#"{{"application-id":"{ID}","maximum-resource-capability":{{"memory":4096,"vCores":4}}}}"#
    );
    let (active, mut requests) = server(vec![ok(&body), ok(&body)]).await;
    let client = client(&[dead, standby, active]);
    let new = client.new_application().await.unwrap();
    assert_eq!(new.id.to_string(), ID);
    assert_eq!(
        new.max_capability,
        Resource {
            memory_mb: 4096,
            vcores: 4
        }
    );
    // The standby has no second answer: this goes to the active one directly.
    client.new_application().await.unwrap();
    let request = requests.recv().await.unwrap();
    assert!(
        request.starts_with("POST /ws/v1/cluster/apps/new-application?user.name=a%20b HTTP/1.1"),
        "{request}"
    );
}

#[tokio::test]
async fn follows_the_redirect_when_only_the_standby_is_configured() {
    let (active, _) = server(vec![ok(
        r#"{"clusterInfo":{"haState":"ACTIVE","state":"STARTED","x":1}}"#,
    )])
    .await;
    let location = format!("Location: http://{active}/ws/v1/cluster/info?user.name=x\r\n");
    let (standby, _) = server(vec![http("307 Temporary Redirect", &location, "")]).await;
    let info = client(&[standby]).cluster_info().await.unwrap();
    assert_eq!(
        (info.ha_state.as_str(), info.hadoop_version.as_str()),
        ("ACTIVE", "")
    );
}

#[tokio::test]
async fn unreachable_names_every_address_and_reason() {
    let dead = refused().await;
    let (standby, _) = server(vec![http("307 Temporary Redirect", "Refresh: 3\r\n", "")]).await;
    let error = client(&[dead.clone(), standby.clone()])
        .new_application()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("asking for a new application"), "{error}");
    assert!(
        error.contains(&format!("{dead}: Connection refused")),
        "{error}"
    );
    assert!(error.contains(&format!("{standby}: standby")), "{error}");
}

#[tokio::test]
async fn rejections_carry_the_reason() {
    let body = r#"{"RemoteException":{"exception":"BadRequestException","message":"too big\nmore","javaClassName":"x"}}"#;
    let (server, mut requests) = server(vec![
        http("400 Bad Request", "", body),
        http("500 Oops", "", "<html>"),
    ])
    .await;
    let client = client(&[server]);
    let launch = LaunchContext::new(ShellCommand::new("./am"));
    let resource = Resource {
        memory_mb: 512,
        vcores: 1,
    };
    let submission = SubmissionContext::new(ID.parse().unwrap(), "n", resource, launch);
    let error = client.submit(&submission).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("submitting {ID}: the ResourceManager answered 400: too big")
    );
    let request = requests.recv().await.unwrap();
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["application-id"], ID);
    assert_eq!(body["resource"], json!({"memory": 512, "vCores": 1}));
    assert_eq!(
        body["am-container-spec"]["commands"]["command"],
        "exec ./am"
    );
    let error = client.nodes().await.unwrap_err().to_string();
    assert!(error.contains("500"), "{error}");
}

#[tokio::test]
async fn reports_are_read_leniently() {
    let full = format!(
        r#"{{"app":{{"id":"{ID}","user":"dr.who","state":"RUNNING","finalStatus":"UNDEFINED","progress":50.5,
        "trackingUrl":"http://rm/proxy/x/","diagnostics":null,"startedTime":17,"amRPCAddress":"h:1","new":{{}}}}}}"#
    );
    let unknown = format!(r#"{{"app":{{"id":"{ID}","state":"DREAMING"}}}}"#);
    let missing = http(
        "404 Not Found",
        "",
        r#"{"RemoteException":{"message":"app not found"}}"#,
    );
    let (server, _) = server(vec![
        ok(&full),
        ok(&unknown),
        missing.clone(),
        ok("{}"),
        ok("<html>"),
        missing,
    ])
    .await;
    let client = client(&[server]);
    let id = ID.parse().unwrap();
    let report = client.report(id).await.unwrap();
    assert_eq!(
        (report.user.as_str(), report.state),
        ("dr.who", ApplicationState::Running)
    );
    assert_eq!(
        (
            report.am_rpc_address.as_deref(),
            report.diagnostics.as_str()
        ),
        (Some("h:1"), "")
    );
    assert_eq!(
        client.report(id).await.unwrap().state,
        ApplicationState::Unknown
    );
    assert!(matches!(
        client.report(id).await,
        Err(RestError::NotFound { .. })
    ));
    assert!(matches!(
        client.report(id).await,
        Err(RestError::Malformed { .. })
    ));
    assert!(matches!(
        client.report(id).await,
        Err(RestError::Malformed { .. })
    ));
    assert!(matches!(
        client.kill(id, "why").await,
        Err(RestError::NotFound { .. })
    ));
}

#[tokio::test]
async fn kill_tells_whether_it_is_done() {
    let (server, mut requests) = server(vec![http("202 Accepted", "", "{}"), ok("{}")]).await;
    let client = client(&[server]);
    assert!(!client.kill(ID.parse().unwrap(), "why").await.unwrap());
    assert!(client.kill(ID.parse().unwrap(), "why").await.unwrap());
    let request = requests.recv().await.unwrap();
    assert!(
        request.contains(r#""state":"KILLED""#) && request.contains("why"),
        "{request}"
    );
}

#[tokio::test]
async fn lists_of_none_one_and_many() {
    let app = format!(r#"{{"id":"{ID}","state":"RUNNING"}}"#);
    let (server, mut requests) = server(vec![
        ok(r#"{"apps":null}"#),
        ok(&format!(r#"{{"apps":{{"app":{app}}}}}"#)),
        ok(&format!(r#"{{"apps":{{"app":[{app},{app}]}}}}"#)),
    ])
    .await;
    let client = client(&[server]);
    let filter = ApplicationFilter {
        user: Some("é".to_owned()),
        states: vec![ApplicationState::Running, ApplicationState::Accepted],
        ..ApplicationFilter::default()
    };
    for count in 0..3 {
        assert_eq!(client.applications(&filter).await.unwrap().len(), count);
    }
    let request = requests.recv().await.unwrap();
    assert!(
        request.contains("?user.name=a%20b&user=%C3%A9&states=RUNNING%2CACCEPTED "),
        "{request}"
    );
}

#[tokio::test]
async fn queues_of_both_schedulers() {
    let capacity = r#"{"scheduler":{"schedulerInfo":{"type":"capacityScheduler","queueName":"root","queues":{"queue":[
        {"queueName":"default","queuePath":"root.default"},
        {"queueName":"a","queues":{"queue":{"queueName":"b","queuePath":"root.a.b"}}}]}}}}"#;
    let fair = r#"{"scheduler":{"schedulerInfo":{"type":"fairScheduler","rootQueue":{"queueName":"root",
        "childQueues":{"queue":[{"queueName":"root.x"}]}}}}}"#;
    let (server, _) = server(vec![ok(capacity), ok(fair), ok("{}")]).await;
    let client = client(&[server]);
    assert_eq!(
        client.queues().await.unwrap(),
        ["a", "b", "default", "root", "root.a.b", "root.default"]
    );
    assert_eq!(client.queues().await.unwrap(), ["root", "root.x"]);
    assert!(client.queues().await.unwrap().is_empty());
}
