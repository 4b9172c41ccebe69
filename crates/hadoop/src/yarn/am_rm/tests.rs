//! The ApplicationMaster client against scripted ResourceManagers.

use std::collections::BTreeMap;

use super::*;
use crate::rpc::fake::{FakeServer, Peer, token};
use crate::rpc::proto::RpcStatus;
use crate::yarn::types::Resource;

const NOT_REGISTERED: &str =
    "org.apache.hadoop.yarn.exceptions.ApplicationMasterNotRegisteredException";

fn client(servers: &[&FakeServer], max_wait_ms: u64) -> AmClient {
    let mut values = BTreeMap::new();
    let ids: Vec<String> = (0..servers.len())
        .map(|index| format!("rm{index}"))
        .collect();
    values.insert(
        "yarn.resourcemanager.ha.enabled".to_owned(),
        "true".to_owned(),
    );
    values.insert("yarn.resourcemanager.ha.rm-ids".to_owned(), ids.join(","));
    values.insert(
        "yarn.resourcemanager.connect.max-wait.ms".to_owned(),
        max_wait_ms.to_string(),
    );
    for (id, server) in ids.iter().zip(servers) {
        values.insert(
            format!("yarn.resourcemanager.scheduler.address.{id}"),
            server.address.to_string(),
        );
    }
    let mut credentials = Credentials::default();
    credentials.tokens.insert(String::new(), token("t"));
    AmClient::new(&HadoopConf::from_map(values), &credentials).unwrap()
}

fn input(count: u32) -> AllocateInput {
    let resource = Resource {
        memory_mb: 256,
        vcores: 1,
    };
    AllocateInput {
        asks: [(
            7,
            Ask {
                priority: 1,
                resource,
                count,
                node_label: None,
            },
        )]
        .into(),
        ..AllocateInput::default()
    }
}

fn registered() -> proto::RegisterApplicationMasterResponse {
    proto::RegisterApplicationMasterResponse {
        maximum_capability: Some(
            Resource {
                memory_mb: 4096,
                vcores: 8,
            }
            .into(),
        ),
        queue: Some("root.default".to_owned()),
        ..Default::default()
    }
}

fn answer(id: i32) -> proto::AllocateResponse {
    proto::AllocateResponse {
        response_id: Some(id),
        ..Default::default()
    }
}

async fn serve_register(peer: &mut Peer) {
    let request: proto::RegisterApplicationMasterRequest =
        peer.serve(REGISTER, &registered()).await;
    assert_eq!(
        (request.host(), request.rpc_port(), request.tracking_url()),
        ("h", -1, "http://h:1/")
    );
}

async fn register(client: &mut AmClient) -> Registration {
    client.register("h", -1, "http://h:1/").await.unwrap()
}

/// The next heartbeat: call, response id, counts asked for.
async fn heartbeat(peer: &mut Peer) -> (i32, i32, Vec<i32>) {
    let (call, request): (i32, proto::AllocateRequest) = peer.expect("allocate").await;
    let counts = request
        .ask
        .iter()
        .map(proto::ResourceRequest::num_containers)
        .collect();
    (call, request.response_id(), counts)
}

#[tokio::test]
async fn a_standby_is_passed_over_and_a_dead_server_too() {
    let (dead, standby, active) = (
        FakeServer::bind().await,
        FakeServer::bind().await,
        FakeServer::bind().await,
    );
    let mut client = client(&[&dead, &standby, &active], 60_000);
    drop(dead);
    let play = async {
        let mut peer = standby.accept_token(&token("t")).await;
        let (call, _): (i32, proto::RegisterApplicationMasterRequest) = peer.expect(REGISTER).await;
        peer.fail(
            call,
            RpcStatus::Error,
            "org.apache.hadoop.ipc.StandbyException",
            "standby",
        )
        .await;
        let mut peer = active.accept_token(&token("t")).await;
        serve_register(&mut peer).await;
    };
    let (registration, ()) = tokio::join!(register(&mut client), play);
    assert_eq!(registration.queue, "root.default");
    assert_eq!(
        registration.max_capability,
        Resource {
            memory_mb: 4096,
            vcores: 8
        }
    );
}

#[tokio::test]
async fn forgotten_by_the_server_it_registers_and_asks_again() {
    let server = FakeServer::bind().await;
    let mut client = client(&[&server], 60_000);
    let play = async {
        let mut peer = server.accept_token(&token("t")).await;
        serve_register(&mut peer).await;
        let (call, id, counts) = heartbeat(&mut peer).await;
        assert_eq!((id, counts), (0, vec![2]));
        peer.answer(call, &answer(1)).await;
        let (call, id, counts) = heartbeat(&mut peer).await;
        assert_eq!((id, counts), (1, vec![]));
        peer.fail(call, RpcStatus::Error, NOT_REGISTERED, "RM had restarted")
            .await;
        serve_register(&mut peer).await;
        let (call, id, counts) = heartbeat(&mut peer).await;
        assert_eq!((id, counts), (0, vec![2]));
        peer.answer(call, &answer(1)).await;
    };
    let use_it = async {
        register(&mut client).await;
        assert!(!client.allocate(&input(2)).await.unwrap().reregistered);
        assert!(client.allocate(&input(2)).await.unwrap().reregistered);
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn a_heartbeat_whose_answer_is_lost_is_repeated_with_the_newest_token() {
    let server = FakeServer::bind().await;
    let mut client = client(&[&server], 60_000);
    let play = async {
        let mut peer = server.accept_token(&token("t")).await;
        serve_register(&mut peer).await;
        let (call, _, _) = heartbeat(&mut peer).await;
        let rolled = proto::AllocateResponse {
            am_rm_token: Some((&token("rolled")).into()),
            ..answer(1)
        };
        peer.answer(call, &rolled).await;
        let first = heartbeat(&mut peer).await;
        drop(peer);
        let mut peer = server.accept_token(&token("rolled")).await;
        let (call, id, counts) = heartbeat(&mut peer).await;
        assert_eq!((id, &counts), (first.1, &first.2));
        peer.answer(call, &answer(2)).await;
    };
    let use_it = async {
        register(&mut client).await;
        client.allocate(&input(2)).await.unwrap();
        client.allocate(&input(5)).await.unwrap();
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn a_lost_answer_to_registering_again_is_no_double_registration() {
    let server = FakeServer::bind().await;
    let mut client = client(&[&server], 60_000);
    let play = async {
        let mut peer = server.accept_token(&token("t")).await;
        serve_register(&mut peer).await;
        let (call, _, _) = heartbeat(&mut peer).await;
        peer.fail(call, RpcStatus::Error, NOT_REGISTERED, "restarted")
            .await;
        peer.expect::<proto::RegisterApplicationMasterRequest>(REGISTER)
            .await;
        drop(peer);
        let mut peer = server.accept_token(&token("t")).await;
        let (call, _): (i32, proto::RegisterApplicationMasterRequest) = peer.expect(REGISTER).await;
        let class = "org.apache.hadoop.yarn.exceptions.InvalidApplicationMasterRequestException";
        peer.fail(
            call,
            RpcStatus::Error,
            class,
            "Application Master is already registered : x",
        )
        .await;
        let (call, id, counts) = heartbeat(&mut peer).await;
        assert_eq!((id, counts), (0, vec![1]));
        peer.answer(call, &answer(1)).await;
    };
    let use_it = async {
        register(&mut client).await;
        assert!(client.allocate(&input(1)).await.unwrap().reregistered);
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn rejected_asks_and_the_end_of_the_attempt_are_told_apart() {
    let server = FakeServer::bind().await;
    let mut client = client(&[&server], 60_000);
    let play = async {
        let mut peer = server.accept_token(&token("t")).await;
        serve_register(&mut peer).await;
        let (call, id, _) = heartbeat(&mut peer).await;
        assert_eq!(id, 0);
        let class = "org.apache.hadoop.yarn.exceptions.InvalidResourceRequestException";
        peer.fail(call, RpcStatus::Error, class, "too big").await;
        let (call, id, counts) = heartbeat(&mut peer).await;
        assert_eq!((id, counts), (0, vec![1]));
        let class = "org.apache.hadoop.yarn.exceptions.ApplicationAttemptNotFoundException";
        peer.fail(call, RpcStatus::Error, class, "gone").await;
    };
    let use_it = async {
        register(&mut client).await;
        let error = client.allocate(&input(9)).await.unwrap_err();
        assert!(matches!(error, AmError::Rejected { .. }), "{error:?}");
        let error = client.allocate(&input(1)).await.unwrap_err();
        assert!(matches!(error, AmError::AttemptOver { .. }), "{error:?}");
        assert!(error.to_string().contains("gone"));
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn finishing_waits_until_it_is_stored() {
    let server = FakeServer::bind().await;
    let mut client = client(&[&server], 60_000);
    let play = async {
        let mut peer = server.accept_token(&token("t")).await;
        serve_register(&mut peer).await;
        let (call, _): (i32, proto::FinishApplicationMasterRequest) = peer.expect(FINISH).await;
        peer.fail(call, RpcStatus::Error, NOT_REGISTERED, "restarted")
            .await;
        serve_register(&mut peer).await;
        for is_unregistered in [false, true] {
            let response = proto::FinishApplicationMasterResponse {
                is_unregistered: Some(is_unregistered),
            };
            let request: proto::FinishApplicationMasterRequest =
                peer.serve(FINISH, &response).await;
            assert_eq!(
                request.final_application_status(),
                proto::FinalApplicationStatus::Failed
            );
            assert_eq!(
                (request.diagnostics(), request.tracking_url()),
                ("why", "u")
            );
        }
    };
    let use_it = async {
        register(&mut client).await;
        client
            .finish(FinalStatus::Failed, "why", "u")
            .await
            .unwrap();
    };
    tokio::join!(play, use_it);
}

#[tokio::test]
async fn unreachable_servers_are_named_after_the_longest_wait() {
    let (a, b) = (FakeServer::bind().await, FakeServer::bind().await);
    let mut client = client(&[&a, &b], 0);
    let (a, b) = {
        // Their listeners end here.
        let (a, b) = (a, b);
        (a.address.to_string(), b.address.to_string())
    };
    let error = client.register("h", -1, "").await.unwrap_err().to_string();
    assert!(error.contains(&a) && error.contains(&b), "{error}");
}

#[tokio::test]
async fn no_token_no_master() {
    let conf = HadoopConf::default();
    assert!(matches!(
        AmClient::new(&conf, &Credentials::default()),
        Err(AmError::NoToken)
    ));
}
