//! The faults of all keys, and which of them a request meets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::http::{Method, Request};
use futures::FutureExt as _;
use kube::client::Body;
use tokio::sync::watch;

use super::call::{self, About, Call};
use super::kinds::{Fault, Harm, Kind};
use super::progress::Progress;

#[derive(Default)]
pub(super) struct State {
    pub(super) keys: BTreeMap<String, Progress>,
    /// Keys whose watch events are made unreadable.
    pub(super) unreadable: BTreeSet<String>,
    /// Names of keys by uid.
    pub(super) uids: BTreeMap<String, String>,
    /// Lines that came damaged in a list and must still come unchanged, by the path that is watched.
    pub(super) owed: BTreeMap<String, Vec<(String, Vec<u8>)>>,
    /// Requests that were sent, without watches.
    pub(super) requests: usize,
    /// Requests that have no answer yet.
    pub(super) open: usize,
}

impl State {
    pub(super) fn progress(&mut self, about: &About) -> Option<&mut Progress> {
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
    pub(super) state: Arc<Mutex<State>>,
    pub(super) gone: watch::Sender<()>,
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
    /// Makes these faults happen to a key in this order, from the next client on.
    pub(crate) fn insert(&self, key: &str, faults: &[Fault]) {
        let progress = Progress {
            faults: faults.iter().copied().collect(),
            ..Progress::default()
        };
        let mut state = self.state.lock().unwrap();
        state.keys.insert(key.to_owned(), progress);
    }

    /// Removes all faults that have not happened yet.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock().unwrap();
        state.keys.values_mut().for_each(|key| key.faults.clear());
    }

    /// How many faults of this key have happened.
    pub(crate) fn happened(&self, key: &str) -> usize {
        self.state.lock().unwrap().keys[key].happened
    }

    /// Sets whether this key can be read in watch events and in the items of lists.
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

    /// How many requests have been sent, without watches. `None` while one has no answer.
    pub(crate) fn requests(&self) -> Option<usize> {
        let state = self.state.lock().unwrap();
        (state.open == 0).then_some(state.requests)
    }

    /// The fault that happens to this request.
    pub(super) fn take(&self, request: &Request<Body>) -> Option<Kind> {
        let body = request.body().try_clone()?;
        // The body is in memory, so the future is ready at once.
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
    pub(super) fn open(&self, request: &Request<Body>) -> Option<Open> {
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
pub(super) fn is_list(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.contains("sendInitialEvents=true")
}

pub(super) fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    *request.method() == Method::GET && query.split('&').any(|pair| pair.starts_with("watch="))
}

/// A request without an answer.
pub(super) struct Open(Faults);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().open -= 1;
    }
}
