//! Starting and stopping containers against a scripted NodeManager.

use super::*;
use crate::rpc::fake::{FakeServer, token};
use crate::rpc::proto::RpcStatus;
use crate::yarn::launch::ShellCommand;
use crate::yarn::types::{ContainerState, Resource};

struct Node {
    server: FakeServer,
    client: NodeManagerClient,
    container: Container,
}

async fn node() -> Node {
    let server = FakeServer::bind().await;
    let node = NodeId {
        host: server.address.host.clone(),
        port: server.address.port,
    };
    let tokens = NmTokens::default();
    tokens.extend(&[(node.clone(), token("nm"))]);
    let container = Container {
        id: "container_e01_1700000000000_0001_01_000002"
            .parse()
            .unwrap(),
        node,
        node_http_address: String::new(),
        resource: Resource::default(),
        priority: 0,
        allocation_request_id: -1,
        version: 0,
        token: Some(token("container")),
    };
    Node {
        server,
        client: NodeManagerClient::new(tokens, RpcOptions::default()),
        container,
    }
}

fn launch() -> LaunchContext {
    LaunchContext::new(ShellCommand::new("./worker")).env("K", "v")
}

fn refusal(container: &Container, message: &str) -> proto::ContainerExceptionMap {
    proto::ContainerExceptionMap {
        container_id: Some(container.id.into()),
        exception: Some(proto::SerializedException {
            message: Some(message.to_owned()),
            class_name: Some("org.apache.hadoop.yarn.exceptions.YarnException".to_owned()),
            ..Default::default()
        }),
    }
}

fn unknown(container: &Container) -> proto::GetContainerStatusesResponse {
    let message = format!(
        "Container {} is not handled by this NodeManager",
        container.id
    );
    proto::GetContainerStatusesResponse {
        status: vec![],
        failed_requests: vec![refusal(container, &message)],
    }
}

fn running(container: &Container) -> proto::GetContainerStatusesResponse {
    let status = proto::ContainerStatus {
        container_id: Some(container.id.into()),
        state: Some(proto::ContainerState::Running as i32),
        ..Default::default()
    };
    proto::GetContainerStatusesResponse {
        status: vec![status],
        failed_requests: vec![],
    }
}

#[tokio::test]
async fn starting_sends_token_and_context_and_refusals_name_the_container() {
    let Node {
        server,
        client,
        container,
    } = node().await;
    let play = async {
        let mut peer = server.accept_token(&token("nm")).await;
        let request: proto::StartContainersRequest = peer
            .serve(START, &proto::StartContainersResponse::default())
            .await;
        let [start] = &request.start_container_request[..] else {
            panic!("one container")
        };
        assert_eq!(start.container_token, Some((&token("container")).into()));
        assert_eq!(
            start.container_launch_context.as_ref().unwrap().command,
            ["exec ./worker"]
        );
        let refused = proto::StartContainersResponse {
            failed_requests: vec![refusal(&container, "no such service\n\tat x")],
            ..Default::default()
        };
        let mut peer = server.accept_token(&token("nm")).await;
        peer.serve::<proto::StartContainersRequest>(START, &refused)
            .await;
    };
    let use_it = async {
        client.start(&container, &launch()).await.unwrap();
        let error = client.start(&container, &launch()).await.unwrap_err();
        assert!(!error.is_node_failure());
        let text = error.to_string();
        assert!(text.contains(&container.id.to_string()), "{text}");
        assert!(text.ends_with("YarnException: no such service"), "{text}");
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn a_start_whose_answer_is_lost_is_not_repeated_if_the_container_runs() {
    let Node {
        server,
        client,
        container,
    } = node().await;
    let play = async {
        let mut peer = server.accept_token(&token("nm")).await;
        peer.expect::<proto::StartContainersRequest>(START).await;
        drop(peer);
        let mut peer = server.accept_token(&token("nm")).await;
        peer.serve::<proto::GetContainerStatusesRequest>(STATUS, &running(&container))
            .await;
    };
    let (started, ()) = tokio::join!(async { client.start(&container, &launch()).await }, play);
    started.unwrap();
}

#[tokio::test]
async fn a_start_that_never_arrived_is_repeated() {
    let Node {
        server,
        client,
        container,
    } = node().await;
    let play = async {
        let mut peer = server.accept_token(&token("nm")).await;
        peer.expect::<proto::StartContainersRequest>(START).await;
        drop(peer);
        let mut peer = server.accept_token(&token("nm")).await;
        peer.serve::<proto::GetContainerStatusesRequest>(STATUS, &unknown(&container))
            .await;
        let mut peer = server.accept_token(&token("nm")).await;
        peer.serve::<proto::StartContainersRequest>(
            START,
            &proto::StartContainersResponse::default(),
        )
        .await;
    };
    let (started, ()) = tokio::join!(async { client.start(&container, &launch()).await }, play);
    started.unwrap();
}

#[tokio::test]
async fn a_node_that_is_not_ready_is_asked_again() {
    let Node {
        server,
        client,
        container,
    } = node().await;
    let play = async {
        let mut peer = server.accept_token(&token("nm")).await;
        let (call, _): (i32, proto::StartContainersRequest) = peer.expect(START).await;
        let class = "org.apache.hadoop.yarn.exceptions.NMNotYetReadyException";
        peer.fail(call, RpcStatus::Error, class, "not yet").await;
        let mut peer = server.accept_token(&token("nm")).await;
        peer.serve::<proto::StartContainersRequest>(
            START,
            &proto::StartContainersResponse::default(),
        )
        .await;
    };
    let (started, ()) = tokio::join!(async { client.start(&container, &launch()).await }, play);
    started.unwrap();
}

#[tokio::test]
async fn status_and_stop_of_known_and_unknown_containers() {
    let Node {
        server,
        client,
        container,
    } = node().await;
    let play = async {
        for answer in [running(&container), unknown(&container)] {
            let mut peer = server.accept_token(&token("nm")).await;
            peer.serve::<proto::GetContainerStatusesRequest>(STATUS, &answer)
                .await;
        }
        let failed_requests = unknown(&container).failed_requests;
        let mut peer = server.accept_token(&token("nm")).await;
        let response = proto::StopContainersResponse {
            failed_requests,
            ..Default::default()
        };
        peer.serve::<proto::StopContainersRequest>(STOP, &response)
            .await;
    };
    let use_it = async {
        let status = client
            .status(&container.node, container.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (status.state, status.exit_status),
            (ContainerState::Running, -1000)
        );
        assert_eq!(
            client.status(&container.node, container.id).await.unwrap(),
            None
        );
        client.stop(&container.node, container.id).await.unwrap();
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn a_refused_token_is_a_failure_of_the_node_unless_a_newer_one_is_there() {
    let Node {
        server,
        client,
        container,
    } = node().await;
    let tokens = client.tokens.clone();
    let class = "org.apache.hadoop.security.token.SecretManager$InvalidToken";
    let play = async {
        let mut peer = server.accept(true).await;
        peer.receive_sasl().await;
        tokens.extend(&[(container.node.clone(), token("newer"))]);
        peer.fail(-1, RpcStatus::Fatal, class, "old key").await;
        drop(peer);
        let mut peer = server.accept_token(&token("newer")).await;
        peer.serve::<proto::GetContainerStatusesRequest>(STATUS, &running(&container))
            .await;
        let mut peer = server.accept(true).await;
        peer.receive_sasl().await;
        peer.fail(-1, RpcStatus::Fatal, class, "old key").await;
    };
    let use_it = async {
        assert!(
            client
                .status(&container.node, container.id)
                .await
                .unwrap()
                .is_some()
        );
        let error = client
            .status(&container.node, container.id)
            .await
            .unwrap_err();
        assert!(error.is_node_failure(), "{error:?}");
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn without_permission_nothing_is_tried() {
    let Node {
        client, container, ..
    } = node().await;
    let elsewhere = NodeId {
        host: "elsewhere".to_owned(),
        port: 1,
    };
    let error = client.status(&elsewhere, container.id).await.unwrap_err();
    assert!(matches!(error, NmError::NoToken { .. }));
    let tokenless = Container {
        token: None,
        ..container
    };
    let error = client.start(&tokenless, &launch()).await.unwrap_err();
    assert!(matches!(error, NmError::NoContainerToken { .. }));
}
