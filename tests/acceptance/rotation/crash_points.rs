//! Every point at which a process may die or lose its connection, by enumeration.
//!
//! Each key has one fault: its n-th write is lost on its way there or back, and then its process goes
//! on or is dead. All keys of all stories run at once, under one controller for each.

use std::collections::BTreeSet;

use apikey_operator::api::{ApiKey, names};
use apikey_operator::credential::verifier::Handover;
use kube::api::{DeleteParams, ListParams};

use crate::support::{
    Cluster, Fault, Faults, Inside, Lost, MovedClock, Scope, Then, eventually, ready_reason,
};

/// More writes than any story has.
const MAX_WRITES: usize = 7;

/// What is to be done for a key when the faults begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Story {
    Mint,
    Rotate,
    RotateAtOnce,
    Replace,
    Discard,
    MintOnce,
    RotateOnce,
    Claim,
    Withdraw,
}

const STORIES: [Story; 9] = [
    Story::Mint,
    Story::Rotate,
    Story::RotateAtOnce,
    Story::Replace,
    Story::Discard,
    Story::MintOnce,
    Story::RotateOnce,
    Story::Claim,
    Story::Withdraw,
];

impl Story {
    /// Whether the key is made before the faults begin.
    fn is_prepared(self) -> bool {
        !matches!(self, Self::Mint | Self::MintOnce)
    }

    fn spec(self) -> &'static str {
        match self {
            Self::Withdraw => "secret: {delivery: RevealOnce, revealWithinSeconds: 60}",
            Self::MintOnce | Self::RotateOnce | Self::Claim => "secret: {delivery: RevealOnce}",
            Self::RotateAtOnce => "rotation: {overlapSeconds: 0}",
            Self::Mint | Self::Rotate | Self::Replace | Self::Discard => "",
        }
    }

    /// How many secrets there have been at the end, at least.
    fn revision(self) -> i64 {
        match self {
            Self::Mint | Self::MintOnce | Self::Claim | Self::Withdraw => 1,
            Self::Rotate
            | Self::RotateAtOnce
            | Self::Replace
            | Self::RotateOnce
            | Self::Discard => 2,
        }
    }
}

struct Case {
    story: Story,
    fault: Fault,
    name: String,
}

fn cases(then: Then) -> Vec<Case> {
    let mut cases = Vec::new();
    for story in STORIES {
        for lost in [Lost::Request, Lost::Answer] {
            for write in 1..=MAX_WRITES {
                let name = format!("{story:?}-{lost:?}-{write}").to_lowercase();
                let fault = Fault { write, lost, then };
                cases.push(Case { story, fault, name });
            }
        }
    }
    cases
}

async fn prepare(scope: &Scope<'_>, cases: &[Case]) {
    let prepared = || cases.iter().filter(|case| case.story.is_prepared());
    let yaml = prepared().map(|case| scope.key_yaml(&case.name, case.story.spec()));
    scope.apply(&yaml.collect::<Vec<_>>().join("\n---\n"));
    for case in prepared() {
        scope.ready(&case.name).await;
    }
    for case in cases.iter().filter(|case| case.story == Story::Discard) {
        scope.rotate(&case.name, "before").await;
    }
}

async fn begin(scope: &Scope<'_>, cases: &[Case]) {
    let new = cases.iter().filter(|case| !case.story.is_prepared());
    let yaml = new.map(|case| scope.key_yaml(&case.name, case.story.spec()));
    scope.apply(&yaml.collect::<Vec<_>>().join("\n---\n"));
    for Case { story, name, .. } in cases {
        match story {
            Story::Rotate | Story::RotateAtOnce | Story::RotateOnce => {
                let request = (names::ANNOTATION_ROTATE_REQUESTED_AT, "asked");
                scope.annotate(name, &[request]).await;
            }
            Story::Replace => {
                let params = DeleteParams::default();
                scope.secrets().delete(name, &params).await.unwrap();
            }
            Story::Discard => {
                scope
                    .annotate(name, &[(names::ANNOTATION_DISCARD_PREVIOUS, "1")])
                    .await;
            }
            Story::Claim => {
                scope.claim(name).await.expect("nobody else claims");
            }
            // Wakes the controller, whose clock was moved.
            Story::Withdraw => scope.annotate(name, &[("touched", "")]).await,
            Story::Mint | Story::MintOnce => {}
        }
    }
}

/// Whether the story has come to its end.
fn is_over(story: Story, key: &ApiKey) -> bool {
    let Some(status) = &key.status else {
        return false;
    };
    let (ready, reason) = ready_reason(key);
    match story {
        Story::Withdraw => reason == "ClaimExpired",
        Story::Claim => status.revealed_at.is_some(),
        Story::Discard => status.previous_secret.is_none(),
        Story::Replace => ready == "True" && status.revision >= Some(2),
        Story::Rotate | Story::RotateAtOnce | Story::RotateOnce => {
            ready == "True" && status.handled_rotate_request.as_deref() == Some("asked")
        }
        Story::Mint | Story::MintOnce => ready == "True",
    }
}

async fn until(
    scope: &Scope<'_>,
    what: &str,
    cases: &[Case],
    done: impl Fn(&Case, &ApiKey) -> bool,
) {
    let keys = scope.keys();
    eventually(what, async || {
        let list = keys.list(&ListParams::default()).await.unwrap().items;
        let open = cases.iter().find(|case| {
            let mut list = list.iter();
            let key = list.find(|key| key.metadata.name.as_deref() == Some(&case.name));
            key.is_none_or(|key| !done(case, key))
        });
        open.is_none().then_some(())
    })
    .await;
}

/// What is delivered is accepted, whenever somebody looks.
async fn assert_accepted(scope: &Scope<'_>, cases: &[Case], clock: &MovedClock) {
    for Case { name, fault, .. } in cases {
        if scope.secrets().get_opt(name).await.unwrap().is_none() {
            continue;
        }
        let key = scope.keys().get(name).await.unwrap();
        let credential = scope.credential(&key).await;
        let now = clock.clock().now();
        assert!(credential.is_accepted(now), "{name} is refused, {fault:?}");
        assert!(credential.document.pending.len() <= 4, "{name}");
    }
}

async fn assert_settled(scope: &Scope<'_>, case: &Case) {
    let Case { story, name, .. } = case;
    let key = scope.keys().get(name).await.unwrap();
    let document = scope.document(&key).await.unwrap();
    assert!(
        document.pending.is_empty(),
        "{name}: {:?}",
        document.pending
    );
    // Each attempt that died takes a number.
    let numbers = story.revision()..=story.revision() + 1;
    assert!(numbers.contains(&document.current.revision), "{name}");
    let gone = matches!(story, Story::Claim | Story::Withdraw);
    if gone {
        let secret = scope.secrets().get_opt(name).await.unwrap();
        assert!(secret.is_none(), "{name} comes back");
        assert_eq!(document.current.revision, 1, "{name} is minted again");
    } else {
        scope.credential(&key).await.assert_sound();
    }
    match story {
        Story::Claim => assert!(matches!(document.handover, Handover::Revealed { .. })),
        Story::Withdraw => assert_eq!(document.handover, Handover::Unclaimed, "{name}"),
        Story::MintOnce | Story::RotateOnce => {
            assert_eq!(document.handover, Handover::Delivered, "{name}");
        }
        Story::Mint | Story::Rotate | Story::RotateAtOnce | Story::Replace | Story::Discard => {
            assert_eq!(document.handover, Handover::Unrecorded, "{name}");
        }
    }
    let answered = key.status.unwrap().handled_rotate_request;
    let expected = match story {
        Story::Rotate | Story::RotateAtOnce | Story::RotateOnce => Some("asked"),
        Story::Discard => Some("before"),
        Story::Mint | Story::Replace | Story::MintOnce | Story::Claim | Story::Withdraw => None,
    };
    assert_eq!(answered.as_deref(), expected, "{name}");
}

async fn enumerate(then: Then) {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let clock = MovedClock::default();
    let cases = cases(then);
    let clean = || async {
        let client = kube::Client::try_from(cluster.operator_config().await).unwrap();
        Inside::controller(client, clock.clock()).await
    };
    let before = clean().await;
    prepare(&scope, &cases).await;
    drop(before);

    clock.advance(90);
    let faults = Faults::default();
    for case in &cases {
        faults.insert(&case.name, case.fault);
    }
    let client = faults.client(cluster.operator_config().await);
    let harmed = Inside::controller(client, clock.clock()).await;
    begin(&scope, &cases).await;
    let dead = |case: &Case| then == Then::Dies && faults.happened(&case.name);
    until(
        &scope,
        "each key has its fault or its end",
        &cases,
        |case, key| dead(case) || is_over(case.story, key),
    )
    .await;
    assert_accepted(&scope, &cases, &clock).await;
    drop(harmed);

    let _clean = clean().await;
    until(&scope, "each key has its end", &cases, |case, key| {
        is_over(case.story, key)
    })
    .await;
    assert_accepted(&scope, &cases, &clock).await;
    for case in &cases {
        assert_settled(&scope, case).await;
    }
    for story in STORIES {
        let of_story = cases.iter().filter(|case| case.story == story);
        let happened: BTreeSet<_> = of_story
            .filter(|case| faults.happened(&case.name))
            .map(|case| case.fault.write)
            .collect();
        println!("{story:?}, {then:?}: writes {happened:?} were lost on the way there and back");
        let all: BTreeSet<_> = (1..=happened.len()).collect();
        assert!(!happened.is_empty() && happened == all);
        assert!(happened.len() < MAX_WRITES, "{story:?} has more writes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_process_dies_the_next_one_settles_the_key_and_nothing_delivered_is_refused() {
    enumerate(Then::Dies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_connection_is_lost_the_process_settles_the_key_itself() {
    enumerate(Then::GoesOn).await;
}
