//! Faults of API calls, by key: a layer of the kube client that has the n-th call for a key fail, or
//! what the watches tell of the key come late, twice or in another order.

mod call;
mod events;
mod layer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use axum::http::{Method, Request};
use futures::FutureExt as _;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::watch;

use self::call::About;
pub(crate) use self::call::{Call, Object, Sort};
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
    /// The answer comes late: the watches have told of what it says before.
    Late,
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
    /// Every other one late, so that the next one overtakes it.
    Reordered,
    /// Each one first with a part that can't be read, and as it is a while later; the items of lists as
    /// well.
    Damaged,
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
    /// Whether no event has met this fault yet.
    is_unmet: bool,
    /// Events that are held back, and whether the next one is to be.
    held: usize,
    hold_next: bool,
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
            Kind::Answer(_) | Kind::Gone => {}
        }
        self.is_unmet = matches!(kind, Kind::Events(_));
        self.happened += usize::from(!self.is_unmet);
        kind
    }

    /// An event met the fault.
    fn meet(&mut self) {
        self.happened += usize::from(std::mem::take(&mut self.is_unmet));
    }

    /// A new process: one that was dead lives again, and events come as usual.
    fn restart(&mut self) {
        self.is_dead = false;
        self.is_unmet = false;
        self.events = None;
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
    /// Keys that can't be read where a watch tells of them.
    unreadable: BTreeSet<String>,
    /// Names of keys by uid.
    uids: BTreeMap<String, String>,
    /// Lines that came damaged in a list, by the path that is watched, and are still to come as they are.
    owed: BTreeMap<String, Vec<(String, Vec<u8>)>>,
    /// Requests that were sent, but for watches.
    requests: usize,
    /// Those of them that have no answer yet.
    open: usize,
}

impl State {
    fn progress(&mut self, about: &About) -> Option<&mut Progress> {
        let key = match (about.key.clone(), about.uid.clone()) {
            (Some(key), uid) => {
                self.uids.extend(uid.map(|uid| (uid, key.clone())));
                key
            }
            (None, uid) => self.uids.get(&uid?)?.clone(),
        };
        self.keys.get_mut(&key)
    }
}

/// The faults of keys, by the name of the key.
#[derive(Clone)]
pub(crate) struct Faults {
    state: Arc<Mutex<State>>,
    gone: watch::Sender<()>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            gone: watch::Sender::new(()),
        }
    }
}

impl Faults {
    /// Has these faults happen to a key, one after the other, from the next client on.
    pub(crate) fn insert(&self, key: &str, faults: &[Fault]) {
        let progress = Progress {
            faults: faults.iter().copied().collect(),
            ..Progress::default()
        };
        let mut state = self.state.lock().unwrap();
        state.keys.insert(key.to_owned(), progress);
    }

    /// Has no fault happen any more.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock().unwrap();
        state.keys.values_mut().for_each(|key| key.faults.clear());
    }

    /// How many faults of this key have happened.
    pub(crate) fn happened(&self, key: &str) -> usize {
        self.state.lock().unwrap().keys[key].happened
    }

    /// Whether this key can be read from now on where a watch tells of it, in its events and in the items of
    /// lists.
    pub(crate) fn set_readable(&self, key: &str, is_readable: bool) {
        let mut state = self.state.lock().unwrap();
        if is_readable {
            state.unreadable.remove(key);
        } else {
            state.unreadable.insert(key.to_owned());
        }
    }

    /// Ends all watches with 410 Gone.
    pub(crate) fn end_watches(&self) {
        self.gone.send_replace(());
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
        drop(state);
        let builder = ClientBuilder::try_from(config).unwrap();
        builder.with_layer(&FaultLayer(self.clone())).build()
    }

    /// What is to happen to this request.
    fn take(&self, request: &Request<Body>) -> Option<Kind> {
        let body = request.body().try_clone()?;
        // A body that is at hand is there at once.
        let body = body.collect_bytes().now_or_never()?.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (sort, about) = call::read(request.method(), request.uri().path(), &body)?;
        let mut state = self.state.lock().unwrap();
        let progress = state.progress(&about)?;
        if progress.is_dead {
            return Some(Kind::Before(Harm::Crash));
        }
        let kind = progress.call(sort)?;
        drop(state);
        if kind == Kind::Gone {
            self.end_watches();
        }
        Some(kind)
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

/// Whether a request asks for a list that comes as a stream.
fn is_list(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.contains("sendInitialEvents=true")
}

fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    *request.method() == Method::GET && query.split('&').any(|pair| pair.starts_with("watch="))
}

/// A request without an answer.
struct Open(Faults);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().open -= 1;
    }
}

/// The object of a line of a watch, and whether it is gone.
struct Told {
    about: About,
    is_key: bool,
    is_deletion: bool,
}

impl Told {
    fn parse(line: &[u8]) -> Option<Self> {
        let event: Value = serde_json::from_slice(line).ok()?;
        let about = call::of_object(&event["object"])?;
        Some(Self {
            about,
            is_key: event["object"]["kind"] == "ApiKey",
            is_deletion: event["type"] == "DELETED",
        })
    }
}
