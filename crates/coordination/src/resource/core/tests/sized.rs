//! Slots that must offer something: which containers are asked for, and who gets their slots.

use super::*;

#[test]
fn a_need_beyond_the_default_gets_containers_of_its_own() {
    let mut script = Script::new(None);
    assert_eq!(
        script.require_sized(1, 3, &[(700, 2)]),
        ["outstanding 2", "outstanding 2 of 700"]
    );
    assert_eq!(
        script.allocate_for(Some(700), "b"),
        [
            "launch b",
            "timer registration b at 300s",
            "outstanding 1 of 700"
        ],
        "only of its kind"
    );
    assert_eq!(script.allocate_for(Some(700), "b"), NOTHING, "doubled");
    assert_eq!(
        script.register_with(1, "b"),
        ["timer idle b 1 at 30s", "grant 1: b/0 for 700"],
        "the others stay outstanding"
    );
    assert_eq!(script.core.pending_containers(), 3);
    script.bring("a");
    script.bring_sized(700, "c");
    script.allocate("d");
    assert_eq!(
        script.register("d")[1..],
        ["grant 1: d/0"],
        "no more than needed"
    );
    assert_eq!(script.core.pending_containers(), 0);
    let kinds: Vec<_> = script.core.containers().map(|it| it.profile).collect();
    let big = Some(profile(700));
    assert_eq!(kinds, [None, big, big, None]);
}

#[test]
fn what_fits_the_default_shares_its_containers() {
    let mut script = Script::new(None);
    assert_eq!(
        script.require_sized(1, 1, &[(300, 1), (50, 1)]),
        ["outstanding 2"],
        "three slots, two in a container"
    );
    script.allocate("a");
    assert_eq!(
        script.register("a")[1..],
        ["grant 1: a/0 a/1 for 300"],
        "the one of 50 waits"
    );
    let cores = ResourceProfile {
        cpu_millicores: 1001,
        ..profile(1)
    };
    let slots = [Some(cores)].into_iter().collect();
    let job = JobId(2);
    let asked = script
        .core
        .handle(Duration::ZERO, ResourceEvent::Required { job, slots });
    let expected = ResourceAction::SetOutstanding {
        profile: Some(cores),
        containers: 1,
    };
    assert_eq!(asked, [expected], "more cores than a slot's share");
}

#[test]
fn a_slot_of_another_size_goes_only_to_needs_that_it_meets() {
    let mut script = Script::new(None);
    script.require_sized(1, 0, &[(700, 1), (1000, 1)]);
    script.bring_sized(700, "b");
    script.bring_sized(1000, "c");
    script.require(1, 0);
    assert_eq!(
        script.require_sized(2, 0, &[(900, 1)]),
        ["grant 2: c/0 for 900"],
        "b is too small"
    );
    assert_eq!(
        script.require_sized(3, 0, &[(900, 1)]),
        ["outstanding 1 of 900"]
    );
    assert_eq!(
        script.require(4, 2),
        ["grant 4: b/0", "outstanding 1"],
        "it exceeds the default in everything"
    );
    // One that exceeds it in memory only.
    let narrow = ResourceProfile {
        cpu_millicores: 500,
        ..profile(700)
    };
    let mut script = Script::new(None);
    let slots = [Some(narrow)].into_iter().collect();
    script.send(ResourceEvent::Required {
        job: JobId(1),
        slots,
    });
    script.send(ResourceEvent::ContainerAllocated {
        container: id("n"),
        host: "h".to_owned(),
        profile: Some(narrow),
    });
    script.register_with(1, "n");
    script.require(1, 0);
    assert_eq!(script.require(2, 1), ["outstanding 1"], "half a core");
    assert_eq!(
        script.require_sized(3, 0, &[(700, 1)]),
        ["outstanding 1 of 700"],
        "half a core is not one"
    );
}

#[test]
fn lesser_needs_do_not_take_the_slots_of_greater_ones() {
    let mut script = Script::new(None);
    script.require_sized(1, 0, &[(1000, 1)]);
    script.bring_sized(1000, "c");
    script.require(1, 0);
    assert_eq!(
        script.require_sized(2, 1, &[(700, 1), (1000, 1)]),
        [
            "grant 2: c/0 for 1000",
            "outstanding 1",
            "outstanding 1 of 700"
        ]
    );
}

#[test]
fn containers_of_other_sizes_are_replaced_and_released_like_others() {
    let mut script = Script::new(None);
    script.require_sized(1, 1, &[(700, 1)]);
    script.bring("a");
    script.bring_sized(700, "b");
    assert_eq!(
        script.complete("b", ContainerLoss::Surroundings, "node lost"),
        ["lost 1: b: node lost", "outstanding 1 of 700"]
    );
    script.bring_sized(700, "c");
    assert_eq!(
        script.allocate_for(Some(700), "d"),
        [
            "release d: surplus: nobody needs it any more",
            "outstanding 0 of 700"
        ]
    );
    assert_eq!(
        script.allocate_for(Some(500), "e"),
        [
            "release e: surplus: nobody needs it any more",
            "outstanding 0 of 500"
        ],
        "of a size that nobody asked for"
    );
    script.seconds = 50;
    assert_eq!(
        script.release(1, "c", 0),
        ["timer idle c 4 at 80s", "grant 1: c/0 for 700"],
        "its need stands"
    );
    let end = script.require(1, 0);
    assert_eq!(end, ["timer idle a 5 at 80s", "timer idle c 6 at 80s"]);
    assert_eq!(
        script.fire(ResourceTimer::Idle(id("c"), 6)),
        ["release c: idle (resourcemanager.taskmanager-timeout)"]
    );
}

#[test]
fn the_last_act_of_a_job_needs_no_slot_beyond_those_it_holds() {
    let mut script = Script::new(None);
    script.require_sized(1, 0, &[(700, 2)]);
    script.bring_sized(700, "b");
    assert_eq!(script.require(1, 1), ["outstanding 0 of 700"]);
    assert_eq!(
        script.complete("b", ContainerLoss::Surroundings, "node lost"),
        ["lost 1: b: node lost", "outstanding 1"],
        "now any will do"
    );
}

#[test]
fn a_refused_size_is_told_to_those_who_need_it() {
    let mut script = Script::new(None);
    script.require_sized(1, 1, &[(700, 1)]);
    script.require_sized(2, 0, &[(100, 1)]);
    assert_eq!(
        script.refuse(700),
        ["outstanding 0 of 700", "give up 1: too large"],
        "job 2 takes the default size"
    );
    assert_eq!(script.refuse(700), NOTHING, "told once");
    assert_eq!(
        script.require_sized(3, 0, &[(700, 1)]),
        ["outstanding 2 of 700"],
        "a new request is asked anew, for all who wait"
    );
    assert_eq!(
        script.refuse(700),
        ["outstanding 0 of 700", "give up 3: too large"]
    );
    assert_eq!(
        script.require_sized(1, 1, &[(700, 1)]),
        ["outstanding 2 of 700"],
        "the cluster may have grown"
    );
    assert_eq!(
        script.bring_sized(700, "b"),
        ["timer idle b 1 at 30s", "grant 1: b/0 for 700"]
    );
}
