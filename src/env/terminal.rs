//! A secret typed at the terminal, without echo; and the echo on again however the asking ends, by a signal too.
//!
//! Left out: what is asked for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use zeroize::Zeroizing;

/// The longest line that is taken.
const MAX_LINE: usize = 4096;

/// The terminal while it does not echo, and how it was before.
struct Hidden {
    terminal: File,
    before: Termios,
}

static HIDDEN: Mutex<Option<Hidden>> = Mutex::new(None);

/// Prints `prompt` on the terminal of this process and reads a line without echo; none at the end of input.
///
/// # Errors
/// What the system says; there may be no terminal.
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

/// Echo off until this is dropped.
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
            // Where the terminal is gone, there is nothing to be shown.
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

/// A panic elsewhere leaves the settings as good as they were.
fn hidden() -> MutexGuard<'static, Option<Hidden>> {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts, once, the thread that turns the echo on before a signal ends or stops this process. It stays: a handler that was
/// taken away would leave the signal without effect.
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
            // Held meanwhile, so that no echo is turned off behind this.
            let hidden = hidden();
            if let Some(Hidden { terminal, before }) = &*hidden {
                let _ = tcsetattr(terminal, OptionalActions::Now, before);
            }
            let _ = emulate_default_handler(signal);
            // Only a stopped process comes here, when it goes on.
            if let Some(Hidden { terminal, before }) = &*hidden {
                let _ = hide(terminal, before);
            }
        }
    })?;
    let _ = WATCHED.set(());
    Ok(())
}

/// The signals that this process was started to ignore, as `nohup` does: bit 0 is signal 1. They stay ignored.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
