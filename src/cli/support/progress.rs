//! Progress of long reads: a bar on a terminal, otherwise a line each second, and a summary at the end. Also a bar for a run
//! of known duration.
//!
//! Everything goes to stderr, without colours; a read of less than a second shows nothing.
//! Left out: the reading itself (`engine/`). `bankd wal dump` shows no progress: its own lines do, and often go to a pager.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bankd::engine::{Progress as Moment, ProgressSink, Reading, StoreEnv};
use bankd::env::Clock;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::support::output::say;

/// How long a read may take before progress is shown, and the interval between lines after that.
const SECOND: Duration = Duration::from_secs(1);
/// The interval between updates of the bar.
const FRAME: Duration = Duration::from_millis(100);
/// The clock is read once per this many bytes.
const LOOK: u64 = 1 << 20;

/// Progress of the reads of one store.
pub struct Progress {
    clock: Arc<dyn Clock>,
    started: Duration,
    state: Mutex<State>,
}

struct State {
    show: Box<dyn Show>,
    last: Option<Moment>,
    /// When the present read (checkpoint or log) began.
    began: Duration,
    /// Bytes read when the clock was last read.
    looked: u64,
    /// When progress is shown next.
    next: Duration,
}

/// A display of progress.
trait Show: Send {
    fn every(&self) -> Duration;
    fn show(&mut self, moment: &Moment, took: Duration);
    fn clear(&mut self) {}
}

/// The real environment with a progress display; `line` prints lines if stderr is not a terminal.
pub fn env(line: fn(&str)) -> (StoreEnv, Arc<Progress>) {
    let env = StoreEnv::os();
    let show: Box<dyn Show> = if has_bar() { Box::new(Bar(None)) } else { Box::new(Lines(line)) };
    let progress = Arc::new(Progress::new(env.clock.clone(), show));
    (StoreEnv { watch: progress.clone(), ..env }, progress)
}

/// Whether stderr is a terminal that can show a bar.
fn has_bar() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stderr().is_terminal() && !is_dumb
}

/// A bar for a run of known duration; `None` if stderr cannot show a bar.
pub struct Countdown(Option<ProgressBar>);

impl Countdown {
    /// A countdown of `whole`.
    pub fn new(whole: Duration) -> Self {
        Self(has_bar().then(|| bar(whole.as_secs())))
    }

    /// Shows the elapsed time `over`, and a text.
    pub fn tell(&self, over: Duration, words: String) {
        if let Some(bar) = &self.0 {
            bar.set_position(over.as_secs());
            bar.set_message(words);
        }
    }
}

impl Drop for Countdown {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    bar.with_style(style.progress_chars("=> "))
}

/// [`env`] for commands that print plain lines on stderr.
pub fn tool() -> (StoreEnv, Arc<Progress>) {
    env(say)
}

impl Progress {
    fn new(clock: Arc<dyn Clock>, show: Box<dyn Show>) -> Self {
        let started = clock.monotonic();
        let state = State { show, last: None, began: started, looked: 0, next: started.saturating_add(SECOND) };
        Self { clock, started, state: Mutex::new(state) }
    }

    /// Ignores poisoning: a panic of another thread leaves the numbers valid.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One line about the whole read, if it took at least a second. `dropped` says what was left out of it.
    pub fn summary(&self, dropped: &str) -> Option<String> {
        let took = self.clock.monotonic().saturating_sub(self.started);
        let last = self.state().last.filter(|_| took >= SECOND)?;
        let (seconds, millis) = (took.as_secs(), took.subsec_millis());
        let (Moment { bytes, entries, .. }, rate) = (last, rate(last.entries, took));
        Some(format!("read {entries} entries in {bytes} bytes of log in {seconds}.{millis:03} s ({rate} entries/s), {dropped}"))
    }
}

impl ProgressSink for Progress {
    fn see(&self, moment: Moment) {
        let mut guard = self.state();
        let state = &mut *guard;
        let is_new = state.last.replace(moment).is_none_or(|last| last.reading != moment.reading);
        if !is_new && moment.bytes.saturating_sub(state.looked) < LOOK {
            return;
        }
        let now = self.clock.monotonic();
        state.looked = moment.bytes;
        if is_new {
            state.began = now;
        }
        if now >= state.next {
            state.next = now.saturating_add(state.show.every());
            state.show.show(&moment, now.saturating_sub(state.began));
        }
    }

    fn end(&self) {
        self.state().show.clear();
    }
}

/// Shows progress as lines.
struct Lines(fn(&str));

impl Show for Lines {
    fn every(&self) -> Duration {
        SECOND
    }

    fn show(&mut self, moment: &Moment, took: Duration) {
        let Moment { bytes, of, .. } = moment;
        let share = bytes.saturating_mul(100).checked_div(*of).map_or_else(String::new, |share| format!(" ({share} %)"));
        (self.0)(&format!("{}: {}{share}", what(moment.reading), how_far(moment, took)));
    }
}

/// Shows progress as a bar on the terminal; `None` until the first update.
struct Bar(Option<ProgressBar>);

impl Show for Bar {
    fn every(&self) -> Duration {
        FRAME
    }

    fn show(&mut self, moment: &Moment, took: Duration) {
        // Set every field before the bar is drawn for the first time.
        let begin = || bar(moment.of).with_prefix(what(moment.reading)).with_position(moment.bytes).with_message(how_far(moment, took));
        let bar = self.0.get_or_insert_with(begin);
        bar.set_prefix(what(moment.reading));
        bar.set_message(how_far(moment, took));
        bar.set_length(moment.of);
        bar.set_position(moment.bytes);
    }

    fn clear(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

const fn what(reading: Reading) -> &'static str {
    match reading {
        Reading::Checkpoint => "reading the checkpoint",
        Reading::Log => "reading the log",
    }
}

fn how_far(moment: &Moment, took: Duration) -> String {
    let Moment { reading, bytes, of, entries } = *moment;
    let bytes = if of > 0 { format!("{} of {} MiB", bytes >> 20, of >> 20) } else { format!("{} MiB", bytes >> 20) };
    match reading {
        Reading::Checkpoint => bytes,
        Reading::Log => format!("{bytes}, {entries} entries, {}/s", rate(entries, took)),
    }
}

/// Count per second.
fn rate(count: u64, took: Duration) -> u128 {
    u128::from(count).saturating_mul(1_000_000).checked_div(took.as_micros()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct FakeClock(AtomicU64);

    impl Clock for FakeClock {
        fn wall(&self) -> Duration {
            Duration::ZERO
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    /// Stores what is shown, as lines.
    struct Kept(Arc<Mutex<Vec<String>>>, Duration);

    impl Show for Kept {
        fn every(&self) -> Duration {
            self.1
        }

        fn show(&mut self, moment: &Moment, took: Duration) {
            let line = format!("{} after {} ms: {}", what(moment.reading), took.as_millis(), how_far(moment, took));
            self.0.lock().unwrap().push(line);
        }

        fn clear(&mut self) {
            self.0.lock().unwrap().push("cleared".to_owned());
        }
    }

    struct Scene {
        clock: Arc<FakeClock>,
        shown: Arc<Mutex<Vec<String>>>,
        progress: Progress,
    }

    fn scene(every: Duration) -> Scene {
        let (clock, shown) = (Arc::new(FakeClock(AtomicU64::new(5_000))), Arc::new(Mutex::default()));
        let progress = Progress::new(clock.clone(), Box::new(Kept(Arc::clone(&shown), every)));
        Scene { clock, shown, progress }
    }

    impl Scene {
        /// At `millis`, `mebibytes` of 1000 MiB are read, with 1000 entries per MiB.
        fn at(&self, millis: u64, mebibytes: u64) {
            self.clock.0.store(5_000 + millis, Ordering::Relaxed);
            let moment = Moment { reading: Reading::Log, bytes: mebibytes << 20, of: 1000 << 20, entries: mebibytes * 1000 };
            self.progress.see(moment);
        }

        fn shown(&self) -> Vec<String> {
            std::mem::take(&mut self.shown.lock().unwrap())
        }
    }

    #[test]
    fn less_than_a_second_shows_nothing() {
        let scene = scene(SECOND);
        for step in 0..100 {
            scene.at(step * 9, step);
        }
        assert!(scene.shown().is_empty());
        assert_eq!(scene.progress.summary("nothing dropped"), None);
    }

    #[test]
    fn then_there_is_a_line_a_second_and_a_summary() {
        let scene = scene(SECOND);
        for step in 0..=250 {
            scene.at(step * 10, step);
        }
        let lines = [
            "reading the log after 1000 ms: 100 of 1000 MiB, 100000 entries, 100000/s",
            "reading the log after 2000 ms: 200 of 1000 MiB, 200000 entries, 100000/s",
        ];
        assert_eq!(scene.shown(), lines);
        scene.progress.end();
        assert_eq!(scene.shown(), ["cleared"]);
        let summary = scene.progress.summary("nothing dropped").unwrap();
        assert_eq!(summary, "read 250000 entries in 262144000 bytes of log in 2.500 s (100000 entries/s), nothing dropped");
    }

    #[test]
    fn the_clock_is_left_alone_between_two_mebibytes() {
        let scene = scene(FRAME);
        let mut moment = Moment { reading: Reading::Log, bytes: 0, of: 0, entries: 0 };
        scene.progress.see(moment);
        scene.clock.0.store(9_000, Ordering::Relaxed);
        moment.bytes = LOOK - 1;
        scene.progress.see(moment);
        assert!(scene.shown().is_empty());
        moment.bytes = LOOK;
        scene.progress.see(moment);
        assert_eq!(scene.shown(), ["reading the log after 4000 ms: 1 MiB, 0 entries, 0/s"]);
    }

    #[test]
    fn the_log_behind_a_checkpoint_begins_afresh() {
        let scene = scene(FRAME);
        let image = |bytes| Moment { reading: Reading::Checkpoint, bytes, of: 800 << 20, entries: 0 };
        scene.progress.see(image(0));
        scene.clock.0.store(7_000, Ordering::Relaxed);
        scene.progress.see(image(400 << 20));
        scene.at(3_000, 0);
        scene.at(3_050, 50);
        scene.at(3_100, 100);
        let lines = [
            "reading the checkpoint after 2000 ms: 400 of 800 MiB",
            "reading the log after 0 ms: 0 of 1000 MiB, 0 entries, 0/s",
            "reading the log after 100 ms: 100 of 1000 MiB, 100000 entries, 1000000/s",
        ];
        assert_eq!(scene.shown(), lines);
    }

    #[test]
    fn a_line_says_what_share_is_done() {
        static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let mut lines = Lines(|line| LINES.lock().unwrap().push(line.to_owned()));
        let moment = Moment { reading: Reading::Log, bytes: 3 << 20, of: 12 << 20, entries: 500 };
        lines.show(&moment, Duration::from_secs(2));
        lines.show(&Moment { of: 0, ..moment }, Duration::from_secs(2));
        let said = ["reading the log: 3 of 12 MiB, 500 entries, 250/s (25 %)", "reading the log: 3 MiB, 500 entries, 250/s"];
        assert_eq!(*LINES.lock().unwrap(), said);
    }
}
