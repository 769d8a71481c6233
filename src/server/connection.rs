//! The state of one connection, and when it must end. Pure: the caller passes the time.

use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for the head of the first request, including the TLS handshake.
pub const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Longest time for the caller to receive a response, from its head to its last byte.
pub const TAKE_ANSWER: Duration = Duration::from_secs(20);
/// How long a connection that is to end must be quiet before it is closed. A caller that is about
/// to send a request still gets a response, with `Connection: close`.
pub const QUIET: Duration = Duration::from_secs(2);
/// Longest time from the order to close until the connection is cut.
pub const DRAIN: Duration = Duration::from_secs(15);
/// A connection can be evicted after it has waited this long for its caller.
pub const MAKES_ROOM_AFTER: Duration = Duration::from_millis(250);
/// A connection whose request takes this long can be evicted if no other waits for its caller.
pub const SLOW_REQUEST: Duration = Duration::from_secs(5);

/// How long connections may last.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// Longest time between two requests.
    pub idle: Duration,
    /// Age at which the connection is asked to end.
    pub max_age: Duration,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The caller ended it.
    Caller,
    /// TLS or HTTP failed.
    Failed,
    /// The first request did not arrive in time.
    NoRequest,
    /// No further request arrived in time.
    Idle,
    /// The connection reached its maximum age.
    MaxAge,
    /// The caller did not receive a response in time.
    SlowReader,
    /// Its source has too many connections.
    SourceLimit,
    /// It was evicted to make room for others.
    Evicted,
    /// The server shuts down.
    Shutdown,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::Caller,
        Self::Failed,
        Self::NoRequest,
        Self::Idle,
        Self::MaxAge,
        Self::SlowReader,
        Self::SourceLimit,
        Self::Evicted,
        Self::Shutdown,
    ];

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "Caller",
            Self::Failed => "Failed",
            Self::NoRequest => "NoRequest",
            Self::Idle => "Idle",
            Self::MaxAge => "MaxAge",
            Self::SlowReader => "SlowReader",
            Self::SourceLimit => "SourceLimit",
            Self::Evicted => "Evicted",
            Self::Shutdown => "Shutdown",
        }
    }
}

/// The next action for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAction {
    /// Nothing.
    Keep,
    /// Ask the caller to use another connection, and close this one when it is quiet.
    Retire(Reason),
    /// Close it, because no request is running.
    Close(Reason),
    /// Cut it, even if a request is running.
    Cut(Reason),
}

/// The order of eviction; the smallest is evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evictable {
    /// The connection has been used, and waits for its caller since then: for a request or its
    /// body, or for the caller to receive a response.
    Waiting(Instant),
    /// The connection was opened then and has had no request. Where possible, a new connection
    /// keeps its time.
    Unused(Instant),
    /// A request has been running since then.
    Slow(Instant),
}

/// The state of one connection.
#[derive(Clone, Debug)]
pub struct Connection {
    opened: Instant,
    /// When the last request began or ended.
    last: Instant,
    requested: bool,
    http2: bool,
    /// When the requests began whose body is incomplete.
    receiving: Vec<Instant>,
    /// When the requests began that are complete and have no response yet.
    working: Vec<Instant>,
    /// When the responses began that are not yet handed over completely.
    answering: Vec<Instant>,
    /// Since when bytes wait to be received by the caller.
    unsent: Option<Instant>,
    retired: Option<Reason>,
    closing: Option<(Instant, Reason)>,
}

impl Connection {
    /// Creates the state of a connection that opens now.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            opened: now,
            last: now,
            requested: false,
            http2: false,
            receiving: Vec::new(),
            working: Vec::new(),
            answering: Vec::new(),
            unsent: None,
            retired: None,
            closing: None,
        }
    }

    /// A request begins; `whole` if its body is complete with the head.
    pub fn begin(&mut self, http2: bool, whole: bool, now: Instant) {
        self.requested = true;
        self.http2 = http2;
        self.last = now;
        let requests = if whole {
            &mut self.working
        } else {
            &mut self.receiving
        };
        requests.push(now);
    }

    /// The body of the request that began then is complete, or is no longer read.
    pub fn received(&mut self, began: Instant) {
        if remove(&mut self.receiving, began) {
            self.working.push(began);
        }
    }

    /// The request that began then has its response.
    pub fn answered(&mut self, began: Instant, now: Instant) {
        self.forget(began);
        self.answering.push(now);
    }

    /// The request that began then was dropped without a response.
    pub fn dropped(&mut self, began: Instant, now: Instant) {
        self.forget(began);
        self.last = now;
    }

    fn forget(&mut self, began: Instant) {
        if !remove(&mut self.receiving, began) {
            remove(&mut self.working, began);
        }
    }

    /// The response that began then is handed over, or is no longer wanted.
    pub fn ended(&mut self, began: Instant, now: Instant) {
        remove(&mut self.answering, began);
        self.last = now;
    }

    /// Bytes wait to be received by the caller, or no longer wait.
    pub fn unsent(&mut self, waits: bool, now: Instant) {
        self.unsent = if waits {
            self.unsent.or(Some(now))
        } else {
            None
        };
    }

    /// The caller is asked to use another connection.
    pub fn retire(&mut self, reason: Reason) {
        self.retired.get_or_insert(reason);
    }

    /// The connection is being closed.
    pub fn close(&mut self, reason: Reason, now: Instant) {
        self.closing.get_or_insert((now, reason));
    }

    /// Whether responses announce the end of the connection.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        self.retired.is_some()
    }

    /// Whether the connection uses HTTP/2, where GOAWAY announces its end without a race.
    #[must_use]
    pub const fn is_http2(&self) -> bool {
        self.http2
    }

    /// Why it was asked to end.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.closing.map(|(_, reason)| reason).or(self.retired)
    }

    fn is_idle(&self) -> bool {
        let requests = [&self.receiving, &self.working, &self.answering];
        requests.iter().all(|requests| requests.is_empty()) && self.unsent.is_none()
    }

    /// Since when the caller has not received a response.
    fn stalled(&self) -> Option<Instant> {
        self.answering.iter().copied().chain(self.unsent).min()
    }

    /// The next action.
    #[must_use]
    pub fn next_action(&self, lifetime: &Lifetime, now: Instant) -> NextAction {
        let over = |since: Instant, longest: Duration| now.duration_since(since) >= longest;
        if self.stalled().is_some_and(|since| over(since, TAKE_ANSWER)) {
            return NextAction::Cut(Reason::SlowReader);
        }
        if let Some((since, reason)) = self.closing {
            // A connection that is closed without a running request and still open has received
            // part of a head.
            return if over(since, DRAIN) || self.is_idle() && over(since, QUIET) {
                NextAction::Cut(reason)
            } else {
                NextAction::Keep
            };
        }
        if !self.requested && over(self.opened, FIRST_REQUEST) {
            return NextAction::Cut(Reason::NoRequest);
        }
        let idle = self.is_idle();
        if idle && over(self.last, lifetime.idle) {
            return NextAction::Close(Reason::Idle);
        }
        match self.retired {
            Some(reason) if self.http2 || idle && over(self.last, QUIET) => {
                NextAction::Close(reason)
            }
            None if over(self.opened, lifetime.max_age) => NextAction::Retire(Reason::MaxAge),
            _ => NextAction::Keep,
        }
    }

    /// Whether the connection can be evicted, and in which order.
    #[must_use]
    pub fn evictable(&self, now: Instant) -> Option<Evictable> {
        let over = |since: Instant, least: Duration| now.duration_since(since) >= least;
        if !self.requested {
            let opened = self.opened;
            return over(opened, MAKES_ROOM_AFTER).then_some(Evictable::Unused(opened));
        }
        let receives = || {
            let alone = self.working.is_empty();
            self.receiving.iter().copied().min().filter(|_| alone)
        };
        let idle = self.is_idle().then_some(self.last);
        let waiting = idle.or_else(|| self.stalled()).or_else(receives);
        if let Some(since) = waiting {
            return over(since, MAKES_ROOM_AFTER).then_some(Evictable::Waiting(since));
        }
        let oldest = self.working.iter().copied().min()?;
        over(oldest, SLOW_REQUEST).then_some(Evictable::Slow(oldest))
    }
}

/// Removes one of these times; returns whether it was there.
fn remove(moments: &mut Vec<Instant>, moment: Instant) -> bool {
    let at = moments.iter().position(|known| *known == moment);
    at.map(|at| moments.swap_remove(at)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIFETIME: Lifetime = Lifetime {
        idle: Duration::from_secs(90),
        max_age: Duration::from_mins(10),
    };

    fn after(connection: &Connection, seconds: u32) -> NextAction {
        connection.next_action(&LIFETIME, connection.opened + SECOND * seconds)
    }

    /// A connection with this many complete exchanges of one second each.
    fn used(exchanges: u32, http2: bool) -> Connection {
        let opened = Instant::now();
        let mut connection = Connection::new(opened);
        for n in 0..exchanges {
            let now = opened + SECOND * n;
            connection.begin(http2, true, now);
            connection.answered(now, now);
            connection.ended(now, now + SECOND);
        }
        connection
    }

    #[test]
    fn a_connection_without_a_request_is_cut_and_an_idle_one_is_closed() {
        assert_eq!(after(&used(0, false), 9), NextAction::Keep);
        assert_eq!(
            after(&used(0, false), 10),
            NextAction::Cut(Reason::NoRequest)
        );
        assert_eq!(after(&used(1, false), 90), NextAction::Keep);
        assert_eq!(after(&used(1, false), 91), NextAction::Close(Reason::Idle));
    }

    #[test]
    fn a_caller_that_receives_no_response_is_cut_however_many_other_requests_it_sends() {
        let mut connection = used(1, true);
        let opened = connection.opened;
        connection.begin(true, true, opened + SECOND);
        connection.answered(opened + SECOND, opened + SECOND);
        for n in 2..30 {
            let now = opened + SECOND * n;
            connection.begin(true, true, now);
            connection.answered(now, now);
            connection.ended(now, now);
        }
        assert_eq!(after(&connection, 20), NextAction::Keep);
        assert_eq!(after(&connection, 21), NextAction::Cut(Reason::SlowReader));

        let mut connection = used(1, false);
        connection.unsent(true, opened + SECOND);
        connection.unsent(true, opened + SECOND * 15);
        let later = connection.opened + SECOND * 22;
        assert_eq!(
            connection.next_action(&LIFETIME, later),
            NextAction::Cut(Reason::SlowReader)
        );
        connection.unsent(false, later);
        assert_eq!(connection.next_action(&LIFETIME, later), NextAction::Keep);
    }

    #[test]
    fn an_old_connection_is_retired_then_closed_when_it_is_quiet_or_speaks_http_2() {
        let mut connection = used(600, false);
        assert_eq!(after(&connection, 600), NextAction::Retire(Reason::MaxAge));
        connection.retire(Reason::MaxAge);
        assert_eq!(after(&connection, 601), NextAction::Keep);
        assert_eq!(after(&connection, 602), NextAction::Close(Reason::MaxAge));
        let mut connection = used(600, true);
        connection.retire(Reason::Shutdown);
        assert_eq!(after(&connection, 600), NextAction::Close(Reason::Shutdown));
        let closed = connection.opened + SECOND * 600;
        connection.close(Reason::Shutdown, closed);
        let mut with_part_of_a_head = connection.clone();
        with_part_of_a_head.http2 = false;
        assert_eq!(after(&with_part_of_a_head, 601), NextAction::Keep);
        let cut = NextAction::Cut(Reason::Shutdown);
        assert_eq!(after(&with_part_of_a_head, 602), cut);
        connection.begin(true, true, closed);
        assert_eq!(after(&connection, 614), NextAction::Keep);
        assert_eq!(after(&connection, 615), NextAction::Cut(Reason::Shutdown));
    }

    #[test]
    fn those_that_wait_for_their_caller_make_room_then_newcomers_then_slow_requests() {
        let idle = used(1, false);
        let mut stalled = used(1, false);
        stalled.unsent(true, stalled.opened);
        let mut slow = used(1, false);
        slow.begin(false, true, slow.opened);
        let mut half = used(1, false);
        half.begin(false, false, half.opened + SECOND);
        let unused = used(0, false);
        let of = |connection: &Connection, seconds| {
            connection.evictable(connection.opened + SECOND * seconds)
        };
        let order = [&stalled, &idle, &half, &unused, &slow].map(|connection| of(connection, 9));
        assert!(
            order.is_sorted() && order.iter().all(Option::is_some),
            "{order:?}"
        );
        assert_eq!((of(&slow, 4), of(&idle, 1)), (None, None));
        half.received(half.opened + SECOND);
        assert_eq!(of(&half, 5), None, "it works at the request");
    }
}
