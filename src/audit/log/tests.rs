use std::io::{self, ErrorKind};
use std::sync::mpsc;

use serde_json::Value;

use super::lines::EACH_PER_SECOND;
use k8s_openapi::jiff::Timestamp;

use super::*;

/// Longer than any test takes.
const AMPLE: Duration = Duration::from_mins(1);

/// An entry that is identified by its number, or one of a flood.
#[derive(Clone, Debug)]
struct TestEntry {
    second: i64,
    n: usize,
    flood: Option<&'static str>,
}

impl Entry for TestEntry {
    fn at(&self) -> Timestamp {
        Timestamp::from_second(self.second).unwrap()
    }

    fn source(&self) -> &'static str {
        "test"
    }

    fn flood(&self) -> Option<(&'static str, &'static str)> {
        self.flood.map(|reason| ("Refuse", reason))
    }

    fn append_to(&self, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let fields = serde_json::json!({"n": self.n, "reason": self.flood});
        serde_json::to_writer(line, &fields)
    }
}

const fn entry(n: usize) -> TestEntry {
    TestEntry {
        second: 100,
        n,
        flood: None,
    }
}

const fn refusal(second: i64, reason: &'static str) -> TestEntry {
    TestEntry {
        second,
        n: 0,
        flood: Some(reason),
    }
}

/// The state of the reader of standard output.
#[derive(Clone, Copy)]
enum Reader {
    Reads,
    /// Every write fails, as with a pipe without a reader.
    IsGone,
}

/// An output that is controlled write by write, and passes on what was written.
struct Output {
    next: mpsc::Receiver<Reader>,
    now: Option<Reader>,
    written: mpsc::Sender<Vec<u8>>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Without a reader, a write blocks.
        while let Ok(next) = self.next.try_recv() {
            self.now = Some(next);
        }
        let now = match self.now {
            Some(now) => now,
            None => *self.now.insert(self.next.recv().unwrap()),
        };
        match now {
            Reader::Reads => {
                self.written.send(bytes.to_vec()).unwrap();
                Ok(bytes.len())
            }
            Reader::IsGone => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct World {
    log: AuditLog,
    reader: mpsc::Sender<Reader>,
    written: mpsc::Receiver<Vec<u8>>,
}

impl World {
    /// Callers that wait for lines wait this long.
    fn new(patience: Duration) -> Self {
        let (reader, next) = mpsc::channel();
        let (write, written) = mpsc::channel();
        let output = Output {
            next,
            now: None,
            written: write,
        };
        Self {
            log: AuditLog::to(output, patience).unwrap(),
            reader,
            written,
        }
    }

    fn lines(&self) -> Vec<Value> {
        lines(&self.written.try_iter().flatten().collect::<Vec<_>>())
    }

    fn lost(&self) -> u64 {
        self.log.shared.lost.get()
    }
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn lines_are_written_in_their_order_by_the_time_that_one_waits_for() {
    let world = World::new(AMPLE);
    world.reader.send(Reader::Reads).unwrap();
    for round in 0..20 {
        (0..50).for_each(|n| world.log.record(entry(round * 50 + n)));
        world.log.written().await;
        let numbers: Vec<_> = world
            .lines()
            .iter()
            .map(|line| line["n"].as_u64().unwrap())
            .collect();
        let first = u64::try_from(round * 50).unwrap();
        assert_eq!(numbers, (first..first + 50).collect::<Vec<_>>());
    }
    world.log.record(entry(1000));
    world.log.close().await;
    assert_eq!((world.lines().len(), world.lost()), (1, 0));
}

#[tokio::test]
async fn with_the_reader_gone_every_line_is_counted_and_reported_once_there_is_one() {
    let world = World::new(AMPLE);
    world.reader.send(Reader::IsGone).unwrap();
    for n in 0..200 {
        world.log.record(entry(n));
        if n % 7 == 0 {
            world.log.written().await;
        }
    }
    world.log.written().await;
    assert_eq!(world.lost(), 200);
    world.reader.send(Reader::Reads).unwrap();
    world.log.record(entry(200));
    world.log.close().await;
    let lines = world.lines();
    assert_eq!((lines.len(), &lines[0]["n"]), (2, &Value::from(200)));
    assert_eq!(lines[1]["action"], "Lost");
    assert_eq!(lines[1]["reason"], "WriteFailed");
    assert_eq!((&lines[1]["count"], world.lost()), (&Value::from(200), 200));
}

#[tokio::test(start_paused = true)]
async fn for_a_reader_that_is_stuck_one_waits_once_and_what_finds_no_room_is_counted() {
    let world = World::new(WRITTEN_WITHIN);
    let begun = tokio::time::Instant::now();
    for n in 0..100 {
        world.log.record(entry(n));
        world.log.written().await;
    }
    assert_eq!(begun.elapsed(), WRITTEN_WITHIN);
    // The thread already holds a first batch.
    while world.lost() == 0 {
        world.log.record(entry(0));
    }
    (0..6).for_each(|_| world.log.record(entry(0)));
    assert_eq!(world.lost(), 7);
    let begun = tokio::time::Instant::now();
    world.log.close().await;
    assert_eq!(begun.elapsed(), CLOSED_WITHIN);
    assert!(world.lost() >= 7 + u64::try_from(QUEUE).unwrap());
}

#[test]
fn after_a_line_that_was_written_in_part_the_next_begins_on_its_own() {
    /// Accepts this many bytes, fails once, and then accepts everything.
    struct Tears(usize, Vec<u8>);
    impl Write for Tears {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                self.0 = usize::MAX;
                return Err(ErrorKind::Other.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            self.1.extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut batch, mut output) = (Lines::default(), Tears(25, Vec::new()));
    (0..5).for_each(|n| batch.add(&entry(n)));
    assert_eq!(batch.write_to(&mut output).unwrap_err().lines, 4);
    batch.add(&entry(5));
    batch.write_to(&mut output).unwrap();
    let text = String::from_utf8(output.1).unwrap();
    let whole: Vec<_> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .collect();
    assert_eq!((whole.len(), text.lines().count()), (3, 4), "{text}");
    assert_eq!((&whole[1]["n"], &whole[2]["count"]), (&5.into(), &4.into()));
}

#[test]
fn a_flood_is_reported_by_its_number_and_nothing_is_missing() {
    let mut batch = Lines::default();
    (0..1000).for_each(|_| batch.add(&refusal(100, "WrongSecret")));
    batch.add(&refusal(100, "Expired"));
    batch.add(&refusal(101, "WrongSecret"));
    let mut output = Vec::new();
    batch.write_to(&mut output).unwrap();
    let lines = lines(&output);
    let of = |reason: &str| {
        let ours = lines.iter().filter(|line| line["reason"] == reason);
        ours.map(|line| line["count"].as_u64().unwrap_or(1))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("WrongSecret").iter().sum::<u64>(), 1001);
    assert_eq!(of("WrongSecret").len() as u64, EACH_PER_SECOND + 2);
    assert_eq!(of("Expired"), [1]);
}

#[test]
fn an_outage_is_logged_once_however_often_nothing_is_to_be_written_meanwhile() {
    let broken = || {
        Err(Failed {
            lines: 1,
            error: io::ErrorKind::BrokenPipe.into(),
        })
    };
    let mut outage = Outage::default();
    let attempts = [broken(), Ok(false), broken(), Ok(true), Ok(false), broken()];
    let begins: Vec<_> = attempts.iter().map(|a| outage.begins(a)).collect();
    assert_eq!(begins, [true, false, false, false, false, true]);
}
