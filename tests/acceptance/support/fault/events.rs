//! Events of a watch on their way to the process: one JSON document a line.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower::BoxError;

use super::call::{self, About};
use super::late::Passed;
use super::{Act, Faults, Object, Passing, Progress};

/// How late an event is that is held back: longer than a further secret waits for its delivery.
const HELD: Duration = Duration::from_millis(1500);
const GONE: &str = r#"{"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
    "status": "Failure", "reason": "Expired", "message": "too old resource version", "code": 410}}"#;
/// Annotation of the bookmark that ends a list which comes as a stream.
const LIST_ENDS: &str = "/object/metadata/annotations/k8s.io~1initial-events-end";

/// The body of a watch of this plural with the faults of its keys.
pub(super) fn pass(body: Body, faults: Faults, plural: String, begins_with_list: bool) -> Body {
    let stream = Stream {
        gone: faults.gone.subscribe(),
        faults,
        plural,
        is_list: begins_with_list,
        body: body.into_data_stream(),
        piece: Vec::new(),
        queue: VecDeque::new(),
        overtaken: Vec::new(),
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
    plural: String,
    gone: watch::Receiver<()>,
    body: BodyDataStream,
    /// The beginning of a line.
    piece: Vec<u8>,
    /// Whether what comes is what a list would show.
    is_list: bool,
    /// Lines to be passed on, in this order: one that is late keeps those after it waiting.
    queue: VecDeque<Line>,
    /// Lines that the next one of their key overtakes.
    overtaken: Vec<Line>,
    is_over: bool,
}

struct Line {
    due: Instant,
    /// The key whose event is held back.
    held: Option<String>,
    bytes: Vec<u8>,
    passed: Option<Passed>,
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        loop {
            let now = Instant::now();
            if let Some(line) = self.queue.pop_front_if(|line| line.due <= now) {
                self.faults.passed(line.held.as_deref(), line.passed);
                return Some(Ok(line.bytes.into()));
            }
            if self.is_over {
                return None;
            }
            let waiting = self.queue.front().into_iter().chain(&self.overtaken);
            let due = waiting.map(|line| line.due).min();
            tokio::select! {
                _ = self.gone.changed() => {
                    self.release_all();
                    let bytes = (GONE.replace('\n', "") + "\n").into_bytes();
                    self.queue.push_back(Line { due: now, held: None, bytes, passed: None });
                }
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => {
                    let now = Instant::now();
                    let due = self.overtaken.extract_if(.., |line| line.due <= now);
                    due.collect::<Vec<_>>().into_iter().for_each(|line| self.push(line));
                }
                piece = self.body.next() => match piece {
                    Some(Ok(piece)) => self.take(&piece),
                    Some(Err(error)) => return Some(Err(error.into())),
                    None => self.release_all(),
                }
            }
        }
    }

    /// Nothing more comes, and nothing is late any more.
    fn release_all(&mut self) {
        self.queue.extend(self.overtaken.drain(..));
        let now = Instant::now();
        self.queue.iter_mut().for_each(|line| line.due = now);
        self.is_over = true;
    }

    fn push(&mut self, mut line: Line) {
        if let Some(last) = self.queue.back() {
            line.due = line.due.max(last.due);
        }
        self.queue.push_back(line);
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

    fn take_line(&mut self, bytes: Vec<u8>) {
        let mut line = Line {
            due: Instant::now(),
            held: None,
            bytes,
            passed: None,
        };
        let event: Value = serde_json::from_slice(&line.bytes).unwrap_or_default();
        self.is_list &= event.pointer(LIST_ENDS).is_none();
        let Some(mut told) = Told::read(&self.plural, event) else {
            return self.push(line);
        };
        line.passed = told.passed();
        if self.faults.damage(&mut told, self.is_list) {
            line.bytes = (told.event.to_string() + "\n").into_bytes();
        }
        let event = self.faults.event(&told).filter(|_| !self.is_list);
        let Some((key, how)) = event else {
            return self.push(line);
        };
        match how {
            How::Now => self.push(line),
            How::Late | How::Overtaken => {
                line.due += HELD;
                line.held = Some(key);
                if how == How::Late {
                    self.push(line);
                } else {
                    self.overtaken.push(line);
                }
            }
            How::Twice => {
                let bytes = line.bytes.clone();
                self.push(Line {
                    bytes,
                    passed: None,
                    held: None,
                    ..line
                });
                self.push(line);
            }
        }
    }
}

/// What is to happen to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Now,
    Late,
    Overtaken,
    Twice,
}

/// A line of a watch that tells of an object.
struct Told {
    event: Value,
    object: Object,
    about: About,
    is_deletion: bool,
}

impl Told {
    fn read(plural: &str, event: Value) -> Option<Self> {
        let (object, about) = call::of_object(plural, &event["object"])?;
        Some(Self {
            object,
            about,
            is_deletion: event["type"] == "DELETED",
            event,
        })
    }

    fn metadata(&self, field: &str) -> Option<String> {
        let value = &self.event["object"]["metadata"][field];
        value.as_str().map(ToOwned::to_owned)
    }

    fn passed(&self) -> Option<Passed> {
        if self.is_deletion {
            self.metadata("uid").map(Passed::Gone)
        } else {
            self.metadata("resourceVersion").map(Passed::Version)
        }
    }
}

/// Damages the items of a page of a list; `None` if it has none of a key that meets such a fault.
pub(super) fn damaged_page(faults: &Faults, plural: &str, page: &[u8]) -> Option<Vec<u8>> {
    let mut page: Value = serde_json::from_slice(page).ok()?;
    let mut is_damaged = false;
    for item in page["items"].as_array_mut()? {
        let event = serde_json::json!({"type": "ADDED", "object": item.take()});
        let (object, about) = call::of_object(plural, &event["object"])?;
        let mut told = Told {
            event,
            object,
            about,
            is_deletion: false,
        };
        is_damaged |= faults.damage(&mut told, true);
        *item = told.event["object"].take();
    }
    is_damaged.then(|| page.to_string().into_bytes())
}

impl Faults {
    /// What is to happen to this event, and the key that it is about.
    fn event(&self, told: &Told) -> Option<(String, How)> {
        let mut state = self.state.lock().unwrap();
        let key = state.name(&told.about)?;
        let how = state.keys.get_mut(&key)?.event(told)?;
        Some((key, how))
    }

    /// Damages an event, if that is to happen to it.
    fn damage(&self, told: &mut Told, is_list: bool) -> bool {
        let mut state = self.state.lock().unwrap();
        let Some(key) = state.name(&told.about) else {
            return false;
        };
        let Some(progress) = state.keys.get_mut(&key) else {
            return false;
        };
        let name = told.metadata("name").unwrap_or_default();
        let id = (told.object, name.clone());
        let damaging = progress.damaging.as_mut();
        let Some(damaging) = damaging
            .filter(|damaging| (is_list || !damaging.lists_only) && !damaging.mended.contains(&id))
        else {
            return false;
        };
        if !damaging
            .damage
            .apply(told.object, &mut told.event["object"])
        {
            return false;
        }
        let is_first = damaging.damaged.insert(id);
        let is_to_be_mended = damaging.mends && damaging.damage.is_felt();
        progress.meet();
        drop(state);
        if is_first && is_to_be_mended {
            self.ask(&key, told.object, &name, Act::Touch);
        }
        true
    }

    /// A line was passed on to the process, which may have been held back.
    fn passed(&self, held: Option<&str>, passed: Option<Passed>) {
        let mut state = self.state.lock().unwrap();
        if let Some(progress) = held.and_then(|key| state.keys.get_mut(key)) {
            progress.held = progress.held.saturating_sub(1);
        }
        state.passed.extend(passed);
        drop(state);
        self.moved.send_replace(());
    }
}

impl Progress {
    fn event(&mut self, told: &Told) -> Option<How> {
        let is_key = told.object == Object::ApiKey;
        let passing = self.events?;
        let how = match passing {
            Passing::Twice => How::Twice,
            Passing::Held => How::Late,
            Passing::Lagging if is_key => How::Late,
            Passing::Reordered if !told.is_deletion => {
                self.overtake_next = !self.overtake_next;
                if self.overtake_next {
                    How::Overtaken
                } else {
                    How::Now
                }
            }
            Passing::Lagging | Passing::Reordered => How::Now,
        };
        let is_late = matches!(how, How::Late | How::Overtaken);
        let is_met = match passing {
            Passing::Twice | Passing::Held => true,
            Passing::Lagging | Passing::Reordered => how == How::Now && self.held > 0,
        };
        self.held += usize::from(is_late);
        if is_met {
            self.meet();
        }
        Some(how)
    }
}
