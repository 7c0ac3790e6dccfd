//! The daemon's messages: whole lines written to stderr by a separate thread, so that no caller waits for a terminal or pipe.
//!
//! A line has the time in UTC, the level, and the text with control characters escaped, so that a client cannot forge a line
//! or control a terminal. Lines that do not fit into the queue are dropped, and their number is logged in their place.
//! Colours are used only on a terminal, and never with `NO_COLOR`.
//! Left out: which events are logged.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{Config, ConfigBuilder, WriteLogger};

/// Capacity of the queue in bytes: some thousands of lines.
const ROOM: usize = 1 << 20;
/// How long dropping [`LogGuard`] waits for the last lines.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// Writes messages of the `log` macros to stderr, from `level` upward, until the process ends. Keep the guard until then:
/// dropping it waits, at most a second, until every line is written.
///
/// # Errors
/// If a logger is already set, or the thread cannot be started.
pub fn init(level: LevelFilter) -> io::Result<LogGuard> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let stderr = io::stderr();
    let colors = stderr.is_terminal() && !no_color;
    let (queue, guard) = start(stderr, ROOM, FLUSH_WAIT)?;
    log::set_boxed_logger(Box::new(OneLine(WriteLogger::new(level, config(), Lines::new(queue, colors))))).map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(guard)
}

/// Flushes the log when dropped.
#[must_use = "the log is flushed when the guard is dropped"]
pub struct LogGuard {
    queue: Arc<Queue>,
    wait: Duration,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let waiting = self.queue.lock();
        // A stderr that nothing reads must not keep the process from ending.
        let _ = self.queue.written.wait_timeout_while(waiting, self.wait, |waiting| waiting.busy || !waiting.is_empty());
    }
}

fn config() -> Config {
    ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .build()
}

/// Passes records to the inner logger, with control characters escaped.
struct OneLine<L>(Box<L>);

impl<L: Log> Log for OneLine<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.log(&Record::builder().metadata(record.metadata().clone()).args(format_args!("{}", Escaped(record.args()))).build());
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

struct Escaped<'a>(&'a fmt::Arguments<'a>);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::write(&mut Escaping(f), *self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            match part.char_indices().next_back() {
                Some((at, last)) if last.is_control() => {
                    self.0.write_str(part.get(..at).unwrap_or_default())?;
                    write!(self.0, "{}", last.escape_default())?;
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// The logger's output: collects a line, colours it, and puts it into the queue.
struct Lines {
    queue: Arc<Queue>,
    line: Vec<u8>,
    colors: bool,
}

impl Lines {
    const fn new(queue: Arc<Queue>, colors: bool) -> Self {
        Self { queue, line: Vec::new(), colors }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.ends_with(b"\n") {
                if self.colors {
                    color(&mut self.line);
                }
                self.queue.put(&self.line);
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Colours the level, the first word in brackets, if it is an error or a warning.
fn color(line: &mut Vec<u8>) {
    for (level, code) in [(Level::Error, "31"), (Level::Warn, "33")] {
        let plain = format!("[{level}]");
        let bracket = line.iter().position(|byte| *byte == b'[').unwrap_or(0);
        let end = bracket.saturating_add(plain.len());
        if line.get(bracket..end) == Some(plain.as_bytes()) {
            line.splice(bracket..end, format!("\x1b[{code}m{plain}\x1b[0m").into_bytes());
            return;
        }
    }
}

/// Starts the thread that writes the queue to `sink`.
fn start(sink: impl Write + Send + 'static, room: usize, wait: Duration) -> io::Result<(Arc<Queue>, LogGuard)> {
    let queue = Arc::new(Queue { room, waiting: Mutex::default(), put: Condvar::new(), written: Condvar::new() });
    let writers = Arc::clone(&queue);
    thread::Builder::new().name("logger".to_owned()).spawn(move || writers.write_to(sink))?;
    Ok((Arc::clone(&queue), LogGuard { queue, wait }))
}

/// The lines that wait for the thread.
///
/// Invariant: at most `room` bytes wait; the lock is held for a copy or a swap only, never while writing.
struct Queue {
    room: usize,
    waiting: Mutex<Waiting>,
    put: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Number of lines that did not fit after `lines`. Until the thread takes `lines`, every further line is dropped too, so
    /// that the count is logged exactly where lines are missing.
    dropped: u64,
    /// Whether the thread is writing the lines that it took.
    busy: bool,
}

impl Waiting {
    const fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }
}

impl Queue {
    /// Ignores poisoning: a panic of another thread leaves the bytes valid.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.dropped > 0 || waiting.lines.len().saturating_add(line.len()) > self.room {
            waiting.dropped = waiting.dropped.saturating_add(1);
        } else {
            waiting.lines.extend_from_slice(line);
        }
        drop(waiting);
        self.put.notify_one();
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut taken = Vec::new();
        loop {
            let mut waiting = self.lock();
            waiting.busy = false;
            self.written.notify_all();
            let mut waiting = self.put.wait_while(waiting, |waiting| waiting.is_empty()).unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut waiting.lines, &mut taken);
            let dropped = std::mem::take(&mut waiting.dropped);
            waiting.busy = true;
            drop(waiting);
            // A write error cannot be reported anywhere; the next lines are tried again.
            let _ = sink.write_all(&taken);
            if dropped > 0 {
                let _ = writeln!(sink, "[WARN] {dropped} log lines were dropped here: they were not read fast enough");
            }
            let _ = sink.flush();
            taken.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A sink that reports each write, and blocks until the test permits it.
    struct Gated {
        writes: Sender<String>,
        gate: Receiver<()>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes.send(String::from_utf8(bytes.to_vec()).unwrap()).map_err(io::Error::other)?;
            self.gate.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink that stores everything.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_full_queue_drops_counts_and_never_waits() {
        let (writes, written) = channel();
        let (open, gate) = channel();
        let (queue, guard) = start(Gated { writes, gate }, 10, LONG).unwrap();
        queue.put(b"one\n");
        assert_eq!(written.recv().unwrap(), "one\n");
        // The sink blocks from here on. The last line would fit, but lines before it were dropped.
        for line in ["two\n", "six\n", "seven\n", "a\n"] {
            queue.put(line.as_bytes());
        }
        open.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), "two\nsix\n");
        queue.put(b"last\n");
        open.send(()).unwrap();
        let mut rest = String::new();
        while !rest.ends_with("last\n") {
            rest.push_str(&written.recv().unwrap());
            open.send(()).unwrap();
        }
        assert_eq!(rest, "[WARN] 2 log lines were dropped here: they were not read fast enough\nlast\n");
        drop(guard);
    }

    #[test]
    fn the_guard_flushes() {
        let kept = Kept::default();
        let (queue, guard) = start(kept.clone(), ROOM, LONG).unwrap();
        for n in 0..1000 {
            queue.put(format!("{n}\n").as_bytes());
        }
        drop(guard);
        assert_eq!(kept.text().lines().count(), 1000);
        assert!(kept.text().ends_with("\n998\n999\n"));
    }

    #[test]
    fn the_guard_gives_up_on_a_stuck_sink() {
        let (writes, written) = channel();
        let (open, gate) = channel();
        let (queue, guard) = start(Gated { writes, gate }, ROOM, Duration::from_millis(10)).unwrap();
        queue.put(b"stuck\n");
        written.recv().unwrap();
        drop(guard);
        assert!(queue.lock().busy, "nothing was written yet");
        drop(open);
    }

    fn logged(colors: bool, level: Level, text: &str) -> String {
        let kept = Kept::default();
        let (queue, guard) = start(kept.clone(), ROOM, LONG).unwrap();
        let logger = OneLine(WriteLogger::new(LevelFilter::Info, config(), Lines::new(queue, colors)));
        logger.log(&Record::builder().level(level).target("bankd").args(format_args!("{text}")).build());
        drop(guard);
        kept.text()
    }

    #[test]
    fn a_line_is_time_level_and_text() {
        let line = logged(false, Level::Info, "ready \u{e9} [ERROR]");
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() >= 20 && time.ends_with('Z') && time.contains('T'), "{line}");
        assert_eq!(rest, "[INFO] ready \u{e9} [ERROR]\n");
        assert_eq!(logged(false, Level::Debug, "below the level"), "");
    }

    #[test]
    fn no_text_forges_a_line_or_drives_a_terminal() {
        let line = logged(false, Level::Warn, "name \"a\n2026 [INFO] b\r\u{1b}[2J\u{85}\t\"");
        assert!(line.ends_with("[WARN] name \"a\\n2026 [INFO] b\\r\\u{1b}[2J\\u{85}\\t\"\n"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn colors_mark_the_level_alone() {
        assert!(logged(true, Level::Error, "x [WARN]").ends_with(" \u{1b}[31m[ERROR]\u{1b}[0m x [WARN]\n"));
        assert!(logged(true, Level::Warn, "x").ends_with(" \u{1b}[33m[WARN]\u{1b}[0m x\n"));
        assert!(logged(true, Level::Info, "x [ERROR]").ends_with("Z [INFO] x [ERROR]\n"));
    }
}
