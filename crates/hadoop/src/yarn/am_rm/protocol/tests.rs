//! The heartbeat protocol without I/O: asks, replays, tokens, re-registration.

use super::*;

fn token(identifier: u8) -> Token {
    Token {
        identifier: vec![identifier],
        password: vec![1],
        kind: "YARN_AM_RM_TOKEN".into(),
        service: String::new(),
    }
}

fn id(text: &str) -> ContainerId {
    text.parse().unwrap()
}

fn c(n: u32) -> ContainerId {
    id(&format!("container_1700000000000_0001_01_{n:06}"))
}

fn ask(count: u32) -> Ask {
    Ask {
        priority: 1,
        resource: Resource {
            memory_mb: 256,
            vcores: 1,
        },
        count,
        node_label: None,
    }
}

fn wanting(asks: &[(AllocationRequestId, Ask)]) -> AllocateInput {
    AllocateInput {
        asks: asks.iter().cloned().collect(),
        ..AllocateInput::default()
    }
}

fn node() -> proto::NodeId {
    proto::NodeId {
        host: Some("n1".into()),
        port: Some(4001),
    }
}

fn allocated(n: u32, request: AllocationRequestId) -> proto::Container {
    proto::Container {
        id: Some(c(n).into()),
        node_id: Some(node()),
        allocation_request_id: Some(request),
        ..proto::Container::default()
    }
}

fn response(id: i32) -> proto::AllocateResponse {
    proto::AllocateResponse {
        response_id: Some(id),
        ..proto::AllocateResponse::default()
    }
}

/// (priority, id, count) of each row.
fn rows(request: &proto::AllocateRequest) -> Vec<(i32, i64, i32)> {
    let row = |ask: &proto::ResourceRequest| {
        assert_eq!(ask.resource_name(), "*");
        (
            ask.priority.as_ref().unwrap().priority(),
            ask.allocation_request_id(),
            ask.num_containers(),
        )
    };
    request.ask.iter().map(row).collect()
}

struct Books {
    core: AmProtocol,
    answered: i32,
}

impl Books {
    fn new() -> Self {
        let mut core = AmProtocol::new(token(1));
        core.on_registered(proto::RegisterApplicationMasterResponse::default())
            .unwrap();
        Self { core, answered: 0 }
    }

    /// One heartbeat that gets through.
    fn beat(
        &mut self,
        input: &AllocateInput,
        containers: Vec<proto::Container>,
    ) -> proto::AllocateRequest {
        let request = self.core.next_request(input);
        assert_eq!(request.response_id(), self.answered);
        self.answered += 1;
        let answer = proto::AllocateResponse {
            allocated_containers: containers,
            ..response(self.answered)
        };
        self.core.on_response(answer).unwrap();
        request
    }
}

#[test]
fn asks_are_sent_once_and_counted_down_by_allocations() {
    let mut books = Books::new();
    assert_eq!(
        rows(&books.beat(&wanting(&[(7, ask(2))]), vec![])),
        [(1, 7, 2)]
    );
    assert_eq!(
        rows(&books.beat(&wanting(&[(7, ask(2))]), vec![allocated(2, 7)])),
        []
    );
    // One is there: wanting one more is what the ResourceManager believes already.
    assert_eq!(
        rows(&books.beat(&wanting(&[(7, ask(1))]), vec![allocated(3, 7)])),
        []
    );
    assert_eq!(rows(&books.beat(&wanting(&[]), vec![])), []);
    // Wanting a replacement is news.
    assert_eq!(
        rows(&books.beat(&wanting(&[(7, ask(1))]), vec![])),
        [(1, 7, 1)]
    );
}

#[test]
fn a_container_that_crosses_a_changed_ask_is_not_counted_twice() {
    let mut books = Books::new();
    books.beat(&wanting(&[(7, ask(2))]), vec![]);
    // The container was allocated before the row set the number to 3.
    assert_eq!(
        rows(&books.beat(&wanting(&[(7, ask(3))]), vec![allocated(2, 7)])),
        [(1, 7, 3)]
    );
    assert_eq!(
        rows(&books.beat(&wanting(&[(7, ask(2))]), vec![])),
        [(1, 7, 2)]
    );
}

#[test]
fn asks_no_longer_wanted_are_cancelled_and_changed_ones_replaced() {
    let mut books = Books::new();
    books.beat(&wanting(&[(1, ask(1)), (2, ask(5))]), vec![]);
    let larger = Ask {
        resource: Resource {
            memory_mb: 512,
            vcores: 1,
        },
        ..ask(5)
    };
    assert_eq!(
        rows(&books.beat(&wanting(&[(2, larger.clone())]), vec![])),
        [(1, 1, 0), (1, 2, 5)]
    );
    // Another priority is another key for the scheduler.
    let urgent = Ask {
        priority: 0,
        ..larger
    };
    assert_eq!(
        rows(&books.beat(&wanting(&[(2, urgent)]), vec![])),
        [(1, 2, 0), (0, 2, 5)]
    );
    assert_eq!(
        rows(&books.beat(&wanting(&[(2, Ask { count: 0, ..ask(0) })]), vec![])),
        [(0, 2, 0)]
    );
    assert_eq!(rows(&books.beat(&wanting(&[]), vec![])), []);
}

#[test]
fn an_unanswered_request_is_repeated_unchanged() {
    let mut books = Books::new();
    let first = books.core.next_request(&wanting(&[(1, ask(1))]));
    let again = books.core.next_request(&wanting(&[(1, ask(9))]));
    assert_eq!(first, again);
    books.core.on_response(response(1)).unwrap();
    let next = books.core.next_request(&wanting(&[(1, ask(9))]));
    assert_eq!((next.response_id(), rows(&next)), (1, vec![(1, 1, 9)]));
}

#[test]
fn a_rejected_request_leaves_the_books_as_they_were() {
    let mut books = Books::new();
    books.beat(&wanting(&[(1, ask(1))]), vec![]);
    let huge = Ask {
        resource: Resource {
            memory_mb: i64::MAX,
            vcores: 1,
        },
        ..ask(1)
    };
    books.core.next_request(&wanting(&[(1, ask(2)), (2, huge)]));
    books.core.on_rejected(false);
    let next = books.core.next_request(&wanting(&[(1, ask(1))]));
    assert_eq!((next.response_id(), rows(&next)), (1, vec![]));
}

#[test]
fn after_registering_again_everything_is_repeated() {
    let mut books = Books::new();
    let input = AllocateInput {
        releases: vec![c(9)],
        blacklist: ["bad".to_owned()].into(),
        ..wanting(&[(1, ask(3)), (2, ask(1))])
    };
    let first = books.beat(&input, vec![]);
    assert_eq!(
        (first.release.len(), first.blacklist_request.is_some()),
        (1, true)
    );
    let quiet = AllocateInput {
        releases: vec![],
        ..input.clone()
    };
    let second = books.beat(&quiet, vec![allocated(5, 1)]);
    assert_eq!((second.release.len(), second.blacklist_request), (0, None));
    books.core.next_request(&quiet);

    books
        .core
        .on_registered(proto::RegisterApplicationMasterResponse::default())
        .unwrap();
    let wanted = AllocateInput {
        asks: wanting(&[(1, ask(2)), (2, ask(1))]).asks,
        ..quiet
    };
    let repeated = books.core.next_request(&wanted);
    assert_eq!(repeated.response_id(), 0);
    assert_eq!(rows(&repeated), [(1, 1, 2), (1, 2, 1)]);
    assert_eq!(repeated.release, [c(9).into()]);
    assert_eq!(
        repeated.blacklist_request.unwrap().blacklist_additions,
        ["bad"]
    );
}

#[test]
fn releases_are_told_once_and_forgotten_when_confirmed() {
    let mut books = Books::new();
    let releasing = AllocateInput {
        releases: vec![c(2)],
        ..AllocateInput::default()
    };
    assert_eq!(books.beat(&releasing, vec![]).release, [c(2).into()]);
    assert_eq!(books.beat(&releasing, vec![]).release, []);
    books.core.next_request(&AllocateInput::default());
    let ended = proto::ContainerStatus {
        container_id: Some(c(2).into()),
        state: Some(proto::ContainerState::Complete as i32),
        exit_status: Some(-100),
        ..proto::ContainerStatus::default()
    };
    let answer = proto::AllocateResponse {
        completed_container_statuses: vec![ended],
        ..response(3)
    };
    let (allocation, _) = books.core.on_response(answer).unwrap();
    assert!(allocation.completed[0].is_platform_fault());
    books.core.forget_server();
    assert_eq!(
        books.core.next_request(&AllocateInput::default()).release,
        []
    );
}

#[test]
fn a_release_the_server_refuses_is_not_repeated() {
    let mut books = Books::new();
    let releasing = AllocateInput {
        releases: vec![c(2)],
        ..AllocateInput::default()
    };
    books.core.next_request(&releasing);
    books.core.on_rejected(true);
    assert_eq!(
        books.core.next_request(&AllocateInput::default()).release,
        []
    );
}

#[test]
fn the_blacklist_is_sent_as_differences() {
    let mut books = Books::new();
    let avoiding = |hosts: &[&str]| AllocateInput {
        blacklist: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ..AllocateInput::default()
    };
    books.beat(&avoiding(&["a", "b"]), vec![]);
    let request = books
        .beat(&avoiding(&["b", "c"]), vec![])
        .blacklist_request
        .unwrap();
    assert_eq!(
        (request.blacklist_additions, request.blacklist_removals),
        (vec!["c".into()], vec!["a".into()])
    );
    assert_eq!(
        books.beat(&avoiding(&["b", "c"]), vec![]).blacklist_request,
        None
    );
}

#[test]
fn the_newest_token_is_kept() {
    let mut books = Books::new();
    let rolled = proto::AllocateResponse {
        am_rm_token: Some((&token(2)).into()),
        ..response(1)
    };
    books.core.on_response(rolled).unwrap();
    assert_eq!(books.core.token(), &token(2));
    books.core.on_response(response(2)).unwrap();
    assert_eq!(books.core.token(), &token(2));
}

#[test]
fn everything_in_an_answer_is_passed_on() {
    let mut books = Books::new();
    let nm_token = Token {
        kind: "NMToken".into(),
        ..token(3)
    };
    let answer = proto::AllocateResponse {
        a_m_command: Some(proto::AmCommand::Shutdown as i32),
        nm_tokens: vec![proto::NmToken {
            node_id: Some(node()),
            token: Some((&nm_token).into()),
        }],
        containers_from_previous_attempts: vec![allocated(4, -1)],
        updated_nodes: vec![proto::NodeReport {
            node_id: Some(node()),
            node_state: Some(proto::NodeState::Lost as i32),
            ..proto::NodeReport::default()
        }],
        preempt: Some(proto::PreemptionMessage {
            strict_contract: Some(proto::StrictPreemptionContract {
                container: vec![proto::PreemptionContainer {
                    id: Some(c(5).into()),
                }],
            }),
            contract: None,
        }),
        limit: Some(
            Resource {
                memory_mb: 9,
                vcores: 2,
            }
            .into(),
        ),
        num_cluster_nodes: Some(3),
        ..response(1)
    };
    let (allocation, command) = books.core.on_response(answer).unwrap();
    assert_eq!(command, Some(Command::Shutdown));
    assert_eq!(
        allocation.nm_tokens,
        [(
            NodeId {
                host: "n1".into(),
                port: 4001
            },
            nm_token
        )]
    );
    assert_eq!(allocation.previous[0].id, c(4));
    assert!(allocation.updated_nodes[0].is_leaving());
    assert_eq!(allocation.preempt.strict, [c(5)]);
    assert_eq!(
        allocation.limit,
        Some(Resource {
            memory_mb: 9,
            vcores: 2
        })
    );
    assert_eq!(allocation.cluster_nodes, 3);
}

#[test]
fn an_answer_that_makes_no_sense_is_not_half_booked() {
    let mut books = Books::new();
    let request = books.core.next_request(&wanting(&[(1, ask(1))]));
    let broken = proto::AllocateResponse {
        allocated_containers: vec![proto::Container::default()],
        ..response(1)
    };
    assert_eq!(
        books.core.on_response(broken),
        Err(Incomplete("a container id"))
    );
    assert_eq!(books.core.next_request(&wanting(&[])), request);
}

#[test]
fn progress_is_kept_within_bounds() {
    for (given, sent) in [(f32::NAN, 0.0), (-1.0, 0.0), (0.5, 0.5), (7.0, 1.0)] {
        let mut books = Books::new();
        let request = books.beat(
            &AllocateInput {
                progress: given,
                ..AllocateInput::default()
            },
            vec![],
        );
        assert_eq!(request.progress(), sent);
    }
}
