//! Reads a secret from the terminal without echo, and restores the echo in every case, also after a signal.
//!
//! Left out: the kind of secret.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use zeroize::Zeroizing;

/// The longest accepted line in bytes.
const MAX_LINE: usize = 4096;

/// The terminal with echo off, and its earlier settings.
struct Hidden {
    terminal: File,
    before: Termios,
}

static HIDDEN: Mutex<Option<Hidden>> = Mutex::new(None);

/// Prints `prompt` on the terminal of this process and reads a line without echo. Returns `None` at the end of input.
///
/// # Errors
/// If there is no terminal; `InvalidData` for a line that is too long or not UTF-8; any error of the terminal.
pub fn read_secret(prompt: &str) -> io::Result<Option<String>> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    watch_signals()?;
    let _shown_again = Echo::off(&terminal)?;
    terminal.write_all(prompt.as_bytes())?;
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    let mut byte = Zeroizing::new([0; 1]);
    while terminal.read(byte.as_mut_slice())? == 1 {
        match byte[..] {
            [b'\n'] => return text(&line).map(Some),
            [other] if line.len() < MAX_LINE => line.push(other),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long")),
        }
    }
    if line.is_empty() { Ok(None) } else { text(&line).map(Some) }
}

fn text(line: &[u8]) -> io::Result<String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the line is no UTF-8"))?;
    Ok(text.to_owned())
}

/// Keeps the echo off until it is dropped.
struct Echo;

impl Echo {
    fn off(terminal: &File) -> io::Result<Self> {
        let mut hidden = hidden();
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        hide(&terminal, &before)?;
        *hidden = Some(Hidden { terminal, before });
        Ok(Self)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(Hidden { terminal, before }) = hidden().take() {
            // If the terminal is gone, there is nothing to restore.
            let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
        }
    }
}

fn hide(terminal: &File, before: &Termios) -> io::Result<()> {
    let mut without = before.clone();
    without.local_modes -= LocalModes::ECHO;
    without.local_modes |= LocalModes::ECHONL;
    Ok(tcsetattr(terminal, OptionalActions::Now, &without)?)
}

/// Ignores poisoning: a panic elsewhere does not invalidate the settings.
fn hidden() -> MutexGuard<'static, Option<Hidden>> {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts, once, a thread that restores the echo before a signal ends or stops this process. It is never stopped: a removed
/// handler would leave the signal without effect.
fn watch_signals() -> io::Result<()> {
    static WATCHED: OnceLock<()> = OnceLock::new();
    if WATCHED.get().is_some() {
        return Ok(());
    }
    let ignored = ignored_signals();
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(wanted)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            // Keep the mutex locked, so that no other thread turns the echo off meanwhile.
            let hidden = hidden();
            if let Some(Hidden { terminal, before }) = &*hidden {
                let _ = tcsetattr(terminal, OptionalActions::Now, before);
            }
            let _ = emulate_default_handler(signal);
            // Reached only when a stopped process continues.
            if let Some(Hidden { terminal, before }) = &*hidden {
                let _ = hide(terminal, before);
            }
        }
    })?;
    let _ = WATCHED.set(());
    Ok(())
}

/// The signals that were ignored when this process was started, as by `nohup`. Bit 0 is signal 1. They stay ignored.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
