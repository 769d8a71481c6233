//! The watch events that a process receives: one JSON document on each line.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower::BoxError;

use super::call::{self, About};
use super::faults::Faults;
use super::kinds::Passing;
use super::progress::Progress;

/// How long an event is held back. It is longer than a further secret waits for its delivery.
pub(super) const HELD: Duration = Duration::from_millis(1500);
const GONE: &str = r#"{"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
    "status": "Failure", "reason": "Expired", "message": "too old resource version", "code": 410}}"#;

/// The watched resource.
pub(super) struct Watched {
    pub(super) path: String,
    /// Whether it is a list that comes as a stream (KEP-3157).
    pub(super) is_list: bool,
}

/// Applies the faults of the keys to the body of a watch.
pub(super) fn pass(body: Body, faults: Faults, watched: Watched) -> Body {
    let mut held = VecDeque::new();
    if !watched.is_list {
        let due = Instant::now() + HELD;
        let owed = faults.take_owed(&watched.path);
        held.extend(owed.into_iter().map(|(key, line)| (due, key, line)));
    }
    let stream = Stream {
        gone: faults.gone.subscribe(),
        faults,
        watched,
        body: body.into_data_stream(),
        piece: Vec::new(),
        ready: VecDeque::new(),
        held,
        is_over: false,
    };
    let lines = futures::stream::unfold(stream, async |mut stream| {
        let line = stream.next().await?;
        Some((line, stream))
    });
    Body::from_stream(lines)
}

struct Stream {
    faults: Faults,
    watched: Watched,
    gone: watch::Receiver<()>,
    body: BodyDataStream,
    /// The beginning of a line.
    piece: Vec<u8>,
    /// Lines to pass on.
    ready: VecDeque<Vec<u8>>,
    /// Lines that are held back, with the time when they are due and their key. The first is due first.
    held: VecDeque<(Instant, String, Vec<u8>)>,
    is_over: bool,
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line.into()));
            }
            if self.is_over {
                return None;
            }
            let due = self.held.front().map(|(due, ..)| *due);
            tokio::select! {
                _ = self.gone.changed() => {
                    self.release(|_, _| true);
                    let line = GONE.replace('\n', "") + "\n";
                    self.ready.push_back(line.into_bytes());
                    self.is_over = true;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let now = Instant::now();
                    self.release(|due, _| due <= now);
                }
                piece = self.body.next() => match piece {
                    Some(Ok(piece)) => self.take(&piece),
                    Some(Err(error)) => return Some(Err(error.into())),
                    None => {
                        self.release(|_, _| true);
                        self.is_over = true;
                    }
                }
            }
        }
    }

    fn take(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.piece.extend(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.piece);
                self.take_line(line);
            }
        }
    }

    fn take_line(&mut self, line: Vec<u8>) {
        let Some((key, how)) = WatchEvent::parse(&line).and_then(|event| self.faults.event(&event))
        else {
            self.ready.push_back(line);
            return;
        };
        match how {
            // The end of a list means that it is complete, so all items come before the end.
            How::Late if self.watched.is_list => {
                self.faults.released(&key);
                self.ready.push_back(line);
            }
            How::Late => self.held.push_back((Instant::now() + HELD, key, line)),
            How::Now => self.ready.push_back(line),
            How::Twice => self.ready.extend([line.clone(), line]),
            How::Unreadable => self.ready.push_back(damaged(&line)),
            How::Damaged => {
                self.ready.push_back(damaged(&line));
                if self.watched.is_list {
                    self.faults.owe(&self.watched.path, key, line);
                } else {
                    self.held.push_back((Instant::now() + HELD, key, line));
                }
            }
            // An API server sends the earlier events of an object before its deletion.
            How::Last => {
                self.release(|_, held| held == key);
                self.ready.push_back(line);
            }
        }
    }

    /// Passes on the held lines whose due time and key are chosen.
    fn release(&mut self, chosen: impl Fn(Instant, &str) -> bool) {
        for (due, key, line) in std::mem::take(&mut self.held) {
            if chosen(due, &key) {
                self.faults.released(&key);
                self.ready.push_back(line);
            } else {
                self.held.push_back((due, key, line));
            }
        }
    }
}

/// What happens to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Now,
    Late,
    Twice,
    /// It comes now, with a part that can't be read.
    Unreadable,
    /// It comes now with a part that can't be read, and unchanged later.
    Damaged,
    /// It comes now, after the events that are held back.
    Last,
}

impl Faults {
    /// The key of this event, and what happens to the event.
    fn event(&self, event: &WatchEvent) -> Option<(String, How)> {
        let about = &event.about;
        let mut state = self.state.lock().unwrap();
        let key = about
            .key
            .clone()
            .or_else(|| state.uids.get(about.uid.as_ref()?).cloned())?;
        if event.is_key && !event.is_deletion && state.unreadable.contains(&key) {
            return Some((key, How::Unreadable));
        }
        let progress = state.progress(about)?;
        let how = progress.event(event)?;
        Some((key, how))
    }

    fn owe(&self, path: &str, key: String, line: Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        let owed = state.owed.entry(path.to_owned()).or_default();
        owed.push((key, line));
    }

    fn take_owed(&self, path: &str) -> Vec<(String, Vec<u8>)> {
        let mut state = self.state.lock().unwrap();
        state.owed.remove(path).unwrap_or_default()
    }

    fn released(&self, key: &str) {
        let mut state = self.state.lock().unwrap();
        if let Some(progress) = state.keys.get_mut(key) {
            progress.held -= 1;
        }
    }
}

impl Progress {
    fn event(&mut self, event: &WatchEvent) -> Option<How> {
        let how = match self.events? {
            Passing::Twice => How::Twice,
            Passing::Held => How::Late,
            Passing::Lagging if event.is_key => How::Late,
            Passing::Lagging => How::Now,
            Passing::Reordered | Passing::Damaged if event.is_deletion => How::Last,
            Passing::Damaged => How::Damaged,
            Passing::Reordered => {
                self.hold_next = !self.hold_next;
                if self.hold_next { How::Late } else { How::Now }
            }
        };
        let is_overtaken = how == How::Now && self.held > 0;
        self.held += usize::from(matches!(how, How::Late | How::Damaged));
        let needs_another = matches!(self.events, Some(Passing::Reordered | Passing::Lagging));
        if !needs_another || is_overtaken {
            self.meet();
        }
        Some(how)
    }
}

/// Makes the object of an event unreadable.
fn damaged(line: &[u8]) -> Vec<u8> {
    let mut event: Value = serde_json::from_slice(line).unwrap();
    let object = &mut event["object"];
    if object["kind"] == "ApiKey" {
        object["spec"]["roles"] = "none".into();
    } else {
        object["metadata"]["labels"] = 7.into();
    }
    (event.to_string() + "\n").into_bytes()
}

/// The object of a watch event, and whether it is deleted.
struct WatchEvent {
    about: About,
    is_key: bool,
    is_deletion: bool,
}

impl WatchEvent {
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
