//! Lists the objects of one kind and follows their changes.
//!
//! # Guarantees
//! - Items are parsed one by one. An item that can't be read is reported as such. It causes no
//!   delay and does not affect the others.
//! - Memory holds at most one page of a list (of bounded size, or one object) or one line.
//! - At each change and each [`Output::UpToDate`], everything that happened before has been reported.
//! - A version that goes backwards (etcd was restored to an older state) causes a new list.
//!
//! # Caveats
//! An API server sends no bookmark while its version of a kind stays the same, which is common in a
//! quiet cluster. Therefore a watch that ended on time without changes also counts as up to date,
//! if a list afterwards shows that the state was not set back.
//!
//! A state that was set back *and* has passed the known version before the API server answers again
//! looks like any other.

use std::collections::VecDeque;
use std::time::Duration;

use kube::Client;
use kube::runtime::utils::Backoff as _;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::backoff::Backoff;
use super::body::Body;
use super::error::Error;
use super::event::{Event, Line};
use super::requests::{Requests, forward};
use super::source::Source;
use apikey_client::object::Decode;

/// Objects in one page of a list, if lists are not streamed.
const PAGE_SIZE: u32 = 100;
/// Longest silence during a list.
const LIST_SILENCE: Duration = Duration::from_secs(30);
/// Fraction of its time after which the end of a watch counts as on time.
const WHOLE: f32 = 0.8;
/// How much later than requested a watch may end.
const GRACE: Duration = Duration::from_secs(10);

/// The output of a [`Watcher`].
#[derive(Debug)]
pub enum Output<K> {
    /// Something changed.
    Event(Event<K>),
    /// Nothing changed until now.
    UpToDate,
}

/// What preceded the opening of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// A list, or a watch that delivered something and ended in order.
    Delivery,
    /// A watch that delivered nothing in its whole time and ended in order.
    Quiet,
    /// A watch that broke.
    Break,
}

/// Lists and follows; see [the module](self).
pub struct Watcher<K> {
    requests: Requests,
    state: State,
    ready: VecDeque<Output<K>>,
    backoff: Backoff,
    wait_until: Option<Instant>,
    /// Whether the next list is requested as a stream.
    streams: bool,
    /// Whether the API server supports streamed lists.
    knows_streams: bool,
}

impl<K> std::fmt::Debug for Watcher<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher")
            .field("source", &self.requests.source)
            .finish_non_exhaustive()
    }
}

enum State {
    /// Nothing is known.
    Unlisted,
    /// A list arrives in pages.
    Paging { token: Option<String>, limit: u32 },
    /// A list arrives as a stream.
    Listing(Body),
    /// Everything up to this version is known.
    Listed { version: String, after: After },
    /// Changes arrive.
    Watching {
        body: Body,
        version: String,
        begun: Instant,
        has_delivered: bool,
    },
}

impl<K: Decode> Watcher<K> {
    /// Creates a watcher, which sends no request before the first [`Self::next`]. A watch is
    /// reopened after `timeout_seconds`, so that a dead connection is noticed.
    #[must_use]
    pub fn new(client: Client, source: Source, timeout_seconds: u32) -> Self {
        Self {
            requests: Requests {
                client,
                source,
                timeout_seconds,
            },
            state: State::Unlisted,
            ready: VecDeque::new(),
            backoff: Backoff::default(),
            wait_until: None,
            streams: true,
            knows_streams: true,
        }
    }

    /// The next output. Cancel safe: nothing is lost if this future is dropped.
    ///
    /// # Errors
    /// [`Error`]; the next call continues after a growing backoff.
    pub async fn next(&mut self) -> Result<Output<K>, Error> {
        loop {
            if let Some(output) = self.ready.pop_front() {
                return Ok(output);
            }
            if let Some(until) = self.wait_until {
                sleep_until(until).await;
                self.wait_until = None;
            }
            if let Err(error) = self.step().await {
                let wait = self.backoff.next().unwrap_or_default();
                self.wait_until = Some(Instant::now() + wait);
                return Err(error);
            }
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        match &self.state {
            State::Unlisted => self.begin_list().await,
            State::Paging { .. } => self.page().await,
            State::Listing(_) => self.listed_item().await,
            State::Listed { .. } => self.open().await,
            State::Watching { .. } => self.change().await,
        }
    }

    async fn begin_list(&mut self) -> Result<(), Error> {
        if self.streams && self.knows_streams {
            match self.requests.stream().await {
                Ok(body) => self.state = State::Listing(body),
                Err(error) if error.has_code(&[400, 422]) => self.knows_streams = false,
                Err(error) => {
                    self.streams = false;
                    return Err(error);
                }
            }
        }
        if !matches!(self.state, State::Listing(_)) {
            self.streams = true;
            self.state = State::Paging {
                token: None,
                limit: PAGE_SIZE,
            };
        }
        self.ready.push_back(Output::Event(Event::Init));
        Ok(())
    }

    async fn page(&mut self) -> Result<(), Error> {
        let State::Paging { token, limit } = &self.state else {
            return Ok(());
        };
        let (token, limit) = (token.clone(), *limit);
        let page = match self.requests.page(limit, token.as_deref()).await {
            Err(Error::TooLong) if limit > 1 => {
                let limit = limit / 2;
                self.state = State::Paging { token, limit };
                return Ok(());
            }
            Err(error) => {
                self.state = State::Unlisted;
                return Err(error);
            }
            Ok(page) => page,
        };
        let next = page.token().map(ToOwned::to_owned);
        let version = page.resource_version().to_owned();
        let items = page.into_items().into_iter();
        self.ready
            .extend(items.map(|item| Output::Event(Event::InitApply(item))));
        match next {
            Some(token) => {
                let token = Some(token);
                self.state = State::Paging { token, limit };
            }
            None => self.is_listed(version),
        }
        Ok(())
    }

    /// Reads one line of a streamed list.
    async fn listed_item(&mut self) -> Result<(), Error> {
        let State::Listing(body) = &mut self.state else {
            return Ok(());
        };
        let line = match timeout(LIST_SILENCE, body.line()).await {
            Ok(Ok(Some(line))) => Line::read(&line),
            Ok(Ok(None)) => Err(Error::CutOff),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Silence),
        };
        match line {
            Ok(Line::Added(item) | Line::Modified(item)) => {
                self.ready.push_back(Output::Event(Event::InitApply(item)));
            }
            Ok(Line::Deleted(gone)) => self.ready.push_back(Output::Event(Event::Delete(gone))),
            Ok(Line::Bookmark {
                version,
                ends_list: true,
            }) => self.is_listed(version),
            Ok(Line::Bookmark {
                ends_list: false, ..
            }) => {}
            Err(error) => {
                self.state = State::Unlisted;
                self.streams = false;
                return Err(error);
            }
        }
        Ok(())
    }

    fn is_listed(&mut self, version: String) {
        self.ready.push_back(Output::Event(Event::InitDone));
        self.backoff.reset();
        self.state = State::Listed {
            version,
            after: After::Delivery,
        };
    }

    async fn open(&mut self) -> Result<(), Error> {
        let State::Listed { version, after } = &self.state else {
            return Ok(());
        };
        let (version, after) = (version.clone(), *after);
        let checked = match after {
            After::Delivery => Ok(()),
            After::Quiet | After::Break => self.requests.check(&version).await,
        };
        let opened = match checked {
            Ok(()) => self.requests.watch(&version).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(body) => {
                tracing::trace!(source = ?self.requests.source, version, "A watch is open");
                if after == After::Quiet {
                    self.ready.push_back(Output::UpToDate);
                    self.backoff.reset();
                }
                self.state = State::Watching {
                    body,
                    version,
                    begun: Instant::now(),
                    has_delivered: false,
                };
                Ok(())
            }
            Err(error) => {
                self.broke(version, &error);
                Err(error)
            }
        }
    }

    fn broke(&mut self, version: String, error: &Error) {
        self.state = if error.needs_list() {
            State::Unlisted
        } else {
            let after = After::Break;
            State::Listed { version, after }
        };
    }

    /// Reads one line of a watch.
    async fn change(&mut self) -> Result<(), Error> {
        let lasts = Duration::from_secs(u64::from(self.requests.timeout_seconds));
        let State::Watching {
            body,
            version,
            begun,
            has_delivered,
        } = &mut self.state
        else {
            return Ok(());
        };
        let line = match timeout_at(*begun + lasts + GRACE, body.line()).await {
            Ok(Ok(Some(line))) => Line::read(&line),
            Ok(Ok(None)) if *has_delivered || begun.elapsed() >= lasts.mul_f32(WHOLE) => {
                let after = if *has_delivered {
                    After::Delivery
                } else {
                    After::Quiet
                };
                let version = std::mem::take(version);
                self.state = State::Listed { version, after };
                return Ok(());
            }
            Ok(Ok(None)) => Err(Error::EndedEarly),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Silence),
        };
        let output = line.and_then(|line| {
            let (new, output) = match line {
                Line::Added(item) | Line::Modified(item) => {
                    let new = item.identity.resource_version.clone();
                    (new, Output::Event(Event::Apply(item)))
                }
                Line::Deleted(gone) => (
                    gone.resource_version.clone(),
                    Output::Event(Event::Delete(gone)),
                ),
                Line::Bookmark {
                    version: bookmark, ..
                } => {
                    forward(version, &bookmark)?;
                    (bookmark.into(), Output::UpToDate)
                }
            };
            Ok((new, output))
        });
        match output {
            Ok((new, output)) => {
                if forward(version, &new).is_ok() {
                    *version = new.into();
                }
                *has_delivered = true;
                self.ready.push_back(output);
                self.backoff.reset();
                Ok(())
            }
            Err(error) => {
                let version = std::mem::take(version);
                self.broke(version, &error);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
