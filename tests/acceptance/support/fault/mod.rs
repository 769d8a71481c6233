//! Faults of API calls, by key: a layer of the kube client that has the n-th call for a key fail or be
//! answered late, or what the watches tell of the key come late, twice, in another order or damaged.

mod call;
mod damage;
mod events;
mod late;
mod layer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use axum::http::{Method, Request};
use futures::FutureExt as _;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tokio::sync::{mpsc, watch};

use self::call::About;
pub(crate) use self::call::{Call, Object, Sort, Verb};
pub(crate) use self::damage::Damage;
use self::late::Passed;
use self::layer::FaultLayer;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// The process dies: nothing more of it arrives.
    Crash,
    /// The connection is lost.
    Lost,
    /// There is never an answer.
    Silence,
}

/// How the events of a key reach the watches of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Passing {
    /// Each one late, so that the caches are stale.
    Held,
    /// Each one of the `ApiKey` late and those of its Secrets not, so that the caches disagree.
    Lagging,
    /// Each one twice.
    Twice,
    /// Every other one late, so that the next one overtakes it: versions go backwards.
    Reordered,
}

/// Until when an answer is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Until {
    /// Until a watch has told of what was done.
    Told,
    /// Until a watch has told that what was written is gone, for somebody else removes it meanwhile.
    Gone,
    /// Until the deadline of the request is over.
    Overdue,
}

/// A sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Before the request reaches the API server.
    Before(Harm),
    /// After the API server has done what was asked.
    After(Harm),
    /// The API server does nothing and answers with this code.
    Answer(u16),
    /// From this call on, events come so.
    Events(Passing),
    /// All watches end with 410 Gone.
    Gone,
    /// From this call on, events come with this part damaged, until the object changes again.
    Undecodable(Damage),
    /// All watches end with 410 Gone, and the lists that follow show objects damaged likewise.
    UndecodableItem(Damage),
    /// The API server does what was asked, and the answer comes late.
    Late(Until),
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// When the process starts.
    Begin,
    /// At this call.
    Call(Call),
    /// At the n-th call after the fault before it, Events aside.
    Later(usize),
}

/// A fault of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) moment: Moment,
    pub(crate) kind: Kind,
}

/// How far a key is.
#[derive(Debug, Default)]
struct Progress {
    /// Still to come, one after the other.
    faults: VecDeque<Fault>,
    happened: usize,
    calls: Vec<Call>,
    /// Calls since the last fault, Events aside.
    since: usize,
    is_dead: bool,
    events: Option<Passing>,
    damaging: Option<Damaging>,
    /// Whether nothing has met this fault yet.
    is_unmet: bool,
    /// Events that are held back, and whether the next one is to be overtaken.
    held: usize,
    overtake_next: bool,
}

/// How objects of a key are damaged on their way.
#[derive(Debug)]
struct Damaging {
    damage: Damage,
    lists_only: bool,
    /// Whether each is changed a moment later, so that it can be read again.
    mends: bool,
    damaged: BTreeSet<(Object, String)>,
    mended: BTreeSet<(Object, String)>,
}

impl Damaging {
    const fn new(damage: Damage) -> Self {
        Self {
            damage,
            lists_only: false,
            mends: true,
            damaged: BTreeSet::new(),
            mended: BTreeSet::new(),
        }
    }
}

/// What somebody else is to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Change it, so that there is an event that can be read.
    Touch,
    Remove,
}

/// A request to somebody else.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) key: String,
    pub(crate) object: Object,
    pub(crate) name: String,
    pub(crate) act: Act,
}

/// A call that meets a fault.
#[derive(Clone, Debug)]
struct Meeting {
    key: String,
    sort: Sort,
    kind: Kind,
}

impl Progress {
    /// Counts a call and says what is to happen to it.
    fn call(&mut self, sort: Sort) -> Option<Kind> {
        let before = self.calls.iter().filter(|call| call.sort == sort).count();
        let call = Call {
            sort,
            nth: before + 1,
        };
        self.calls.push(call);
        self.since += usize::from(sort.object != Object::Event);
        let fault = *self.faults.front()?;
        let is_now = match fault.moment {
            Moment::Begin => false,
            Moment::Call(wanted) => wanted == call,
            Moment::Later(n) => sort.object != Object::Event && self.since == n,
        };
        is_now.then(|| self.happens())
    }

    /// The next fault happens.
    fn happens(&mut self) -> Kind {
        let Fault { kind, .. } = self.faults.pop_front().unwrap();
        self.since = 0;
        match kind {
            Kind::Before(harm) | Kind::After(harm) => self.is_dead = harm == Harm::Crash,
            Kind::Events(passing) => self.events = Some(passing),
            Kind::Undecodable(damage) => self.damaging = Some(Damaging::new(damage)),
            Kind::UndecodableItem(damage) => {
                self.damaging = Some(Damaging {
                    lists_only: true,
                    ..Damaging::new(damage)
                });
            }
            Kind::Answer(_) | Kind::Gone | Kind::Late(_) => {}
        }
        self.is_unmet = matches!(
            kind,
            Kind::Events(_) | Kind::Undecodable(_) | Kind::UndecodableItem(_) | Kind::Late(_)
        );
        self.happened += usize::from(!self.is_unmet);
        kind
    }

    /// Something met the fault.
    fn meet(&mut self) {
        self.happened += usize::from(std::mem::take(&mut self.is_unmet));
    }

    /// A new process: one that was dead lives again, and events come as usual.
    fn restart(&mut self) {
        self.is_dead = false;
        self.is_unmet = false;
        self.events = None;
        self.damaging = None;
        self.held = 0;
        if self
            .faults
            .front()
            .is_some_and(|fault| fault.moment == Moment::Begin)
        {
            self.happens();
        }
    }
}

#[derive(Default)]
struct State {
    keys: BTreeMap<String, Progress>,
    /// Names of keys by uid.
    uids: BTreeMap<String, String>,
    /// Requests that were sent, but for watches.
    requests: usize,
    /// Those of them that have no answer yet.
    open: usize,
    /// What the watches of this process have told.
    passed: BTreeSet<Passed>,
    /// Keys that somebody else removes.
    removed: BTreeSet<String>,
}

impl State {
    /// Name of the key.
    fn name(&mut self, about: &About) -> Option<String> {
        match (about.key.clone(), about.uid.clone()) {
            (Some(key), uid) => {
                self.uids.extend(uid.map(|uid| (uid, key.clone())));
                Some(key)
            }
            (None, uid) => self.uids.get(&uid?).cloned(),
        }
    }
}

/// The faults of keys, by the name of the key.
#[derive(Clone)]
pub(crate) struct Faults {
    state: Arc<Mutex<State>>,
    gone: watch::Sender<()>,
    /// Watches have told something.
    moved: watch::Sender<()>,
    errands: mpsc::UnboundedSender<Errand>,
}

impl Faults {
    /// Without faults, and what somebody else is asked for.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Errand>) {
        let (errands, asked) = mpsc::unbounded_channel();
        let faults = Self {
            state: Arc::default(),
            gone: watch::Sender::new(()),
            moved: watch::Sender::new(()),
            errands,
        };
        (faults, asked)
    }

    /// From now on, what is told of this key, or what lists show of it, can't be read, until it is mended.
    pub(crate) fn spoil(&self, key: &str, lists_only: bool) {
        let mut state = self.state.lock().unwrap();
        state.keys.get_mut(key).unwrap().damaging = Some(Damaging {
            mends: false,
            lists_only,
            ..Damaging::new(Damage::Needed)
        });
    }

    /// All watches end with 410 Gone.
    pub(crate) fn end_watches(&self) {
        self.gone.send_replace(());
    }

    /// From now on, what is told of this key can be read.
    pub(crate) fn mend(&self, key: &str) {
        let mut state = self.state.lock().unwrap();
        state.keys.get_mut(key).unwrap().damaging = None;
    }

    /// From now on, what is told of this object can be read.
    pub(crate) fn mend_object(&self, key: &str, object: Object, name: &str) {
        let mut state = self.state.lock().unwrap();
        if let Some(damaging) = state
            .keys
            .get_mut(key)
            .and_then(|key| key.damaging.as_mut())
        {
            damaging.mended.insert((object, name.to_owned()));
        }
    }

    fn ask(&self, key: &str, object: Object, name: &str, act: Act) {
        if act == Act::Remove && object == Object::ApiKey {
            let mut state = self.state.lock().unwrap();
            state.removed.insert(key.to_owned());
        }
        let (key, name) = (key.to_owned(), name.to_owned());
        let errand = Errand {
            key,
            object,
            name,
            act,
        };
        // Nobody is asked after the end of a run.
        let _ = self.errands.send(errand);
    }

    /// Something met the fault of this key.
    fn meet(&self, key: &str) {
        let mut state = self.state.lock().unwrap();
        if let Some(progress) = state.keys.get_mut(key) {
            progress.meet();
        }
    }

    async fn until_passed(&self, awaited: &Passed) {
        let mut moved = self.moved.subscribe();
        while !self.state.lock().unwrap().passed.contains(awaited) {
            let _ = moved.changed().await;
        }
    }

    /// Has these faults happen to a key, one after the other, from the next client on.
    pub(crate) fn insert(&self, key: &str, faults: &[Fault]) {
        let progress = Progress {
            faults: faults.iter().copied().collect(),
            ..Progress::default()
        };
        let mut state = self.state.lock().unwrap();
        state.keys.insert(key.to_owned(), progress);
    }

    /// How many faults of this key have happened.
    pub(crate) fn happened(&self, key: &str) -> usize {
        self.state.lock().unwrap().keys[key].happened
    }

    /// Whether somebody else removes this key.
    pub(crate) fn is_removed(&self, key: &str) -> bool {
        self.state.lock().unwrap().removed.contains(key)
    }

    /// Whether the process of this key is dead.
    pub(crate) fn is_dead(&self, key: &str) -> bool {
        let state = self.state.lock().unwrap();
        state.keys.get(key).is_some_and(|key| key.is_dead)
    }

    /// The calls for this key so far.
    pub(crate) fn calls(&self, key: &str) -> Vec<Call> {
        self.state.lock().unwrap().keys[key].calls.clone()
    }

    /// How many requests have been sent, but for watches; `None` while one has no answer.
    pub(crate) fn requests(&self) -> Option<usize> {
        let state = self.state.lock().unwrap();
        (state.open == 0).then_some(state.requests)
    }

    /// A client for a new process: keys whose process is dead live again.
    pub(crate) fn client(&self, config: Config) -> Client {
        let mut state = self.state.lock().unwrap();
        state.keys.values_mut().for_each(Progress::restart);
        state.passed.clear();
        drop(state);
        let builder = ClientBuilder::try_from(config).unwrap();
        builder.with_layer(&FaultLayer(self.clone())).build()
    }

    /// What is to happen to this request.
    fn take(&self, request: &Request<Body>) -> Option<Meeting> {
        let body = request.body().try_clone()?;
        // A body that is at hand is there at once.
        let body = body.collect_bytes().now_or_never()?.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (sort, about) = call::read(request.method(), request.uri().path(), &body)?;
        let mut state = self.state.lock().unwrap();
        let key = state.name(&about)?;
        let progress = state.keys.get_mut(&key)?;
        let kind = if progress.is_dead {
            Kind::Before(Harm::Crash)
        } else {
            progress.call(sort)?
        };
        drop(state);
        if matches!(kind, Kind::Gone | Kind::UndecodableItem(_)) {
            self.end_watches();
        }
        Some(Meeting { key, sort, kind })
    }

    /// Counts a request that is sent, until the result is dropped.
    fn open(&self, request: &Request<Body>) -> Option<Open> {
        if is_watch(request) {
            return None;
        }
        let mut state = self.state.lock().unwrap();
        state.requests += 1;
        state.open += 1;
        Some(Open(self.clone()))
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    *request.method() == Method::GET && has(request, "watch=true")
}

/// Whether a request has this parameter.
fn has(request: &Request<Body>, parameter: &str) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| pair == parameter)
}

/// A request without an answer.
struct Open(Faults);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().open -= 1;
    }
}
