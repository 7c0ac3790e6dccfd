//! One test run from beginning to end: create a store, start bank, proxy and clients, kill the bank repeatedly for the
//! given time, resolve every unknown outcome, kill the bank once more, and run the checker.
//!
//! The seed determines what each client does and which fault hits each message; timing is up to the machine.
//! Left out: options and printing (`cli/`).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::broken::Flaw;
use super::daemon::Daemon;
use super::error::ProveError;
use super::proxy::Proxy;
use crate::client::{Client, Request};
use crate::env::Disk;
use crate::env::Env;
use crate::env::sim::Random;
use crate::model::amount::Amount;
use crate::model::types::AccountId;
use crate::prove::actors::arena::{ACCOUNTS, Arena, OPENING, SECRET, TELLERS, customer, customer_name, teller, teller_name};
use crate::prove::actors::{commander, customer as customers, intruder, prober};
use crate::prove::check::checker::{Testimony, check};
use crate::prove::check::log_reader::{read_log, segment_name};
use crate::prove::check::verdict;
use crate::prove::check::verdict::{Deeds, Verdict, Violation};
use crate::prove::proxy::faults::{Faults, Share};

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Random seed of clients, faults and kills.
    pub seed: u64,
    /// How long the clients run.
    pub lasting: Duration,
    /// How many actors use [`Client`] in this process; two client processes, a prober, an auditor and an intruder are added.
    pub clients: u32,
    /// The bank under test.
    pub bank: OnTrial,
    /// An empty directory for store, journals and other files.
    pub dir: PathBuf,
    /// The `bankd` executable.
    pub exe: PathBuf,
}

/// Which bank is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrial {
    /// The real daemon.
    Daemon,
    /// The small bank with a flaw, or without one: the control that shows that only the flaw is detected.
    Small(Option<Flaw>),
}

/// The faults that the proxy injects.
const FAULTS: Faults = Faults {
    lose_requests: Share::percent(3),
    lose_replies: Share::percent(3),
    duplicate: Share::percent(5),
    cut: Share::percent(1),
    busy: Share::percent(3),
    late: Share::percent(60),
    delay: Duration::from_millis(1),
    linger: Duration::from_millis(20),
    setup: true,
};
/// The least and most time between two kills of the bank, in milliseconds.
const KILLS: (u64, u64) = (150, 1200);
/// Timeout of each client operation after the faults.
const RESOLVING: Duration = Duration::from_secs(10);

/// Runs the test. `progress` receives a line of text now and then.
///
/// # Errors
/// [`ProveError`] if the run cannot be set up or its files not read. A bank that does not restart after a kill is no error
/// but a violation in the verdict.
pub fn prove(env: &Env, plan: &Plan, progress: &dyn Fn(&str)) -> Result<Verdict, ProveError> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut random = Random::new(plan.seed);
    let stage = Stage { env, plan };
    stage.set()?;
    let daemon = stage.start()?;
    let proxy = Proxy::start(any_port, daemon.address(), random.next_u64(), FAULTS).map_err(io_error("start the proxy"))?;
    let arena = Arena::new(env, &plan.exe, &plan.dir, proxy.address().to_string());
    let mut deeds = Deeds::default();
    let mut violations = Vec::new();
    let began = env.clock.monotonic();
    let daemon = thread::scope(|scope| {
        stage.send_actors(scope, &arena, &mut random);
        let daemon = stage.kill_and_restart(daemon, &proxy, &mut random, &mut deeds, &mut violations, progress);
        proxy.set_faults(Faults::default());
        arena.is_over.store(true, Ordering::SeqCst);
        daemon
    });
    let lasted = env.clock.monotonic().saturating_sub(began);
    progress("resolving what is in doubt");
    let mut closing = Vec::new();
    if let Some(daemon) = daemon {
        settle(&arena, &mut random);
        // Every acknowledged request must survive this kill too.
        daemon.kill();
        deeds.daemon_kills += 1;
        match stage.start() {
            Ok(daemon) => {
                proxy.point_to(daemon.address());
                closing = balances(&arena);
                daemon.kill();
            }
            Err(error) => violations.push(Violation::new("start", None, error.to_string())),
        }
    }
    progress("checking");
    let log = read_log(&*env.disk, &stage.store())?;
    let (journaled, journals) = read_journals(&arena)?;
    let opening = u128::from(ACCOUNTS) * u128::from(OPENING);
    let testimony = Testimony { events: arena.history.take(), journaled, journals, opening, closing };
    let (found, checked) = check(&log, &testimony);
    violations.extend(found);
    verdict::sort(&mut violations);
    let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    deeds.client_kills = read(&arena.deeds.client_kills);
    deeds.in_windows = read(&arena.deeds.in_windows);
    deeds.runs_abandoned = read(&arena.deeds.runs_abandoned);
    deeds.doubts_resolved = read(&arena.deeds.doubts_resolved);
    Ok(Verdict { violations, checked, deeds, proxy: proxy.counts(), lasted })
}

/// Sets up the store and runs the bank.
struct Stage<'a> {
    env: &'a Env,
    plan: &'a Plan,
}

impl Stage<'_> {
    fn store(&self) -> PathBuf {
        self.plan.dir.join("store")
    }

    fn pin_file(&self) -> PathBuf {
        self.plan.dir.join("pin")
    }

    /// Creates the store, and the PIN file of the client processes.
    fn set(&self) -> Result<(), ProveError> {
        let write = |path: &Path, text: &str| write_file(&*self.env.disk, path, text).map_err(io_error("write a file of the proof"));
        write(&self.pin_file(), SECRET)?;
        if self.plan.bank != OnTrial::Daemon {
            // The small bank creates its own store.
            return Ok(());
        }
        let mut accounts = "kind,name,secret,balance\n".to_owned();
        for number in 0..ACCOUNTS {
            accounts.push_str(&format!("account,{},{SECRET},{OPENING}\n", customer_name(number)));
        }
        for number in 0..TELLERS {
            accounts.push_str(&format!("teller,{},{SECRET},\n", teller_name(number)));
        }
        let file = self.plan.dir.join("accounts.csv");
        write(&file, &accounts)?;
        let mut init = Process::new(&self.plan.exe);
        init.arg("init").arg("--data-dir").arg(self.store()).arg("--accounts").arg(&file);
        let made = init.output().map_err(io_error("run `bankd init`"))?;
        if made.status.success() { Ok(()) } else { Err(ProveError::Bank(String::from_utf8_lossy(&made.stderr).into_owned())) }
    }

    fn start(&self) -> Result<Daemon, ProveError> {
        let mut command = Process::new(&self.plan.exe);
        match self.plan.bank {
            OnTrial::Daemon => command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]),
            OnTrial::Small(flaw) => command.args(["prove", "small-bank", "--flaw", flaw.map_or("none", Flaw::name)]),
        };
        command.arg("--data-dir").arg(self.store());
        Daemon::start(command)
    }

    fn send_actors<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>, arena: &'scope Arena, random: &mut Random) {
        for number in 0..self.plan.clients {
            // For each customer, who moves money of one account, two tellers, who move money of any.
            let login = if number % 3 == 0 { customer(number / 3) } else { teller(number) };
            let seed = random.next_u64();
            scope.spawn(move || customers::run(arena, &login, seed));
        }
        for number in [1, 2] {
            let seed = random.next_u64();
            let pin_file = self.pin_file();
            scope.spawn(move || commander::run(arena, AccountId(number), &customer(number), &pin_file, seed));
        }
        let seed = random.next_u64();
        scope.spawn(move || prober::run(arena, 0, seed));
        let seed = random.next_u64();
        scope.spawn(move || prober::audit(arena, 1, seed));
        let seed = random.next_u64();
        scope.spawn(move || intruder::run(arena, ACCOUNTS - 1, seed));
    }

    /// Kills and restarts the bank until the time is up. Returns the running bank; none if it did not restart.
    fn kill_and_restart(
        &self,
        mut daemon: Daemon,
        proxy: &Proxy,
        random: &mut Random,
        deeds: &mut Deeds,
        violations: &mut Vec<Violation>,
        progress: &dyn Fn(&str),
    ) -> Option<Daemon> {
        let clock = &self.env.clock;
        let end = clock.monotonic().saturating_add(self.plan.lasting);
        let mut next_word = clock.monotonic().saturating_add(Duration::from_secs(10));
        loop {
            let (least, most) = KILLS;
            let pause = Duration::from_millis(least + random.below(most - least));
            let now = clock.monotonic();
            let Some(left) = end.checked_sub(now).filter(|left| !left.is_zero()) else { return Some(daemon) };
            thread::sleep(pause.min(left));
            if clock.monotonic() >= end {
                return Some(daemon);
            }
            let ended = daemon.kill();
            deeds.daemon_kills += 1;
            if let Some(how) = ended.by_itself {
                let what = format!("the bank ended by itself ({how}), after {} kills: {}", deeds.daemon_kills, ended.said.trim());
                violations.push(Violation::new("start", None, what));
            }
            if self.plan.bank == OnTrial::Daemon && deeds.daemon_kills % 3 == 2 {
                deeds.tails_torn += u64::from(self.tear(random));
            }
            match self.start() {
                Ok(started) => daemon = started,
                Err(error) => {
                    violations.push(Violation::new("start", None, error.to_string()));
                    return None;
                }
            }
            proxy.point_to(daemon.address());
            if clock.monotonic() >= next_word {
                next_word = clock.monotonic().saturating_add(Duration::from_secs(10));
                progress(&format!("{} s to go, the bank was killed {} times", left.as_secs(), deeds.daemon_kills));
            }
        }
    }

    /// Writes a torn batch behind the log's end, as a power cut leaves it: some of its first sectors.
    /// A killed process alone never produces one, since its writes stay in the page cache.
    fn tear(&self, random: &mut Random) -> bool {
        let disk = &*self.env.disk;
        let Ok(log) = read_log(disk, &self.store()) else { return false };
        let (segment, offset) = log.end;
        let Ok(file) = disk.open(&self.store().join(segment_name(segment))) else { return false };
        let fits = file.len().is_ok_and(|length| offset + 4096 <= length);
        let mut sectors = [0; 8 * 512];
        let is_untouched = fits && file.read_exact_at(&mut sectors, offset).is_ok() && sectors.iter().all(|byte| *byte == 0);
        if !is_untouched {
            return false;
        }
        // At least one of the eight sectors is missing.
        let missing = random.index(8);
        for (index, sector) in sectors.chunks_mut(512).enumerate() {
            if index != missing && !random.one_in(3) {
                sector.fill_with(|| u8::try_from(1 + random.below(255)).unwrap_or(1));
            }
        }
        if sectors.iter().all(|byte| *byte == 0) {
            return false;
        }
        file.write_all_at(&sectors, offset).is_ok()
    }
}

/// Resolves every unknown outcome of every journal, with faults switched off.
fn settle(arena: &Arena, random: &mut Random) {
    for (journal, login) in arena.journals() {
        customers::settle(arena, &journal, &login, RESOLVING, random);
    }
}

/// Every account's balance as the bank reports it; empty if any inquiry fails.
fn balances(arena: &Arena) -> Vec<Amount> {
    let mut client = Client::new(&arena.env, &arena.server, &arena.dir.join("journal-end"), RESOLVING);
    if client.log_in(teller(0)).is_err() {
        return Vec::new();
    }
    let all: Result<Vec<Amount>, _> = (0..ACCOUNTS).map(|id| client.balance(AccountId(id)).map(|(balance, _)| balance)).collect();
    all.unwrap_or_default()
}

fn read_journals(arena: &Arena) -> Result<(Vec<Request>, u64), ProveError> {
    let mut requests = Vec::new();
    let mut journals = 0;
    for (path, _) in arena.journals() {
        let mut journal = crate::client::Journal::new(&arena.env, &path);
        let deadline = crate::client::Deadline::after(&arena.env.clock, RESOLVING);
        requests.extend(journal.open(&deadline)?.requests().cloned());
        journals += 1;
    }
    Ok((requests, journals))
}

fn write_file(disk: &dyn Disk, path: &Path, text: &str) -> io::Result<()> {
    let file = disk.create(path)?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.sync()
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> ProveError {
    move |source| ProveError::Io { what, source }
}
